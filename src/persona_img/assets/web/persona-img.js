// Shows each shopper the picture chosen for them, and says what came of it. Nothing without consent.
//   <img src="photo.jpg" alt="Blue mug" data-persona-img="22423">
//   <script async src="https://pictures.shop/v1/persona-img.js" data-key="pik_…" data-consent="yes"></script>
((doc, win) => {
  // The one place that knows how answers and events name what proves a picture.
  const TOKEN = "token", STORE = "persona-img:";
  const script = doc.currentScript, given = script.dataset;
  const queue = [], on = (what, name, act) => what.addEventListener(name, act);
  const at = url => new URL(url, script.src).href;
  let agreed = given.consent == "yes";

  const allowed = () => agreed && !navigator.globalPrivacyControl;
  const box = () => localStorage;

  // Of a type that is told, a page elsewhere would have to ask first whether it may (CORS).
  const post = (path, value, ms, keepalive) => fetch(at(path + "?key=" + [given.key]), {
    method: "POST",
    body: new Blob([JSON.stringify(value)]),
    keepalive, // goes on when the page is left; browsers allow 64 KiB of it
    signal: AbortSignal.timeout(ms)
  });

  // What was refused for now (429, 503), or got nowhere, is kept for the next time.
  const flush = () => {
    const events = allowed() ? queue.splice(0, 50) : [], keep = () => queue.unshift(...events);
    events[0] && post("events", { events }, 10000, true).then(answer => answer.status < 429 || keep(), keep);
  };

  const tell = (kind, token, more) => {
    queue.push({ kind, [TOKEN]: token, ...more });
    setTimeout(flush, 99);
  };

  // An impression is half of the picture on the screen for one second: MRC and IAB, display.
  const watch = (img, token, more) => {
    let timer, shown;
    const impression = () => shown || tell("impression", token, more, shown = 1);
    const look = () => {
      if (img.complete && img.naturalWidth && !doc.hidden) impression();
      else timer = setTimeout(look, 1000);
    };
    new IntersectionObserver(entries => {
      clearTimeout(timer);
      if (entries.pop().intersectionRatio >= 0.5) timer = setTimeout(look, 1000);
    }, { threshold: 0.5 }).observe(img);
    on(img.closest("a") || img, "click", () => {
      impression(); // who clicks it has seen it
      tell("click", token, more);
      box()[STORE + img.dataset.personaImg] = token;
      flush();
    });
  };

  const show = (img, answer, more) => {
    const frame = doc.createElement("picture"), sets = {};
    frame.style.display = "contents";
    for (const { url, width, type } of answer.pictures) (sets[type] ||= []).push(at(url) + ` ${width}w`);
    for (const type in sets) frame.append(Object.assign(doc.createElement("source"), {
      type, sizes: img.sizes || img.clientWidth + "px", srcset: sets[type]
    }));
    (img.closest("picture") || img).replaceWith(frame);
    frame.append(img);
    img.srcset = "";
    img.src = at(answer.image_url);
    img.alt ||= answer.alt;
    answer[TOKEN] && watch(img, answer[TOKEN], more);
    // For pages that want to know: addEventListener("personaimg", event => event.detail.style).
    img.dispatchEvent(new CustomEvent("personaimg", { detail: answer, bubbles: true }));
  };

  const scan = () => {
    if (!allowed()) return;
    const asked = [];
    doc.querySelectorAll("[data-persona-img]").forEach((img, index) => {
      if (img[STORE]) return; // looked at before
      img[STORE] = 1;
      const token = img.dataset.personaToken, more = { position: index + 1 };
      token ? watch(img, token, more) : asked.push([img, more]); // or the shop's server asked already
    });
    while (asked.length) {
      const some = asked.splice(0, 99);
      // After two seconds the photos stay.
      post("decisions", {
        shopper: given.shopper || (box()[STORE] ||= crypto.getRandomValues(new Uint32Array(4)).join("-")),
        products: some.map(([img]) => img.dataset.personaImg)
      }, 2000).then(answer => answer.json()).then(page => page.decisions?.forEach((one, i) =>
        one.image_url && show(some[i][0], one, some[i][1])
      ), () => 0);
    }
  };

  win.personaImg = {
    scan,
    consent: yes => { agreed = yes; scan(); },
    sold: (product, value) => {
      const token = box()[STORE + product];
      token && tell("conversion", token, { value }, delete box()[STORE + product]);
    }
  };
  on(doc, "visibilitychange", flush); // hidden, as when it is left; or visible again
  doc.readyState == "loading" ? on(doc, "DOMContentLoaded", scan) : scan();
})(document, window);

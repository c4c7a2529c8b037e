// Shows each shopper the picture chosen for them, and says what came of it. Nothing without consent.
//   <img src="photo.jpg" alt="Blue mug" data-persona-img="22423">
//   <script async src="https://pictures.shop/v1/persona-img.js" data-key="pik_…" data-consent="yes"></script>
((doc, win) => {
  // The one place that knows how answers and events name what proves a picture.
  const TOKEN = "token", ATTRIBUTE = "data-persona-img", STORE = "persona-img:";
  const script = doc.currentScript, base = new URL(".", script.src).href, given = script.dataset;
  const queue = [], seen = new WeakSet(), on = (what, name, act) => what.addEventListener(name, act);
  const at = url => new URL(url, base).href;
  let agreed = given.consent == "yes";

  const allowed = () => agreed && !navigator.globalPrivacyControl;
  const box = () => win.localStorage;
  const shopper = () => given.shopper || box()[STORE] ||
    (box()[STORE] = crypto.getRandomValues(new Uint32Array(4)).join("-"));

  const flush = () => {
    if (!queue.length || !allowed()) return;
    const body = new Blob([JSON.stringify({ events: queue.splice(0, 99) })], { type: "application/json" });
    navigator.sendBeacon(at("events?key=" + (given.key || "")), body);
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
      box()[STORE + img.getAttribute(ATTRIBUTE)] = token;
      flush();
    });
  };

  const show = (img, answer, more) => {
    const frame = doc.createElement("picture"), sets = {};
    frame.style.display = "contents";
    for (const { url, width, type } of answer.pictures) (sets[type] ||= []).push(at(url) + ` ${width}w`);
    for (const type in sets) {
      const sizes = img.sizes || img.clientWidth + "px";
      frame.append(Object.assign(doc.createElement("source"), { type, sizes, srcset: sets[type] }));
    }
    (img.closest("picture") || img).replaceWith(frame);
    frame.append(img);
    img.removeAttribute("srcset");
    img.src = at(answer.image_url);
    img.alt ||= answer.alt;
    answer[TOKEN] && watch(img, answer[TOKEN], more);
    // For pages that want to know: addEventListener("personaimg", event => event.detail.style).
    img.dispatchEvent(new CustomEvent("personaimg", { detail: answer, bubbles: true }));
  };

  const scan = () => allowed() && doc.querySelectorAll(`[${ATTRIBUTE}]`).forEach((img, index) => {
    const more = { position: index + 1 };
    const product = img.getAttribute(ATTRIBUTE), token = img.dataset.personaToken;
    if (seen.has(img)) return;
    seen.add(img);
    if (token) return watch(img, token, more); // the shop's server asked already
    fetch(at("variant?" + new URLSearchParams({ shopper: shopper(), product })), {
      headers: given.key ? { Authorization: "Bearer " + given.key } : {},
      signal: AbortSignal.timeout(2000) // then the photo stays
    }).then(answer => answer.ok && answer.json().then(found => show(img, found, more))).catch(() => 0);
  });

  win.personaImg = {
    scan,
    consent: yes => { agreed = yes; scan(); },
    sold: (product, value) => {
      const token = box()[STORE + product];
      token && tell("conversion", token, { value }, delete box()[STORE + product]);
    }
  };
  on(win, "pagehide", flush);
  doc.readyState == "loading" ? on(doc, "DOMContentLoaded", scan) : scan();
})(document, window);

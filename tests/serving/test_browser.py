"""The snippet and the sample shop in a real browser, on real sockets, over two origins."""

from __future__ import annotations

import hashlib
import http.server
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Route, sync_playwright

from examples import PHOTOS, SIGNER
from persona_img.domain.catalog import Catalog, Product
from persona_img.domain.decision import Arms, Candidate, DecisionTable, Slate
from persona_img.domain.style import ORIGINAL, Style
from persona_img.serving.app import create_app
from persona_img.serving.decide import Decider
from persona_img.serving.keys import KeyFile, Keys
from persona_img.serving.memory_log import MemoryEventLog
from persona_img.serving.run import BackgroundServer
from persona_img.variants.renditions import LazyRenditions, RenditionStore

if TYPE_CHECKING:
    from fastapi import FastAPI

pytestmark = pytest.mark.browser

PRODUCTS = ("mug", "hat", "bag", "cap")
STYLES = {"cooks": Style("surface=linen"), "bakers": Style("surface=marble")}


@dataclass
class World:
    """A service, a folder of pages of another origin, and a key for them."""

    service: str
    shop: str
    pages: Path
    key: str


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def a_table(digests: list[str]) -> DecisionTable:
    slates = {
        (segment, product): Slate(
            (Candidate(ORIGINAL, None, 0.001), Candidate(style, digest, 0.999))
        )
        for digest, (segment, style) in zip(digests, STYLES.items(), strict=True)
        for product in PRODUCTS
    }
    segments = {f"s{n}": ("cooks", "bakers")[n % 2] for n in range(20)}
    return DecisionTable("v1", slates, segments, "cooks")


def an_app(folder: Path, log: MemoryEventLog, **settings: Any) -> FastAPI:
    """A service with a sample shop: two segments that see a red and a blue variant."""
    pictures: dict[str, Path] = {}
    for colour in ((200, 60, 60), (60, 60, 200)):
        path = folder / f"{colour[0]}.png"
        Image.fromarray(np.full((500, 400, 3), colour, np.uint8)).save(path)
        pictures[hashlib.sha256(path.read_bytes()).hexdigest()] = path
    store = RenditionStore(folder / "renditions", (160, 320))
    for digest, path in pictures.items():
        store.make(digest, path, "variant")
    photo = PHOTOS / "shirt-01.jpg"
    catalog = Catalog([Product(p, "things", f"A {p}", photo, "own", price=9.5) for p in PRODUCTS])
    arms = Arms("hero", {"control": 0.5, "personalized": 0.5})
    return create_app(
        Decider(a_table(list(pictures)), arms, log),
        catalog,
        pictures.__getitem__,
        signer=SIGNER,
        renditions=LazyRenditions(store),
        decision_seconds=10.0,
        demo_shop=True,
        **settings,
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    pages = folder / "pages"
    pages.mkdir()
    (pages / "photo.jpg").write_bytes((PHOTOS / "shirt-01.jpg").read_bytes())
    file = KeyFile(folder / "keys.json")
    _, key = file.add("serve", "pages")
    handler = partial(_Quiet, directory=str(pages))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as shop:
        threading.Thread(target=shop.serve_forever, daemon=True).start()
        origin = f"http://127.0.0.1:{shop.server_port}"
        app = an_app(folder, MemoryEventLog(), keys=Keys(file), origins=[origin])
        with BackgroundServer(app) as server:
            yield World(server.url, origin, pages, key)
        shop.shutdown()


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service without keys, as a new user has it."""
    with BackgroundServer(an_app(tmp_path_factory.mktemp("own"), MemoryEventLog())) as server:
        yield server.url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of 1280 px; what it complains of fails the test."""
    # A headless browser says that it is one, and is taken for a bot: nothing would be counted.
    agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36"
    context = browser.new_context(viewport={"width": 1280, "height": 900}, user_agent=agent)
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    yield page
    context.close()
    assert wrong == []


def until(done: Callable[[], bool], page: Page) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        page.wait_for_timeout(50)


def write(world: World, name: str, body: str, **given: str) -> str:
    data = " ".join(f'data-{k}="{v}"' for k, v in given.items())
    script = f'<script src="{world.service}/v1/persona-img.js" {data}></script>'
    html = f"<!doctype html><link rel=icon href=data:,><body>{body}{script}"
    (world.pages / name).write_text(html)
    return f"{world.shop}/{name}"


def an_image(product: str, **more: str) -> str:
    extra = " ".join(f'{k}="{v}"' for k, v in more.items())
    return f'<img src="photo.jpg" width="200" height="250" data-persona-img="{product}" {extra}>'


def kept(world: World) -> dict[str, int]:
    counts: dict[str, int] = httpx.get(f"{world.service}/demo-shop/counts").json()
    return counts


def test_switching_the_shopper_switches_the_pictures_and_clicks_count(own: str, page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{own}/demo-shop")
    shown = {}
    visitors = page.locator("nav a").all_inner_texts()
    assert [name.lower() for name in visitors] == ["bakers", "cooks", "control group"]
    assert not any("undefined" in url for url in asked)
    for place, visitor in enumerate(visitors):
        page.locator("nav a").nth(place).click()
        until(lambda: page.locator("picture").count() == len(PRODUCTS), page)
        page.wait_for_function("[...document.images].every(i => i.complete && i.naturalWidth)")
        shown[visitor] = page.eval_on_selector_all("main img", "all => all.map(i => i.currentSrc)")
        until(
            lambda: f"{len(PRODUCTS) * (place + 1)} seen" in page.inner_text("footer"),  # noqa: B023
            page,
        )
    bakers, cooks, control = shown.values()
    assert all(".avif" in one for one in (*bakers, *cooks))
    assert all("/v1/photos/" in one for one in control)
    assert not set(bakers) & set(cooks)
    page.locator(".card").first.click()
    until(lambda: "1 clicked" in page.inner_text("footer"), page)
    page.locator(".card").first.click()
    page.wait_for_timeout(600)
    assert "1 clicked" in page.inner_text("footer")  # a picture's click counts once
    assert all(url.startswith((own, "data:")) for url in asked)


@pytest.mark.parametrize("width", [360, 1280])
def test_the_sample_shop_fits_a_phone_and_a_screen(own: str, page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{own}/demo-shop")
    page.wait_for_selector("picture")
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    columns = page.evaluate(
        "new Set([...document.querySelectorAll('.card')].map(c => c.offsetLeft)).size"
    )
    assert columns == (2 if width == 360 else 4)


@pytest.mark.parametrize("how", ["no", "gpc"])
def test_without_consent_the_photo_stays_and_nothing_is_sent(
    world: World, page: Page, how: str
) -> None:
    if how == "gpc":
        page.add_init_script(
            "Object.defineProperty(navigator, 'globalPrivacyControl', {value: true})"
        )
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    consent = "yes" if how == "gpc" else "no"
    page.goto(write(world, "no.html", an_image("mug"), key=world.key, consent=consent))
    page.wait_for_timeout(1500)
    page.locator("img").click()
    page.wait_for_timeout(300)
    assert [url for url in asked if url.startswith(world.service)] == [
        f"{world.service}/v1/persona-img.js"
    ]
    assert page.eval_on_selector("img", "i => i.currentSrc").endswith("/photo.jpg")
    assert page.evaluate("localStorage.length") == 0


def test_what_was_on_the_screen_for_a_second_is_seen_and_nothing_else(
    world: World, page: Page
) -> None:
    before = kept(world).get("impression", 0)
    below = '<div style="height:3000px"></div>'
    body = an_image("mug") + below + an_image("hat") + below + an_image("bag")
    page.goto(write(world, "long.html", body, key=world.key, consent="yes", shopper="s1"))
    until(lambda: kept(world).get("impression", 0) == before + 1, page)
    page.evaluate("document.images[1].scrollIntoView()")
    page.wait_for_timeout(300)  # a glance
    page.evaluate("document.images[2].scrollIntoView()")
    until(lambda: kept(world).get("impression", 0) == before + 2, page)
    page.wait_for_timeout(1500)
    assert kept(world)["impression"] == before + 2


def test_a_click_and_a_sale_are_told_also_as_the_page_is_left(world: World, page: Page) -> None:
    before = kept(world)
    link = f'<a href="thanks.html">{an_image("cap")}</a>'
    thanks = write(world, "thanks.html", "Thank you", key=world.key, consent="yes")
    page.goto(write(world, "list.html", link, key=world.key, consent="yes", shopper="s3"))
    page.wait_for_selector("picture", state="attached")
    page.locator("a").click()
    page.wait_for_url(thanks)
    page.evaluate("personaImg.sold('cap', 19.9); personaImg.sold('cap', 19.9)")
    until(lambda: kept(world).get("conversion", 0) == before.get("conversion", 0) + 1, page)
    # Who clicked within the second has seen it.
    assert kept(world)["click"] == before.get("click", 0) + 1
    assert kept(world)["impression"] == before.get("impression", 0) + 1


def test_what_was_refused_for_now_is_sent_again_once_the_page_is_visible(
    world: World, browser: Browser
) -> None:
    agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36"
    context = browser.new_context(viewport={"width": 1280, "height": 900}, user_agent=agent)
    page, before, refused = context.new_page(), kept(world).get("impression", 0), [429, 503, 0]

    def once(route: Route) -> None:
        status = refused.pop(0) if refused else 200
        if status == 200:
            route.continue_()
        elif status:
            route.fulfill(status=status, json={"detail": "later"})
        else:
            route.abort()

    page.route("**/v1/events*", once)
    page.goto(write(world, "full.html", an_image("mug"), key=world.key, consent="yes"))
    until(lambda: len(refused) == 2, page)
    for left in (1, 0):
        page.wait_for_timeout(200)  # the answer comes back
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        until(lambda left=left: len(refused) == left, page)
    page.wait_for_timeout(200)
    assert kept(world).get("impression", 0) == before
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    until(lambda: kept(world).get("impression", 0) == before + 1, page)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_timeout(300)
    assert not any("/events" in url for url in sent)
    context.close()


def test_a_sale_before_consent_is_told_once_there_is_consent(world: World, page: Page) -> None:
    asked = {"shopper": "s1", "product": "mug", "key": world.key}
    token = httpx.get(f"{world.service}/v1/variant", params=asked).json()["token"]
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    page.goto(write(world, "later.html", "", key=world.key))
    page.evaluate("token => localStorage['persona-img:mug'] = token", token)
    page.evaluate("personaImg.sold('mug', 9.5)")
    page.wait_for_timeout(300)
    assert not any("/events" in url for url in sent)
    before = kept(world).get("conversion", 0)
    page.evaluate("personaImg.consent(true)")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    until(lambda: kept(world).get("conversion", 0) == before + 1, page)


def test_consent_may_come_later_and_the_name_is_the_same_next_time(
    world: World, page: Page
) -> None:
    address, names = write(world, "later.html", an_image("mug"), key=world.key), []
    for _ in range(2):
        page.goto(address)
        assert page.locator("picture").count() == 0
        page.evaluate("personaImg.consent(true)")
        page.wait_for_selector("picture", state="attached")
        names.append(page.evaluate("localStorage['persona-img:']"))
    assert len(names[0]) > 20
    assert names[0] == names[1]


def test_what_the_shops_server_asked_for_is_only_watched(world: World, page: Page) -> None:
    headers = {"Authorization": f"Bearer {world.key}"}
    body = {"shopper": "s5", "products": ["mug"]}
    answer = httpx.post(f"{world.service}/v1/decisions", json=body, headers=headers).json()
    (one,) = answer["decisions"]
    before = kept(world).get("impression", 0)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    image = an_image("mug", **{"data-persona-token": one["token"]})
    page.goto(write(world, "served.html", image, key=world.key, consent="yes"))
    until(lambda: kept(world).get("impression", 0) == before + 1, page)
    assert not any("/decisions" in url for url in asked)


def test_while_the_service_is_away_the_photo_stays(world: World, page: Page) -> None:
    page.route("**/v1/decisions*", lambda route: route.fulfill(status=200, json={"detail": "no"}))
    page.goto(write(world, "away.html", an_image("mug"), key=world.key, consent="yes"))
    page.wait_for_timeout(500)
    assert page.eval_on_selector("img", "i => i.currentSrc").endswith("/photo.jpg")
    assert page.eval_on_selector("img", "i => i.naturalWidth") > 0

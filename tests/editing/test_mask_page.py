"""The page with the brush: what it answers, and what a person does on it in a real browser."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from starlette.testclient import TestClient

from examples import a_photo
from persona_img.editing.mask_page import Drawn, MaskPage
from persona_img.errors import CannotWrite
from persona_img.imaging.photo import Photo
from persona_img.serving.run import BackgroundServer

SIDE = 160
MIDDLE = (0.48, 0.55)  # of the disc, as shares


def bitten() -> np.ndarray:
    """A mask of the photo's disc with a hole in its middle and a piece of floor beside it."""
    yy, xx = np.mgrid[:SIDE, :SIDE]
    away = np.hypot(yy - 88, xx - 77)
    alpha = np.where((away < 45) & (away > 12), 255, 0).astype(np.uint8)
    alpha[4:20, 4:20] = 255
    return alpha


class Kept:
    """Where the page saves to."""

    def __init__(self) -> None:
        self.masks: list[np.ndarray] = []
        self.full = False

    def __call__(self, alpha: np.ndarray) -> str:
        if self.full:
            raise CannotWrite("out: cannot be written (disk full); make room")
        self.masks.append(alpha)
        return "The mask is kept as out/photo.mask.png"


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def made(kept: Kept) -> MaskPage:
    return MaskPage(a_photo(SIDE), bitten(), "photo <1>.jpg", kept)


@pytest.fixture
def client(made: MaskPage) -> TestClient:
    return TestClient(made.app, base_url=f"http://127.0.0.1/{made.token}/")


def stroke(*points: tuple[float, float], keep: bool = True, **more: object) -> dict[str, object]:
    return {"keep": keep, "points": points, "radius": 0.02, "follow": True} | more


def shown(client: TestClient) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(client.get("mask.png").content)))


def test_strokes_are_applied_undone_and_done_again(client: TestClient, made: MaskPage) -> None:
    state = client.post("stroke", json=stroke(MIDDLE)).json()
    assert (state["undo"], state["redo"], state["changed"]) == (True, False, True)
    filled = shown(client)
    assert filled[88, 77] == 255
    assert (filled[80:97, 69:86] > 250).all()  # all of the hole, by one dab
    state = client.post("undo").json()
    assert (state["undo"], state["redo"], state["changed"]) == (False, True, False)
    np.testing.assert_array_equal(shown(client), bitten())
    assert client.post("undo").json() == state  # no farther
    client.post("redo")
    np.testing.assert_array_equal(shown(client), filled)
    client.post("undo")
    client.post("stroke", json=stroke((0.07, 0.07), keep=False))
    assert not client.post("redo").json()["redo"]
    assert not made.alpha[:24, :24].any()


def test_without_edges_a_stroke_paints_what_it_covers_alone(client: TestClient) -> None:
    client.post("stroke", json=stroke(MIDDLE, follow=False))
    alpha = shown(client)
    assert alpha[88, 77] == 255
    assert alpha[88, 70] == 0


def test_saving_keeps_the_mask_and_ends_the_page(
    client: TestClient, made: MaskPage, kept: Kept
) -> None:
    client.post("stroke", json=stroke(MIDDLE))
    kept.full = True
    refused = client.post("save")
    assert (refused.status_code, made.saved) == (422, None)
    assert "make room" in refused.json()["detail"]
    kept.full = False
    assert client.post("save").json() == {"saved": "The mask is kept as out/photo.mask.png"}
    made.wait()
    np.testing.assert_array_equal(kept.masks[0], made.alpha)
    assert "already" in client.post("save").json()["detail"]
    assert len(kept.masks) == 1


def test_leaving_keeps_nothing(client: TestClient, made: MaskPage, kept: Kept) -> None:
    client.post("stroke", json=stroke(MIDDLE))
    client.post("leave")
    made.wait()
    assert (made.saved, kept.masks) == (None, [])


def test_who_does_not_know_the_address_sees_nothing(made: MaskPage) -> None:
    assert len(made.token) == 32
    assert MaskPage(a_photo(), bitten(), "x", Kept()).token != made.token
    near = TestClient(made.app, base_url="http://127.0.0.1")
    for path in ("/", "/photo.jpg", "/mask.png", f"/{'a' * 32}/", "/docs", "/openapi.json"):
        assert near.get(path).status_code == 404, path
    assert near.post("/save").status_code == 404
    foreign = TestClient(made.app, base_url="http://evil.example")
    assert foreign.get(f"/{made.token}/").status_code == 400  # a name that leads to this machine


def test_the_page_tells_nobody_and_runs_only_its_own(client: TestClient) -> None:
    answer = client.get("")
    assert "photo &lt;1&gt;.jpg" in answer.text
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert client.get("photo.jpg").headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "wrong",
    [
        {"points": []},
        {"points": [(1.2, 0.5)]},
        {"radius": 0.5},
        {"points": [(float("1e400"), 0)]},
        {"mask": "x"},
    ],
)
def test_a_stroke_that_is_none_changes_nothing(
    client: TestClient, made: MaskPage, wrong: dict[str, object]
) -> None:
    import json

    body = json.dumps(stroke(MIDDLE) | wrong)
    assert client.post("stroke", content=body).status_code == 422
    assert not made.state()["changed"]


def test_a_large_photo_is_shown_small_and_changed_whole() -> None:
    pixels = np.full((300, 4400, 3), 90, np.uint8)
    alpha = np.zeros((300, 4400), np.uint8)
    made = MaskPage(Photo.of(pixels), alpha, "wide", Kept())
    client = TestClient(made.app, base_url=f"http://127.0.0.1/{made.token}/")
    assert shown(client).shape == (140, 2048)
    made.draw(Drawn(keep=True, points=[(0.5, 0.5)], radius=0.002, follow=False))
    assert made.alpha[150, 2200] == 255
    assert made.alpha.shape == (300, 4400)


def test_what_is_transparent_cannot_be_kept() -> None:
    clear = np.where(np.arange(SIDE)[None, :] < 90, 255, 0).astype(np.uint8)
    clear = np.repeat(clear, SIDE, axis=0)
    photo = Photo.of(a_photo(SIDE).pixels, clear, cut_out=True)
    made = MaskPage(photo, clear, "cut", Kept())
    made.draw(Drawn(keep=True, points=[(0.7, 0.5)], radius=0.1, follow=False))
    np.testing.assert_array_equal(made.alpha, clear)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, made: MaskPage) -> Iterator[Page]:
    """The page as it is opened; whatever it complains of, or asks of others, fails the test."""
    context = browser.new_context(viewport={"width": 1200, "height": 860}, has_touch=True)
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    refused = "the server responded with a status of 422"  # what the page itself tells in words
    page.on(
        "console",
        lambda said: (
            wrong.append(said.text) if said.type == "error" and refused not in said.text else None
        ),
    )
    with BackgroundServer(made.app) as server:
        page.on(
            "request",
            lambda asked: (
                None if asked.url.startswith((server.url, "data:")) else wrong.append(asked.url)
            ),
        )
        page.goto(f"{server.url}/{made.token}/")
        still(page)
        yield page
        context.close()
    assert wrong == []


def still(page: Page) -> None:
    page.locator("body[data-busy=no]").wait_for()


def on(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where a point of the photo, in shares, lies in the window."""
    box = page.locator("#sheet").bounding_box()
    assert box is not None
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def paint(page: Page, *points: tuple[float, float]) -> None:
    page.mouse.move(*on(page, *points[0]))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*on(page, *point), steps=5)
    page.mouse.up()
    still(page)


def tinted(page: Page, x: float, y: float) -> int:
    """How much of the tint of what is not product lies on a point, 0..255."""
    return int(
        page.evaluate(
            "([x, y]) => mask.getContext('2d').getImageData(x * mask.width, y * mask.height, 1, 1)"
            ".data[3]",
            [x, y],
        )
    )


@pytest.mark.browser
def test_a_brush_keeps_and_drops_and_what_is_saved_is_what_is_seen(
    page: Page, made: MaskPage, kept: Kept
) -> None:
    assert tinted(page, *MIDDLE) > 100
    assert page.get_by_role("button", name="Undo").is_disabled()
    paint(page, (0.46, 0.55), (0.5, 0.55))
    assert tinted(page, *MIDDLE) == 0
    page.get_by_role("radio", name="Drop").check(force=True)
    paint(page, (0.05, 0.05), (0.1, 0.1))
    assert tinted(page, 0.07, 0.07) > 100
    page.get_by_role("button", name="Undo").click()
    still(page)
    assert tinted(page, 0.07, 0.07) == 0
    page.get_by_role("button", name="Redo").click()
    still(page)
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("heading", name="Saved").wait_for()
    assert "kept as out/photo.mask.png" in page.inner_text("#done")
    made.wait()
    assert kept.masks[0][88, 77] == 255
    assert not kept.masks[0][:24, :24].any()


@pytest.mark.browser
def test_everything_is_done_by_keyboard(page: Page, made: MaskPage, kept: Kept) -> None:
    page.locator("#stage").focus()
    page.keyboard.press("d")
    for _ in range(40):
        page.keyboard.press("Shift+ArrowLeft")
    assert page.inner_text("#status") == "Brush at 40, 80"
    page.keyboard.press("e")
    assert not page.get_by_label("Follow edges").is_checked()
    page.keyboard.press("Space")
    still(page)
    assert made.alpha[80, 40] == 0
    page.keyboard.press("Control+z")
    still(page)
    assert made.alpha[80, 40] == 255
    page.keyboard.press("Control+Shift+z")
    still(page)
    size = page.inner_text("#sized")
    page.keyboard.press("]")
    assert page.inner_text("#sized") != size
    zoom = page.inner_text("#zoomed")
    page.keyboard.press("+")
    assert page.inner_text("#zoomed") != zoom
    page.keyboard.press("0")
    assert page.inner_text("#zoomed") == zoom
    page.keyboard.press("v")
    assert page.get_by_role("radio", name="Cut out").is_checked()
    page.keyboard.press("Control+s")
    page.get_by_role("heading", name="Saved").wait_for()
    assert kept.masks[0][80, 40] == 0


@pytest.mark.browser
def test_a_finger_paints_and_two_fingers_zoom(page: Page, made: MaskPage) -> None:
    """Touches as the browser's own protocol sends them."""
    touch = page.context.new_cdp_session(page)

    def send(kind: str, *points: tuple[float, float]) -> None:
        fingers = [
            {"x": x, "y": y, "id": i} for i, (x, y) in enumerate(on(page, *p) for p in points)
        ]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})

    send("touchStart", (0.46, 0.55))
    send("touchMove", (0.5, 0.55))
    send("touchEnd")
    still(page)
    assert made.alpha[88, 77] == 255
    before, zoom = made.alpha, page.evaluate("zoom")
    send("touchStart", (0.9, 0.9))
    send("touchStart", (0.9, 0.9), (0.7, 0.9))
    send("touchMove", (0.95, 0.9), (0.55, 0.9))
    send("touchEnd")
    still(page)
    assert page.evaluate("zoom") > 1.4 * zoom
    np.testing.assert_array_equal(made.alpha, before)  # a finger that became two painted nothing


@pytest.mark.browser
def test_a_stroke_lands_where_it_is_painted_also_zoomed_in(page: Page, made: MaskPage) -> None:
    page.get_by_label("Follow edges").uncheck()
    x, y = on(page, 0.3, 0.3)
    page.mouse.move(x, y)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -500)
    page.keyboard.up("Control")
    # Zoomed where the pointer is, which a browser tells in whole pixels.
    assert on(page, 0.3, 0.3) == pytest.approx((x, y), abs=6)
    assert page.evaluate("zoom > 4 * fitted")
    page.get_by_label("Size of the brush").fill("8")
    paint(page, (0.3, 0.3))
    changed = np.argwhere(made.alpha != bitten())
    assert changed.mean(axis=0) == pytest.approx((48, 48), abs=1)


@pytest.mark.browser
def test_everything_has_a_name_and_fits_every_window(page: Page) -> None:
    nameless = page.evaluate(
        """[...document.querySelectorAll("button, input, [tabindex='0']")].filter(e =>
           !e.closest("[hidden]") && !(e.getAttribute("aria-label") || e.innerText ||
           (e.labels ?? [])[0]?.innerText)).map(e => e.outerHTML)"""
    )
    assert nameless == []
    for width, height in ((1200, 860), (390, 780), (844, 390)):
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
        box = page.locator("#sheet").bounding_box()
        assert box is not None
        assert box["width"] >= 100


@pytest.mark.browser
def test_a_full_disk_is_told_and_the_page_stays(page: Page, kept: Kept) -> None:
    kept.full = True
    paint(page, (0.46, 0.55), (0.5, 0.55))
    page.get_by_role("button", name="Save", exact=True).click()
    still(page)
    assert "make room" in page.inner_text("#status")
    kept.full = False
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("heading", name="Saved").wait_for()
    assert len(kept.masks) == 1

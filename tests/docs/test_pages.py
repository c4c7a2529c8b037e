"""Every page's commands are done here, in the pages' own order."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest

import persona_img as pi
from docs.reader import DOCS, ROOT, Reader, blocks, commands
from docs.reader import said as command_said
from persona_img import wiring
from persona_img.assets import ASSETS

pytestmark = pytest.mark.slow

DATA = ROOT / "tests" / "data"
DONE = {
    "photos.md": "photos",
    "scenes.md": "photos",
    "your-shop.md": "shop",
    "serve.md": "shop",
    "pages.md": "shop",
    "keep.md": "shop",
    "results.md": "shop",
    "retrain.md": "shop",
}
"""Page to the story it belongs to; the pages that are not here have no commands of ours."""


def test_no_page_with_commands_is_left_out() -> None:
    told = {
        page.name
        for page in DOCS.glob("*.md")
        if any(
            kind == "python" or any(words[0] != "make" for words in commands(text))
            for kind, text in blocks(page.name)
        )
    }
    assert told == set(DONE)


def somebodys_log(path: Path) -> None:
    """Four thousand users; desks like oak, phones felt."""
    rng = np.random.default_rng(1)
    shown, device = rng.integers(3, size=4000), rng.integers(2, size=4000)
    liked = np.where(device == 0, shown == 2, shown == 0)
    pd.DataFrame(
        {
            "user": np.arange(4000),
            "device": np.array(["desk", "phone"])[device],
            "category": np.array(["mugs", "shirts"])[rng.integers(2, size=4000)],
            "style": np.array(["felt", "linen", "oak"])[shown],
            "click": (rng.random(4000) < np.where(liked, 0.3, 0.1)).astype(int),
            "p": 1 / 3,
        }
    ).to_parquet(path)


def somebodys_test(path: Path) -> None:
    """Three thousand users of two arms, a row an impression."""
    rng = np.random.default_rng(1)
    user = rng.integers(3000, size=20_000)
    clicked = rng.random(20_000) < 0.1
    pd.DataFrame(
        {
            "user_id": user,
            "variant": np.where(user % 2, "personalized", "control"),
            "at": pd.Timestamp("2026-03-01", tz="UTC") + pd.to_timedelta(np.arange(20_000), "min"),
            "place": np.array(["home", "list"])[user // 2 % 2],
            "clicks": clicked,
            "impressions": 1,
            "revenue": clicked * rng.lognormal(2, 1, 20_000),
        }
    ).to_parquet(path)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Somebody with a folder of photos, a product table and a log of what was bought."""
    here, before = tmp_path_factory.mktemp("reader"), Path.cwd()
    shutil.copytree(DATA / "photos", here / "photos")
    shutil.copy(DATA / "photos" / "knitwear-02.jpg", here / "photo.jpg")
    shutil.copy(ASSETS / "materials" / "concrete_floor.jpg", here / "counter.jpg")
    for name in ("products.csv", "transactions.csv"):
        shutil.copy(DATA / "online_retail" / name, here / name)
    # The pages show the defaults; real tiles need no weights and say as much of the commands, a
    # busy machine is no failure, and nobody waits an hour for clicks.
    (here / "persona-img.toml").write_text(
        '[render]\nbackdrops = "library"\n[serve]\ndecision_ms = 10000\n'
        "[learn]\nmaturity_minutes = 0\n"
    )
    os.chdir(here)
    someone = Reader()
    try:
        yield someone
    finally:
        someone.close()
        os.chdir(before)


def test_photos(reader: Reader) -> None:
    said = reader.read("photos.md")
    assert "photo-" in said
    for folder in ("out", "one", "masks", "ads", "edits"):
        assert list(Path(folder).iterdir()), folder


def test_scenes(reader: Reader) -> None:
    said = reader.read("scenes.md")
    assert "surface=our-counter" in said
    for folder in ("fitting", "walnut", "summer", "counter"):
        assert any(Path(folder).glob("*.png")), folder


def test_your_shop(reader: Reader) -> None:
    said = reader.read("your-shop.md")
    assert "4 added" in said
    assert "1,737" in said
    assert "approved" in said
    shop = pi.Shop.open()
    assert not shop.simulated
    assert len(shop.catalog) == 4
    assert set(shop.table.segments) <= set(map(str, range(12_000, 19_000)))


def test_serve(reader: Reader) -> None:
    said = reader.read("serve.md")
    assert '"image_url"' in said
    feedback = pi.Shop.open().feedback()
    assert len(feedback) == feedback["clicked"].sum() >= 1


def test_pages_of_a_shop(reader: Reader) -> None:
    reader.read("pages.md")


def test_keep(reader: Reader) -> None:
    shop = pi.Shop.open()
    signer = wiring.signer(shop.settings, shop.workspace)
    shopper, product = sorted(shop.table.segments)[-1], next(iter(shop.catalog)).product
    with closing(wiring.event_log(shop.workspace)) as log:
        shown = shop.decider().decide(shopper, product, time.time())
        assert log.seen(shop.settings.test.name, shopper, [product]) == {}
    token = signer.sign(signer.show(shown, time.time()))
    text = (DATA / "events" / "segment.jsonl").read_text().replace("{one}", token)
    Path("segment.jsonl").write_text(text)
    before = len(shop.feedback())
    said = reader.read("keep.md")
    assert "are as they were written" in said
    assert "2 events stored, 0 had come before, 2 refused, 1 rows of other kinds" in said
    assert len(shop.feedback()) == before + 1
    assert len(pi.Shop.open("restored").feedback()) == before
    shutil.rmtree("restored")


def visits(reader: Reader, count: int) -> None:
    """The shop's own shoppers come: each sees four products and clicks on some."""
    shop = pi.Shop.open()
    with httpx.Client(base_url=reader._url) as client:
        for n, shopper in enumerate(sorted(shop.table.segments)[:count]):
            events = []
            for position, product in enumerate(p.product for p in shop.catalog):
                asked = {"shopper": shopper, "product": product}
                shown = client.get("/v1/variant", params=asked).json()
                seen = f"{shopper}-{product}"
                about = {"token": shown["token"]}
                events.append({"event_id": seen, "kind": "impression", **about})
                events[-1]["position"] = position + 1
                if (n + position) % 5 == 0:
                    events.append({"event_id": f"{seen}-click", "kind": "click", **about})
            assert client.post("/v1/events", json={"events": events}).is_success


def test_results(reader: Reader) -> None:
    visits(reader, 120)
    somebodys_log(Path("log.parquet"))
    somebodys_test(Path("shown.parquet"))
    said = reader.read("results.md")
    assert "personalized" in said
    assert "gain over the log" in said
    assert "holds however often one looks" in said
    assert '"read": "at the plan"' in said
    page = Path("shop/report.html").read_text()
    assert "simulated" not in page


def test_retrain(reader: Reader) -> None:
    said = reader.read("retrain.md")
    assert "impressions since the ranker was fitted" in said
    assert "off-policy" in said
    versions = [version.version for version in pi.Shop.open().tracker.history()]
    pi.Shop.open().promote(versions[-1])
    command_said(["rollback"])
    assert pi.Shop.open().tracker.champion() == versions[0]

"""The whole loop in a small shop: real photos, real adapters, the real service over HTTP.

Plain backdrops keep it quick; the shipped checkpoint has its tests in ``rendering`` and
``generator``.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import re
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import c2pa
import httpx
import pytest
from playwright.sync_api import Page, sync_playwright
from rich.console import Console

from persona_img.assets import ASSETS
from persona_img.cli.demo import show_result
from persona_img.demo import FULL, QUICK, Demo, DemoResult, DemoSize, spread
from persona_img.domain.catalog import Catalog
from persona_img.errors import InvalidInput
from persona_img.imaging.photo import load_photo
from persona_img.rendering.proof.certificate import verify
from persona_img.shop import Shop

pytestmark = pytest.mark.slow

SMALL = DemoSize(
    products=4,
    shoppers=300,
    visits=3.0,
    settings={
        **QUICK.settings,
        "learn": {"slate": 2, "variants_per_product": 2, "segments": 3, "least_shoppers": 20},
        "render": {"backdrops": "plain"},
    },
)


def run(home: Path) -> tuple[DemoResult, str]:
    console = Console(file=io.StringIO(), width=120)
    result = Demo.begin(SMALL, console, home=home).run()
    show_result(result, home, console)
    return result, console.file.getvalue()  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outside") / "demo"


@pytest.fixture(scope="module")
def done(home: Path) -> tuple[DemoResult, str]:
    return run(home)


def test_it_serves_two_rounds_and_logs_both(done: tuple[DemoResult, str], home: Path) -> None:
    result, _ = done
    assert [r.number for r in result.rounds] == [1, 2]
    assert Shop.open(home).tracker.champion() is not None
    with closing(sqlite3.connect(home / "mlflow" / "mlflow.db")) as database:
        runs = {row[0] for row in database.execute("select run_uuid from runs")}
    assert {r.run for r in result.rounds} <= runs


def test_every_impression_is_in_one_round_with_its_propensity(
    done: tuple[DemoResult, str], home: Path
) -> None:
    result, _ = done
    everything = Shop.open(home).feedback()
    parts = [r.feedback for r in result.rounds]
    assert sum(map(len, parts)) == len(everything)
    assert parts[0]["shown_at"].max() < parts[1]["shown_at"].min()
    assert everything["propensity"].between(0, 1, inclusive="right").all()
    chosen = everything[everything["arm"] == "personalized"]
    for one in result.rounds:
        table = one.table
        rows = chosen[chosen["policy_version"] == table.policy_version]
        assert len(rows)
        for row in rows.head(50).itertuples():
            slate = table.slates[row.segment, row.product]
            assert row.propensity in {
                c.probability for c in slate.candidates if c.style.key == row.style_key
            }


def test_every_variant_that_is_kept_is_verified(done: tuple[DemoResult, str], home: Path) -> None:
    result, _ = done
    store, catalog = Shop.open(home).variants, Shop.open(home).catalog
    records = store.records()
    assert len(records) == result.shown > 0
    for record in records:
        photo = load_photo(catalog[record.product].photo)
        assert verify(store.path(record.digest), photo).passed


def test_it_says_that_shoppers_are_simulated_and_where_things_are(
    done: tuple[DemoResult, str], home: Path
) -> None:
    result, said = done
    assert said.count("SIMULATED") >= 3
    for path in (result.report, result.sheet, home / "events.sqlite", home / "mlflow"):
        assert path.exists()
        assert str(path) in said.replace("\n", "")
    for command in ("serve", "analyze", "tracking-ui"):
        assert f"persona-img {command} --home {home}" in said.replace("\n", "")


def test_every_picture_for_pages_is_signed_by_the_demos_own_authority(
    done: tuple[DemoResult, str], home: Path
) -> None:
    result, said = done
    assert result.signed is not None
    picture, found = result.signed
    assert found.state == "trusted"
    assert f"provenance verify {picture}" in said.replace("\n", "")
    assert "ok   its bytes are as they were signed" in said
    keys = home.with_name("demo-keys")
    pages = list((home / "variants" / "renditions").rglob("*-*.*"))
    told = {"trust": {"trust_anchors": (keys / "trusted.pem").read_text()}}
    context = c2pa.Context(c2pa.Settings.from_dict({"version": 1} | told))
    for path in pages:
        reader = c2pa.Reader(path, context=context)
        assert reader.get_validation_state() == "Trusted", path
    assert len(pages) >= 3 * (result.shown + SMALL.products)
    assert not list(home.rglob("*.pem"))


def test_a_later_command_knows_the_demos_shop(done: tuple[DemoResult, str], home: Path) -> None:
    shop = Shop.open(home)
    assert shop.settings.test.personalized_share == 0.5
    assert (shop.settings.render.backdrops, shop.settings.learn.slate) == ("plain", 2)
    assert shop.simulated
    with closing(shop.decider().log):
        pass


def test_a_demo_counts_nobody_in_a_log_that_several_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERSONA_IMG_STORES__EVENTS_URL", "postgresql://shop@127.0.0.1:9/shop")
    with pytest.raises(InvalidInput, match="events_url"):
        Demo.begin(SMALL, Console(), home=tmp_path / "d")
    assert not (tmp_path / "d").exists()


@pytest.mark.long
def test_run_again_it_does_the_same_again(done: tuple[DemoResult, str], home: Path) -> None:
    first, _ = done
    (home.parent / "neighbour.txt").write_text("not ours")
    (home / "events.sqlite").write_bytes(b"half a file, as after a power cut")
    before = {p.name for p in (home / "variants").rglob("*.png")}
    # As a person would: in a process of its own. MLflow keeps the removed database open in ours.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        again, _ = process.submit(run, home).result()
    assert {p.name for p in (home / "variants").rglob("*.png")} == before
    for one, other in zip(first.rounds, again.rounds, strict=True):
        assert one.report.to_dict() == other.report.to_dict()
        assert one.table == other.table
        assert one.truth == other.truth
    assert first.retrained.report == again.retrained.report
    assert {p.name for p in home.parent.iterdir()} == {"demo", "neighbour.txt"}


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        yield browser.new_page(viewport={"width": 1200, "height": 900})
        browser.close()


@pytest.mark.browser
def test_the_report_stands_alone_and_shows_every_product(
    done: tuple[DemoResult, str], page: Page
) -> None:
    result, _ = done
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(result.report.as_uri())
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert "simulated" in page.inner_text("body").lower()
    sizes = page.eval_on_selector_all("img", "all => all.map(i => i.naturalWidth)")
    assert len(sizes) >= 2 * SMALL.products
    assert min(sizes) > 0
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0
    kept_back = page.locator("h2:has-text('Kept back') ~ *").first.inner_text()
    assert all(r.product in kept_back for r in result.refused)
    assert result.refused or "Nothing" in kept_back
    said = re.findall(r"[+-]\d+\.\d%", page.inner_text("body"))
    assert said, "no lift in the report"


@pytest.fixture
def dashboard(done: tuple[DemoResult, str], home: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "streamlit", "run", "dashboards/results.py",
        "--server.address", "127.0.0.1", "--server.port", str(port), "--server.headless", "true",
        "--browser.gatherUsageStats", "false",
    ]  # fmt: skip
    root = Path(__file__).parents[1]
    environment = os.environ | {"PERSONA_IMG_HOME": str(home)}
    with subprocess.Popen(command, cwd=root, env=environment) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


@pytest.mark.browser
def test_the_dashboard_tells_lift_arms_and_pictures(
    dashboard: str, done: tuple[DemoResult, str], page: Page
) -> None:
    result, _ = done
    for _attempt in range(100):
        with suppress(httpx.TransportError):
            if httpx.get(f"{dashboard}/_stcore/health", trust_env=False).is_success:
                break
        time.sleep(0.2)
    page.goto(dashboard)
    page.get_by_text("By segment").wait_for(timeout=60_000)
    page.locator("img").first.wait_for(timeout=60_000)
    assert page.locator(".stException").count() == 0
    said = page.inner_text("body")
    assert "simulated" in said
    lift = next(c for c in result.rounds[-1].report.comparisons if c.segment is None).lift
    assert f"{lift:+.1%}" in said


def test_categories_take_turns() -> None:
    shipped = list(Catalog.load(ASSETS / "catalog" / "products.csv"))
    some = spread(shipped, 5)
    assert len({p.category for p in some}) == 5
    assert set(spread(shipped, 1000)) == set(shipped)
    assert len(shipped) >= FULL.products >= 40


def test_what_was_asked_for_wins_over_the_demos_own_settings(tmp_path: Path) -> None:
    demo = Demo.begin(SMALL, Console(), home=tmp_path / "d", test={"personalized_share": 0.6})
    assert demo.shop.settings.test.personalized_share == 0.6
    assert demo.shop.settings.learn.slate == 2

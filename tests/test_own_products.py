"""A shop's own products through the loop: any sku, another photo, retired, not listed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter

import persona_img as pi
from examples import PHOTOS, STYLE, a_photo
from persona_img import loop, wiring
from persona_img.assets import ASSETS
from persona_img.demo.traffic import simulate_history, simulate_visits, simulated_shoppers
from persona_img.domain.catalog import Catalog, Product
from persona_img.domain.feedback import FEEDBACK_COLUMNS
from persona_img.domain.style import ORIGINAL, Style
from persona_img.errors import BadCatalog, NotEnoughData
from persona_img.imaging.photo import Photo, save_png
from persona_img.ingest.products.prices import Notation
from persona_img.ingest.products.rows import Reading
from persona_img.profiles.frame import FrameFeatureSource
from persona_img.rendering.renderer import BackdropRenderer
from persona_img.serving.run import BackgroundServer
from persona_img.settings import Settings
from persona_img.simulate.shop import SimulatedShop
from persona_img.variants import showing
from persona_img.workspace import Workspace

AS_OF = datetime(2026, 3, 2, tzinfo=UTC)
TABLE = """SKU;Bezeichnung;Warengruppe;Preis;Währung;Bild;Lizenz;attr_breite
AB 12/3;Großes Hemd;Möbel & Co / 50%: "X";1.299,50;EUR;Bilder/ein hemd.v2.JPG;own;40
Ü-7;Kleid;Kleider;19,90;EUR;Bilder/Kleid (1).jpg;own;
..;Schuhe;Schuhe;5;EUR;Bilder/schuhe.jpg;own;
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(
        home=tmp_path_factory.mktemp("home") / "shop",
        stores={"features": "frame", "tracker": "folder"},
        render={"backdrops": "plain"},
        learn={"segments": 3, "least_shoppers": 20, "slate": 2, "variants_per_product": 3},
    )


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    shipped = list(Catalog.load(ASSETS / "catalog" / "products.csv"))
    return Catalog([p for p in shipped if p.category in ("shoes", "dress")][:4])


@pytest.fixture(scope="module")
def shop(catalog: Catalog, settings: Settings) -> SimulatedShop:
    return SimulatedShop(catalog, wiring.style_space(settings), shoppers=300, seed=1)


@pytest.fixture(scope="module")
def profiled(
    catalog: Catalog, shop: SimulatedShop, tmp_path_factory: pytest.TempPathFactory
) -> loop.Profiled:
    return loop.profile(
        shop.interactions(30, AS_OF),
        catalog,
        FrameFeatureSource(tmp_path_factory.mktemp("features")),
        as_of=AS_OF,
        count=3,
        least=20,
        seed=1,
    )


def rendered_once(renderer: BackdropRenderer, monkeypatch: pytest.MonkeyPatch) -> list[list[Style]]:
    """What each call of the renderer was asked to make."""
    asked: list[list[Style]] = []
    real = renderer.render_many

    def note(photo: Photo, styles: list[Style], seeds: list[int], **more: object) -> object:
        asked.append(list(styles))
        return real(photo, styles, seeds, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(renderer, "render_many", note)
    return asked


def test_another_photo_or_another_mask_of_it_is_rendered_anew(
    renderer: BackdropRenderer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = rendered_once(renderer, monkeypatch)
    store = wiring.variant_store(Workspace.open(tmp_path / "shop"))
    pixels = a_photo().pixels
    disc = np.where(np.abs(pixels.astype(int).sum(axis=2) - 190) < 120, 255, 0).astype(np.uint8)
    larger = np.asarray(Image.fromarray(disc).filter(ImageFilter.MaxFilter(5)))
    files = {
        "plain": (pixels, None), "brighter": (pixels + np.uint8(3), None), "cut": (pixels, disc),
        "cut better": (pixels, larger),
    }  # fmt: skip
    digests = {}
    for _ in range(2):
        for name, (some, alpha) in files.items():
            whole = some if alpha is None else np.dstack([some, alpha])
            path = save_png(tmp_path / f"{name}.png", whole)
            mug = Product("AB 12/3", "mug", "A mug", path, "own")
            slates = {("s", mug.product): (ORIGINAL, STYLE)}
            made = loop.render(slates, Catalog([mug]), renderer, store, seed=1)
            assert made[0].record, made[0].reason
            digests[name] = made[0].record.digest
    assert asked == [[STYLE]] * 4 + [[]] * 4
    assert len(set(digests.values())) == 4


def test_retired_products_are_not_planned_and_their_past_still_counts(
    settings: Settings, catalog: Catalog, shop: SimulatedShop, profiled: loop.Profiled,
    tmp_path: Path,
) -> None:  # fmt: skip
    gone, *others = list(catalog)
    without = Catalog([replace(gone, retired="sold out"), *others])
    again = loop.profile(
        shop.interactions(30, AS_OF), without, FrameFeatureSource(tmp_path),
        as_of=AS_OF, count=3, least=20, seed=1,
    )  # fmt: skip
    assert again.segments == profiled.segments
    assert again.unlisted == {}
    ranker = wiring.cold_ranker(settings).fit(
        pd.DataFrame(columns=list(FEEDBACK_COLUMNS)), again.features
    )
    slates = loop.plan(
        ranker, wiring.style_space(settings), again, without,
        slate=2, variants_per_product=3, seed=1,
    )  # fmt: skip
    assert {product for _, product in slates} == {p.product for p in others}


def test_interactions_of_products_that_nobody_listed_do_not_stop_anything(
    catalog: Catalog, shop: SimulatedShop, tmp_path: Path
) -> None:
    past = shop.interactions(30, AS_OF)
    gone = next(iter(catalog)).product
    some = Catalog([p for p in catalog if p.product != gone])
    only = past.head(3).assign(shopper="stranger", product="never listed")
    made = loop.profile(
        pd.concat([past, only]), some, FrameFeatureSource(tmp_path),
        as_of=AS_OF, count=3, least=20, seed=1,
    )  # fmt: skip
    assert made.unlisted == {gone: int((past["product"] == gone).sum()), "never listed": 3}
    assert "stranger" not in made.segments
    assert set(made.features.products.index) == {p.product for p in some}
    workspace = Workspace.open(tmp_path / "kept")
    made.save(workspace)
    assert loop.Profiled.load(workspace).unlisted == made.unlisted
    with pytest.raises(NotEnoughData, match=r"of the catalogue, e.g. 'sku-"):
        loop.profile(
            past.assign(product="sku-" + past["product"]), catalog, FrameFeatureSource(tmp_path),
            as_of=AS_OF, count=3, least=20, seed=1,
        )  # fmt: skip


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A table as a spreadsheet in another country saves it, beside oddly named photos."""
    photos = tmp_path / "Katalog" / "Bilder"
    photos.mkdir(parents=True)
    for photo, name in (
        ("shirt-01", "ein hemd.v2.JPG"),
        ("knitwear-02", "Kleid (1).jpg"),
        ("shoes-01", "schuhe.jpg"),
    ):
        shutil.copyfile(PHOTOS / f"{photo}.jpg", photos / name)
    table = photos.parent / "Artikel Übersicht.csv"
    table.write_bytes(TABLE.encode("cp1252"))
    return table


@pytest.mark.slow
def test_any_sku_goes_through_the_whole_loop(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(showing, "_LOOK_SECONDS", 0.0)
    shop = pi.Shop.begin(
        Settings(
            home=tmp_path / "mein shop",
            stores={"tracker": "folder"},
            render={"backdrops": "plain"},
            learn={"segments": 2, "least_shoppers": 20, "slate": 2, "variants_per_product": 2},
            serve={"decision_ms": 10_000},  # a busy machine is no failure
        )
    )
    with pytest.raises(BadCatalog, match=r"row 2: Preis '1.299,50'"):
        shop.add_products(source)
    reading = Reading(notation=Notation(",", "."))
    assert shop.add_products(source, reading).added == ("AB 12/3", "Ü-7", "..")
    assert shop.catalog["AB 12/3"].price == 1299.5
    people = simulated_shoppers(shop, 150)
    simulate_history(shop, people, 30, AS_OF)
    assert set(shop.profile(AS_OF).features.products.index) == {"AB 12/3", "Ü-7", ".."}
    shop.prepare(version="one/1")
    assert shop.variants.records("AB 12/3")
    decider = shop.decider()
    try:
        with (
            BackgroundServer(shop.app(decider)) as server,
            httpx.Client(base_url=server.url) as client,
        ):
            simulate_visits(shop, people, server.url, people.visits(1, AS_OF, 14.0))
            kinds = set()
            for product in ("AB 12/3", "Ü-7", ".."):
                for shopper in map(str, range(20)):
                    asked = {"shopper": shopper, "product": product}
                    shown = client.get("/v1/variant", params=asked).json()
                    picture = client.get(shown["image_url"])
                    assert picture.headers["content-type"] == (
                        "image/png" if shown["digest"] else "image/jpeg"
                    )
                    kinds.add((product, shown["digest"] is None))
            assert {p for p, original in kinds if not original} >= {"AB 12/3", "Ü-7"}
            shop.retire_products(["Ü-7"], "sold out")
            for shopper in map(str, range(20)):
                asked = {"shopper": shopper, "product": "Ü-7"}
                shown = client.get("/v1/variant", params=asked).json()
                assert shown["digest"] is None
                assert client.get(shown["image_url"]).status_code == 200
    finally:
        decider.log.close()
    assert set(shop.feedback()["product"]) == {"AB 12/3", "Ü-7", ".."}
    shop.analyse()
    assert shop.retrain(promote=False).version >= 1
    shutil.copyfile(PHOTOS / "knitwear-02.jpg", source.parent / "Bilder" / "ein hemd.v2.JPG")
    assert shop.add_products(source, reading).new_photos == ("AB 12/3",)
    before = {r.digest for r in shop.variants.records("AB 12/3")}
    made = shop.prepare(version="two")
    assert {product for _, product in made.table.slates} == {"AB 12/3", ".."}
    assert {ranking.context.product for ranking in shop.rank()} == {"AB 12/3", ".."}
    digests = {c.digest for (_, p), s in made.table.slates.items() for c in s.candidates
               if p == "AB 12/3" and c.digest}  # fmt: skip
    assert digests
    assert not digests & before
    assert all(checked.passed for _, checked in shop.verify())
    shop.profile(AS_OF)
    shop.sheet(tmp_path / "sheet.jpg")
    assert "AB 12/3" in shop.report(tmp_path / "report.html").read_text()
    shop.restore_products(["Ü-7"])
    assert "Ü-7" in {ranking.context.product for ranking in shop.rank()}

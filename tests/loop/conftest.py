"""A small shop of real parts: plain backdrops, plain tables and files keep it quick."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd
import pytest

from persona_img import loop, wiring
from persona_img.assets import ASSETS
from persona_img.domain.catalog import Catalog
from persona_img.domain.feedback import FEEDBACK_COLUMNS
from persona_img.profiles.frame import FrameFeatureSource
from persona_img.settings import Settings
from persona_img.simulate.shop import SimulatedShop
from persona_img.workspace import Workspace

AS_OF = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(
        home=tmp_path_factory.mktemp("home") / "shop",
        stores={"features": "frame", "tracker": "folder"},
        render={"backdrops": "plain"},
        learn={"segments": 3, "least_shoppers": 20, "slate": 2, "variants_per_product": 6},
    )


@pytest.fixture(scope="module")
def workspace(settings: Settings) -> Workspace:
    return Workspace.open(settings.home)


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


@pytest.fixture(scope="module")
def rendered(
    settings: Settings, workspace: Workspace, catalog: Catalog, profiled: loop.Profiled
) -> tuple[loop.Slates, list[loop.Rendered]]:
    ranker = wiring.cold_ranker(settings).fit(
        pd.DataFrame(columns=list(FEEDBACK_COLUMNS)), profiled.features
    )
    slates = loop.plan(
        ranker, wiring.style_space(settings), profiled, catalog,
        slate=settings.learn.slate,
        variants_per_product=settings.learn.variants_per_product, seed=1,
    )  # fmt: skip
    store = wiring.variant_store(workspace)
    return slates, loop.render(slates, catalog, wiring.renderer(settings), store, seed=1)

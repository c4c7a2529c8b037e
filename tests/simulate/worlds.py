"""Shops for tests: dummy photos, the shipped style space, and feedback without HTTP."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans

import persona_img
from persona_img.domain.catalog import Catalog, Product
from persona_img.domain.decision import Arms, DecisionTable, uniform
from persona_img.domain.style import StyleSpace
from persona_img.ranking.base import RankingFeatures
from persona_img.simulate.shop import SimulatedShop

START = datetime(2026, 1, 5, tzinfo=UTC)
CATEGORIES = ("t-shirt", "shoes", "dress", "pants", "outwear", "hat", "shorts", "shirt")
ARMS = Arms("hero", {"control": 0.5, "personalized": 0.5})


@cache
def shipped_space() -> StyleSpace:
    return StyleSpace.load(Path(persona_img.__file__).parent / "assets" / "styles.toml")


def a_catalog(products: int = 40) -> Catalog:
    return Catalog(
        Product(
            product=f"p{number:02d}",
            category=CATEGORIES[number % len(CATEGORIES)],
            title=f"thing {number}",
            photo=Path(f"p{number}.jpg"),
            licence="CC0-1.0",
            price=10.0 + number,
        )
        for number in range(products)
    )


def a_shop(seed: int = 1, shoppers: int = 300, products: int = 16) -> SimulatedShop:
    return SimulatedShop(a_catalog(products), shipped_space(), shoppers=shoppers, seed=seed)


def segmented(shop: SimulatedShop, catalog: Catalog, count: int) -> dict[str, str]:
    """Shopper to segment, from what a shop can see: which categories are viewed."""
    category = {p.product: p.category for p in catalog}
    history = shop.interactions(60, START)
    views = pd.crosstab(history["shopper"], history["product"].map(category))
    views = views.reindex(shop.shoppers["shopper"], fill_value=0).to_numpy(dtype=np.float64)
    usual = views.sum(axis=0) / views.sum()
    shares = (views + 8 * usual) / (views.sum(axis=1, keepdims=True) + 8)
    label = KMeans(count, n_init=4, random_state=0).fit_predict(np.log(shares / usual))
    return dict(zip(shop.shoppers["shopper"], (f"g{one}" for one in label), strict=True))


def features_of(catalog: Catalog, segments: dict[str, str]) -> RankingFeatures:
    sizes = pd.Series(segments).value_counts()
    return RankingFeatures(
        segments=pd.DataFrame({"shoppers": sizes.astype("float64")}),
        products=pd.DataFrame(
            {"category": [p.category for p in catalog], "price": [p.price for p in catalog]},
            index=[p.product for p in catalog],
        ),
    )


def feedback_of(shop: SimulatedShop, table: DecisionTable, round_index: int) -> pd.DataFrame:
    """One round of ~23,000 impressions for 3,000 shoppers, as the log would return it."""
    rows = []
    for visit in shop.visits(round_index, START, 14):
        arm = ARMS.assign(visit.shopper)
        for position, (product, seen) in enumerate(zip(visit.products, visit.seen, strict=True), 1):
            segment, slate = table.slate(visit.shopper, product)
            key, propensity = "original", 1.0
            if arm != "control" and slate is not None:
                drawn = slate.draw(uniform("hero", table.policy_version, visit.shopper, product))
                key, propensity = drawn.style.key, drawn.probability
            rows.append(
                {
                    "decision_id": f"{visit.visit}-{position}",
                    "test": "hero",
                    "shopper": visit.shopper,
                    "product": product,
                    "segment": segment,
                    "arm": arm,
                    "style_key": key,
                    "digest": None,
                    "propensity": propensity,
                    "policy_version": table.policy_version,
                    "position": position,
                    "shown_at": pd.Timestamp(visit.at, unit="s", tz="UTC"),
                    "seen": seen,
                }
            )
    frame = pd.DataFrame(rows)
    rates = shop.click_probabilities(
        list(frame["shopper"]),
        list(frame["product"]),
        list(frame["style_key"]),
        position=list(frame["position"]),
        exposures=list(frame["seen"]),
    )
    luck = np.random.default_rng([shop.seed, round_index]).random(len(frame))
    return frame.drop(columns="seen").assign(
        clicked=(luck < rates).astype("int64"), converted=np.int64(0)
    )

"""A small shop where every shopper has one favourite category, and more shoppers than products."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from persona_img.domain.catalog import Product
from persona_img.profiles.factors import Factors, fit_factors
from persona_img.profiles.profile import build_profiles

CATEGORIES = ("shoes", "dress", "hat", "shirt")
AS_OF = datetime(2026, 3, 1, tzinfo=UTC)


class Shop(NamedTuple):
    """Interactions of 60 days before and 10 days after ``AS_OF``, and what is for sale."""

    interactions: pd.DataFrame
    products: list[Product]


def favourite(shopper: str) -> str:
    return CATEGORIES[int(shopper[1:]) % 4]


@pytest.fixture(scope="session")
def shop() -> Shop:
    rng = np.random.default_rng(5)
    shoppers, goods, rows = 240, 40, 7000
    products = [
        Product(
            f"p{i:02d}",
            CATEGORIES[i % 4],
            "a thing",
            Path("x.jpg"),
            "CC0",
            price=float("nan") if i == 7 else 10.0 + i,
        )
        for i in range(goods)
    ]
    who = rng.integers(0, shoppers, rows)
    category = np.where(rng.random(rows) < 0.8, who % 4, rng.integers(0, 4, rows))
    what = category + 4 * rng.integers(0, goods // 4, rows)
    micros = rng.integers(-60 * 86400 * 10**6, 10 * 86400 * 10**6, rows)
    times = pd.Series(pd.Timestamp(AS_OF) + pd.to_timedelta(micros, unit="us"))
    interactions = pd.DataFrame(
        {
            "shopper": [f"s{i:03d}" for i in who],
            "product": [f"p{i:02d}" for i in what],
            "kind": rng.choice(["view", "cart", "purchase"], rows, p=[0.85, 0.1, 0.05]),
            "occurred_at": times.dt.as_unit("us"),
        }
    )
    return Shop(interactions, products)


@pytest.fixture(scope="session")
def factors(shop: Shop) -> Factors:
    return fit_factors(shop.interactions, seed=3, as_of=AS_OF)


@pytest.fixture(scope="session")
def profiles(shop: Shop, factors: Factors) -> pd.DataFrame:
    return build_profiles(shop.interactions, factors, shop.products, AS_OF)

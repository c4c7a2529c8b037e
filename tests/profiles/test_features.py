"""Flat features: means over the right shoppers, NaN for what nobody knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from persona_img.errors import InvalidInput, NotEnoughData
from persona_img.profiles.features import product_features, segment_features, shopper_features

from .conftest import AS_OF, CATEGORIES, Shop, favourite

if TYPE_CHECKING:
    from persona_img.profiles.factors import Factors


def test_segments_are_means_over_their_shoppers(profiles: pd.DataFrame) -> None:
    assigned = profiles.assign(segment=profiles["shopper"].map(favourite))
    means = segment_features(assigned)

    assert means.index.to_list() == sorted(CATEGORIES)
    assert means.index.name == "segment"
    hats = profiles[profiles["shopper"].map(favourite) == "hat"]
    assert means.loc["hat", "views"] == pytest.approx(hats["views"].mean())
    stacked = np.stack(hats["factors"].to_list()).mean(axis=0)
    np.testing.assert_allclose(means.loc["hat"].filter(like="factor_"), stacked, rtol=1e-5)
    days = (AS_OF.timestamp() - hats["last_seen_at"]).mean() / 86400
    assert means.loc["hat", "days_since_seen"] == pytest.approx(days)
    shares = means[[f"share_{name}" for name in sorted(CATEGORIES)]]
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-6)
    assert (shares.to_numpy().argmax(axis=1) == np.arange(4)).all()
    assert (means.dtypes == np.float64).all()


def test_shoppers_without_a_segment_or_a_number_are_left_out(profiles: pd.DataFrame) -> None:
    two = profiles.head(3).assign(segment=["a", "a", None])
    two.loc[0, "price_level"] = np.nan
    two["factors"] = pd.Series([None, *two["factors"].iloc[1:]], dtype=object)
    means = segment_features(two)

    assert means.index.to_list() == ["a"]
    assert means.loc["a", "views"] == two["views"].iloc[:2].mean()
    assert means.loc["a", "price_level"] == two["price_level"].iloc[1]
    np.testing.assert_allclose(means.filter(like="factor_").iloc[0], two["factors"].iloc[1])


def test_unknown_shoppers_are_nan_and_other_categories_zero(profiles: pd.DataFrame) -> None:
    some = profiles.head(2).copy()
    some["categories"] = pd.Series([("hat",), None], dtype=object)
    some["category_shares"] = pd.Series([np.ones(1, np.float32), None], dtype=object)
    flat = shopper_features(some, ["hat", "shoes"], 16)

    np.testing.assert_array_equal(flat[["share_hat", "share_shoes"]], [[1, 0], [np.nan, np.nan]])
    assert list(flat.filter(like="factor_")) == [f"factor_{i:02d}" for i in range(16)]


def test_products_by_name(shop: Shop, factors: Factors) -> None:
    table = product_features(shop.products, factors, shop.interactions, as_of=AS_OF)

    assert table.index.to_list() == [p.product for p in shop.products]
    assert table["category"].to_list() == [p.category for p in shop.products]
    assert table["popularity"].sum() == pytest.approx(1)
    place = factors.products.index("p11")
    np.testing.assert_allclose(
        table.loc["p11"].filter(like="product_factor_").astype(float), factors.product_matrix[place]
    )
    unseen = product_features(shop.products, factors, shop.interactions.head(0), as_of=AS_OF)
    assert unseen["popularity"].isna().all()


def test_what_has_no_mean_is_an_error(profiles: pd.DataFrame) -> None:
    with pytest.raises(InvalidInput, match="no column segment"):
        segment_features(profiles)
    with pytest.raises(NotEnoughData, match="no profile has a segment"):
        segment_features(profiles.assign(segment=None))
    with pytest.raises(NotEnoughData, match="no profile has factors"):
        segment_features(profiles.assign(segment="a", factors=None))
    odd = profiles.head(2).copy()
    odd["factors"] = pd.Series([np.ones(16), np.ones(3)], dtype=object)
    with pytest.raises(InvalidInput, match=r"shape \(3,\)"):
        shopper_features(odd)

"""Profiles count right, and only what came before."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from persona_img.domain.catalog import Catalog, Product
from persona_img.errors import InvalidInput
from persona_img.profiles.base import PRODUCT_FEATURES, SHOPPER_FEATURES
from persona_img.profiles.factors import Factors, fit_factors
from persona_img.profiles.profile import build_product_profiles, build_profiles

from .conftest import AS_OF, Shop

DAY = timedelta(days=1)
PRODUCTS = [
    Product("boot", "shoes", "boot", Path("b.jpg"), "CC0", price=100.0),
    Product("clog", "shoes", "clog", Path("c.jpg"), "CC0", price=20.0),
    Product("fez", "hat", "fez", Path("f.jpg"), "CC0", price=50.0),
    Product("cap", "hat", "cap", Path("c.jpg"), "CC0"),
]


def events(*rows: tuple[str, str, str, float]) -> pd.DataFrame:
    """(shopper, product, kind, days before AS_OF)."""
    frame = pd.DataFrame(rows, columns=["shopper", "product", "kind", "ago"])
    frame["occurred_at"] = (
        pd.Timestamp(AS_OF) - pd.to_timedelta(frame.pop("ago") * 86400e6, unit="us")
    ).dt.as_unit("us")
    return frame


HISTORY = events(
    ("ann", "boot", "view", 40.0),
    ("ann", "boot", "cart", 40.0),
    ("ann", "fez", "view", 2.0),
    ("ann", "cap", "purchase", 1.5),
    ("bob", "clog", "view", 1.0),
    ("bob", "boot", "view", -1.0),
    ("eve", "boot", "view", 0.0),
)


@pytest.fixture
def few() -> Factors:
    return fit_factors(HISTORY[HISTORY["shopper"] != "bob"], factors=2, seed=0, as_of=AS_OF)


def test_counts_times_and_shares(few: Factors) -> None:
    table = build_profiles(HISTORY, few, Catalog(PRODUCTS), AS_OF)

    assert list(table.columns) == ["shopper", "event_timestamp", *list(SHOPPER_FEATURES)[1:]]
    assert table["shopper"].to_list() == ["ann", "bob"]
    assert set(table["event_timestamp"]) == {pd.Timestamp(AS_OF)}
    ann = table.set_index("shopper").loc["ann"]
    counts = ["views", "carts", "purchases", "active_days", "events_30d"]
    assert ann[counts].to_list() == [2, 1, 1, 2, 2]
    assert ann["first_seen_at"] == AS_OF.timestamp() - 40 * 86400
    assert ann["last_seen_at"] == AS_OF.timestamp() - 1.5 * 86400
    # Interest: boot 1 + 3, fez 1, cap 5; of these boot has price rank 1, fez 2/3, cap none.
    assert ann["categories"] == ("hat", "shoes")
    np.testing.assert_allclose(ann["category_shares"], [0.6, 0.4], rtol=1e-6)
    assert ann["favourite_category"] == "hat"
    assert ann["favourite_share"] == pytest.approx(0.6)
    assert ann["price_level"] == pytest.approx((4 * 1 + 1 * 2 / 3) / 5)
    np.testing.assert_array_equal(ann["factors"], few.shopper_matrix[0])
    bob = table.set_index("shopper").loc["bob"]
    assert bob["views"] == 1
    assert bob["factors"] is None


def test_a_shopper_of_unpriced_things_has_no_price_level(few: Factors) -> None:
    table = build_profiles(HISTORY.tail(0), few, PRODUCTS, AS_OF)
    assert table.empty
    only = pd.concat([HISTORY, events(("zoe", "cap", "view", 1.0))])
    table = build_profiles(only, few, PRODUCTS, AS_OF).set_index("shopper")
    assert np.isnan(table.loc["zoe", "price_level"])


def test_equal_shares_are_ordered_by_name(few: Factors) -> None:
    even = events(("zoe", "boot", "view", 1.0), ("zoe", "fez", "view", 1.0))
    table = build_profiles(even, few, PRODUCTS, AS_OF)
    assert table.loc[0, "categories"] == ("hat", "shoes")


def test_products_at_a_moment(few: Factors) -> None:
    table = build_product_profiles(HISTORY, few, PRODUCTS, AS_OF).set_index("product")

    assert list(table.columns) == ["event_timestamp", *PRODUCT_FEATURES]
    assert table.index.to_list() == ["boot", "cap", "clog", "fez"]
    counts = ["product_views", "product_carts", "product_purchases"]
    assert table.loc["boot", counts].to_list() == [1, 1, 0]
    assert table.loc["cap", counts].to_list() == [0, 0, 1]
    np.testing.assert_allclose(table["popularity"], np.array([4, 5, 1, 1]) / 11)
    assert table["category"].to_list() == ["shoes", "hat", "shoes", "hat"]
    assert np.isnan(table.loc["cap", "price"])
    np.testing.assert_array_equal(table.loc["boot", "product_factors"], few.product_matrix[0])
    assert table.loc["clog", "product_factors"] is None


def test_products_before_the_first_interaction_have_no_popularity(few: Factors) -> None:
    table = build_product_profiles(HISTORY.tail(0), few, PRODUCTS, AS_OF)
    assert table["popularity"].isna().all()
    assert (table[["product_views", "product_carts", "product_purchases"]] == 0).all(axis=None)


@settings(max_examples=6, deadline=None)
@given(hours=st.integers(-50 * 24, 9 * 24), seed=st.integers(0, 9))
def test_profiles_do_not_know_what_comes_later(shop: Shop, hours: int, seed: int) -> None:
    """Everything at or after the moment may change, and no profile does."""
    moment = AS_OF + timedelta(hours=hours)
    some = shop.interactions.head(300)
    past = some["occurred_at"] < pd.Timestamp(moment)
    fitted = fit_factors(some, factors=2, seed=0, as_of=moment, iterations=1)
    changed = some[past | (np.arange(len(past)) % 3 == 0)].copy()
    later = changed["occurred_at"] >= pd.Timestamp(moment)
    changed.loc[later, "kind"] = "purchase"
    changed.loc[later, "product"] = "gone"
    changed.loc[later, "shopper"] = "stranger"
    changed = changed.sample(frac=1, random_state=seed)

    for build in (build_profiles, build_product_profiles):
        known = build(some[past], fitted, shop.products, moment)
        assert_frame_equal(build(some, fitted, shop.products, moment), known)
        assert_frame_equal(build(changed, fitted, shop.products, moment), known)


def test_factors_of_the_future_are_refused(few: Factors) -> None:
    moment = few.until
    for build in (build_profiles, build_product_profiles):
        with pytest.raises(InvalidInput, match="fit them with as_of"):
            build(HISTORY, few, PRODUCTS, moment)
        build(HISTORY, few, PRODUCTS, moment + timedelta(microseconds=1))


def test_retired_products_tell_of_tastes_like_others(few: Factors) -> None:
    retired = [replace(p, retired="sold out") for p in PRODUCTS]
    assert_frame_equal(
        build_profiles(HISTORY, few, retired, AS_OF), build_profiles(HISTORY, few, PRODUCTS, AS_OF)
    )


def test_prices_of_two_currencies_are_not_compared(few: Factors) -> None:
    money = {"boot": (100.0, "EUR"), "clog": (50.0, "EUR"), "fez": (9000.0, "JPY")}
    products = [
        replace(p, price=money.get(p.product, (np.nan, ""))[0],
                currency=money.get(p.product, (np.nan, ""))[1])
        for p in PRODUCTS
    ]  # fmt: skip
    table = build_product_profiles(HISTORY, few, products, AS_OF).set_index("product")
    assert table.loc["boot", "price"] == 100.0
    assert np.isnan(table.loc["fez", "price"])
    levels = build_profiles(HISTORY, few, products, AS_OF).set_index("shopper")["price_level"]
    # ann: boot 4 of rank 1, fez 1 alone in its currency, so of rank 1 as well; bob: clog of 1/2.
    assert levels["ann"] == pytest.approx(1)
    assert levels["bob"] == pytest.approx(0.5)


def test_what_is_not_in_the_catalogue_is_an_error(few: Factors) -> None:
    with pytest.raises(InvalidInput, match="'boot' was met but is not in the catalogue"):
        build_profiles(HISTORY, few, PRODUCTS[1:], AS_OF)
    with pytest.raises(InvalidInput, match="no column kind"):
        build_profiles(HISTORY.drop(columns="kind"), few, PRODUCTS, AS_OF)
    with pytest.raises(InvalidInput, match="time zone"):
        build_profiles(HISTORY, few, PRODUCTS, AS_OF.replace(tzinfo=None))

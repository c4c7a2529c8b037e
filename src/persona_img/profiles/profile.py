"""What a shopper and a product are like at a moment, from what happened before it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from persona_img.errors import InvalidInput
from persona_img.profiles.base import (
    KIND_WEIGHTS,
    PRODUCT_FEATURES,
    SHOPPER_FEATURES,
    FeatureType,
    conform,
    interactions_checked,
    unix_seconds,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from persona_img.domain.catalog import Product
    from persona_img.profiles.factors import Factors

_MONTH = timedelta(days=30)


def build_profiles(
    interactions: pd.DataFrame, factors: Factors, products: Iterable[Product], as_of: datetime
) -> pd.DataFrame:
    """Profiles of every shopper with an interaction before ``as_of``; nothing later is used.

    Args:
        interactions: ``INTERACTION_COLUMNS``, of any time.
        factors: Tastes, fitted on interactions before ``as_of``.
        products: The catalogue: every product that an interaction before ``as_of`` names.
        as_of: The moment, with a time zone.

    Returns:
        A row per shopper, sorted: shopper, event_timestamp (``as_of``) and ``SHOPPER_FEATURES``
        without segment. views, carts, purchases, active_days (UTC days), events_30d are counts;
        first_seen_at, last_seen_at Unix seconds; interest is weighted by ``KIND_WEIGHTS``:
        categories by falling share of it (ties by name) with category_shares (sum 1), the first
        as favourite_category and favourite_share; price_level, its mean over the products' rank by
        price among those of their currency in the catalogue, in (0, 1], NaN where no price is
        known. factors is None for a shopper without.

    Raises:
        InvalidInput: not interactions; a product is not in the catalogue; factors that know what
            happened at or after ``as_of``.
    """
    _refuse_later(factors, as_of)
    catalogue = _catalogue(products)
    events = _events_before(interactions, catalogue, as_of)
    shoppers = events.groupby("shopper", sort=True)
    profiles = _counts(events, "shopper").rename(columns=lambda kind: kind + "s")
    profiles["active_days"] = (
        events["occurred_at"].dt.floor("D").groupby(events["shopper"]).nunique()
    )
    recent = events[events["occurred_at"] >= pd.Timestamp(as_of) - _MONTH]
    profiles["events_30d"] = recent.groupby("shopper").size().reindex(profiles.index, fill_value=0)
    profiles["first_seen_at"] = shoppers["occurred_at"].min().astype("int64") / 1e6
    profiles["last_seen_at"] = shoppers["occurred_at"].max().astype("int64") / 1e6
    profiles["price_level"] = _price_level(events)
    profiles = profiles.join(_category_shares(events)).join(factors.shopper_frame())
    known = {name: kind for name, kind in SHOPPER_FEATURES.items() if name != "segment"}
    return _stamped(profiles, known, as_of)


def build_product_profiles(
    interactions: pd.DataFrame, factors: Factors, products: Iterable[Product], as_of: datetime
) -> pd.DataFrame:
    """Profiles of every product of the catalogue at a moment; nothing later is used.

    Args:
        interactions: ``INTERACTION_COLUMNS``, of any time.
        factors: Tastes, fitted on interactions before ``as_of``.
        products: The catalogue.
        as_of: The moment, with a time zone.

    Returns:
        A row per product, sorted: product, event_timestamp (``as_of``) and ``PRODUCT_FEATURES``:
        price is NaN where unknown, or in another currency than most products'; product_views,
        product_carts, product_purchases are counts;
        popularity is the product's share of all interest, NaN before the first interaction;
        product_factors is None for a product nobody met.

    Raises:
        InvalidInput: as :func:`build_profiles`.
    """
    _refuse_later(factors, as_of)
    catalogue = _catalogue(products)
    events = _events_before(interactions, catalogue, as_of)
    counts = _counts(events, "product").reindex(catalogue.index, fill_value=0.0)
    interest = events.groupby("product")["interest"].sum().reindex(catalogue.index, fill_value=0.0)
    profiles = catalogue[["category", "price"]].copy()
    profiles["popularity"] = interest / (interest.sum() or np.nan)
    profiles = profiles.join(counts.rename(columns=lambda kind: f"product_{kind}s"))
    profiles = profiles.join(factors.product_frame().rename(columns={"factors": "product_factors"}))
    return _stamped(profiles, PRODUCT_FEATURES, as_of)


def _refuse_later(factors: Factors, as_of: datetime) -> None:
    unix_seconds(as_of)
    if factors.until >= as_of:
        raise InvalidInput(
            f"factors know what happened at {factors.until.isoformat()}, not before the profiles' "
            f"{as_of.isoformat()}; fit them with as_of"
        )


def _catalogue(products: Iterable[Product]) -> pd.DataFrame:
    """category, price, price_rank in (0, 1], indexed by product, sorted.

    Prices of two currencies are not compared: each is ranked among its own, and only those of the
    commonest are kept as numbers.
    """
    rows = [(p.product, p.category, p.price, p.currency) for p in products]
    names = ["product", "category", "price", "currency"]
    table = pd.DataFrame(rows, columns=names).set_index("product").sort_index()
    table["price"] = table["price"].astype("float64")
    table["price_rank"] = table.groupby("currency")["price"].rank(pct=True)
    priced = table["currency"][table["price"].notna()]
    if priced.nunique() > 1:
        table["price"] = table["price"].where(table["currency"] == priced.mode().iloc[0])
    return table


def _events_before(
    interactions: pd.DataFrame, catalogue: pd.DataFrame, as_of: datetime
) -> pd.DataFrame:
    """Interactions before ``as_of`` with interest, category and price_rank."""
    events = interactions_checked(interactions)
    events = events[events["occurred_at"] < pd.Timestamp(as_of)]
    unknown = set(events["product"]) - set(catalogue.index)
    if unknown:
        raise InvalidInput(
            f"product {min(unknown)!r} was met but is not in the catalogue; add it, or leave out "
            "its interactions"
        )
    # In one order, so that sums of the same interactions are the same to the last bit.
    events = events.sort_values(["occurred_at", "shopper", "product", "kind"], ignore_index=True)
    events["interest"] = events["kind"].map(KIND_WEIGHTS).astype("float64")
    return events.join(catalogue[["category", "price_rank"]], on="product")


def _counts(events: pd.DataFrame, key: str) -> pd.DataFrame:
    """How many interactions of each kind, float64, indexed by ``key``, sorted."""
    counts = events.groupby([key, "kind"]).size().unstack(fill_value=0)
    return counts.reindex(columns=list(KIND_WEIGHTS), fill_value=0).astype("float64")


def _price_level(events: pd.DataFrame) -> pd.Series[Any]:
    priced = events[events["price_rank"].notna()]
    weighted = (priced["interest"] * priced["price_rank"]).groupby(priced["shopper"]).sum()
    return weighted / priced.groupby("shopper")["interest"].sum()


def _category_shares(events: pd.DataFrame) -> pd.DataFrame:
    """favourite_category, favourite_share, categories, category_shares, indexed by shopper."""
    interest = events.groupby(["shopper", "category"])["interest"].sum()
    shares = (interest / interest.groupby("shopper").transform("sum")).rename("share").reset_index()
    shares = shares.sort_values(["shopper", "share", "category"], ascending=[True, False, True])
    grouped = shares.groupby("shopper")
    return pd.DataFrame(
        {
            "favourite_category": grouped["category"].first(),
            "favourite_share": grouped["share"].first(),
            "categories": grouped["category"].agg(tuple),
            "category_shares": grouped["share"].agg(tuple).map(np.float32),
        }
    )


def _stamped(
    profiles: pd.DataFrame, features: Mapping[str, FeatureType], as_of: datetime
) -> pd.DataFrame:
    table = conform(profiles, features).reset_index()
    moment = pd.Timestamp(as_of).tz_convert("UTC")
    times = pd.Series(moment, index=table.index, dtype="datetime64[us, UTC]")
    table.insert(1, "event_timestamp", times)
    return table

"""Profiles as flat numbers, a column each: what a ranker and the segments read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from persona_img.errors import InvalidInput, NotEnoughData
from persona_img.profiles.base import require_columns
from persona_img.profiles.profile import build_product_profiles

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from persona_img.domain.catalog import Product
    from persona_img.profiles.factors import Factors

_KEPT = ("views", "carts", "purchases", "active_days", "events_30d", "price_level")


def shopper_features(
    profiles: pd.DataFrame, categories: Sequence[str] | None = None, size: int | None = None
) -> pd.DataFrame:
    """One row of numbers per profile, under the same index.

    Args:
        profiles: As of ``build_profiles`` or ``FeatureSource.historical``.
        categories: Which categories get a column; None takes those that occur, sorted.
        size: How many factors there are; None takes as many as the profiles have.

    Returns:
        float64 columns views, carts, purchases, active_days, events_30d, price_level,
        favourite_share, days_since_seen and days_known (up to event_timestamp),
        ``share_<category>`` (0 where the shopper has other categories) and ``factor_00`` onwards.
        NaN where the profile knows nothing.

    Raises:
        InvalidInput: a column is missing, or the numbers of factors differ.
        NotEnoughData: no profile has factors, and ``size`` is not given.
    """
    needed = ("event_timestamp", "first_seen_at", "last_seen_at", "categories", "category_shares")
    require_columns(profiles, [*needed, *_KEPT, "favourite_share", "factors"], "profiles")
    flat = profiles[[*_KEPT, "favourite_share"]].astype("float64")
    seconds = profiles["event_timestamp"].dt.as_unit("us").astype("int64") / 1e6
    flat["days_since_seen"] = (seconds - profiles["last_seen_at"].astype("float64")) / 86400
    flat["days_known"] = (seconds - profiles["first_seen_at"].astype("float64")) / 86400
    if size is None:
        size = _size(profiles["factors"])
    factors = _numbered(profiles["factors"], size, "factor")
    return pd.concat([flat, _shares(profiles, categories), factors], axis=1)


def segment_features(profiles: pd.DataFrame) -> pd.DataFrame:
    """What the shoppers of each segment are like on average.

    Args:
        profiles: Profiles of one moment with a column segment; rows without one are left out.

    Returns:
        float64, indexed by segment, sorted: the means of :func:`shopper_features`, over those
        shoppers for whom a number is known.

    Raises:
        InvalidInput: a column is missing.
        NotEnoughData: no profile has a segment, or none has factors.
    """
    require_columns(profiles, ["segment"], "profiles")
    known = profiles[profiles["segment"].notna()].reset_index(drop=True)
    if known.empty:
        raise NotEnoughData("no profile has a segment; assign segments first")
    means = shopper_features(known).groupby(known["segment"].astype(object)).mean()
    return means.rename_axis(index="segment")


def product_features(
    products: Iterable[Product], factors: Factors, interactions: pd.DataFrame, *, as_of: datetime
) -> pd.DataFrame:
    """What each product of the catalogue is like, from what happened before ``as_of``.

    Args:
        products: The catalogue.
        factors: Tastes, fitted on interactions before ``as_of``.
        interactions: Of any time; those at or after ``as_of`` are not used.
        as_of: The moment, with a time zone.

    Returns:
        Indexed by product, sorted: category (str) and float64 price, popularity, product_views,
        product_carts, product_purchases and ``product_factor_00`` onwards; NaN where unknown.

    Raises:
        InvalidInput: as ``build_product_profiles``.
    """
    profiles = build_product_profiles(interactions, factors, products, as_of).set_index("product")
    known = profiles.drop(columns=["event_timestamp", "product_factors"])
    return known.join(_numbered(profiles["product_factors"], factors.size, "product_factor"))


def _shares(profiles: pd.DataFrame, categories: Sequence[str] | None) -> pd.DataFrame:
    known = profiles["categories"].notna()
    pairs = [
        (row, name, share)
        for row, (names, shares) in enumerate(
            zip(profiles["categories"], profiles["category_shares"], strict=True)
        )
        if names is not None
        for name, share in zip(names, shares, strict=True)
    ]
    if categories is None:
        categories = sorted({name for _, name, _ in pairs})
    place = {name: column for column, name in enumerate(categories)}
    matrix = np.where(known.to_numpy()[:, None], 0.0, np.full((1, len(place)), np.nan))
    for row, name, share in pairs:
        if name in place:
            matrix[row, place[name]] = share
    return pd.DataFrame(matrix, profiles.index, [f"share_{name}" for name in categories])


def _size(values: pd.Series[Any]) -> int:
    known = values[values.notna()]
    if known.empty:
        raise NotEnoughData("no profile has factors; fit them on interactions of these shoppers")
    return len(known.iloc[0])


def _numbered(values: pd.Series[Any], size: int, name: str) -> pd.DataFrame:
    """A float64 column per factor; NaN for a row without factors."""
    missing = np.full(size, np.nan)
    rows = [missing if value is None else np.asarray(value, np.float64) for value in values]
    odd = [row.shape for row in rows if row.shape != (size,)]
    if odd:
        raise InvalidInput(f"factors of shape {odd[0]} among those of {size}; fit equally many")
    matrix = np.stack(rows) if rows else np.empty((0, size))
    return pd.DataFrame(matrix, values.index, [f"{name}_{i:02d}" for i in range(size)])

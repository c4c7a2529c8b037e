"""What is known of one shopper at a moment, as named numbers: the same in training and online."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from persona_img.errors import InvalidInput
from persona_img.profiles.base import require_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Floats = npt.NDArray[np.float64]

SHARE, FACTOR = "share_", "factor_"
"""How names of traits begin that tell a category's share, and one of the factors."""

NAMED = (
    "views",
    "bought",
    "recent",
    "price_level",
    "favourite_share",
    "days_since_seen",
    "fresh",
    "fresh_purchase",
)
"""Traits that every shop has; :func:`traits_of` says what each is."""

_DAY = 86400.0

_READ = (
    "views", "carts", "purchases", "events_30d", "price_level", "favourite_share",
    "days_since_seen", "categories", "category_shares", "factors", "recent_kind", "recent_at",
)  # fmt: skip


def trait_names(profiles: pd.DataFrame) -> tuple[str, ...]:
    """Names of what these profiles tell: :data:`NAMED`, each category and each factor.

    Args:
        profiles: As of ``FeatureSource.historical`` or ``online``.
    """
    require_columns(profiles, ["categories", "factors"], "profiles")
    categories = sorted({name for some in profiles["categories"].dropna() for name in some})
    size = max((len(one) for one in profiles["factors"].dropna()), default=0)
    return (
        *NAMED,
        *(f"{SHARE}{name}" for name in categories),
        *(f"{FACTOR}{number:02d}" for number in range(size)),
    )


def traits_of(profile: Mapping[str, Any], names: Sequence[str], now: float) -> Floats:
    """Traits of one shopper.

    Args:
        profile: ``SERVING_FEATURES`` by name, as they were at the moment.
        names: Which traits, as of :func:`trait_names`.
        now: The moment, Unix seconds.

    Returns:
        float64 (D,), NaN where unknown: views, bought (carts and purchases), recent (interactions
        of thirty days) and days_since_seen as log(1 + n); price_level and favourite_share as they
        are; fresh, how new the newest pushed event is, 1 for now and 1/e after a day, and
        fresh_purchase, the same of a purchase alone; each category's share of the interest, 0 of
        others than the shopper's; and the direction of the factors.

    Raises:
        InvalidInput: a name that is none.
    """
    told = _told(profile, now)
    categories, factors = profile["categories"], profile["factors"]
    shares = None
    if categories is not None:
        shares = dict(zip(categories, profile["category_shares"], strict=True))
    direction = None
    if factors is not None:
        numbers = np.asarray(factors, dtype=np.float64)
        length = float(np.linalg.norm(numbers))
        direction = numbers / length if length > 0 else None
    made = np.full(len(names), np.nan)
    for place, name in enumerate(names):
        if name in told:
            made[place] = told[name]
        elif name.startswith(SHARE):
            if shares is not None:
                made[place] = float(shares.get(name.removeprefix(SHARE), 0.0))
        elif name.startswith(FACTOR):
            number = int(name.removeprefix(FACTOR))
            if direction is not None and number < len(direction):
                made[place] = direction[number]
        else:
            known = ", ".join((*NAMED, f"{SHARE}…", f"{FACTOR}…"))
            raise InvalidInput(f"trait {name!r}: there are {known}")
    return made


def trait_table(
    profiles: pd.DataFrame, names: Sequence[str], moments: Sequence[float]
) -> pd.DataFrame:
    """:func:`traits_of` of every row, a column each, under the same index.

    Args:
        profiles: N rows of ``FeatureSource.historical`` or ``online``.
        names: D traits.
        moments: N moments, Unix seconds.

    Raises:
        InvalidInput: a column is missing.
    """
    require_columns(profiles, _READ, "profiles")
    columns = [profiles[name].to_numpy(dtype=object) for name in _READ]
    rows = [
        traits_of(dict(zip(_READ, values, strict=True)), names, now)
        for *values, now in zip(*columns, moments, strict=True)
    ]
    numbers = np.array(rows, dtype=np.float64).reshape(len(profiles), len(names))
    return pd.DataFrame(numbers, profiles.index, list(names))


def _told(profile: Mapping[str, Any], now: float) -> dict[str, float]:
    """The traits that every shop has."""
    bought = float(profile["carts"]) + float(profile["purchases"])
    fresh, at = 0.0, profile["recent_at"]
    # An event that a slow clock dates behind now is as new as can be.
    if at is not None and not math.isnan(at):
        fresh = math.exp(-max(now - float(at), 0.0) / _DAY)
    known = {
        "views": math.log1p(float(profile["views"])),
        "bought": math.log1p(bought),
        "recent": math.log1p(float(profile["events_30d"])),
        "price_level": float(profile["price_level"]),
        "favourite_share": float(profile["favourite_share"]),
        "days_since_seen": math.log1p(max(float(profile["days_since_seen"]), 0.0)),
        "fresh": fresh,
        "fresh_purchase": fresh if profile["recent_kind"] == "purchase" else 0.0,
    }
    return known

"""How many segments there are: by what they foretell, and whether they would be found again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import adjusted_rand_score

from persona_img.errors import InvalidInput, NotEnoughData
from persona_img.profiles.base import KIND_WEIGHTS, interactions_checked
from persona_img.profiles.factors import fit_factors
from persona_img.profiles.profile import build_profiles
from persona_img.profiles.segments import fit_segments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from persona_img.domain.catalog import Product

Floats = npt.NDArray[np.float64]

_SPLITS = 3
"""Times that the shoppers are dealt into halves."""


@dataclass(frozen=True, eq=False)
class CountChoice:
    """A number of segments, and what speaks for it.

    Attributes:
        count: The number.
        table: Indexed by the number asked for, from 1: segments (how many were large enough), lift
            (mean over shoppers of the log of how much likelier their segment's taste made what they
            did later than everybody's taste, per interaction), error (standard error of the lift's
            distance from the best), stability (adjusted Rand index of segments found in two halves
            of the shoppers, in [-1, 1]; 1 for one segment), near (whether the lift is within its
            error of the best).
        shoppers: On how many the lifts rest.
    """

    count: int
    table: pd.DataFrame
    shoppers: int


def choose_count(
    interactions: pd.DataFrame,
    products: Sequence[Product],
    *,
    as_of: datetime,
    most: int,
    least: int,
    seed: int,
    held_out: timedelta = timedelta(days=28),
    present: int | None = None,
) -> CountChoice:
    """The number of segments that foretells best what shoppers did in a time held back.

    Segments are found before that time, and tell of a shopper by the others of their segment, see
    :func:`held_out_lift`. Among numbers that do as well as the best but for chance (one standard
    error, of shoppers), the one whose segments are most alike in two halves of the shoppers is
    taken; the fewest of equals.

    Args:
        interactions: ``INTERACTION_COLUMNS``, of any time.
        products: The catalogue: every product that an interaction before ``as_of`` names.
        as_of: Nothing at or after this moment is used.
        most: The largest number to try.
        least: Fewest shoppers a segment may have.
        seed: Of factors, segments and halves.
        held_out: How long before ``as_of`` the time held back begins.
        present: The number there is, which stays where it is among those as good as the best.

    Raises:
        InvalidInput: not interactions, or ``most`` below 1.
        NotEnoughData: too few shoppers before the time held back, or none of them came back.

    References:
        Breiman et al. 1984, "Classification and Regression Trees", 3.4.3: the one-standard-error
        rule. Hubert & Arabie 1985, "Comparing partitions".
    """
    if most < 1:
        raise InvalidInput(f"at most {most} segments; try at least 1")
    events = interactions_checked(interactions)
    events = events[events["occurred_at"] < pd.Timestamp(as_of)]
    cut = as_of - held_out
    later = events["occurred_at"] >= pd.Timestamp(cut)
    if not later.any():
        raise NotEnoughData(f"nothing happened from {cut.isoformat()} on; hold back a longer time")
    past, new = events[~later], events[later]
    new = new[new["shopper"].isin(past["shopper"]) & new["product"].isin(past["product"])]
    if new.empty:
        raise NotEnoughData(
            f"nobody known before {cut.isoformat()} met a known product since; hold back a longer "
            "time"
        )
    factors = fit_factors(past, seed=seed)
    profiles = build_profiles(past, factors, products, cut)
    profiles = profiles.sort_values("shopper", ignore_index=True)
    shoppers = pd.Index(profiles["shopper"])
    rows, lifts = [], []
    for count in range(1, most + 1):
        segments = fit_segments(profiles, count=count, least=least, seed=seed)
        groups = pd.Series(segments.assign(profiles).to_numpy(), index=shoppers)
        lifts.append(held_out_lift(past, new, groups))
        rows.append((len(segments.names), _stability(profiles, count, least, seed)))
    gains = pd.concat(lifts, axis=1).to_numpy()
    table = pd.DataFrame(
        rows,
        columns=["segments", "stability"],
        index=pd.RangeIndex(1, most + 1, name="count"),
    )
    table.insert(1, "lift", gains.mean(axis=0))
    behind = gains[:, [gains.mean(axis=0).argmax()]] - gains
    table.insert(2, "error", behind.std(axis=0, ddof=1) / np.sqrt(len(gains)))
    table["near"] = behind.mean(axis=0) <= table["error"]
    good = [count for count in range(1, most + 1) if table["near"].loc[count]]
    if present in good:
        return CountChoice(present, table, len(gains))
    # Rounded: what differs by the last digit is equal.
    stable = table["stability"].round(6)
    return CountChoice(max(good, key=lambda count: stable.loc[count]), table, len(gains))


def held_out_lift(
    past: pd.DataFrame, later: pd.DataFrame, groups: pd.Series[str]
) -> pd.Series[float]:
    """How much likelier a group's taste makes what its shoppers did later, in log.

    A group's taste is what the others in it met, drawn to what all others met by as much interest
    as there are products. A shopper's own past is left out, or it would speak for ever smaller
    groups.

    Args:
        past: Interactions from which tastes are counted, weighted by ``KIND_WEIGHTS``.
        later: Interactions to foretell; those of shoppers who are not in ``groups``, and of
            products that nobody met before, are not used.
        groups: Indexed by shopper.

    Returns:
        Per shopper, sorted, the mean over their interactions of log p(product | group) -
        log p(product).
    """
    past = past.assign(
        weight=past["kind"].map(KIND_WEIGHTS).astype("float64"), group=past["shopper"].map(groups)
    )
    known = later["product"].isin(past["product"]) & later["shopper"].isin(groups.index)
    asked = later.loc[known, ["shopper", "product"]].reset_index(drop=True)
    asked["group"] = asked["shopper"].map(groups)

    def summed(*keys: str) -> Floats:
        sums = past.groupby(list(keys))["weight"].sum().rename("sum").reset_index()
        joined = asked.merge(sums, on=list(keys), how="left")["sum"]
        return joined.fillna(0.0).to_numpy(dtype=np.float64)

    number = past["product"].nunique()
    own, own_here = summed("shopper"), summed("shopper", "product")
    others = float(past["weight"].sum()) - own
    share = (summed("product") - own_here + 1.0) / (others + number)
    met = summed("group", "product") - own_here
    taste = (met + number * share) / (summed("group") - own + number)
    each = pd.Series(np.log(taste / share), index=asked["shopper"])
    return each.groupby(level=0).mean()


def _stability(profiles: pd.DataFrame, count: int, least: int, seed: int) -> float:
    """Mean adjusted Rand index of the segments of all shoppers, as found in either half."""
    if count == 1:
        return 1.0
    found = []
    for split in range(_SPLITS):
        first = np.random.default_rng([seed, split]).permutation(len(profiles)) % 2 == 0
        # Half the shoppers, half of the least: as many segments as all of them would make.
        halves = [
            fit_segments(profiles[half], count=count, least=max(1, least // 2), seed=seed)
            for half in (first, ~first)
        ]
        one, two = (half.assign(profiles) for half in halves)
        found.append(adjusted_rand_score(one, two))
    return float(np.mean(found))

"""Groups of shoppers with like tastes, none of them small enough to point at somebody."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from persona_img.errors import InvalidInput, NotEnoughData
from persona_img.profiles.base import KIND_WEIGHTS, require_columns
from persona_img.profiles.features import shopper_features

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Floats = npt.NDArray[np.float64]

_LEAD = 0.05
"""By how much a category's share must pass the shop's for a segment to be named by it."""

_NOISE = 1e-4
"""A coordinate that varies less says nothing: shares, directions and price levels are about 1."""

_SAME = 1e-3
"""Profiles and centres are the same where no coordinate differs by more, in deviations."""

_MORE = 1.05
"""How many times as much of the spread others must explain for earlier segments to be left."""

_PRIOR = 5.0
"""Views that a shopper is taken to have spread like the whole shop, before the first one."""


@dataclass(frozen=True, eq=False)
class Measure:
    """How profiles become points; fixed by a fit, so that later profiles are measured alike.

    A point says what a shopper likes, not how much there is of it: the direction of the factors,
    the logarithm of each category's share over the shop's, and the price level. Shares and price
    of those who did little are drawn to the shop's. On simulated shoppers this finds their hidden
    groups far better than plain shares, factors and activity do: there the busy ones make a group
    of their own, of all tastes.

    Attributes:
        categories: C categories.
        usual: float64 of shape (C,), > 0, their mean shares over the shoppers.
        price: Mean price level; NaN where no price is known.
        size: K, numbers per taste.
        mean: float64 of shape (D,), D = C + K + 1, what a coordinate is reduced by.
        scale: float64 of shape (D,), > 0, what it is then divided by.
    """

    categories: tuple[str, ...]
    usual: Floats
    price: float
    size: int
    mean: Floats
    scale: Floats

    @classmethod
    def of(cls, flat: pd.DataFrame) -> Measure:
        """The measure by which these flat features have mean 0 and deviation 1, or do not vary."""
        names = [str(name) for name in flat.columns]
        shares = flat.filter(regex="^share_")
        plain = cls(
            categories=tuple(n.removeprefix("share_") for n in names if n.startswith("share_")),
            usual=shares.mean().to_numpy(dtype=np.float64),
            price=float(flat["price_level"].mean()),
            size=sum(name.startswith("factor_") for name in names),
            mean=np.zeros(1),
            scale=np.ones(1),
        )
        points = plain._coordinates(flat)
        known = np.isfinite(points)
        number = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, points, 0.0).sum(axis=0) / number
        deviation = np.sqrt((np.where(known, points - mean, 0.0) ** 2).sum(axis=0) / number)
        # What is no more than rounding must not be blown up to a difference of tastes.
        return replace(plain, mean=mean, scale=np.where(deviation > _NOISE, deviation, 1.0))

    def points(self, profiles: pd.DataFrame) -> Floats:
        """float64 of shape (N, D); what is unknown is 0, the mean, which draws to no segment."""
        flat = shopper_features(profiles, self.categories, self.size)
        return np.nan_to_num((self._coordinates(flat) - self.mean) / self.scale, nan=0.0)

    def _coordinates(self, flat: pd.DataFrame) -> Floats:
        """(N, D) before standardising; NaN where unknown."""
        interest = _interest(flat)[:, None]
        shares = flat.filter(regex="^share_").to_numpy()
        drawn = (shares * interest + _PRIOR * self.usual) / (interest + _PRIOR)
        price = flat[["price_level"]].to_numpy()
        dear = (price - self.price) * interest / (interest + _PRIOR)
        factors = flat.filter(regex="^factor_").to_numpy()
        length = np.linalg.norm(factors, axis=1, keepdims=True)
        direction = factors / np.where(length > 0, length, np.nan)
        return np.hstack([np.log(drawn / self.usual), direction, dear])


@dataclass(frozen=True, eq=False)
class Segments:
    """M segments and how to tell them apart.

    Attributes:
        names: M names, the largest segment first.
        measure: How profiles become points.
        centres: float64 of shape (M, D), each segment's middle.
        table: What :meth:`describe` returns.
        count: How many were asked for.
        version: Of measure and centres: 1, and one more whenever a later fit left them.
    """

    names: tuple[str, ...]
    measure: Measure
    centres: Floats
    table: pd.DataFrame
    count: int
    version: int = 1

    @property
    def default(self) -> str:
        """The largest segment: where a shopper belongs of whom nothing is known."""
        return self.names[0]

    def assign(self, profiles: pd.DataFrame) -> pd.Series[Any]:
        """Segment of each profile, under the same index; the default where a profile is empty.

        The profiles' factors must lie on the axes of those that were fitted. Among other shoppers
        than those a segment may have fewer than were asked for.

        Raises:
            InvalidInput: a column is missing, or there is another number of factors.
        """
        require_columns(profiles, ["factors", "categories"], "profiles")
        known = (profiles["factors"].notna() | profiles["categories"].notna()).to_numpy(dtype=bool)
        chosen = np.full(len(profiles), self.default, dtype=object)
        if known.any():
            nearest = _nearest(self.measure.points(profiles[known]), self.centres)
            chosen[known] = np.array(self.names, dtype=object)[nearest]
        return pd.Series(chosen, index=profiles.index, name="segment")

    def to_json(self) -> dict[str, Any]:
        """Plain values, to be kept; all but the table, which :meth:`describe` gives."""
        measure = {
            "categories": list(self.measure.categories),
            "usual": self.measure.usual.tolist(),
            "price": self.measure.price,
            "size": self.measure.size,
            "mean": self.measure.mean.tolist(),
            "scale": self.measure.scale.tolist(),
        }
        return {
            "version": self.version,
            "count": self.count,
            "names": list(self.names),
            "centres": self.centres.tolist(),
            "measure": measure,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any], table: pd.DataFrame) -> Segments:
        """The inverse of :meth:`to_json`."""
        told = stored["measure"]
        arrays = {name: np.array(told[name], np.float64) for name in ("usual", "mean", "scale")}
        measure = Measure(
            tuple(told["categories"]), price=told["price"], size=told["size"], **arrays
        )
        return cls(
            names=tuple(stored["names"]),
            measure=measure,
            centres=np.array(stored["centres"], np.float64),
            table=table,
            count=stored["count"],
            version=stored["version"],
        )

    def describe(self) -> pd.DataFrame:
        """The segments as they were fitted, the largest first.

        Returns:
            Indexed by segment: shoppers (count), share of all shoppers, top_categories (at most
            three, most liked first), and means of views, carts, purchases, price_level,
            days_since_seen.
        """
        return self.table.copy()


def fit_segments(
    profiles: pd.DataFrame,
    *,
    count: int = 6,
    least: int = 50,
    seed: int,
    like: Segments | None = None,
) -> Segments:
    """Segments by k-means on what the profiles say of tastes, see :class:`Measure`.

    A segment with fewer than ``least`` shoppers is dissolved, the smallest first: its shoppers go
    to the nearest of the others. Profiles in another order give the same segments.

    With ``like`` the earlier segments stay as they are, so that only who changed changes segment:
    two starts of k-means end apart though nobody did. They are left where one has become smaller
    than ``least``, where others explain a twentieth more of the spread between shoppers, or where
    another ``count`` is asked for. Then a segment has the name of the earlier one of whose shoppers
    at least half are in it; no other one gets a name that the earlier had.

    Args:
        profiles: N shoppers at one moment, as of ``build_profiles``, each once.
        count: Segments wanted; fewer where ``least`` or too few different profiles ask for it.
        least: Fewest shoppers a segment may have (k of k-anonymity).
        seed: Of the starting points.
        like: Earlier segments whose names to keep; the profiles' factors must lie on the axes of
            theirs, see :meth:`~persona_img.profiles.factors.Factors.aligned`.

    Raises:
        InvalidInput: count or least below 1, a column is missing, a shopper occurs twice, or
            ``like`` knows another number of factors.
        NotEnoughData: fewer than ``least`` shoppers, or no factors.

    References:
        Kuhn 1955, "The Hungarian method for the assignment problem", which pairs the segments of
        the two fits so that the most shoppers keep their name.
    """
    if count < 1 or least < 1:
        raise InvalidInput(f"count {count}, least {least}: ask for at least 1 segment of 1 shopper")
    require_columns(profiles, ["shopper"], "profiles")
    if profiles["shopper"].duplicated().any():
        twice = profiles["shopper"][profiles["shopper"].duplicated()].iloc[0]
        raise InvalidInput(f"shopper {twice!r} occurs twice; give the profiles of one moment")
    if len(profiles) < least:
        raise NotEnoughData(
            f"{len(profiles)} shoppers make no segment of {least}; gather more, or lower the least"
        )
    profiles = profiles.sort_values("shopper", ignore_index=True)
    flat = shopper_features(profiles)
    measure = Measure.of(flat)
    points = measure.points(profiles)
    centres, labels = _clusters(points, count, least, seed)
    if like is None:
        names, table = _description(flat, labels, measure.categories)
        return Segments(names, measure, centres, table, count)
    stayed = _numbers(like, profiles)
    left = (
        like.count != count
        or np.bincount(stayed, minlength=len(like.names)).min() < least
        or _explained(points, labels) > _MORE * _explained(points, stayed)
    )
    if not left:
        order = np.lexsort((np.arange(len(like.names)), -np.bincount(stayed)))
        known = dict(enumerate(like.names[place] for place in order))
        names, table = _description(flat, np.argsort(order)[stayed], measure.categories, known)
        return replace(like, names=names, centres=like.centres[order], table=table)
    known = _kept(stayed, labels, like.names)
    names, table = _description(flat, labels, measure.categories, known, like.names)
    return Segments(names, measure, centres, table, count, like.version + 1)


def _interest(flat: pd.DataFrame) -> Floats:
    """(N,), in views."""
    counts = flat[[f"{kind}s" for kind in KIND_WEIGHTS]].to_numpy(dtype=np.float64)
    interest: Floats = counts @ np.array(list(KIND_WEIGHTS.values()))
    return interest


def _nearest(points: Floats, centres: Floats) -> npt.NDArray[np.intp]:
    nearest: npt.NDArray[np.intp] = np.argmin(cdist(points, centres, "sqeuclidean"), axis=1)
    return nearest


Clusters = tuple[Floats, npt.NDArray[np.intp]]
"""Centres, the largest cluster first, and which is each point's."""


def _clusters(
    points: Floats, count: int, least: int, seed: int
) -> tuple[Floats, npt.NDArray[np.intp]]:
    """Centres, the largest cluster first, and each point's nearest, all with ``least`` points."""
    # Added zero: -0 and 0 are one.
    different = len(np.unique(np.rint(points / _SAME) + 0.0, axis=0))
    wanted = min(count, len(points) // least, different)
    # One thread: sums in another order would give other bytes on another machine.
    with threadpool_limits(1), warnings.catch_warnings():
        # Fewer different points than were counted, by rounding: `_apart` sees to that.
        warnings.simplefilter("ignore", ConvergenceWarning)
        centres = KMeans(wanted, n_init=10, random_state=seed).fit(points).cluster_centers_
    centres = _apart(centres)
    while True:
        labels = _nearest(points, centres)
        sizes = np.bincount(labels, minlength=len(centres))
        if sizes.min() >= least:
            order = np.lexsort((*centres.T[::-1], -sizes))
            return centres[order], np.argsort(order)[labels]
        centres = np.delete(centres, sizes.argmin(), axis=0)


def _numbers(segments: Segments, profiles: pd.DataFrame) -> npt.NDArray[np.intp]:
    """Each profile's place among the names."""
    names = pd.Index(segments.names)
    places: npt.NDArray[np.intp] = names.get_indexer(pd.Index(segments.assign(profiles)))
    return places


def _explained(points: Floats, labels: npt.NDArray[np.intp]) -> float:
    """How much of the points' summed squared distance from their middle lies between groups."""
    sums = np.zeros((labels.max() + 1, points.shape[1]))
    np.add.at(sums, labels, points - points.mean(axis=0))
    sizes = np.maximum(np.bincount(labels), 1)
    return float(((sums**2).sum(axis=1) / sizes).sum())


def _kept(
    earlier: npt.NDArray[np.intp], labels: npt.NDArray[np.intp], names: tuple[str, ...]
) -> dict[int, str]:
    """Names that go on, by label."""
    shared = np.zeros((len(names), labels.max() + 1))
    np.add.at(shared, (earlier, labels), 1)
    pairs = zip(*linear_sum_assignment(shared, maximize=True), strict=True)
    return {
        int(label): names[name]
        for name, label in pairs
        if 0 < shared[name].sum() <= 2 * shared[name, label]
    }


def _apart(centres: Floats) -> Floats:
    """The centres without those that repeat an earlier one but for rounding."""
    kept: list[int] = []
    for place, centre in enumerate(centres):
        if all(np.abs(centre - centres[other]).max() > _SAME for other in kept):
            kept.append(place)
    return centres[kept]


def _description(
    flat: pd.DataFrame,
    labels: npt.NDArray[np.intp],
    categories: tuple[str, ...],
    known: Mapping[int, str] = MappingProxyType({}),
    earlier: Sequence[str] = (),
) -> tuple[tuple[str, ...], pd.DataFrame]:
    """Names and the table of the segments, in the order of their labels.

    Labels in ``known`` have their name; the others' is none of ``earlier``.
    """
    means = flat.groupby(labels).mean()
    overall = flat.mean()
    shares = means[[f"share_{name}" for name in categories]].set_axis(list(categories), axis=1)
    usual = overall[[f"share_{name}" for name in categories]].set_axis(list(categories))
    dearer = means["price_level"] - overall["price_level"]
    names: list[str] = []
    for label, (_, row) in enumerate((shares - usual).iterrows()):
        taken = [*earlier, *names]
        names.append(known.get(label) or _name(row, float(dearer.iloc[label]), taken))
    sizes = np.bincount(labels)
    top = [_ordered(row[row > 0])[:3] for _, row in shares.iterrows()]
    table = pd.DataFrame(
        {
            "shoppers": sizes,
            "share": sizes / len(labels),
            "top_categories": [", ".join(some) for some in top],
        },
        index=pd.Index(names, name="segment", dtype=object),
    )
    kept = ["views", "carts", "purchases", "price_level", "days_since_seen"]
    return tuple(names), table.join(means[kept].set_axis(table.index))


def _name(leads: pd.Series[Any], dearer: float, taken: list[str]) -> str:
    """A name by the categories that a segment likes more than the shop does, not yet taken."""
    liked = [re.sub(r"\W+", "-", c).strip("-").lower() for c in _ordered(leads[leads >= _LEAD])]
    plain = f"{liked[0]}-lovers" if liked else "all-rounders"
    options = [plain]
    if abs(dearer) > _NOISE:
        options.append(f"{'premium' if dearer > 0 else 'budget'}-{plain}")
    if len(liked) > 1:
        options.append(f"{liked[0]}-and-{liked[1]}-lovers")
    options += [f"{plain}-{number}" for number in range(2, len(taken) + 3)]
    return next(option for option in options if option not in taken)


def _ordered(values: pd.Series[Any]) -> list[str]:
    """Names by falling value, ties by name; what differs by rounding alone is a tie."""
    rounded = values.astype("float64").round(9)
    return sorted((str(name) for name in values.index), key=lambda name: (-rounded[name], name))

"""Learned effects: which were met, how large they are, and what they add up to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from persona_img.ranking.columns import PHOTO, Owners, Places, blocks, effects
from persona_img.ranking.repeated import Repeated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from persona_img.ranking.base import Floats
    from persona_img.ranking.columns import Block, Names
    from persona_img.ranking.posterior import Posterior

_SELDOM = ("segment x text x value", "product x value")
_LEAST_TOLD = 0.05
"""Share of its prior variance that a rare effect must be able to lose, to get a column."""

_LEAST_VARIANCE = 1e-8

_AT_ONCE = 1 << 20
"""Most covariances of segments' effects held at the same time: 8 MB."""


@dataclass(frozen=True)
class Met:
    """Which columns of a kind of effect were met, and where they begin among all.

    Attributes:
        name: Of the kind.
        of: The text column it is about; empty for none.
        ids: int64 (K,), sorted: the kind's columns.
        start: Of the first.
    """

    name: str
    of: str
    ids: NDArray[np.int64]
    start: int

    @classmethod
    def among(cls, block: Block, told: Floats, spread: float, start: int) -> Met:
        """The columns that occur; of rare kinds those that there is enough traffic for.

        Args:
            block: Of n rows.
            told: (n,) what a row tells of its log-odds: their Fisher information.
            spread: Prior standard deviation of the kind.
            start: Of the first column.
        """
        effect = block.effect
        ids, place = np.unique(block.column, return_inverse=True)
        if effect.kind in _SELDOM and len(ids):
            worth = np.bincount(place, told[block.row]) * spread**2
            ids = ids[worth > _LEAST_TOLD]
        return cls(effect.kind, effect.of, ids, start)

    def columns(self, block: Block) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Columns among all, and whether each is known."""
        if not len(self.ids):
            return np.zeros(len(block.column), np.int64), np.zeros(len(block.column), np.bool_)
        place = np.minimum(np.searchsorted(self.ids, block.column), len(self.ids) - 1)
        return self.start + place, self.ids[place] == block.column

    def cells(self, block: Block) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
        """Rows, columns among all, and values of what is known."""
        column, known = self.columns(block)
        return block.row[known], column[known], block.value[known]

    def of_owners(self, mean: Floats, owner: NDArray[np.int64], width: int) -> Floats:
        """What owners' columns were learned to be; 0 where nothing was.

        Args:
            mean: (D,) all effects.
            owner: Codes of any shape, -1 for nobody.
            width: Columns of an owner.

        Returns:
            float64, the owners' shape and ``width``.
        """
        codes, place = np.unique(owner, return_inverse=True)
        first = np.searchsorted(self.ids, codes * width)
        counts = np.where(codes < 0, 0, np.searchsorted(self.ids, (codes + 1) * width) - first)
        row = np.repeat(np.arange(len(codes)), counts)
        column = np.arange(len(row)) + np.repeat(first - np.cumsum(counts) + counts, counts)
        found = np.zeros((len(codes), width))
        found[row, self.ids[column] - codes[row] * width] = mean[self.start + column]
        return found[place.reshape(owner.shape)]

    def of_owner(
        self, owner: NDArray[np.int64], width: int
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """(O, width) columns among all of O owners, -1 for nobody, and whether each was met."""
        wanted = owner[:, None] * width + np.arange(width)
        if not len(self.ids):
            return np.zeros_like(wanted), np.zeros(wanted.shape, dtype=np.bool_)
        place = np.minimum(np.searchsorted(self.ids, wanted), len(self.ids) - 1)
        return self.start + place, (self.ids[place] == wanted) & (owner >= 0)[:, None]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"name": self.name, "of": self.of, "ids": self.ids.tolist(), "start": self.start}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Met:
        """The inverse of :meth:`as_dict`."""
        ids = np.array(values["ids"], dtype=np.int64)
        return cls(values["name"], values["of"], ids, values["start"])


@dataclass(frozen=True)
class Design:
    """Cells as rows of effects.

    Attributes:
        names: What occurs in them.
        kinds: Which columns of every kind of effect.
        matrix: (n, D).
        block: int64 (D,), which kind a column is of.
        expected: float64 (B,), prior standard deviation of each kind.
    """

    names: Names
    kinds: tuple[Met, ...]
    matrix: Repeated
    block: NDArray[np.int64]
    expected: Floats

    @classmethod
    def of(
        cls,
        names: Names,
        places: Places,
        clicks: Floats,
        misses: Floats,
        spreads: Mapping[str, float],
    ) -> Design:
        """The columns that n cells meet, of rare kinds those there is enough traffic for.

        Args:
            names: What occurs in them.
            places: The cells.
            clicks: (n,), >= 0, not all 0.
            misses: (n,), >= 0, not all 0.
            spreads: Prior standard deviations by kind.
        """
        usual = float(clicks.sum() / (clicks.sum() + misses.sum()))
        shared, place = places.anywhere()
        told = np.bincount(place, clicks + misses).astype(np.float64) * usual * (1.0 - usual)
        kinds: list[Met] = []
        parts, owner = [], []
        width = 0
        for block in blocks(names, shared):
            kind = Met.among(block, told, spreads[block.effect.kind], width)
            parts.append(kind.cells(block))
            owner.append(np.full(len(kind.ids), len(kinds)))
            kinds.append(kind)
            width += len(kind.ids)
        distinct = _joined(parts, (len(told), width))
        matrix = _placed(distinct, place, places, kinds)
        expected = np.array([spreads[kind.name] for kind in kinds])
        return cls(names, tuple(kinds), matrix, np.concatenate(owner), expected)

    def rows(self, places: Places) -> Repeated:
        """(k, D) of other cells; effects that these do not have are left out."""
        return _rows(self.names, self.kinds, places, self.matrix.shape[1])


@dataclass(frozen=True)
class Effects:
    """Everything that was learned of a feedback.

    Attributes:
        names: What occurred in it.
        kinds: Which columns of every kind of effect, in the order of
            :func:`~persona_img.ranking.columns.effects`.
        posterior: Of the D effects.
    """

    names: Names
    kinds: tuple[Met, ...]
    posterior: Posterior

    @cached_property
    def root(self) -> Floats:
        """(J, J) lower factor of the joint covariance."""
        joint = self.posterior.joint
        # Rounded to float32, it may have lost definiteness by as much.
        slack = 1e-6 * np.diag(joint).max()
        return np.asarray(np.linalg.cholesky(joint + slack * np.eye(len(joint))))

    def rows(self, places: Places) -> Repeated:
        """(k, D) of cells; effects that these do not have are left out."""
        return _rows(self.names, self.kinds, places, len(self.posterior.mean))

    def drawn(self, rng: np.random.Generator) -> Floats:
        """(D,) effects as they may truly be."""
        posterior = self.posterior
        luck = rng.normal(size=len(posterior.mean))
        size = len(posterior.joint)
        mean = posterior.mean.copy()
        mean[:size] += self.root @ luck[:size]
        mean[size:] += np.sqrt(posterior.rest) * luck[size:]
        return mean

    def scores(
        self, segments: Sequence[str], products: Sequence[str], keys: Sequence[str]
    ) -> Floats:
        """(K, P, S) log-odds at position 1: what :meth:`predicted` says, many at once."""
        value, photo, pair, _ = self.names.looks(tuple(keys))
        owners = Owners.of(self.names, segments, products)
        width = {"one": 1, "value": value.shape[1], PHOTO: 1, "pair": pair.shape[1]}
        added = {
            what: np.zeros((len(segments), len(products), count))
            for what, count in width.items()
            if what != "pair"
        }
        # Pairs are the same for every segment: kept apart, there are many of them.
        pairs = np.zeros((1, 1, len(keys)))
        for kind, effect in zip(self.kinds, effects(self.names), strict=True):
            if effect.what == "place":
                continue
            mean, count = self.posterior.mean, width[effect.what]
            times = owners.times(effect)
            if effect.what == "pair":
                learned = pair @ kind.of_owners(mean, np.zeros(1, np.int64), count)[0]
                known = owners.codes(effect)[:1] >= 0
                pairs = pairs + np.where(known, times, 0.0)[..., None] * learned
            else:
                own = kind.of_owners(mean, owners.codes(effect), count)
                added[effect.what] += times[..., None] * own
        found = added["value"] @ value.toarray().T
        found += added["one"] + pairs
        found += added[PHOTO] * photo.toarray()[:, 0]
        return np.asarray(found, dtype=np.float64)

    def predicted(self, segment: str, product: str, keys: Sequence[str]) -> tuple[Floats, Floats]:
        """(S,) log-odds at position 1, and the (S, S) covariance of what styles add."""
        n = len(keys)
        none = np.zeros(n, dtype=np.int64)
        places = Places(none, none, np.arange(n), np.ones(n), [segment], [product], keys)
        score, unknown = np.zeros(n), np.zeros(n)
        rows, columns, values = [], [], []
        for code, (kind, block) in enumerate(
            zip(self.kinds, blocks(self.names, places), strict=True)
        ):
            row, column, value = kind.cells(block)
            score += np.bincount(row, value * self.posterior.mean[column], minlength=n)
            if block.effect.style:
                unmet = np.bincount(block.row, block.value**2, minlength=n)
                unmet -= np.bincount(row, value**2, minlength=n)
                unknown += (block.missing + unmet) * self.posterior.spread[code] ** 2
                rows.append(row)
                columns.append(column)
                values.append(value)
        used, place = np.unique(np.concatenate(columns), return_inverse=True)
        look = np.zeros((n, len(used)))
        look[np.concatenate(rows), place] = np.concatenate(values)
        covariance = look @ self.posterior.covariance(used) @ look.T
        covariance[np.diag_indices(n)] += unknown
        return score, covariance

    def of_product(
        self, product: str, segments: Sequence[str], keys: Sequence[str]
    ) -> tuple[Floats, Floats]:
        """What :meth:`predicted` says of K segments at once: (K, S), and (K, S, S)."""
        count, size = len(segments), len(keys)
        value, photo, pair, stranger = self.names.looks(tuple(keys))
        parts = {
            "one": np.ones((size, 1)),
            "value": value.toarray(),
            PHOTO: photo.toarray(),
            "pair": pair.toarray(),
        }
        owners = Owners.of(self.names, segments, [product])
        posterior = self.posterior
        score, unknown = np.zeros((count, size)), np.zeros((count, size))
        shared: list[_Columns] = []
        single: list[_Columns] = []
        for code, (kind, effect) in enumerate(zip(self.kinds, effects(self.names), strict=True)):
            if effect.what == "place":  # the logarithm of the first is 0
                continue
            look = parts[effect.what] * owners.times(effect).reshape(-1)[0]
            used = look.any(axis=0)
            by_segment = effect.owner.startswith("segment")
            owner = owners.codes(effect).reshape(-1) if by_segment else owners.codes(effect)[:1, 0]
            column, met = kind.of_owner(owner, look.shape[1])
            look, column, met = look[:, used], column[:, used], met[:, used]
            score += np.where(met, posterior.mean[np.where(met, column, 0)], 0.0) @ look.T
            if effect.style:
                absent = (~met).astype(np.float64) @ look.T**2
                if effect.what == "value":
                    absent = absent + stranger
                unknown += absent * posterior.spread[code] ** 2
                (single if by_segment else shared).append(_Columns(look, column, met))
        everybody = _Columns.joined(shared, 1)
        covariance = np.repeat(everybody.own(posterior), count, axis=0)
        some = max(1, _AT_ONCE // max(1, sum(part.column.shape[1] for part in single) ** 2))
        for start in range(0, count, some):
            these = [
                _Columns(p.look, p.column[start : start + some], p.met[start : start + some])
                for p in single
            ]
            each = _Columns.joined(these, len(these[0].column))
            between = each.between(everybody, posterior)
            covariance[start : start + some] += (
                each.own(posterior) + between + between.transpose(0, 2, 1)
            )
        covariance[:, np.arange(size), np.arange(size)] += unknown
        return score, covariance


@dataclass(frozen=True)
class _Columns:
    """What styles of some owners add: owner by owner the same looks, in columns of their own.

    Attributes:
        look: (M, W), what M styles have of W parts.
        column: int64 (O, W), of O owners, among all effects.
        met: bool (O, W), whether the column was learned.
    """

    look: Floats
    column: NDArray[np.int64]
    met: NDArray[np.bool_]

    @classmethod
    def joined(cls, parts: Sequence[_Columns], count: int) -> _Columns:
        """Of ``count`` owners, beside each other."""
        width = sum(part.column.shape[1] for part in parts)
        return cls(
            np.concatenate([part.look for part in parts], axis=1),
            np.concatenate([part.column for part in parts], axis=1).reshape(count, width),
            np.concatenate([part.met for part in parts], axis=1).reshape(count, width),
        )

    def own(self, posterior: Posterior) -> Floats:
        """(O, M, M) covariances of what the styles add by these columns."""
        size = len(posterior.joint)
        first = self.met & (self.column < size)
        at = np.where(first, self.column, 0)
        joint = posterior.joint[at[:, :, None], at[:, None, :]]
        joint = joint * (first[:, :, None] & first[:, None, :])
        late = self.met & ~first
        alone = np.zeros(self.column.shape)
        alone[late] = posterior.rest[self.column[late] - size]
        found = self.look @ joint @ self.look.T + (self.look * alone[:, None, :]) @ self.look.T
        return np.asarray(found, dtype=np.float64)

    def between(self, shared: _Columns, posterior: Posterior) -> Floats:
        """(O, M, M) covariances of what these columns add with what ``shared`` ones of all do."""
        size = len(posterior.joint)
        theirs = np.flatnonzero((shared.met & (shared.column < size))[0])
        mine = self.met & (self.column < size)
        wanted, place = np.unique(np.where(mine, self.column, 0), return_inverse=True)
        part = posterior.joint[np.ix_(wanted, shared.column[0, theirs])]
        along = (part @ shared.look[:, theirs].T)[place.reshape(mine.shape)] * mine[:, :, None]
        return np.asarray(self.look @ along, dtype=np.float64)


def independent(covariance: Floats) -> Floats:
    """Variances of independent errors whose differences vary as those of the correlated ones do.

    Only differences decide which style is best. With them go what all styles share, and, where the
    correlations are equal, nothing is lost; else it is the least-squares fit over pairs.

    Args:
        covariance: (S, S), or (N, S, S) of N slates.

    Returns:
        float64 (S,) or (N, S), > 0.
    """
    size = covariance.shape[-1]
    own = np.diagonal(covariance, axis1=-2, axis2=-1)
    difference = own[..., :, None] + own[..., None, :] - 2.0 * covariance
    total = difference.sum(axis=-1)
    if size == 1:
        found = own
    elif size == 2:
        found = total / 2.0
    else:
        found = (total - total.sum(axis=-1, keepdims=True) / (2.0 * (size - 1))) / (size - 2)
    return np.asarray(np.maximum(found, _LEAST_VARIANCE), dtype=np.float64)


def _rows(names: Names, kinds: Sequence[Met], places: Places, width: int) -> Repeated:
    shared, place = places.anywhere()
    parts = [kind.cells(block) for kind, block in zip(kinds, blocks(names, shared), strict=True)]
    distinct = _joined(parts, (len(shared.position), width))
    return _placed(distinct, place, places, kinds)


def _placed(
    distinct: sparse.csr_array, place: NDArray[np.int64], places: Places, kinds: Sequence[Met]
) -> Repeated:
    """Rows at their positions; the first, at which the distinct ones are, has the logarithm 0."""
    (column,) = (kind.start for kind in kinds if kind.name == "place")
    return Repeated(distinct, place, np.log(places.position), column)


def _joined(
    parts: Sequence[tuple[NDArray[np.int64], NDArray[np.int64], Floats]], shape: tuple[int, int]
) -> sparse.csr_array:
    row, column, value = (np.concatenate(some) for some in zip(*parts, strict=True))
    cells = (row.astype(np.int32), column.astype(np.int32))
    made = sparse.csr_array((value, cells), shape=shape)
    made.eliminate_zeros()
    return made

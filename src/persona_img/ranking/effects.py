"""Learned effects: which were met, how large they are, and what they add up to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from persona_img.ranking.columns import PHOTO, Owners, Places, blocks, effects

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
        matrix: Sparse (n, D).
        block: int64 (D,), which kind a column is of.
        expected: float64 (B,), prior standard deviation of each kind.
    """

    names: Names
    kinds: tuple[Met, ...]
    matrix: sparse.csr_array
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
        told = (clicks + misses) * usual * (1.0 - usual)
        kinds: list[Met] = []
        parts, owner = [], []
        width = 0
        for block in blocks(names, places):
            kind = Met.among(block, told, spreads[block.effect.kind], width)
            parts.append(kind.cells(block))
            owner.append(np.full(len(kind.ids), len(kinds)))
            kinds.append(kind)
            width += len(kind.ids)
        matrix = _joined(parts, (len(clicks), width))
        expected = np.array([spreads[kind.name] for kind in kinds])
        return cls(names, tuple(kinds), matrix, np.concatenate(owner), expected)

    def rows(self, places: Places) -> sparse.csr_array:
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

    def rows(self, places: Places) -> sparse.csr_array:
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
        # Pairs are the same for everybody: kept apart, there are many of them.
        pairs = np.zeros(width["pair"])
        for kind, effect in zip(self.kinds, effects(self.names.texts), strict=True):
            if effect.what == "place":
                continue
            mean, count = self.posterior.mean, width[effect.what]
            if effect.what == "pair":
                pairs += kind.of_owners(mean, np.zeros(1, np.int64), count)[0]
            else:
                added[effect.what] += kind.of_owners(mean, owners.codes(effect), count)
        found = added["value"] @ value.toarray().T
        found += added["one"] + pair @ pairs
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
                unmet = np.bincount(block.row, minlength=n) - np.bincount(row, minlength=n)
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


def independent(covariance: Floats) -> Floats:
    """Variances of independent errors whose differences vary as those of the correlated ones do.

    Only differences decide which style is best. With them go what all styles share, and, where the
    correlations are equal, nothing is lost; else it is the least-squares fit over pairs.

    Args:
        covariance: (S, S).

    Returns:
        float64 (S,), > 0.
    """
    size = len(covariance)
    own = np.diag(covariance)
    difference = own[:, None] + own[None, :] - 2.0 * covariance
    total = difference.sum(axis=1)
    if size == 1:
        found = own
    elif size == 2:
        found = total / 2.0
    else:
        found = (total - total.sum() / (2.0 * (size - 1))) / (size - 2)
    return np.asarray(np.maximum(found, _LEAST_VARIANCE), dtype=np.float64)


def _rows(names: Names, kinds: Sequence[Met], places: Places, width: int) -> sparse.csr_array:
    parts = [kind.cells(block) for kind, block in zip(kinds, blocks(names, places), strict=True)]
    return _joined(parts, (len(places.position), width))


def _joined(
    parts: Sequence[tuple[NDArray[np.int64], NDArray[np.int64], Floats]], shape: tuple[int, int]
) -> sparse.csr_array:
    row, column, value = (np.concatenate(some) for some in zip(*parts, strict=True))
    cells = (row.astype(np.int32), column.astype(np.int32))
    return sparse.csr_array((value, cells), shape=shape)

"""Who saw what, as sparse columns: one block of columns for every kind of effect.

Most columns of a row are zero and most combinations never occur, so rows are built as indices and a
block keeps only the columns that were met: a million cells take hundreds of megabytes, not tens of
gigabytes.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from persona_img.domain.style import Style

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from persona_img.ranking.base import Floats, RankingFeatures

Codes = NDArray[np.int64]

PHOTO = "photo"
"""The column of the original photograph, which has no attribute values."""


@dataclass(frozen=True)
class Places:
    """n rows: what was shown to whom, by name, and at which position.

    Attributes:
        segment: (n,) codes into ``segments``.
        product: (n,) codes into ``products``.
        style: (n,) codes into ``styles``.
        position: float64 (n,), from 1.
        segments: Names.
        products: Names.
        styles: Keys.
    """

    segment: Codes
    product: Codes
    style: Codes
    position: Floats
    segments: Sequence[str]
    products: Sequence[str]
    styles: Sequence[str]


@dataclass(frozen=True)
class Names:
    """What occurs in the feedback; anything else has no column.

    Attributes:
        segments: Sorted.
        products: Sorted.
        values: Pairs (attribute, value), sorted.
        texts: Text columns of products, each with product to value.
    """

    segments: tuple[str, ...]
    products: tuple[str, ...]
    values: tuple[tuple[str, str], ...]
    texts: Mapping[str, Mapping[str, str]]

    @classmethod
    def of(cls, places: Places, features: RankingFeatures) -> Names:
        """Names of everything that occurs."""
        pairs = {pair for key in places.styles for pair in Style(key).values.items()}
        met = set(places.products)
        text = features.products.select_dtypes(exclude="number")
        texts = {
            str(column): {
                str(product): str(value)
                for product, value in text[column].dropna().items()
                if str(product) in met
            }
            for column in text.columns
        }
        return cls(tuple(sorted(places.segments)), tuple(sorted(met)), tuple(sorted(pairs)), texts)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "segments": self.segments,
            "products": self.products,
            "values": self.values,
            "texts": {column: dict(table) for column, table in self.texts.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Names:
        """The inverse of :meth:`as_dict`."""
        return cls(
            tuple(values["segments"]),
            tuple(values["products"]),
            tuple((attribute, value) for attribute, value in values["values"]),
            values["texts"],
        )

    @cached_property
    def kinds(self) -> Mapping[str, tuple[str, ...]]:
        """Text column to its values, sorted."""
        return {column: tuple(sorted(set(t.values()))) for column, t in self.texts.items()}

    def looks(self, styles: tuple[str, ...]) -> tuple[Any, Any, Any, Codes]:
        """What T styles look like, kept until other styles are asked for.

        Returns:
            Sparse (T, V) values, (T, 1) whether it is the photo, (T, P) pairs of values, and int64
            (T,), how many of a style's values are unknown.
        """
        if styles not in self._kept:
            self._kept.clear()
            self._kept[styles] = self._looks(styles)
        return self._kept[styles]

    @cached_property
    def _kept(self) -> dict[tuple[str, ...], tuple[Any, Any, Any, Codes]]:
        return {}

    def _looks(self, styles: tuple[str, ...]) -> tuple[Any, Any, Any, Codes]:
        column = {pair: v for v, pair in enumerate(self.values)}
        shown = [Style(key) for key in styles]
        known = [sorted(column[p] for p in s.values.items() if p in column) for s in shown]
        pairs = [[self.pairs[p] for p in itertools.combinations(mine, 2)] for mine in known]
        unknown = [len(s.values) - len(mine) for s, mine in zip(shown, known, strict=True)]
        return (
            _indicators(known, len(column)),
            _indicators([[0] if s.is_original else [] for s in shown], 1),
            _indicators(pairs, len(self.pairs)),
            np.array(unknown, dtype=np.int64),
        )

    @cached_property
    def pairs(self) -> Mapping[tuple[int, int], int]:
        """Two values of different attributes, to the pair's column."""
        meeting = (
            (i, j)
            for i, j in itertools.combinations(range(len(self.values)), 2)
            if self.values[i][0] != self.values[j][0]
        )
        return {pair: column for column, pair in enumerate(meeting)}


@dataclass(frozen=True)
class Block:
    """Columns of one kind of effect, for n rows, before the columns that nobody met are dropped.

    Attributes:
        kind: Name of the effect, which has one prior spread; ``text`` is any text column.
        of: Name of the text column, where it is about one.
        row: int64 (m,), sorted.
        column: int64 (m,).
        value: float64 (m,).
        missing: int64 (n,): columns that the row would have, if its names were known.
        style: Whether it tells styles of one segment and product apart.
    """

    kind: str
    of: str
    row: Codes
    column: Codes
    value: Floats
    missing: Codes
    style: bool


def blocks(names: Names, places: Places) -> Iterator[Block]:
    """Every kind of effect for every row; what all share first, what few share last."""
    n = len(places.position)
    value, photo, pair, stranger = names.looks(tuple(places.styles))
    alone = np.zeros(n, dtype=np.int64)
    segment = _codes(places.segments, names.segments)[places.segment]
    product = _codes(places.products, names.products)[places.product]
    kinds = {
        column: _codes([names.texts[column].get(p, "") for p in places.products], known)[
            places.product
        ]
        for column, known in names.kinds.items()
    }
    one = sparse.csr_array(np.ones((len(places.styles), 1)))

    def block(
        kind: str, owner: Codes, what: sparse.csr_array, of: str = "", *, style: bool = True
    ) -> Block:
        extra = stranger[places.style] if what is value else alone
        row, column, known, missing = _crossed(owner, what, places.style)
        return Block(kind, of, row, column, known, missing + extra, style)

    yield block("base", alone, one, style=False)
    rows = np.arange(n)
    yield Block("place", "", rows, alone, np.log(places.position), alone, style=False)
    yield block("segment", segment, one, style=False)
    for column, code in kinds.items():
        yield block("text", code, one, column, style=False)
        both = _both(segment, code, names.kinds[column])
        yield block("segment x text", both, one, column, style=False)
    yield block("product", product, one, style=False)
    yield block("value", alone, value)
    yield block(PHOTO, alone, photo)
    yield block("pair", alone, pair)
    yield block("segment x value", segment, value)
    yield block(f"segment x {PHOTO}", segment, photo)
    for column, code in kinds.items():
        yield block("text x value", code, value, column)
        yield block(f"text x {PHOTO}", code, photo, column)
    yield block(f"product x {PHOTO}", product, photo)
    for column, code in kinds.items():
        both = _both(segment, code, names.kinds[column])
        yield block("segment x text x value", both, value, column)
    yield block("product x value", product, value)


def _both(left: Codes, right: Codes, known: Sequence[str]) -> Codes:
    """One code for two; -1 where either is unknown."""
    return np.where((left < 0) | (right < 0), -1, left * len(known) + right)


def _codes(names: Sequence[str], known: Sequence[str]) -> Codes:
    index = {name: code for code, name in enumerate(known)}
    return np.array([index.get(name, -1) for name in names], dtype=np.int64)


def _indicators(rows: Sequence[Sequence[int]], width: int) -> sparse.csr_array:
    ends = np.cumsum([0, *map(len, rows)])
    columns = np.array([c for row in rows for c in row], dtype=np.int64)
    return sparse.csr_array((np.ones(len(columns)), columns, ends), shape=(len(rows), width))


def _crossed(
    owner: Codes, what: sparse.csr_array, place: Codes
) -> tuple[Codes, Codes, Floats, Codes]:
    """Columns (owner, one of ``what``'s) for rows of those owners and styles; -1 owns nothing.

    Returns:
        Rows, columns and values, (m,) each, and (n,) how many columns a row lacks.
    """
    counts = np.diff(what.indptr)[place]
    row = np.repeat(np.arange(len(place)), counts)
    within = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    source = np.repeat(what.indptr[place], counts) + within
    mine = owner[row]
    known = mine >= 0
    column = mine[known] * what.shape[1] + what.indices[source[known]]
    missing = np.where(owner < 0, counts, 0)
    return row[known], column.astype(np.int64), what.data[source[known]], missing

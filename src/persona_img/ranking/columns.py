"""Who saw what, as sparse columns: one block of columns for every kind of effect.

Most columns of a row are zero and most combinations never occur, so rows are built as indices and a
block keeps only the columns that were met: a million cells take hundreds of megabytes, not tens of
gigabytes.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.stats import rankdata

from persona_img.domain.style import Style

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from persona_img.ranking.base import Floats, RankingFeatures

Codes = NDArray[np.int64]

PHOTO = "photo"
"""The column of the original photograph, which has no attribute values."""

NUMBERS = ("price",)
"""Numeric columns of products that tastes may turn with.

What is counted of products (views, purchases) moves from fit to fit, and factors are named anew:
neither is a fact that a taste could be about."""

_BY_NUMBER = ("number", "segment x number")
"""Owners whose columns count as many times as the product's level says."""


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

    def anywhere(self) -> tuple[Places, Codes]:
        """The m different rows without their position, all at 1, and (n,) which of them each is."""
        sizes = (len(self.products), len(self.styles))
        code = (self.segment * sizes[0] + self.product) * sizes[1] + self.style
        distinct, place = np.unique(code, return_inverse=True)
        rest, style = np.divmod(distinct, sizes[1])
        segment, product = np.divmod(rest, sizes[0])
        ones = np.ones(len(distinct))
        rows = replace(self, segment=segment, product=product, style=style, position=ones)
        return rows, place


@dataclass(frozen=True)
class Names:
    """What occurs in the feedback; anything else has no column.

    Attributes:
        segments: Sorted.
        products: Sorted.
        values: Pairs (attribute, value), sorted.
        texts: Text columns of products, each with product to value.
        numbers: Columns of :data:`NUMBERS`, each with product to level.
    """

    segments: tuple[str, ...]
    products: tuple[str, ...]
    values: tuple[tuple[str, str], ...]
    texts: Mapping[str, Mapping[str, str]]
    numbers: Mapping[str, Mapping[str, float]]

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
            # Sorted, as they are in the file from which a ranker comes back.
            for column in sorted(text.columns, key=str)
        }
        number = features.products.select_dtypes("number")
        levels = {
            column: _levels(
                {str(p): float(v) for p, v in number[column].dropna().items() if str(p) in met}
            )
            for column in NUMBERS
            if column in number.columns
        }
        segments, products = (tuple(sorted(some)) for some in (places.segments, met))
        return cls(segments, products, tuple(sorted(pairs)), texts, levels)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "segments": self.segments,
            "products": self.products,
            "values": self.values,
            "texts": {column: dict(table) for column, table in self.texts.items()},
            "numbers": {column: dict(table) for column, table in self.numbers.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Names:
        """The inverse of :meth:`as_dict`."""
        return cls(
            tuple(values["segments"]),
            tuple(values["products"]),
            tuple((attribute, value) for attribute, value in values["values"]),
            values["texts"],
            # Rankers of before knew none.
            values.get("numbers", {}),
        )

    @cached_property
    def kinds(self) -> Mapping[str, tuple[str, ...]]:
        """Text column to its values, sorted."""
        return {column: tuple(sorted(set(t.values()))) for column, t in self.texts.items()}

    @cached_property
    def codes_of_segments(self) -> Mapping[str, int]:
        """Segment to its place."""
        return _numbered(self.segments)

    @cached_property
    def codes_of_products(self) -> Mapping[str, int]:
        """Product to its place."""
        return _numbered(self.products)

    @cached_property
    def codes_of_kinds(self) -> Mapping[str, Mapping[str, int]]:
        """Text column to its values, each with its place."""
        return {column: _numbered(values) for column, values in self.kinds.items()}

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
class Effect:
    """One kind of effect: a column for every owner and every part of what it is about.

    Attributes:
        kind: Name of the effect, which has one prior spread; ``text`` is any text column and
            ``number`` any number of products.
        of: Name of the text column or the number, where it is about one.
        owner: Whose it is: ``all``, ``segment``, ``text``, ``segment x text``, ``product``, or, as
            many times as the product's level says, ``number`` or ``segment x number``.
        what: ``one`` constant, ``place`` (log position), ``value``, ``photo`` or ``pair``.
    """

    kind: str
    of: str
    owner: str
    what: str

    @property
    def named(self) -> str:
        """The kind by the name of its column: ``category x value``."""
        stands = "number" if self.owner in _BY_NUMBER else "text"
        return self.kind.replace(stands, self.of) if self.of else self.kind

    @property
    def style(self) -> bool:
        """Whether it tells styles of one segment and product apart."""
        return self.what not in ("one", "place")


def effects(names: Names) -> Iterator[Effect]:
    """Every kind of effect; what all share first, what few share last."""
    texts, numbers = list(names.texts), list(names.numbers)
    yield Effect("base", "", "all", "one")
    yield Effect("place", "", "all", "place")
    yield Effect("segment", "", "segment", "one")
    for column in texts:
        yield Effect("text", column, "text", "one")
        yield Effect("segment x text", column, "segment x text", "one")
    yield Effect("value", "", "all", "value")
    yield Effect(PHOTO, "", "all", PHOTO)
    yield Effect("pair", "", "all", "pair")
    yield Effect("segment x value", "", "segment", "value")
    yield Effect(f"segment x {PHOTO}", "", "segment", PHOTO)
    for column in texts:
        yield Effect("text x value", column, "text", "value")
        yield Effect(f"text x {PHOTO}", column, "text", PHOTO)
    for column in numbers:
        yield Effect("number x value", column, "number", "value")
        yield Effect("number x pair", column, "number", "pair")
        yield Effect("segment x number x value", column, "segment x number", "value")
    # Of thousands of products none may take the place of what styles share: the first columns are
    # those whose uncertainty is told jointly.
    yield Effect("product", "", "product", "one")
    yield Effect(f"product x {PHOTO}", "", "product", PHOTO)
    for column in texts:
        yield Effect("segment x text x value", column, "segment x text", "value")
    yield Effect("product x value", "", "product", "value")


@dataclass(frozen=True)
class Owners:
    """Codes of those whose effects meet in n rows (or in any shape); -1 is nobody known.

    Attributes:
        segment: Codes into the names' segments.
        product: Codes into the names' products.
        text: Text column to codes into its kinds.
        kinds: Text column to how many kinds it has.
        level: Number to the products' float64 levels; NaN where unknown.
    """

    segment: Codes
    product: Codes
    text: Mapping[str, Codes]
    kinds: Mapping[str, int]
    level: Mapping[str, Floats]

    @classmethod
    def of(cls, names: Names, segments: Sequence[str], products: Sequence[str]) -> Owners:
        """Codes of K segments and P products, shaped (K, 1) and (1, P)."""
        text = {
            column: _codes([names.texts[column].get(p, "") for p in products], known)[None, :]
            for column, known in names.codes_of_kinds.items()
        }
        return cls(
            _codes(segments, names.codes_of_segments)[:, None],
            _codes(products, names.codes_of_products)[None, :],
            text,
            {column: len(known) for column, known in names.kinds.items()},
            {
                column: np.array([[table.get(p, np.nan) for p in products]])
                for column, table in names.numbers.items()
            },
        )

    def at(self, segment: Codes, product: Codes) -> Owners:
        """Codes of (n,) rows of these segments and products."""
        text = {column: codes[0, product] for column, codes in self.text.items()}
        level = {column: levels[0, product] for column, levels in self.level.items()}
        return Owners(self.segment[segment, 0], self.product[0, product], text, self.kinds, level)

    def codes(self, effect: Effect) -> Codes:
        """Whose column of the effect it is, -1 where nobody has one."""
        if effect.owner == "all":
            return np.zeros(np.broadcast_shapes(self.segment.shape, self.product.shape), np.int64)
        if effect.owner == "segment":
            return self.segment
        if effect.owner == "product":
            return self.product
        if effect.owner in _BY_NUMBER:
            own = self.segment if effect.owner == "segment x number" else np.zeros(1, np.int64)
            return np.where(np.isnan(self.level[effect.of]), -1, own)
        code = self.text[effect.of]
        if effect.owner == "text":
            return code
        both = self.segment * self.kinds[effect.of] + code
        return np.where((self.segment < 0) | (code < 0), -1, both)

    def times(self, effect: Effect) -> Floats:
        """How many times a column of the effect counts: by number its level, else once.

        Returns:
            float64, of a shape that goes with that of :meth:`codes`; 1, a usual distance from the
            middle, where the level is unknown.
        """
        if effect.owner in _BY_NUMBER:
            return np.nan_to_num(self.level[effect.of], nan=1.0)
        return np.ones(1)


@dataclass(frozen=True)
class Block:
    """Columns of one kind of effect, for n rows, before the columns that nobody met are dropped.

    Attributes:
        effect: Of which kind.
        row: int64 (m,), sorted.
        column: int64 (m,).
        value: float64 (m,).
        missing: (n,) columns that the row would have, if its names were known; by number the
            squares of what they would hold.
    """

    effect: Effect
    row: Codes
    column: Codes
    value: Floats
    missing: Codes | Floats


def blocks(names: Names, places: Places) -> Iterator[Block]:
    """The columns of every kind of effect for every row."""
    n = len(places.position)
    value, photo, pair, stranger = names.looks(tuple(places.styles))
    one = sparse.csr_array(np.ones((len(places.styles), 1)))
    parts = {"one": one, "value": value, PHOTO: photo, "pair": pair}
    owners = Owners.of(names, places.segments, places.products).at(places.segment, places.product)
    for effect in effects(names):
        if effect.what == "place":
            alone = np.zeros(n, dtype=np.int64)
            yield Block(effect, np.arange(n), alone, np.log(places.position), alone)
            continue
        row, column, known, lacking = _crossed(
            owners.codes(effect), parts[effect.what], places.style
        )
        missing: Codes | Floats = lacking
        if effect.owner in _BY_NUMBER:
            times = owners.times(effect)
            known, missing = known * times[row], lacking * times**2
        if effect.what == "value":
            missing = missing + stranger[places.style]
        yield Block(effect, row, column, known, missing)


def _levels(numbers: Mapping[str, float]) -> dict[str, float]:
    """Products' levels: evenly spread by rank, with mean 0 and spread 1, equal where numbers are.

    By rank, for a few very dear products would else make all others alike.
    """
    if not numbers:
        return {}
    known = np.array(list(numbers.values()))
    rank = rankdata(known) - (len(known) + 1) / 2.0
    spread = float(rank.std())
    level = rank / spread if spread else rank
    return dict(zip(numbers, level.tolist(), strict=True))


def _numbered(names: Sequence[str]) -> Mapping[str, int]:
    return {name: code for code, name in enumerate(names)}


def _codes(names: Sequence[str], known: Mapping[str, int]) -> Codes:
    return np.array([known.get(name, -1) for name in names], dtype=np.int64)


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

"""Segment, product, style and position as numbers."""

from __future__ import annotations

import itertools
import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from persona_img.domain.style import Style
from persona_img.ranking.columns import Places

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from persona_img.ranking.base import Floats, RankingFeatures

_AT_ONCE = 1 << 16
"""Rows that are filled in at a time."""


@dataclass(frozen=True)
class Spread:
    """Prior standard deviations of effects on the log-odds of a click, before any click is seen.

    Attributes:
        place: Logarithm of the position.
        product: Products, segments and their categories.
        value: A style attribute's value, for everybody.
        by_segment: The same, a segment's difference from everybody.
        by_category: The same, a product category's difference.
        by_pair: Two values together, beyond each alone.
    """

    place: float = 1.0
    product: float = 0.3
    value: float = 0.12
    by_segment: float = 0.08
    by_category: float = 0.04
    by_pair: float = 0.04


@dataclass(frozen=True)
class Rows:
    """n rows to encode.

    Attributes:
        segment: n names.
        product: n names.
        style_key: n style keys.
        position: float64 (n,), from 1.
    """

    segment: Sequence[str]
    product: Sequence[str]
    style_key: Sequence[str]
    position: Floats

    def places(self) -> Places:
        """The same by codes."""
        segments, segment = _distinct(self.segment)
        products, product = _distinct(self.product)
        styles, style = _distinct(self.style_key)
        return Places(
            np.array(segment, dtype=np.int64),
            np.array(product, dtype=np.int64),
            np.array(style, dtype=np.int64),
            self.position,
            segments,
            products,
            styles,
        )


@dataclass(frozen=True)
class Encoding:
    """Names seen in training; anything else is encoded as zero effect.

    Attributes:
        segments: Names.
        products: Names.
        values: Pairs (attribute, value).
        texts: Text columns of products, each with product to value.
        numbers: Numeric features by ``segment:column`` or ``product:column``, each with name to
            value, standardised over the names.
    """

    segments: tuple[str, ...]
    products: tuple[str, ...]
    values: tuple[tuple[str, str], ...]
    texts: dict[str, dict[str, str]]
    numbers: dict[str, dict[str, float]]

    @classmethod
    def of(cls, feedback: pd.DataFrame, features: RankingFeatures) -> Encoding:
        """Encoding of everything that occurs in the feedback."""
        styles = [Style(key) for key in sorted(set(feedback["style_key"]))]
        text = features.products.select_dtypes(exclude="number")
        numbers = _standardised("segment", features.segments) | _standardised(
            "product", features.products.select_dtypes("number")
        )
        # Sorted, as they are in the file from which a ranker comes back.
        return cls(
            segments=tuple(sorted(set(feedback["segment"]))),
            products=tuple(sorted(set(feedback["product"]))),
            values=tuple(sorted({pair for s in styles for pair in s.values.items()})),
            texts={
                str(c): {str(k): str(v) for k, v in text[c].dropna().items()}
                for c in sorted(text.columns, key=str)
            },
            numbers=dict(sorted(numbers.items())),
        )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Encoding:
        """The inverse of :meth:`as_dict`."""
        pairs = tuple((attribute, value) for attribute, value in values["values"])
        names = {name: tuple(values[name]) for name in ("segments", "products")}
        return cls(**(values | names | {"values": pairs}))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def linear(self, rows: Rows, spread: Spread) -> tuple[Floats, Floats]:
        """Columns of additive effects and interactions.

        Returns:
            float64 (n, D), and the D prior standard deviations.
        """
        segment = _onehot(rows.segment, self.segments)
        style = self._style(rows.style_key)
        flag = (style.sum(axis=1, keepdims=True) == 0).astype(np.float64)
        look = np.hstack([style, flag])
        categories = [self._text(rows.product, name) for name in self.texts]
        first, second = self._pairs
        blocks = [
            (np.log(rows.position)[:, None], spread.place),
            (_onehot(rows.product, self.products), spread.product),
            (segment, spread.product),
            *((category, spread.product) for category in categories),
            *((_product(segment, category), spread.product / 2) for category in categories),
            (look, spread.value),
            (_product(segment, look), spread.by_segment),
            *((_product(category, look), spread.by_category) for category in categories),
            (style[:, first] * style[:, second], spread.by_pair),
        ]
        prior = np.concatenate([np.full(block.shape[1], sd) for block, sd in blocks])
        return np.hstack([block for block, _ in blocks]), prior

    def added(self, rows: Rows, effects: Floats) -> Floats:
        """(n,) the columns of :meth:`linear` times their (D,) effects, without the columns.

        Of 10,000 products nearly all columns of a row are zero.
        """
        segments, products = len(self.segments), len(self.products)
        known = {name: sorted(set(table.values())) for name, table in self.texts.items()}
        kinds = [len(found) for found in known.values()]
        distinct, style = _distinct(rows.style_key)
        values = self._style(distinct)
        flag = (values.sum(axis=1, keepdims=True) == 0).astype(np.float64)
        look = np.hstack([values, flag])
        width = look.shape[1]
        first, second = self._pairs
        shapes: list[tuple[int, ...]] = [
            (1,),
            (products,),
            (segments,),
            *((kind,) for kind in kinds),
            *((segments, kind) for kind in kinds),
            (width,),
            (segments, width),
            *((kind, width) for kind in kinds),
            (len(first),),
        ]
        ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
        parts = iter(
            part.reshape(shape) for part, shape in zip(np.split(effects, ends), shapes, strict=True)
        )
        segment = _codes(rows.segment, self.segments)
        place, product = _distinct(rows.product)
        category = [
            _codes([self.texts[name].get(p, "") for p in place], found)[product]
            for name, found in known.items()
        ]
        found = np.log(rows.position) * next(parts)
        found += _or_zero(next(parts))[_codes(place, self.products)[product]]
        found += _or_zero(next(parts))[segment]
        for mine in category:
            found += _or_zero(next(parts))[mine]
        for mine in category:
            found += _or_zero(next(parts))[segment, mine]
        found += (look @ next(parts))[style]
        found += _or_zero(next(parts) @ look.T, columns=False)[segment, style]
        for mine in category:
            found += _or_zero(next(parts) @ look.T, columns=False)[mine, style]
        found += ((values[:, first] * values[:, second]) @ next(parts))[style]
        return np.asarray(found, dtype=np.float64)

    def trees(self, places: Places) -> NDArray[np.float32]:
        """Columns for trees, float32 (n, F); NaN where a number is unknown.

        Everything but the position is one of few segments, products and styles: what these have is
        looked up once each, and put into the rows some at a time.
        """
        style = self._style(places.styles)
        flag = (style.sum(axis=1, keepdims=True) == 0).astype(np.float64)
        text = [self._text(places.products, name) for name in self.texts]
        # In the order of columns: what is looked up, and by which code.
        tables = [
            (flag, places.style),
            (style, places.style),
            (_onehot(places.segments, self.segments), places.segment),
            *((some, places.product) for some in text),
            (self._measured("segment", places.segments), places.segment),
            (self._measured("product", places.products), places.product),
        ]
        width = 1 + sum(table.shape[1] for table, _ in tables)
        made = np.empty((len(places.position), width), dtype=np.float32)
        made[:, 0] = np.log(places.position)
        start = 1
        for table, code in tables:
            end = start + table.shape[1]
            small = table.astype(np.float32)
            for first in range(0, len(made), _AT_ONCE):
                rows = slice(first, first + _AT_ONCE)
                made[rows, start:end] = small[code[rows]]
            start = end
        return made

    def names(self) -> list[str]:
        """What the columns of :meth:`trees` are, in their order."""
        numbers = [
            c for kind in ("segment", "product") for c in self.numbers if c.split(":")[0] == kind
        ]
        return [
            "position",
            "photo",
            *(f"{attribute}={value}" for attribute, value in self.values),
            *(f"segment={name}" for name in self.segments),
            *(f"{c}={v}" for c, table in self.texts.items() for v in sorted(set(table.values()))),
            *numbers,
        ]

    @cached_property
    def _pairs(self) -> tuple[list[int], list[int]]:
        """Columns of values that can meet: of two attributes."""
        pairs = itertools.combinations(range(len(self.values)), 2)
        meeting = [(i, j) for i, j in pairs if self.values[i][0] != self.values[j][0]]
        return [i for i, _ in meeting], [j for _, j in meeting]

    def _style(self, keys: Sequence[str]) -> Floats:
        """(n, V); the original and unknown values are zero."""
        column = {pair: v for v, pair in enumerate(self.values)}
        distinct, codes = _distinct(keys)
        made = np.zeros((len(distinct), len(column)))
        for row, key in enumerate(distinct):
            for pair in Style(key).values.items():
                if pair in column:
                    made[row, column[pair]] = 1.0
        return made[codes]

    def _text(self, products: Sequence[str], name: str) -> Floats:
        table = self.texts[name]
        distinct, codes = _distinct(products)
        known = sorted(set(table.values()))
        return _onehot([table.get(product, "") for product in distinct], known)[codes]

    def _measured(self, kind: str, names: Sequence[str]) -> Floats:
        """(n, K) numbers of segments or of products."""
        tables = [t for column, t in self.numbers.items() if column.split(":")[0] == kind]
        distinct, codes = _distinct(names)
        made = np.array([[t.get(name, np.nan) for t in tables] for name in distinct])
        return made.reshape(len(distinct), len(tables))[codes]


def _distinct(names: Sequence[str]) -> tuple[list[str], list[int]]:
    """Each name once, and every row's place among them: a table is looked up once per name."""
    place = {name: row for row, name in enumerate(dict.fromkeys(names))}
    return list(place), [place[name] for name in names]


def _codes(names: Sequence[str], known: Sequence[str]) -> NDArray[np.int64]:
    """Places among what is known; -1 for anything else."""
    index = {name: i for i, name in enumerate(known)}
    return np.array([index.get(name, -1) for name in names], dtype=np.int64)


def _or_zero(effects: Floats, *, columns: bool = True) -> Floats:
    """With a last row, and column, of zeros: what -1 finds."""
    return np.pad(effects, [(0, 1), (0, int(columns))][: effects.ndim])


def _onehot(names: Sequence[str], known: Sequence[str]) -> Floats:
    index = {name: i for i, name in enumerate(known)}
    codes = [index.get(name, len(known)) for name in names]
    return np.eye(len(known) + 1)[codes, :-1]


def _product(left: Floats, right: Floats) -> Floats:
    """(n, A * B) of (n, A) and (n, B)."""
    return (left[:, :, None] * right[:, None, :]).reshape(len(left), -1)


def _standardised(kind: str, table: pd.DataFrame) -> dict[str, dict[str, float]]:
    made = {}
    for column in table.columns:
        values = table[column].astype("float64").dropna()
        spread = float(values.std(ddof=0))
        if spread > 0:
            made[f"{kind}:{column}"] = {
                str(name): float(value)
                for name, value in ((values - values.mean()) / spread).items()
            }
    return made

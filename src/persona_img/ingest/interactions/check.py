"""Rows to interactions: kinds named, names as text, times as moments; the rest with its reason."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from persona_img.ingest.interactions.base import (
    EVENT,
    SCHEMA,
    Piece,
    Reject,
    Rows,
    is_text,
    refused,
    single,
)
from persona_img.ingest.interactions.fields import KINDS, REQUIRED
from persona_img.ingest.interactions.names import Named, texts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from persona_img.ingest.interactions.base import Reasons
    from persona_img.ingest.interactions.columns import Columns
    from persona_img.ingest.interactions.times import Times

_SHOWN = 80
_MOST_KINDS = 1000
_BETWEEN = "\x1f"


class Check:
    """One file's rows, piece by piece.

    Args:
        columns: How the file tells interactions.
        paths: Where its fields stand, as ``Columns.found`` says.
        times: Reads its times.

    Attributes:
        read: Rows so far, refused ones too.
        others: Rows of other kinds that were only counted, by what they are called.
        shortened: Names that lost a ``.0``, by field.
    """

    def __init__(self, columns: Columns, paths: Mapping[str, Sequence[str]], times: Times) -> None:
        self._columns, self._paths, self._times = columns, paths, times
        self._kinds = {kind: kind for kind in KINDS} | dict(columns.kinds)
        self.read = 0
        self.others: Counter[str] = Counter()
        self.shortened: Counter[str] = Counter()

    def take(self, piece: Piece) -> tuple[pa.Table, list[Reject]]:
        """The interactions in a piece, and its refused rows in order.

        Returns:
            ``SCHEMA``, and ``EVENT`` where events have identifiers.

        Raises:
            InvalidInput: a column holds what no row can be read from.
        """
        self.read += len(piece.rows) + len(piece.bad)
        kinds, why = self._kinds_of(piece)
        rejects = self._rejects(piece, why)
        named = np.flatnonzero(kinds.is_valid().to_numpy(zero_copy_only=False))
        piece, bad, kinds = piece.take(named), piece.bad, kinds.take(pa.array(named))
        shoppers = self._shoppers(piece)
        moments, late = self._times.read(self._first("occurred_at", piece))
        why = np.where(refused(shoppers.reasons), shoppers.reasons, late)
        places, products = self._products(piece, why)
        rejects += self._rejects(piece, why)
        at = pa.array(places)
        table = pa.Table.from_arrays(
            [shoppers.values.take(at), products, kinds.take(at), moments.take(at)], schema=SCHEMA
        )
        if "event_id" in self._paths:
            table = table.append_column(EVENT, self._events(piece, places, table))
        return table, sorted([*bad, *rejects], key=lambda one: one.row)

    def _kinds_of(self, piece: Piece) -> tuple[pa.Array, Reasons]:
        """A kind for each row or null, and why it is refused; one that is skipped has no reason."""
        count = len(piece.rows)
        if self._columns.kind is not None:
            every = pa.array([self._columns.kind] * count, pa.string())
            return every, np.full(count, None, dtype=object)
        called = texts(self._first("kind", piece), "kind")
        coded = pc.dictionary_encode(called.values)
        names = coded.dictionary.to_pylist()
        mapped = pa.array([self._kinds.get(name.casefold()) for name in names], pa.string())
        kinds = mapped.take(coded.indices)
        unknown = np.array(
            [None if kind else f"kind {name[:_SHOWN]!r} is unknown"
             for name, kind in zip([*names, ""], [*mapped.to_pylist(), "-"], strict=True)],
            dtype=object,
        )  # fmt: skip
        codes = pc.fill_null(coded.indices, len(names)).to_numpy(zero_copy_only=False)
        why = np.where(refused(called.reasons), called.reasons, unknown[codes])
        if not self._columns.skip_others:
            return kinds, why
        for code, rows in zip(*np.unique(codes[refused(why)], return_counts=True), strict=True):
            name = [*names, "(none)"][code]
            full = len(self.others) >= _MOST_KINDS and name not in self.others
            self.others["…" if full else name] += int(rows)
        return kinds, np.full(count, None, dtype=object)

    def _shoppers(self, piece: Piece) -> Named:
        """The first column that names somebody, row by row."""
        found: Named | None = None
        for path in self._paths["shopper"]:
            named = texts(single(piece, path), "shopper")
            self.shortened["shopper"] += named.shortened
            if found is not None:
                open_ = found.absent
                named = Named(
                    pc.if_else(pa.array(open_), named.values, found.values),
                    np.where(open_, named.reasons, found.reasons),
                    open_ & named.absent,
                    0,
                )
            found = named
        assert found is not None
        return found

    def _products(self, piece: Piece, why: Reasons) -> tuple[Rows, pa.Array]:
        """Place and name of each product; a row may have several. Adds to ``why``."""
        served = np.zeros(len(piece.rows), bool)
        at, values = list[Rows](), list[pa.Array]()
        for path in self._paths["product"]:
            places, given = piece.values(path)
            named = texts(given, "product")
            self.shortened["product"] += named.shortened
            use = ~named.absent & ~served[places] & ~refused(why)[places]
            wrong = use & refused(named.reasons)
            served[places[~named.absent]] = True
            why[places[wrong]] = named.reasons[wrong]
            use &= ~refused(why)[places]
            at.append(places[use])
            values.append(named.values.filter(pa.array(use)))
        why[~served & ~refused(why)] = "no product"
        places = np.concatenate(at)
        order = np.argsort(places, kind="stable")
        return places[order], pa.concat_arrays(values).take(pa.array(order))

    def _first(self, field: str, piece: Piece) -> pa.Array:
        """The first column with a value, row by row, of whatever type they are."""
        found: pa.Array | None = None
        for path in self._paths[field]:
            values = single(piece, path)
            if is_text(values.type):
                values = pc.if_else(pc.equal(pc.binary_length(values), 0), None, values)
            if found is not None and not pa.types.is_null(found.type):
                if found.type != values.type:
                    found, values = found.cast(pa.string()), values.cast(pa.string())
                values = pc.coalesce(found, values)
            found = values
        assert found is not None
        return found

    def _events(self, piece: Piece, places: Rows, table: pa.Table) -> pa.Array:
        """A number for each: of its event's identifier, its kind and its product.

        An event of several products is as many interactions; two lines of one product are one.
        """
        parts = [texts(single(piece, path), "event_id").values for path in self._paths["event_id"]]
        known = np.zeros(len(piece.rows), bool)
        for part in parts:
            known |= part.is_valid().to_numpy(zero_copy_only=False)
        at = pa.array(places)
        keys = pc.binary_join_element_wise(
            *(part.take(at) for part in parts),
            *(table.column(name).combine_chunks() for name in ("kind", "product")),
            _BETWEEN,
            null_handling="replace",
            null_replacement="",
        )
        numbers = pd.util.hash_array(keys.to_numpy(zero_copy_only=False), categorize=False)
        return pa.array(numbers, pa.uint64(), mask=~known[places])

    def _rejects(self, piece: Piece, why: Reasons) -> list[Reject]:
        places = np.flatnonzero(refused(why))
        if not len(places):
            return []
        chosen = piece.take(places)
        values = [
            [_shown(one) for one in self._first(field, chosen).to_pylist()]
            if field in self._paths
            else [""] * len(places)
            for field in REQUIRED
        ]
        told = zip(piece.rows[places].tolist(), why[places], zip(*values, strict=True), strict=True)
        return [Reject(row, reason, "", stood) for row, reason, stood in told]


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    return "" if value is None else str(value)[:_SHOWN]

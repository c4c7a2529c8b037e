"""Interactions as Parquet parts: written as they come, read in pieces, described."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from persona_img.ingest.interactions.base import EVENT, SCHEMA

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

PART_ROWS = 1 << 20
GROUP_ROWS = 1 << 17
_BATCH = 1 << 16


class Parts:
    """Writes parts of about ``PART_ROWS`` rows into a folder; use it in a ``with``.

    Attributes:
        rows: How many so far.
    """

    def __init__(self, folder: Path, *, event: bool) -> None:
        self._folder = folder
        self._schema = SCHEMA.append(pa.field(EVENT, pa.uint64())) if event else SCHEMA
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        self._in_part = self._parts = self.rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._write()
        if self._writer is not None:
            self._writer.close()

    def add(self, table: pa.Table) -> None:
        """Some more rows."""
        self._waiting.append(table)
        if sum(one.num_rows for one in self._waiting) >= GROUP_ROWS:
            self._write()

    def _write(self) -> None:
        table = pa.concat_tables(self._waiting).combine_chunks() if self._waiting else None
        self._waiting = []
        if table is None or not table.num_rows:
            return
        if self._writer is None:
            path = self._folder / f"part-{self._parts:05d}.parquet"
            self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
            self._parts += 1
        self._writer.write_table(table)
        self.rows += table.num_rows
        self._in_part += table.num_rows
        if self._in_part >= PART_ROWS:
            self._writer.close()
            self._writer, self._in_part = None, 0


def parts_of(folder: Path) -> list[Path]:
    """A folder's parts in the order in which they were written."""
    return sorted(folder.glob("part-*.parquet"))


def batches(
    parts: Iterable[Path], columns: Sequence[str], before: datetime | None = None
) -> Iterator[pa.RecordBatch]:
    """Rows in pieces; with ``before`` only those that occurred earlier."""
    asked = list(columns)
    read = asked if before is None or "occurred_at" in asked else [*asked, "occurred_at"]
    limit = None if before is None else pa.scalar(before, SCHEMA.field("occurred_at").type)
    for path in parts:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH, columns=read):
                if limit is not None:
                    batch = batch.filter(pc.less(batch.column("occurred_at"), limit))
                if batch.num_rows:
                    yield batch.select(asked)


def without(folder: Path, to: Path, left_out: npt.NDArray[np.bool_]) -> None:
    """Write a folder's rows once more, but for those left out."""
    place = 0
    with Parts(to, event=True) as out:
        for batch in batches(parts_of(folder), [*SCHEMA.names, EVENT]):
            keep = ~left_out[place : place + batch.num_rows]
            place += batch.num_rows
            out.add(pa.Table.from_batches([batch]).filter(pa.array(keep)))


@dataclass
class Summary:
    """What some interactions are.

    Attributes:
        rows: How many.
        kinds: How many of each kind.
        first: When the earliest occurred; None of none.
        last: When the latest occurred.
        shoppers: How many different ones.
        products: How many different ones.
        unknown: Rows of products that the catalogue has not, by product; the most frequent.
        unknown_rows: All such rows.
        unknown_products: All such products.
    """

    rows: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    first: datetime | None = None
    last: datetime | None = None
    shoppers: int = 0
    products: int = 0
    unknown: dict[str, int] = field(default_factory=dict)
    unknown_rows: int = 0
    unknown_products: int = 0

    @classmethod
    def of(cls, parts: Iterable[Path], known: Collection[str] | None = None) -> Summary:
        """What lies in some parts.

        Args:
            parts: Files.
            known: The catalogue's products; None where there is no catalogue.
        """
        summary, shoppers, products = cls(), _Distinct(), dict[str, int]()
        for batch in batches(parts, SCHEMA.names):
            summary.rows += batch.num_rows
            for one in pc.value_counts(batch.column("kind")).to_pylist():
                summary.kinds[one["values"]] = summary.kinds.get(one["values"], 0) + one["counts"]
            for one in pc.value_counts(batch.column("product")).to_pylist():
                products[one["values"]] = products.get(one["values"], 0) + one["counts"]
            span = pc.min_max(batch.column("occurred_at")).as_py()
            summary.first = min(summary.first or span["min"], span["min"])
            summary.last = max(summary.last or span["max"], span["max"])
            shoppers.add(pc.unique(batch.column("shopper")))
        summary.shoppers, summary.products = len(shoppers), len(products)
        if known is not None:
            unknown = {name: rows for name, rows in products.items() if name not in known}
            summary.unknown_rows = sum(unknown.values())
            summary.unknown_products = len(unknown)
            often = sorted(unknown.items(), key=lambda one: (-one[1], one[0]))[:5]
            summary.unknown = dict(often)
        return summary


class _Distinct:
    """How many different names, in eight bytes for each."""

    def __init__(self) -> None:
        self._known = np.array([], np.uint64)
        self._new: list[npt.NDArray[np.uint64]] = []

    def add(self, names: Any) -> None:
        values = names.to_numpy(zero_copy_only=False)
        self._new.append(pd.util.hash_array(values, categorize=False))
        if sum(map(len, self._new)) > max(len(self._known), 1 << 18):
            self._merge()

    def __len__(self) -> int:
        self._merge()
        return len(self._known)

    def _merge(self) -> None:
        self._known = np.unique(np.concatenate([self._known, *self._new]))
        self._new = []

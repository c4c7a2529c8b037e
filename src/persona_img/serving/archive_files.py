"""Files of the archive: written once by a run, then only read."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from persona_img.errors import StoreFailed
from persona_img.serving.archive_manifest import Kept, sync
from persona_img.serving.impressions import NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

FULL = 1 << 20
"""Rows from which a file is left as it is; and most that wait in memory."""

BATCH = 1 << 17
"""Rows that are read, and packed, together."""


class Run:
    """Files that one run writes; none of them counts yet."""

    def __init__(self, folder: Path, number: int) -> None:
        self.number = number
        self._folder, self._files = folder, 0
        self._waiting: dict[tuple[str, str], list[pa.Table]] = defaultdict(list)
        self._rows = 0
        self._made: dict[str, dict[str, list[Kept]]] = {}

    def add(self, kind: str, table: pa.Table) -> None:
        """Rows of ``impressions`` or ``late``, of any days."""
        days = table["shown_at"].cast(pa.date32())
        for day in days.unique():
            self._waiting[day.as_py().isoformat(), kind].append(table.filter(pc.equal(days, day)))
        self._rows += table.num_rows
        if self._rows >= FULL:
            self._flush()

    def finish(self) -> Mapping[str, Mapping[str, list[Kept]]]:
        """The files, by day and kind; all of them are on the disk."""
        self._flush()
        return self._made

    def write(self, day: str, kind: str, table: pa.Table) -> Kept:
        """A file of a day."""
        name = f"{day}/{self.number:08d}-{self._files}-{kind}.parquet"
        self._files += 1
        path = self._folder / name
        path.parent.mkdir(exist_ok=True)
        names = [*NAMES, "propensity", "position"] if kind == "impressions" else False
        pq.write_table(
            _compact(table),
            path,
            compression="zstd",
            row_group_size=BATCH,
            use_dictionary=names,
            column_encoding={"shown_at": "DELTA_BINARY_PACKED"},
            # A page of a million shoppers' names is still a dictionary.
            dictionary_pagesize_limit=32 << 20,
        )
        with path.open("rb") as file:
            os.fsync(file.fileno())
        sync(path.parent)
        return Kept(name, table.num_rows, path.stat().st_size, digest_of(path))

    def _flush(self) -> None:
        for (day, kind), tables in self._waiting.items():
            kept = self.write(day, kind, pa.concat_tables(tables))
            self._made.setdefault(day, {}).setdefault(kind, []).append(kept)
        self._waiting.clear()
        self._rows = 0


def _compact(table: pa.Table) -> pa.Table:
    """Names that no row has are left out: a piece of a table has the names of all of it."""
    for number, column in enumerate(table.schema):
        if pa.types.is_dictionary(column.type):
            names = table.column(number).cast(pa.string()).combine_chunks().dictionary_encode()
            table = table.set_column(number, column, names)
    return table


@contextmanager
def opened(folder: Path, one: Kept) -> Iterator[pq.ParquetFile]:
    """A file to read.

    Raises:
        StoreFailed: it is not what was written, as far as one sees without reading all of it.
    """
    path = folder / one.name
    try:
        if path.stat().st_size != one.bytes:
            raise damaged(path, f"{path.stat().st_size} bytes, {one.bytes} were written")
        with pq.ParquetFile(path) as file:
            yield file
    except (OSError, pa.ArrowInvalid) as error:
        raise damaged(path, error) from error


def read(folder: Path, one: Kept) -> pa.Table:
    """All of a file; raises as :func:`opened` does."""
    with opened(folder, one) as file:
        return file.read()


def digest_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def damaged(path: Path, why: object) -> StoreFailed:
    """The error for a file that is not what was archived."""
    return StoreFailed(
        f"{path}: is not what was archived ({why}); restore the archive from a backup", "corrupt"
    )

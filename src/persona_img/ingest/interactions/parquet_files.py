"""Parquet in pieces; of nested columns only what is asked for is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from persona_img.errors import InvalidInput
from persona_img.ingest.interactions.fields import split
from persona_img.ingest.interactions.nested import ArrowPiece

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from persona_img.ingest.interactions.contents import Contents

_ROWS = 1 << 16
_BUFFER = 1 << 20
_WRAPPERS = {"list", "element", "item", "array", "array_element", "bag"}


class ParquetTable:
    """A Parquet file; see :class:`~persona_img.ingest.interactions.base.Table`.

    Raises:
        InvalidInput: it is broken or encrypted.
    """

    what = "Parquet"

    def __init__(self, contents: Contents) -> None:
        self._path = contents.path
        try:
            # Buffered, not mapped: a row group of any size is read as it is needed.
            self._file = pq.ParquetFile(contents.open(), buffer_size=_BUFFER)
        except (pa.ArrowException, OSError) as error:
            raise InvalidInput(f"{contents.path}: broken Parquet ({error})") from error
        self.names = self._file.schema_arrow.names

    def pieces(self, paths: Sequence[str]) -> Iterator[ArrowPiece]:
        """See :class:`~persona_img.ingest.interactions.base.Table`."""
        names = sorted({split(path, self.names)[0] for path in paths})
        total, row = max(1, self._file.metadata.num_rows), 0
        try:
            for batch in self._file.iter_batches(_ROWS, columns=self._leaves(paths, names)):
                rows = np.arange(row + 1, row + 1 + batch.num_rows)
                row += batch.num_rows
                columns = {name: batch.column(name) for name in names}
                yield ArrowPiece(rows, columns, (), row / total)
        except (pa.ArrowException, OSError) as error:
            raise InvalidInput(f"{self._path}: broken after row {row} ({error})") from error

    def _leaves(self, paths: Sequence[str], names: Sequence[str]) -> list[str]:
        """Full paths of the leaves below what is asked for."""
        schema = self._file.schema
        every = [schema.column(i).path for i in range(len(schema))]
        wanted = []
        for path in paths:
            name, rest = split(path, names)
            inside = [leaf for leaf in every if leaf == name or leaf.startswith(name + ".")]
            exact = [leaf for leaf in inside if _bare(leaf[len(name) :]) == rest]
            wanted += exact or inside
        return list(dict.fromkeys(wanted))


def _bare(leaf: str) -> list[str]:
    return [part for part in leaf.split(".") if part and part not in _WRAPPERS]

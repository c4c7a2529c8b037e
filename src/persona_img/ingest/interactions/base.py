"""What passes through: the fields of an interaction, a piece of a file, a row that was refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SCHEMA = pa.schema(
    [
        ("shopper", pa.string()),
        ("product", pa.string()),
        ("kind", pa.string()),
        ("occurred_at", pa.timestamp("us", "UTC")),
    ]
)
"""How interactions are kept and read."""

EVENT = "event"
"""A further column of uint64 where events have identifiers; null for one without."""

Rows = npt.NDArray[np.int64]
Reasons = npt.NDArray[np.object_]
"""A text per row that is refused, None for the others."""


@dataclass(frozen=True)
class Reject:
    """A row that did not go in.

    Attributes:
        row: Its number: as a spreadsheet counts (the header is 1), a line of JSON Lines, or the
            place in a Parquet file, from 1.
        reason: Why, in words that are the same for all rows of one kind.
        text: The row itself, where it could not be cut into fields.
        values: What stood at each field of ``REQUIRED``.
    """

    row: int
    reason: str
    text: str = ""
    values: tuple[str, ...] = ()


class Piece(Protocol):
    """Some rows of a file."""

    @property
    def rows(self) -> Rows:
        """N row numbers."""
        ...

    @property
    def bad(self) -> Sequence[Reject]:
        """Rows that could not be read at all; they are not among the N."""
        ...

    @property
    def done(self) -> float:
        """How much of the file was read when this piece was complete, 0 to 1."""
        ...

    def values(self, path: str) -> tuple[Rows, pa.Array]:
        """What stands at a dotted path: place in ``rows`` (rising) and value, M of each.

        A list on the way gives as many values as it has entries. A row without a value gives
        none, or a null.
        """
        ...

    def take(self, places: Rows) -> Piece:
        """Only these rows."""
        ...


class Table(Protocol):
    """A file opened for reading."""

    @property
    def what(self) -> str:
        """In words, e.g. ``CSV, UTF-8, separated by ;``."""
        ...

    @property
    def names(self) -> Sequence[str]:
        """Its columns, as far as they are known before all of it is read."""
        ...

    def pieces(self, paths: Sequence[str]) -> Iterator[Piece]:
        """The rows, in order, in pieces; only what ``paths`` name is read.

        Raises:
            InvalidInput: the file cannot be read to its end.
        """
        ...


def refused(reasons: Reasons) -> npt.NDArray[np.bool_]:
    """Which rows have a reason."""
    found: npt.NDArray[np.bool_] = pd.notna(reasons)
    return found


def single(piece: Piece, path: str) -> pa.Array:
    """The first value of each row at a path, null where there is none."""
    places, values = piece.values(path)
    if len(places) == len(piece.rows) and (places == np.arange(len(places))).all():
        return values
    given = np.flatnonzero(values.is_valid().to_numpy(zero_copy_only=False))
    first, where = np.unique(places[given], return_index=True)
    index = np.full(len(piece.rows), -1, np.int64)
    index[first] = given[where]
    return values.take(pa.array(index, mask=index < 0))


def plain(values: Any) -> pa.Array:
    """One array, without dictionary, of chunks or none."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    return values


def is_text(kind: pa.DataType) -> bool:
    """Whether a type holds texts, or bytes that may be texts."""
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    )

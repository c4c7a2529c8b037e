"""CSV in pieces: any common encoding and delimiter; cells as bytes, so that one bad row is one."""

from __future__ import annotations

import csv
import io
import re
from typing import IO, TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv

from persona_img.errors import InvalidInput
from persona_img.ingest.interactions.base import Reject, Rows
from persona_img.ingest.interactions.contents import Contents, delimiter, first_lines
from persona_img.ingest.interactions.fields import split
from persona_img.ingest.interactions.nested import ArrowPiece

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_BLOCK = 4 << 20
_SHOWN = 200
_UTF8 = ("utf-8", "utf-8-sig")


class CsvTable:
    """A CSV file; see :class:`~persona_img.ingest.interactions.base.Table`.

    Args:
        contents: The file.
        encoding: Of its text; None takes what was found.
        mark: What separates cells; None finds out.

    Raises:
        InvalidInput: no header, a name twice in it, or an encoding that does not fit.
    """

    def __init__(self, contents: Contents, encoding: str | None, mark: str | None) -> None:
        self._contents = contents
        self._encoding = encoding or contents.encoding
        text = first_lines(contents, self._encoding)
        # Excel's own way to say what separates cells.
        told = re.match(r"sep=(.)\r?\n", text)
        self._skipped = 1 if told else 0
        text = text[told.end() :] if told else text
        self._mark = mark or (told.group(1) if told else delimiter(text))
        self.names = next(csv.reader(io.StringIO(text), delimiter=self._mark), [])
        if not any(name.strip() for name in self.names):
            raise InvalidInput(f"{contents.path}: no header; the first line must name the columns")
        guess = " (guessed; else say --encoding)" if contents.guessed and not encoding else ""
        between = "tabs" if self._mark == "\t" else self._mark
        self.what = f"CSV, {self._encoding.upper()}{guess}, separated by {between}"

    def pieces(self, paths: Sequence[str]) -> Iterator[ArrowPiece]:
        """See :class:`~persona_img.ingest.interactions.base.Table`."""
        names = sorted({split(path, self.names)[0] for path in paths})
        places = [self.names.index(name) for name in names]
        # Columns by place: the header may hold a name twice, and bytes that are not UTF-8.
        keys = [f"c{place}" for place in range(len(self.names))]
        wanted = [keys[place] for place in places]
        bad: list[arrow_csv.InvalidRow] = []

        def refuse(row: arrow_csv.InvalidRow) -> str:
            bad.append(row)
            return "skip"

        first = self._skipped + 2  # the header is a row of its own
        taken = 0
        with self._contents.open() as stream:
            try:
                reader = arrow_csv.open_csv(
                    stream,
                    read_options=arrow_csv.ReadOptions(
                        use_threads=False,  # else a refused row does not know its number
                        block_size=_BLOCK,
                        skip_rows=self._skipped + 1,
                        column_names=keys,
                        encoding="utf8" if self._encoding in _UTF8 else self._encoding,
                    ),
                    parse_options=arrow_csv.ParseOptions(
                        delimiter=self._mark,
                        newlines_in_values=True,
                        ignore_empty_lines=False,  # they count as rows
                        invalid_row_handler=refuse,
                    ),
                    convert_options=arrow_csv.ConvertOptions(
                        column_types={key: pa.binary() for key in wanted},
                        include_columns=wanted,
                        strings_can_be_null=False,
                    ),
                )
                for batch in reader:
                    rows, gone = _numbers(first, batch.num_rows, [row.number for row in bad])
                    refused = [_refused(row, len(self.names)) for row in bad[:gone] if row.text]
                    del bad[:gone]
                    first += len(rows) + gone
                    taken += batch.nbytes
                    columns = dict(zip(names, batch.columns, strict=True))
                    yield _without_blank(rows, columns, refused, self._done(stream))
            except pa.ArrowInvalid as error:
                if "Empty CSV" in str(error):
                    return
                raise InvalidInput(
                    f"{self._contents.path}: from row {first} on it cannot be cut into rows; a "
                    f"quote there may not be closed ({error})"
                ) from error
            except UnicodeError as error:
                raise InvalidInput(
                    f"{self._contents.path}: not {self._encoding} ({error}); give --encoding"
                ) from error
        if bad:
            refused = [_refused(row, len(self.names)) for row in bad if row.text]
            none = dict.fromkeys(names, pa.array([], pa.binary()))
            yield ArrowPiece(np.array([], np.int64), none, refused, 1.0)

    def _done(self, stream: IO[bytes]) -> float:
        if stream.closed:
            return 1.0
        return min(1.0, stream.tell() / max(1, self._contents.size))


def _numbers(first: int, count: int, bad: Sequence[int]) -> tuple[Rows, int]:
    """Numbers of the next ``count`` good rows, and how many refused ones lie before the last."""
    gone = 0
    while gone < len(bad) and bad[gone] < first + count + gone:
        gone += 1
    every = np.arange(first, first + count + gone)
    return np.setdiff1d(every, np.array(bad[:gone], np.int64), assume_unique=True), gone


def _refused(row: arrow_csv.InvalidRow, expected: int) -> Reject:
    found = row.actual_columns
    if "\n" in row.text.strip():
        reason = "not as many cells as the header, over several lines: a quote is not closed"
    else:
        reason = f"{found} cells where the header has {expected}"
    return Reject(row.number, reason, row.text[:_SHOWN])


def _without_blank(
    rows: Rows, columns: dict[str, pa.Array], bad: list[Reject], done: float
) -> ArrowPiece:
    """Without rows in which nothing stands: the blank lines at the end of a spreadsheet."""
    empty = np.ones(len(rows), bool)
    for values in columns.values():
        empty &= pa.compute.equal(pa.compute.binary_length(values), 0).to_numpy(
            zero_copy_only=False
        )
    piece = ArrowPiece(rows, columns, bad, done)
    if not empty.any():
        return piece
    kept = piece.take(np.flatnonzero(~empty))
    kept.bad = bad
    return kept

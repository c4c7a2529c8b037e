"""Small tables as shops have them: CSV as any program writes it, Parquet, JSON.

Everything is read as text and nothing is guessed about values; what was guessed about the *file*,
its encoding and its separator, is said in :attr:`Table.how`.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_BOMS = (  # the longer first: UTF-32 begins like UTF-16
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_DELIMITERS = ",;\t|"
_SNIFFED = 30
_JSON = (".json", ".jsonl", ".ndjson")


@dataclass(frozen=True)
class Problem:
    """Why a row is refused.

    Attributes:
        row: Its number as a spreadsheet shows it: 1 is the header. Where there is no header, 1 is
            the first row.
        column: Column of the table; empty where it is the whole row.
        value: What stands there.
        rule: The rule that it breaks, and what to do.
    """

    row: int
    column: str
    value: str
    rule: str

    def __str__(self) -> str:
        value = self.value  # the end of a path says most, the beginning of a text
        if len(value) > 80:
            value = value[:28] + "…" + value[-48:]
        shown = f"{self.column} {value!r}: " if self.column else ""
        return f"row {self.row}: {shown}{self.rule}"


@dataclass(frozen=True)
class Row:
    """One row: its number, see :class:`Problem`, and its cells as text without space around."""

    number: int
    cells: Mapping[str, str]


@dataclass(frozen=True)
class Table:
    """A table that was read.

    Attributes:
        path: Where from.
        columns: Their names, in order; columns without a name are left out.
        rows: Those of the right number of cells; empty ones are left out.
        problems: One for each other row.
        how: Format, encoding and separator, and which of them was guessed.
        typed: Whether numbers were numbers, not text: no doubt about commas.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    how: str
    problems: tuple[Problem, ...] = field(default=())
    typed: bool = False


def read_table(
    path: str | Path, *, encoding: str | None = None, delimiter: str | None = None
) -> Table:
    """A whole table; its format is told by its content and then by its name.

    Args:
        path: CSV (also gzipped), Parquet, a JSON array, or JSON Lines.
        encoding: Of a CSV; None takes that of its byte order mark, UTF-8 or UTF-16, else guesses.
        delimiter: Of a CSV; None takes the one that gives the most columns.

    Raises:
        InvalidInput: no such file, a format we do not read, an encoding that does not fit, no
            header, or a column twice.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read ({error.strerror}); name a table") from error
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError) as error:
            raise InvalidInput(f"{path}: damaged gzip ({error}); pack it anew") from error
    if not data.strip():
        raise InvalidInput(f"{path}: is empty; give a table with a header")
    if data[:4] == b"PAR1":
        return _parquet(path, data)
    if data[:4] == b"PK\x03\x04" or data[:4] == b"\xd0\xcf\x11\xe0":
        raise InvalidInput(f"{path}: a workbook; save its sheet as 'CSV UTF-8' and add that")
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    if any(suffix in _JSON for suffix in suffixes):
        return _json(path, data)
    return _csv(path, data, encoding, delimiter)


def _csv(path: Path, data: bytes, encoding: str | None, delimiter: str | None) -> Table:
    text, told = _decoded(path, data, encoding)
    first, _, rest = text.partition("\n")
    hint = first.rstrip("\r")
    if hint.lower().startswith("sep=") and len(hint) == 5:  # how spreadsheets say it
        delimiter, text = delimiter or hint[4], rest
    chosen = delimiter or _sniffed(text)
    if len(chosen) != 1 or chosen in '"\r\n':
        raise InvalidInput(f"delimiter {chosen!r}: give one character, e.g. ';'")
    header: list[str] | None = None
    rows, problems = [], []
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=chosen, strict=True)
    number = 0
    while True:
        number += 1
        try:
            cells = [cell.strip() for cell in next(lines)]
        except StopIteration:
            break
        except csv.Error as error:
            rule = f"{error}; is a quote left open, or one inside a cell not doubled?"
            problems.append(Problem(number, "", "", rule))
            continue
        if not any(cells):
            continue
        if header is None:
            header = cells
            _check_header(path, header)
        elif len(cells) < len(header) or any(cells[len(header) :]):
            problems.append(Problem(number, "", chosen.join(cells), _count(cells, header)))
        else:
            rows.append(Row(number, {k: v for k, v in zip(header, cells, strict=False) if k}))
    if header is None:
        raise InvalidInput(f"{path}: no header; name the columns in its first row")
    shown = {"\t": "tabs", ";": "semicolons", ",": "commas", "|": "bars"}.get(chosen, chosen)
    columns = tuple(name for name in header if name)
    return Table(path, columns, tuple(rows), f"CSV, {told}, {shown}", tuple(problems))


def _count(cells: list[str], header: list[str]) -> str:
    found = f"{len(cells)} cells, the header has {len(header)}"
    if len(cells) < len(header):
        return f"{found}: too few; fill the row"
    return f"{found}: too many; quote cells that hold the separator (is it a decimal comma?)"


def _check_header(path: Path, header: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in header:
        if name and name in seen:
            raise InvalidInput(f"{path}: column {name!r} stands twice; rename one of them")
        seen.add(name)


def _decoded(path: Path, data: bytes, encoding: str | None) -> tuple[str, str]:
    """The text, and how it was read."""
    if encoding is not None:
        try:
            return data.decode(encoding).removeprefix("\ufeff"), encoding
        except (UnicodeDecodeError, LookupError) as error:
            raise InvalidInput(f"{path}: encoding {encoding!r}: {error}; name another") from error
    wide = data[:400]
    if not any(data.startswith(bom) for bom, _ in _BOMS) and b"\0" in wide:
        order = "utf-16-be" if wide[::2].count(0) > wide[1::2].count(0) else "utf-16-le"
        guesses = [(order, f"{order} (a guess)")]
    else:
        marked = next((name for bom, name in _BOMS if data.startswith(bom)), "utf-8")
        guesses = [(marked, marked.removesuffix("-sig"))]
        if marked == "utf-8":
            guesses.append(("cp1252", "Windows-1252 (a guess: it is not UTF-8; or --encoding)"))
    for name, told in guesses:
        try:
            return data.decode(name), told
        except UnicodeDecodeError:
            continue
    raise InvalidInput(
        f"{path}: not {guesses[0][0]}, nor Windows-1252; save it as 'CSV UTF-8', or name its "
        "encoding with --encoding, e.g. cp1251, shift_jis or gb18030"
    )


def _sniffed(text: str) -> str:
    """The separator by which the first rows have the most columns, and equally many."""
    best, most = ",", 1.0
    for one in _DELIMITERS:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=one)
        try:
            counts = [len(cells) for cells, _ in zip(lines, range(_SNIFFED), strict=False) if cells]
        except csv.Error:
            continue
        if not counts:
            continue
        alike = counts.count(counts[0]) / len(counts)
        if counts[0] > 1 and counts[0] * alike > most:
            best, most = one, counts[0] * alike
    return best


def _parquet(path: Path, data: bytes) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(data))
        found = table.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise InvalidInput(f"{path}: damaged Parquet ({error}); write it anew") from error
    names = [str(name) for name in table.column_names if not name.startswith("__index_level_")]
    _check_header(path, names)
    return _typed(path, names, list(enumerate(found, start=1)), [], "Parquet")


def _json(path: Path, data: bytes) -> Table:
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path}: not UTF-8 ({error.reason}); JSON has to be") from error
    found: list[tuple[int, Any]] = []
    problems = []
    if text.lstrip().startswith("["):
        try:
            found = list(enumerate(json.loads(text), start=1))
        except json.JSONDecodeError as error:
            raise InvalidInput(f"{path}: not JSON ({error}); write it anew") from error
    else:
        for number, line in enumerate(text.split("\n"), start=1):
            if not line.strip():
                continue
            try:
                found.append((number, json.loads(line)))
            except json.JSONDecodeError as error:
                problems.append(Problem(number, "", line.strip(), f"not JSON ({error}); mend it"))
    names: dict[str, None] = {}
    rows = []
    for number, row in found:
        if isinstance(row, dict):
            names.update(dict.fromkeys(row))
            rows.append((number, row))
        else:
            problems.append(Problem(number, "", json.dumps(row), "no object; give {column: value}"))
    return _typed(path, list(names), rows, problems, "JSON")


def _typed(
    path: Path, names: list[str], found: list[tuple[int, Any]], problems: list[Problem], how: str
) -> Table:
    stripped = {name: name.strip() for name in names if name.strip()}
    _check_header(path, stripped.values())
    rows = (
        Row(number, {short: _text(row.get(name)) for name, short in stripped.items()})
        for number, row in found
    )
    kept = tuple(row for row in rows if any(row.cells.values()))
    return Table(path, tuple(stripped.values()), kept, how, tuple(problems), typed=True)


def _text(value: Any) -> str:
    """A cell as text; a whole number that a missing neighbour made a float is whole again."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace").strip()
    return str(value).strip()

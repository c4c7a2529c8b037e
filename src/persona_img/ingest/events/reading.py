"""Rows of an export as events, in pieces; a row that is none holds up no other."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from persona_img.errors import InvalidInput
from persona_img.ingest.interactions.contents import Contents, delimiter, first_lines
from persona_img.ingest.interactions.snowplow import enriched, is_enriched
from persona_img.ingest.interactions.times import Times

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from persona_img.domain.feedback import EventKind
    from persona_img.ingest.events.mapping import EventMap

_PIECE = 1000
_SHOWN = 100


@dataclass(frozen=True)
class Found:
    """What a row, or an entry of its list, says.

    Attributes:
        row: Its number: as a spreadsheet counts (the header is 1), a line, or the place in a
            Parquet file, from 1.
        entry: Place in the row's list, from 1.
        called: What the file calls the kind.
        kind: None where it is another kind, or the row is refused.
        refused: Why it is no event; empty for one, and for another kind.
        token: As it came back.
        event_id: Empty where there is none.
        occurred_at: Unix seconds; None where nothing is said.
        position: In the list, from 1; 1 where no number is said.
        value: Of a conversion.
        rating: Of a survey.
    """

    row: int
    entry: int = 1
    called: str = ""
    kind: EventKind | None = None
    refused: str = ""
    token: str = ""
    event_id: str = ""
    occurred_at: float | None = None
    position: int = 1
    value: float | None = None
    rating: int | None = None


def read_events(contents: Contents, mapped: EventMap, now: datetime) -> Iterator[list[Found]]:
    """The rows of a file, in order, some at a time.

    Args:
        contents: The file.
        mapped: Where it says what.
        now: Times later than it are refused.

    Raises:
        InvalidInput: the file cannot be read to its end.
    """
    times = Times(mapped.timezone, mapped.time_format, now)
    rows = iter(_rows(contents))
    while piece := list(islice(rows, _PIECE)):
        found: list[tuple[Found, str]] = []
        for number, row in piece:
            if isinstance(row, str):
                found.append((Found(number, refused=row), ""))
            else:
                found += _of_row(number, row, mapped)
        yield _timed(found, times)


def _of_row(number: int, row: Mapping[str, Any], mapped: EventMap) -> Iterator[tuple[Found, str]]:
    called = mapped.text("kind", row, None)
    kind = mapped.kind_of(called)
    if kind is None:
        yield Found(number, called=called[:_SHOWN]), ""
        return
    entries = mapped.entries(row)
    if not entries:
        yield Found(number, called=called, refused=f"nothing at {mapped.each}: no event in it"), ""
    for place, entry in enumerate(entries, start=1):
        token = mapped.text("token", row, entry)
        try:
            if not token:
                raise ValueError("no token; send the one that the answer carried")
            yield (
                Found(
                    number,
                    place,
                    called,
                    kind=kind,
                    token=token,
                    event_id=mapped.text("event_id", row, entry),
                    position=_position(mapped.text("position", row, entry)),
                    value=_number("value", mapped.text("value", row, entry)),
                    rating=_whole("rating", mapped.text("rating", row, entry)),
                ),
                mapped.text("occurred_at", row, entry),
            )
        except ValueError as error:
            yield Found(number, place, called, refused=str(error)), ""


def _timed(found: list[tuple[Found, str]], times: Times) -> list[Found]:
    """With their times; one that says a time that cannot be is refused."""
    from dataclasses import replace

    said = [place for place, (_, text) in enumerate(found) if text]
    done = [one for one, _ in found]
    if said:
        moments, reasons = times.read(pa.array([found[place][1] for place in said], pa.string()))
        micros = moments.cast(pa.int64()).to_pylist()
        for place, at, reason in zip(said, micros, reasons, strict=True):
            if reason is None:
                done[place] = replace(done[place], occurred_at=at / 1e6)
            else:
                text = f"{reason}: {found[place][1][:_SHOWN]!r}"
                done[place] = replace(done[place], kind=None, refused=text)
    return done


def _position(text: str) -> int:
    # Exports use it for names of places too, which tell no number.
    return int(text) if text.isdecimal() else 1


def _number(name: str, text: str) -> float | None:
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name} {text[:_SHOWN]!r}: no number")
    return number


def _whole(name: str, text: str) -> int | None:
    number = _number(name, text)
    if number is not None and number % 1:
        raise ValueError(f"{name} {text[:_SHOWN]!r}: no whole number")
    return None if number is None else int(number)


def _rows(contents: Contents) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    """Numbers and rows; of one that cannot be read, why."""
    if contents.kind == "parquet":
        yield from enumerate(_parquet(contents.path), start=1)
    elif contents.kind == "jsonl":
        for number, line in enumerate(_lines(contents), start=1):
            if line.strip():
                yield number, _object(line)
    elif contents.kind == "csv" and is_enriched(contents):
        for number, line in enumerate(_lines(contents), start=1):
            try:
                yield number, enriched(line)
            except ValueError as error:
                yield number, str(error)
    elif contents.kind == "csv":
        mark = delimiter(first_lines(contents, contents.encoding))
        reader = csv.DictReader(_lines(contents), delimiter=mark)
        for row in reader:
            whole = None not in row and None not in row.values()
            yield reader.line_num, row if whole else "more or fewer cells than the header"


def _lines(contents: Contents) -> Iterator[str]:
    import io

    with contents.open() as stream:
        yield from io.TextIOWrapper(
            stream, encoding=contents.encoding, errors="replace", newline=""
        )


def _object(line: str) -> Mapping[str, Any] | str:
    try:
        held = json.loads(line)
    except (ValueError, RecursionError):
        return "not JSON"
    return held if isinstance(held, dict) else "no JSON object"


def _parquet(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_PIECE):
                yield from batch.to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise InvalidInput(f"{path}: cannot be read ({error}); fetch it again") from error

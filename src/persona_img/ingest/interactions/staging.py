"""One file into parts, in a folder aside; nothing of it counts before the store says so."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from persona_img.errors import InvalidInput
from persona_img.ingest.interactions.base import EVENT
from persona_img.ingest.interactions.check import Check
from persona_img.ingest.interactions.csv_files import CsvTable
from persona_img.ingest.interactions.events import Seen
from persona_img.ingest.interactions.fields import REQUIRED
from persona_img.ingest.interactions.json_files import JsonTable
from persona_img.ingest.interactions.parquet_files import ParquetTable
from persona_img.ingest.interactions.parts import Parts, Summary, parts_of, without
from persona_img.ingest.interactions.snowplow import enriched, is_enriched
from persona_img.ingest.interactions.source import Source
from persona_img.ingest.interactions.times import Times

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from persona_img.ingest.interactions.base import Table
    from persona_img.ingest.interactions.columns import Columns
    from persona_img.ingest.interactions.contents import Contents

REJECTS = "rejects.csv"
EVENTS = "events.u64"
_SAID = 5
_MOST_REASONS = 1000


def opened(contents: Contents, columns: Columns) -> Table:
    """A file, ready to be read.

    Raises:
        InvalidInput: it is not written as it must be.
    """
    if contents.kind == "parquet":
        return ParquetTable(contents)
    if contents.kind == "jsonl":
        return JsonTable(contents, columns.encoding)
    if columns.export == "snowplow" and is_enriched(contents):
        return JsonTable(contents, columns.encoding, enriched, "Snowplow's enriched events (TSV)")
    return CsvTable(contents, columns.encoding, columns.delimiter)


def stage(
    contents: Contents,
    columns: Columns,
    folder: Path,
    *,
    earlier: Mapping[str, Path],
    known: Collection[str] | None,
    now: datetime,
    progress: Callable[[float, int], None],
) -> tuple[Source, Summary]:
    """Read and check one file.

    Args:
        contents: The file.
        columns: How it tells interactions.
        folder: Where to put parts, events and refused rows; empty.
        earlier: The events of other sources, by digest.
        known: The catalogue's products, if there is a catalogue.
        now: Times later than it are refused.
        progress: Told how much was read, 0 to 1, and how many interactions that gave.

    Raises:
        InvalidInput: it cannot be read, or no row of it can be used.
    """
    table = opened(contents, columns)
    paths = columns.found(table.names, contents.path, more=isinstance(table, JsonTable))
    try:
        times = Times(columns.timezone, columns.time_format, now)
        check = Check(columns, paths, times)
        came = _read(table, check, paths, folder, earlier, contents.path.name, progress)
    except InvalidInput as error:
        raise InvalidInput(
            str(error) if str(contents.path) in str(error) else f"{contents.path}: {error}"
        ) from error
    if not check.read:
        raise InvalidInput(f"{contents.path}: no row in it, only its header; export it again")
    if not came.rows:
        why = _nothing(contents.path, check, came.reasons)
        raise NothingUsable(why) if came.reasons else InvalidInput(why)
    summary = Summary.of(parts_of(folder), known)
    source = Source(
        digest=contents.digest,
        name=contents.path.name,
        added_at=datetime.now(UTC),
        rows=summary.rows,
        kinds=summary.kinds,
        first=summary.first,
        last=summary.last,
        shoppers=summary.shoppers,
        products=summary.products,
        what=table.what,
        found=paths,
        times=times.how,
        read=check.read,
        rejected=sum(came.reasons.values()),
        reasons=dict(came.reasons.most_common()),
        others=dict(check.others.most_common()),
        shortened={name: rows for name, rows in check.shortened.items() if rows},
        repeated=came.repeated,
        lost_to=came.lost,
        unnamed=came.unnamed,
        columns=columns.told(),
        rejects=f"rejects/{contents.path.name}-{contents.digest[:8]}.csv" if came.reasons else "",
    )
    return source, summary


class NothingUsable(InvalidInput):
    """Every row was refused; which and why stands in the file of refused rows."""


@dataclass
class _Read:
    """What came of a file's rows."""

    reasons: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    unnamed: int = 0
    repeated: int = 0
    lost: dict[str, int] = field(default_factory=dict)

    def refuse(self, reason: str) -> None:
        """Count a refused row; a column mapped by mistake may bring a reason for each."""
        full = len(self.reasons) >= _MOST_REASONS and reason not in self.reasons
        self.reasons["and other reasons" if full else reason] += 1


def _read(
    table: Table,
    check: Check,
    paths: Mapping[str, tuple[str, ...]],
    folder: Path,
    earlier: Mapping[str, Path],
    name: str,
    progress: Callable[[float, int], None],
) -> _Read:
    came, event = _Read(), "event_id" in paths
    raw = folder / "raw"
    raw.mkdir()
    with Seen(raw) as seen:
        with (
            (folder / REJECTS).open("w", newline="", encoding="utf-8") as out,
            Parts(raw if event else folder, event=event) as parts,
        ):
            rejects = csv.writer(out)
            rejects.writerow(["file", "row", "reason", *REQUIRED, "text"])
            for piece in table.pieces([path for each in paths.values() for path in each]):
                found, bad = check.take(piece)
                for one in bad:
                    came.refuse(one.reason)
                    stood = one.values or ("",) * len(REQUIRED)
                    rejects.writerow([name, one.row, one.reason, *stood, one.text])
                parts.add(found)
                came.rows += found.num_rows
                if event:
                    events = found.column(EVENT).combine_chunks()
                    named = events.is_valid().to_numpy(zero_copy_only=False)
                    came.unnamed += int((~named).sum())
                    seen.add(pc.fill_null(events, 0).to_numpy(zero_copy_only=False), named)
                progress(piece.done, came.rows)
        if event:
            again, came.lost = seen.repeated(earlier, folder / EVENTS)
            came.repeated = int(again.sum())
            if came.repeated:
                without(raw, folder, again)
            else:
                for part in parts_of(raw):
                    part.replace(folder / part.name)
    shutil.rmtree(raw)
    return came


def _nothing(path: Path, check: Check, reasons: Counter[str]) -> str:
    said = [f"{count:,} {reason}" for reason, count in reasons.most_common(_SAID)]
    if check.others:
        names = ", ".join(repr(name) for name, _ in check.others.most_common(_SAID))
        said.append(f"{sum(check.others.values()):,} of other kinds ({names})")
    return f"{path}: none of {check.read:,} rows can be used: {'; '.join(said)}"

"""What came back, by day, as Parquet: whole or not at all, and only added to.

::

    archive/manifest.json                          which files count, and up to which event of the log
    archive/2026-11-28/00000012-0-impressions.parquet
    archive/2026-11-28/00000013-0-late.parquet     clicks of impressions that were archived before

A file counts when the manifest names it. That is written aside and renamed once all of its files are
on the disk, so a run that is stopped anywhere has done nothing, and the next one does it. Whoever
reads holds ``reading.lock`` together with others: files that are not named any more are removed when
nobody does.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from persona_img.errors import StoreConflict, StoreFailed
from persona_img.serving.impressions import LATE, NAMES, SCHEMA, amended, settled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

MOST_FILES = 12
"""Small files that a day may have of a kind; one more, and they become one."""

_FULL = 1 << 20  # rows from which a file is left as it is; and most that wait in memory
_BATCH = 1 << 17
_VERSION = 1
_MANIFEST = "manifest.json"


class Reader(Protocol):
    """A log as it was at one moment."""

    @property
    def last(self) -> int:
        """Number of the newest event; 0 where there is none."""

    def mark(self, number: int) -> str:
        """What tells the event of a number from that of any other log."""

    def impressions(self, after: int = 0) -> Iterator[pa.Table]:
        """Impressions numbered above ``after``, with all that is known of each."""

    def late(self, after: int) -> pa.Table:
        """What came above ``after`` of impressions that are not."""


@dataclass(frozen=True)
class Kept:
    """A file that counts.

    Attributes:
        name: Below the archive's folder.
        rows: In it.
        bytes: Its size.
        sha256: Of what it holds.
    """

    name: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Day:
    """Files of the impressions that were shown on one day, UTC."""

    impressions: tuple[Kept, ...] = ()
    late: tuple[Kept, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """What counts.

    Attributes:
        through: Number of the log's last event that is in.
        mark: What tells that event from that of another log.
        run: Of the last run; every run has its own files.
        days: ISO date to its files.
    """

    through: int = 0
    mark: str = ""
    run: int = 0
    days: Mapping[str, Day] = field(default_factory=dict)

    @property
    def files(self) -> list[Kept]:
        """Every file that counts."""
        return [one for day in self.days.values() for one in (*day.impressions, *day.late)]

    @property
    def rows(self) -> int:
        """Impressions."""
        return sum(one.rows for day in self.days.values() for one in day.impressions)


@dataclass(frozen=True)
class Archived:
    """What a run added.

    Attributes:
        impressions: That were not in before.
        late: Clicks, purchases and so on of impressions that were.
        days: On which any of those were shown.
        pruned: Events that left the log, because they are archived and old.
    """

    impressions: int
    late: int
    days: int
    pruned: int = 0


class Archive:
    """The archive in a folder; nothing is written there before the first run.

    Args:
        folder: Its folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def manifest(self) -> Manifest:
        """What counts now.

        Raises:
            StoreConflict: another version wrote it.
            StoreFailed: it cannot be read.
        """
        path = self.folder / _MANIFEST
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            if told["version"] != _VERSION:
                raise StoreConflict(
                    f"{path}: version {told['version']}, this program reads {_VERSION}; install the "
                    "one that wrote it"
                )
            days = {
                name: Day(*(tuple(Kept(**one) for one in day[kind]) for kind in ("impressions", "late")))
                for name, day in told["days"].items()
            }  # fmt: skip
            return Manifest(told["through"], told["mark"], told["run"], days)
        except FileNotFoundError:
            return Manifest()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreFailed(
                f"{path}: cannot be read ({error!r}); restore the archive from a backup", "corrupt"
            ) from error

    def add(self, log: Reader) -> Archived:
        """Bring in what the log has and the archive has not; one run at a time, others wait.

        Raises:
            StoreConflict: the archive is of another log.
            StoreFailed: a file of it cannot be read.
            OSError: it cannot be written; it is as it was before.
        """
        with self._locked("writing", fcntl.LOCK_EX):
            before = self.manifest
            self.check_log(before, log)
            if log.last <= before.through:  # somebody was here after the log was opened
                return Archived(0, 0, 0)
            run = _Run(self.folder, before.run + 1)
            late = log.late(before.through)
            run.add("late", late)
            shown = 0
            for some in log.impressions(before.through):
                shown += some.num_rows
                run.add("impressions", some)
            made = run.finish()
            days = {day: _with(before.days.get(day, Day()), new) for day, new in made.items()}
            now = Manifest(log.last, log.mark(log.last), run.number, {**before.days, **days})
            for day in days:
                now = self._merged(now, day, run)
            self._publish(now)
            self._sweep(now)
        return Archived(shown, late.num_rows, len(days))

    def check_log(self, manifest: Manifest, log: Reader) -> None:
        """Refuse a log that is not the one from which the archive was made.

        Raises:
            StoreConflict: it is another one, or a copy of it from before.
        """
        if log.mark(manifest.through) != manifest.mark:
            raise StoreConflict(
                f"{self.folder}: was made from another log, event {manifest.through:,} is not the "
                "same; restore log and archive of one backup"
            )

    @contextmanager
    def reading(self) -> Iterator[Manifest]:
        """What counts now, and stays on the disk within the ``with``."""
        if not self.folder.exists():
            yield Manifest()
            return
        with self._locked("reading", fcntl.LOCK_SH):
            yield self.manifest

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Whether nobody reads, and nobody can begin to within the ``with``."""
        try:
            with self._locked("reading", fcntl.LOCK_EX | fcntl.LOCK_NB):
                yield True
        except BlockingIOError:
            yield False

    def impressions(
        self, manifest: Manifest, late: pa.Table, first: date, last: date
    ) -> Iterator[pa.Table]:
        """Impressions of days, the earliest day first, in pieces, with what came later.

        Args:
            manifest: Of :meth:`reading`.
            late: Of the log, what is not in the archive yet.
            first: Day.
            last: Day.

        Raises:
            StoreFailed: a file is not as it was written.
        """
        for name in sorted(manifest.days):
            if not first <= date.fromisoformat(name) <= last:
                continue
            day = manifest.days[name]
            known = [self._read(one).cast(LATE) for one in day.late]
            came = settled(pa.concat_tables([*known, late]))
            for one in day.impressions:
                with self._opened(one) as file:
                    for batch in file.iter_batches(_BATCH):
                        yield amended(pa.Table.from_batches([batch]).cast(SCHEMA), came)

    def verify(self) -> Manifest:
        """Read every file to its end.

        Raises:
            StoreFailed: one is not what was written.
        """
        with self.reading() as manifest:
            for one in manifest.files:
                with self._opened(one):
                    path = self.folder / one.name
                if digest_of(path) != one.sha256:
                    raise _damaged(path, "other bytes than were written")
        return manifest

    @contextmanager
    def _opened(self, one: Kept) -> Iterator[pq.ParquetFile]:
        path = self.folder / one.name
        try:
            if path.stat().st_size != one.bytes:
                raise _damaged(path, f"{path.stat().st_size} bytes, {one.bytes} were written")
            with pq.ParquetFile(path) as file:
                yield file
        except (OSError, pa.ArrowInvalid) as error:
            raise _damaged(path, error) from error

    def _read(self, one: Kept) -> pa.Table:
        with self._opened(one) as file:
            return file.read()

    def _merged(self, manifest: Manifest, name: str, run: _Run) -> Manifest:
        """The small files of a day as one, where they are too many."""
        day = manifest.days[name]
        for kind, files in (("impressions", day.impressions), ("late", day.late)):
            small = [one for one in files if one.rows < _FULL]
            if len(small) <= MOST_FILES:
                continue
            rows, taken = 0, []
            for one in sorted(small, key=lambda one: one.rows):
                rows += one.rows
                if taken and rows > _FULL:
                    break
                taken.append(one)
            schema = SCHEMA if kind == "impressions" else LATE
            table = pa.concat_tables([self._read(one).cast(schema) for one in taken])
            left = tuple(one for one in files if one not in taken)
            day = replace(day, **{kind: (run.write(name, kind, table), *left)})
        return replace(manifest, days={**manifest.days, name: day})

    def _publish(self, manifest: Manifest) -> None:
        told = {"version": _VERSION, **asdict(manifest)}
        partial = self.folder / (_MANIFEST + ".part")
        with partial.open("w", encoding="utf-8") as file:
            json.dump(told, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.folder / _MANIFEST)
        _sync(self.folder)

    def _sweep(self, manifest: Manifest) -> None:
        """Remove what does not count: replaced, or of a run that was stopped."""
        with self.alone() as alone:
            if alone:
                named = {one.name for one in manifest.files}
                for path in self.folder.glob("*/*.parquet"):
                    if str(path.relative_to(self.folder)) not in named:
                        path.unlink()

    @contextmanager
    def _locked(self, name: str, how: int) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{name}.lock").open("a") as lock:
            fcntl.flock(lock, how)
            yield


class _Run:
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
        if self._rows >= _FULL:
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
            table.unify_dictionaries().combine_chunks(),
            path,
            compression="zstd",
            row_group_size=_BATCH,
            use_dictionary=names,
            column_encoding={"shown_at": "DELTA_BINARY_PACKED"},
            # A page of a million shoppers' names is still a dictionary.
            dictionary_pagesize_limit=32 << 20,
        )
        with path.open("rb") as file:
            os.fsync(file.fileno())
        _sync(path.parent)
        return Kept(name, table.num_rows, path.stat().st_size, digest_of(path))

    def _flush(self) -> None:
        for (day, kind), tables in self._waiting.items():
            kept = self.write(day, kind, pa.concat_tables(tables))
            self._made.setdefault(day, {}).setdefault(kind, []).append(kept)
        self._waiting.clear()
        self._rows = 0


def digest_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _with(day: Day, new: Mapping[str, list[Kept]]) -> Day:
    return Day(
        (*day.impressions, *new.get("impressions", ())), (*day.late, *new.get("late", ()))
    )


def _damaged(path: Path, why: Any) -> StoreFailed:
    return StoreFailed(
        f"{path}: is not what was archived ({why}); restore the archive from a backup", "corrupt"
    )


def _sync(folder: Path) -> None:
    """What was renamed or made in a folder is on the disk."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)

"""What came back, by day, as Parquet: whole or not at all, and only added to.

::

    archive/manifest.json                          which files count, up to which event
    archive/2026-11-28/00000012-0-impressions.parquet
    archive/2026-11-28/00000013-0-late.parquet     clicks of what was archived before

A file counts when the manifest names it. That is written aside and renamed once all of its files
are on the disk, so a run that is stopped anywhere has done nothing, and the next one does it.
Whoever reads holds ``reading.lock`` together with others: files that are not named any more are
removed when nobody does.
"""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Protocol, TextIO

import pyarrow as pa

from persona_img.errors import StoreConflict
from persona_img.serving.archive_files import BATCH, FULL, Run, damaged, digest_of, opened, read
from persona_img.serving.archive_manifest import Day, Kept, Manifest, publish, read_manifest
from persona_img.serving.impressions import LATE, SCHEMA, amended, settled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

MOST_FILES = 12
"""Small files that a day may have of a kind; one more, and they become one."""


class Reader(Protocol):
    """A log as it was at one moment."""

    @property
    def last(self) -> int:
        """Number of the newest event; 0 where there is none."""

    def mark(self, number: int) -> str:
        """What tells the event of a number from that of any other log."""

    def links(self) -> pa.Table:
        """Names that were linked."""

    def impressions(self, after: int = 0) -> Iterator[pa.Table]:
        """Impressions numbered above ``after``, with all that is known of each."""

    def late(self, after: int) -> pa.Table:
        """What came above ``after`` of impressions that are not."""


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
        """What counts now; raises as :func:`~.archive_manifest.read_manifest`."""
        return read_manifest(self.folder)

    def add(self, open_log: Callable[[], AbstractContextManager[Reader]]) -> Archived:
        """Bring in what the log has and the archive has not; one run at a time, others wait.

        Args:
            open_log: Opens the log as it is at that moment: behind the run before, or it would be
                older than the archive.

        Raises:
            StoreConflict: the archive is of another log.
            StoreFailed: a file of it cannot be read.
            OSError: it cannot be written; it is as it was before.
        """
        with self._locked("writing", fcntl.LOCK_EX), open_log() as log:
            before = self.manifest
            self.check_log(before, log)
            if log.last == before.through:
                return Archived(0, 0, 0)
            run = Run(self.folder, before.run + 1)
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
            publish(self.folder, now)
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
        # Also before the first run: it may begin, and take from the log, while this one reads.
        try:
            lock = self._lock("reading", fcntl.LOCK_SH)
        except OSError:  # read-only, so no run can begin either
            yield self.manifest
            return
        with lock:
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
            known = [read(self.folder, one).cast(LATE) for one in day.late]
            came = settled(pa.concat_tables([*known, late]))
            for one in day.impressions:
                with opened(self.folder, one) as file:
                    for batch in file.iter_batches(BATCH):
                        yield amended(pa.Table.from_batches([batch]).cast(SCHEMA), came)

    def verify(self) -> Manifest:
        """Read every file to its end.

        Raises:
            StoreFailed: one is not what was written.
        """
        with self.reading() as manifest:
            for one in manifest.files:
                with opened(self.folder, one):
                    path = self.folder / one.name
                if digest_of(path) != one.sha256:
                    raise damaged(path, "other bytes than were written")
        return manifest

    def _merged(self, manifest: Manifest, name: str, run: Run) -> Manifest:
        """The small files of a day as one, where they are too many."""
        day = manifest.days[name]
        for kind, files in (("impressions", day.impressions), ("late", day.late)):
            small = [one for one in files if one.rows < FULL]
            if len(small) <= MOST_FILES:
                continue
            rows, taken = 0, list[Kept]()
            for one in sorted(small, key=lambda one: one.rows):
                rows += one.rows
                if taken and rows > FULL:
                    break
                taken.append(one)
            schema = SCHEMA if kind == "impressions" else LATE
            table = pa.concat_tables([read(self.folder, one).cast(schema) for one in taken])
            left = tuple(one for one in files if one not in taken)
            day = replace(day, **{kind: (run.write(name, kind, table), *left)})
        return replace(manifest, days={**manifest.days, name: day})

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
        with self._lock(name, how):
            yield

    def _lock(self, name: str, how: int) -> TextIO:
        """A file that holds the lock until it is closed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = (self.folder / f"{name}.lock").open("a")
        try:
            fcntl.flock(lock, how)
        except OSError:
            lock.close()
            raise
        return lock


def _with(day: Day, new: Mapping[str, list[Kept]]) -> Day:
    return Day((*day.impressions, *new.get("impressions", ())), (*day.late, *new.get("late", ())))

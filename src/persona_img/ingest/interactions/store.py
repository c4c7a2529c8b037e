"""A shop's interactions: added file by file, each counted once, read as one table.

Of a person it holds what the files held: a shopper's name beside products and times, and refused
rows as they stood. Removing a source removes both.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa

from persona_img.errors import InvalidInput, NotFound, StoreConflict
from persona_img.ingest.interactions.base import SCHEMA
from persona_img.ingest.interactions.contents import SUFFIXES, Contents, tables_in
from persona_img.ingest.interactions.fields import SIMULATED
from persona_img.ingest.interactions.frames import table_of
from persona_img.ingest.interactions.parts import Parts, Summary, batches, parts_of
from persona_img.ingest.interactions.shelf import Shelf
from persona_img.ingest.interactions.source import Added, Source
from persona_img.ingest.interactions.staging import EVENTS, REJECTS, NothingUsable, stage
from persona_img.ingest.interactions.times import Times

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from persona_img.ingest.interactions.columns import Columns

_SCAN = 0.15


class Interactions:
    """What shoppers did, added file by file and read as one table.

    Args:
        folder: Of the store; made when something is first added.
        earlier: A table that a step before this store wrote, or a hand put there: it is taken over
            and removed when the interactions are next read.
    """

    def __init__(self, folder: Path, earlier: Path | None = None) -> None:
        self._shelf, self._earlier = Shelf(folder), earlier

    def __len__(self) -> int:
        return sum(source.rows for source in self.sources())

    def sources(self) -> list[Source]:
        """What was added, in that order."""
        self._take_over()
        return self._shelf.sources()

    def batches(
        self, columns: Sequence[str] = SCHEMA.names, before: datetime | None = None
    ) -> Iterator[pa.RecordBatch]:
        """All interactions in pieces of some ten thousand rows, as they were added.

        Args:
            columns: Some of shopper, product, kind and occurred_at.
            before: Only what occurred earlier than this moment.
        """
        for source in self.sources():
            if before is None or source.first is None or source.first < before:
                yield from batches(self._shelf.parts(source), columns, before)

    def summary(self, known: Collection[str] | None = None) -> Summary:
        """What all of it is; everything is read for it.

        Args:
            known: The catalogue's products, to say which are not in it.
        """
        parts = [part for source in self.sources() for part in self._shelf.parts(source)]
        return Summary.of(parts, known)

    def frame(self, before: datetime | None = None) -> pd.DataFrame:
        """All interactions: shopper, product, kind (text), occurred_at (datetime64[us, UTC]).

        Raises:
            NotFound: none was ever added.
            InvalidInput: a table put there by hand breaks a rule.
        """
        if not self.sources():
            raise NotFound(
                f"{self._shelf.folder}: no interactions yet; add some: "
                "`persona-img interactions add FILE`, or try `persona-img simulate`"
            )
        schema = pa.schema([SCHEMA.field(name) for name in SCHEMA.names])
        table = pa.Table.from_batches(self.batches(before=before), schema=schema)
        frame: pd.DataFrame = table.to_pandas()
        return frame

    def add(
        self,
        paths: Path | Iterable[Path],
        columns: Columns,
        *,
        known: Collection[str] | None = None,
        now: datetime | None = None,
        dry: bool = False,
        progress: Callable[[str, float, int], None] = lambda *_: None,
    ) -> Added:
        """Read files, or folders of them, and add what can be used; all of them or none.

        A file whose content was added before is counted once. Where events have identifiers, so is
        an event that several files hold.

        Args:
            paths: CSV, Parquet or JSON Lines, also packed with gzip.
            columns: How they tell interactions.
            known: The catalogue's products, to say which are not in it; they are kept all the same.
            now: Times later than it are refused; the clock's if None.
            dry: Read and check, and add nothing.
            progress: Told the file, how much of it is done (0 to 1), and its interactions so far.

        Raises:
            InvalidInput: no file can be read, or no row be used.
            StoreConflict: another import is at work, or a file was added with other columns.
        """
        now = now or datetime.now(UTC)
        Times(columns.timezone, columns.time_format, now)  # refused before anything is read
        given = [paths] if isinstance(paths, Path) else list(paths)
        added = Added(dry=dry)
        files = [file for path in given for file in tables_in(path, added.skipped)]
        if not files:
            raise InvalidInput(f"{given[0]}: no file of {', '.join(SUFFIXES)} in it")
        if any(source.name == SIMULATED for source in self.sources()):
            raise StoreConflict(
                f"{self._shelf.folder}: holds simulated shoppers; add real ones in another "
                f"home, or first `persona-img interactions remove {SIMULATED}`"
            )
        with self._shelf.working() as work:
            staged: list[Source] = []
            for file in files:
                try:
                    self._stage(file, columns, work, staged, added, known, now, progress)
                except (InvalidInput, StoreConflict) as error:
                    if len(files) == 1:
                        raise
                    added.failed[file] = str(error)
            if added.failed and not staged and not added.already:
                first, *more = added.failed.values()
                raise InvalidInput(first + (f" (and {len(more)} more files)" if more else ""))
            if not staged and not added.already:
                raise InvalidInput(f"{given[0]}: empty; export it again")
            added.sources = staged
            added.overlaps = _overlaps(self._shelf.sources(), staged)
            if staged and not dry:
                self._shelf.commit([*self._shelf.sources(), *staged], staged, work)
        return added

    def append(self, frame: pd.DataFrame, *, source: str, replace: bool = False) -> Source:
        """Add a table of a program, all rows of it or none.

        Args:
            frame: shopper, product, kind, occurred_at (datetime64 with a time zone).
            source: What to call it.
            replace: Whether it takes the place of all that was called so before.

        Raises:
            InvalidInput: a column is missing or a value breaks a rule; the message says which.
        """
        table = table_of(frame, source)
        with self._shelf.working() as work:
            folder = work / "table"
            folder.mkdir()
            with Parts(folder, event=False) as parts:
                for start in range(0, table.num_rows, 1 << 17):
                    parts.add(table.slice(start, 1 << 17))
            digest = hashlib.sha256(source.encode())
            for part in parts_of(folder):
                digest.update(part.read_bytes())
            summary = Summary.of(parts_of(folder))
            made = Source(
                digest=digest.hexdigest(), name=source, added_at=datetime.now(UTC),
                rows=summary.rows, kinds=summary.kinds, first=summary.first, last=summary.last,
                shoppers=summary.shoppers, products=summary.products, what="a table of a program",
                read=summary.rows,
            )  # fmt: skip
            before = self._shelf.sources()
            kept = [one for one in before if not (replace and one.name == source)]
            gone = [one for one in before if one not in kept and one.digest != made.digest]
            if made.digest not in {one.digest for one in kept}:
                folder.rename(work / made.digest)
                self._shelf.commit([*kept, made], [made], work)
                self._shelf.drop(gone)
        return made

    def remove(self, name: str) -> Source:
        """Undo one file.

        Args:
            name: The file's name, or the beginning of its digest.

        Raises:
            NotFound: nothing is called so.
            InvalidInput: several are.
        """
        with self._shelf.working():
            known = self._shelf.sources()
            found = [one for one in known if one.name == name] or [
                one for one in known if len(name) >= 4 and one.digest.startswith(name)
            ]
            if not found:
                names = ", ".join(f"{one.name} ({one.digest[:8]})" for one in known) or "nothing"
                raise NotFound(f"{name!r}: no such file was added; there is {names}")
            if len(found) > 1:
                digests = ", ".join(one.digest[:12] for one in found)
                raise InvalidInput(f"{name!r}: {len(found)} files are called so; say {digests}")
            self._shelf.write([one for one in known if one is not found[0]])
            self._shelf.drop(found)
        return found[0]

    def path_of_rejects(self, source: Source) -> Path | None:
        """Where a source's refused rows stand."""
        return self._shelf.folder / source.rejects if source.rejects else None

    def _stage(
        self,
        file: Path,
        columns: Columns,
        work: Path,
        staged: list[Source],
        added: Added,
        known: Collection[str] | None,
        now: datetime,
        progress: Callable[[str, float, int], None],
    ) -> None:
        size, read = max(1, file.stat().st_size), 0

        def scanned(count: int) -> None:
            nonlocal read
            read += count
            progress(file.name, min(1.0, read / size) * _SCAN, 0)

        contents = Contents.of(file, progress=scanned)
        if contents.kind == "empty":
            added.empty.append(file)
            return
        before = [*self._shelf.sources(), *staged]
        same = next((one for one in before if one.digest == contents.digest), None)
        if same is not None:
            if not same.read_alike(json.loads(json.dumps(columns.told()))):
                raise StoreConflict(
                    f"{file}: added before as {same.name}, with other columns; first `persona-img "
                    f"interactions remove {same.digest[:12]}`"
                )
            added.already[file] = same
            return
        folder = work / contents.digest
        folder.mkdir()
        events = {one.digest: self._shelf.events(one) for one in self._shelf.sources()}
        events |= {one.digest: work / one.digest / EVENTS for one in staged}
        try:
            source, summary = stage(
                contents,
                columns,
                folder,
                earlier={digest: path for digest, path in events.items() if path.exists()},
                known=known,
                now=now,
                progress=lambda done, rows: progress(file.name, _SCAN + done * (1 - _SCAN), rows),
            )
        except NothingUsable as error:
            kept = self._shelf.keep_rejects(folder, f"{file.name}-{contents.digest[:8]}.csv")
            raise InvalidInput(f"{error}. Each row's reason stands in {kept}") from error
        except InvalidInput:
            shutil.rmtree(folder)
            raise
        if source.rejects:
            self._shelf.keep_rejects(folder, Path(source.rejects).name)
        else:
            (folder / REJECTS).unlink()
        staged.append(source)
        added.summaries[source.digest] = summary

    def _take_over(self) -> None:
        """A table from before this store, as a source of its own."""
        if self._earlier is None or not self._earlier.exists():
            return
        try:
            frame = pd.read_parquet(self._earlier)
        except (pa.ArrowException, OSError) as error:
            raise InvalidInput(f"{self._earlier}: broken Parquet ({error})") from error
        name = f"{self._earlier.parent.name}/{self._earlier.name}"
        try:
            self.append(frame, source=name, replace=True)
        except InvalidInput as error:
            raise InvalidInput(
                f"{self._earlier}: {str(error).removeprefix(name + ': ')}; or move it away "
                "and read it with `persona-img interactions add`"
            ) from error
        self._earlier.unlink(missing_ok=True)


def _overlaps(known: Sequence[Source], new: Sequence[Source]) -> list[tuple[str, str]]:
    """Sources that may hold the same events, and cannot tell."""
    pairs = []
    for place, one in enumerate(new):
        for other in [*known, *new[:place]]:
            tell = "event_id" in one.found and "event_id" in other.found
            if not tell and other.columns and one.meets(other):
                pairs.append((one.name, other.name))
    return pairs

"""The folder of the interactions: a manifest that says what counts, and what lies beside it.

::

    interactions/
      manifest.json                what counts; replaced whole, so an import is in it or not
      sources/DIGEST/part-00000.parquet …, events.u64
      rejects/NAME-DIGEST.csv      rows that were refused
"""

from __future__ import annotations

import fcntl
import json
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from persona_img.errors import StoreConflict
from persona_img.ingest.interactions.parts import parts_of
from persona_img.ingest.interactions.source import Source
from persona_img.ingest.interactions.staging import EVENTS, REJECTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


class Shelf:
    """Sources in a folder; made when something is first put there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def commit(self, known: list[Source], new: Iterable[Source], work: Path) -> None:
        """Parts into their places, then the manifest: before it, none of them counts."""
        for source in new:
            home = self.home(source)
            home.parent.mkdir(exist_ok=True)
            if home.exists():  # of an import that was stopped between the two
                shutil.rmtree(home)
            (work / source.digest).rename(home)
        self.write(known)

    def write(self, known: list[Source]) -> None:
        """What counts from now on; readers see the old list or the new one."""
        stored = {"version": 1, "sources": [one.as_dict() for one in known]}
        partial = self.folder / "manifest.part"
        partial.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
        partial.replace(self.folder / "manifest.json")

    def drop(self, sources: Iterable[Source]) -> None:
        """What lies here of sources that do not count any more."""
        for source in sources:
            shutil.rmtree(self.home(source), ignore_errors=True)
            if source.rejects:
                (self.folder / source.rejects).unlink(missing_ok=True)

    def sources(self) -> list[Source]:
        """What counts, in the order in which it came."""
        path = self.folder / "manifest.json"
        if not path.exists():
            return []
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["version"] != 1:
            raise StoreConflict(f"{path}: written by a later persona-img; use that one")
        return [Source.from_dict(one) for one in stored["sources"]]

    def home(self, source: Source) -> Path:
        """Where a source lies."""
        return self.folder / "sources" / source.digest[:16]

    def events(self, source: Source) -> Path:
        """Where its events are listed, if it has any."""
        return self.home(source) / EVENTS

    def parts(self, source: Source) -> list[Path]:
        """A source's interactions."""
        return parts_of(self.home(source))

    def keep_rejects(self, folder: Path, name: str) -> Path:
        """The refused rows of a folder of work, under a name of their own."""
        path = self.folder / "rejects" / name
        path.parent.mkdir(exist_ok=True)
        return (folder / REJECTS).replace(path)

    @contextmanager
    def working(self) -> Iterator[Path]:
        """An empty folder aside, for one import at a time; what a stopped one left goes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise StoreConflict(
                    f"{self.folder}: another import is at work; wait until it is done"
                ) from None
            work = self.folder / "adding"
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            try:
                yield work
            finally:
                shutil.rmtree(work, ignore_errors=True)

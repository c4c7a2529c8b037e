"""One thread that writes to SQLite, with many calls to a commit.

Every call that waits goes into the same transaction, so many requests share one fsync; each is
answered after the commit.
"""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from persona_img.errors import InvalidInput, PersonaImgError, StoreFailed

if TYPE_CHECKING:
    from pathlib import Path

_BUSY_SECONDS = 30.0
_GROUP = 1024  # calls a transaction; bounds how long the first one waits

_T = TypeVar("_T")
_Work = tuple[Callable[[sqlite3.Connection], Any], "Future[Any]"]


class GroupWriter:
    """Runs writes one after the other on a connection that it owns.

    Args:
        db: Connection in autocommit mode, not bound to a thread; closed with the writer.
        name: What errors call the database.

    Attributes:
        commits: Transactions committed; with the number of calls it tells how well they share.
    """

    def __init__(self, db: sqlite3.Connection, *, name: str) -> None:
        self.commits = 0
        self._db = db
        self._name = name
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._entering = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="event-log", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Calls that no transaction has taken up yet."""
        return self._queue.qsize()

    def write(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run ``work`` inside a transaction and return its result once that is committed.

        Args:
            work: May raise a :class:`PersonaImgError`, which is passed on, as long as it has
                written nothing: the other calls of the transaction are committed.

        Raises:
            StoreFailed: not committed; may be repeated.
        """
        done: Future[_T] = Future()
        with self._entering:
            if self._closed:
                raise StoreFailed(f"{self._name}: the log is closed; open it again")
            self._queue.put((work, done))
        return done.result()

    def close(self) -> None:
        """Commit what waits, then close the connection; closing twice does no harm."""
        with self._entering:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()
        self._db.close()

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            self._commit([work])

    def _commit(self, group: list[_Work]) -> None:
        outcomes: list[Any] = []
        try:
            self._db.execute("BEGIN IMMEDIATE")
            # Gathered with the lock in hand: whoever came while we waited for it joins.
            self._gather(group)
            for work, _ in group:
                try:
                    outcomes.append(work(self._db))
                except PersonaImgError as error:
                    outcomes.append(error)
            self._db.execute("COMMIT")
            self.commits += 1
        except Exception as error:  # whatever it is, the callers wait for an answer
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            lost = f"{self._name}: not stored, {error}; free the disk if it is full, send it again"
            outcomes = [StoreFailed(lost) for _ in group]
        for (_, done), outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, PersonaImgError):
                done.set_exception(outcome)
            else:
                done.set_result(outcome)

    def _gather(self, group: list[_Work]) -> None:
        while len(group) < _GROUP:
            try:
                work = self._queue.get_nowait()
            except queue.Empty:
                return
            if work is None:
                self._queue.put(None)  # close() lets nobody in behind it
                return
            group.append(work)


def connect(path: Path) -> sqlite3.Connection:
    """A connection whose commits are on the disk when they return: WAL, synchronous FULL.

    Raises:
        InvalidInput: no database can be here.
    """
    try:
        db = sqlite3.connect(
            path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
    except sqlite3.Error as error:
        raise InvalidInput(
            f"{path}: cannot be an event log ({error}); name a file in a folder you can write to"
        ) from error
    if mode != "wal":
        db.close()
        raise InvalidInput(f"{path}: no write-ahead log here ({mode}); name a file on a local disk")
    return db

"""The log's file through two connections, one that reads and one that writes.

A connection does not see that its file was deleted, replaced or cut short: SQLite goes on with what
it had opened, and what it acknowledges then is lost. So each write looks at the file first, and
where it is another one, both connections are closed and opened anew. They are closed together, for
a connection to the file before and one to the file after it would share the ``-shm`` beside them.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from persona_img.errors import InvalidInput, PersonaImgError, StoreFailed
from persona_img.serving.base import HINDRANCES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BUSY_SECONDS = 30.0
"""For how long a write waits for other programs' writes; who asked for it may give up before."""

_READ_SECONDS = 0.02  # a reader waits for nobody; it does where a log is mended after a crash
_LOOK_SECONDS = 0.1  # a read of what was there a moment ago does no harm; a write would
_CORRUPT_SECONDS = 2.0  # what was found a moment ago is there still; a whole look takes minutes
_RETRY_SECONDS = 0.1  # a file that cannot be opened is not tried at every request
_PRIMARY = 0xFF  # SQLite's error codes hold a finer one above it
_REASONS = {
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_FULL: "full",
    sqlite3.SQLITE_READONLY: "read-only",
    sqlite3.SQLITE_CORRUPT: "corrupt",
    sqlite3.SQLITE_NOTADB: "corrupt",
    sqlite3.SQLITE_CANTOPEN: "missing",
    sqlite3.SQLITE_IOERR: "disk",
}
_SUSPECT = {"read-only", "corrupt", "missing", "disk"}
"""After these, the file is opened anew: it may be another one by then, or be writable again."""


def store_failed(path: Path | str, reason: str, said: object = "") -> StoreFailed:
    """The error for a log that does not do what it is asked, with what to do about it."""
    told = f" ({said})" if str(said) else ""
    return StoreFailed(f"{path}: {HINDRANCES[reason]}{told}", reason)


def reason_of(error: Exception) -> str:
    """One word for an error of SQLite, of those of :class:`StoreFailed`."""
    if isinstance(error, StoreFailed):
        return error.reason
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return "failed" if code is None else _REASONS.get(code & _PRIMARY, "failed")


class _Opened:
    """Two connections, and what tells whether their file is still the one they opened."""

    def __init__(self, path: Path, check: Callable[[sqlite3.Connection], None]) -> None:
        self.path, self.suspect = path, False
        self._wal_path = path.with_name(f"{path.name}-wal")
        self.reader = connect_to(path, _READ_SECONDS)
        try:
            self.writer = connect_to(path, _READ_SECONDS)
            try:
                check(self.writer)  # also makes the -wal
                self._size, self._until = 0, 0.0
                self._looking = threading.Lock()
                self._file, self._wal = self._look(), _identity(self._wal_path)
            except BaseException:
                self.writer.close()
                raise
        except BaseException:
            self.reader.close()
            raise
        self.reader.execute("PRAGMA query_only = ON")
        self.writer.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000:.0f}")

    def reads(self) -> bool:
        """Whether what is read is what lies there, or did a moment ago."""
        if not self.suspect and time.monotonic() >= self._until:
            self._until = time.monotonic() + _LOOK_SECONDS
            self.suspect = self._look() != self._file
        return not self.suspect

    def writes(self) -> bool:
        """Whether what is written gets to where it is looked for later."""
        same = self._look() == self._file and _identity(self._wal_path) == self._wal
        return same and not self.suspect

    def close(self) -> None:
        for db in (self.reader, self.writer):
            with contextlib.suppress(sqlite3.Error):
                db.close()

    def _look(self) -> tuple[int, int] | None:
        # Reader and writer look: a size seen before a checkpoint, and compared after the other saw
        # it grown, would be taken for a file that was cut short.
        with self._looking:
            try:
                found = self.path.stat()
            except OSError:
                return None
            if found.st_size < self._size:
                return None  # cut short
            self._size = found.st_size
            return found.st_dev, found.st_ino


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


class SqliteFile:
    """A database that may be locked, full, cut short, deleted and replaced while it is used.

    Args:
        path: A database that is there and holds what ``check`` looks for.
        check: Reads something; raises what it likes where this is no log.

    Raises:
        StoreFailed: it cannot be opened.
    """

    def __init__(self, path: Path, check: Callable[[sqlite3.Connection], None]) -> None:
        self._path, self._check = path, check
        # Whoever needs both takes _writing first, or does not wait for it.
        self._writing, self._reading = threading.Lock(), threading.Lock()
        self._closed = False
        self._next = 0.0
        self._why = ("missing", "")
        self._corrupt = (-_CORRUPT_SECONDS, "")
        self._opened: _Opened | None = None
        with self._writing, self._reading:
            self._open()

    def read(self, query: str, values: tuple[str, ...] = ()) -> list[tuple[Any, ...]]:
        """The rows; waits for nobody.

        Raises:
            StoreFailed: it cannot be read.
        """
        with self._reading:
            opened = self._opened
            if opened is None or self._closed or not opened.reads():
                opened = self._reader_anew()
            try:
                rows: list[tuple[Any, ...]] = opened.reader.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise self._failed(error) from error
        return rows

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The connection that writes, for a transaction; one at a time.

        Raises:
            StoreFailed: the file is not there, or is none, before the ``with`` block or after
                it; also instead of SQLite's own errors in it.
        """
        with self._writing:
            opened = self._opened
            if opened is None or self._closed or not opened.writes():
                with self._reading:
                    opened = self._open()
            try:
                yield opened.writer
            except sqlite3.Error as error:
                raise self._failed(error) from error
            if not opened.writes():  # it went while it was written to: nobody finds that again
                raise store_failed(self._path, "missing")

    def check(self) -> None:
        """Look at the file as somebody sees it who opens it now.

        Raises:
            StoreFailed: it cannot be opened or read, or a page of it could not a moment ago.
        """
        found, said = self._corrupt
        if time.monotonic() < found + _CORRUPT_SECONDS:
            raise store_failed(self._path, "corrupt", said)
        try:
            # Not the last connection: closing it moves nothing into the file.
            with contextlib.closing(connect_to(self._path, _READ_SECONDS)) as db:
                self._check(db)
        except (sqlite3.Error, StoreFailed) as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Let go of the file; closing twice does no harm."""
        with self._writing, self._reading:
            self._closed = True
            if self._opened is not None:
                self._opened.close()
            self._opened = None

    def _reader_anew(self) -> _Opened:
        if not self._writing.acquire(blocking=False):
            # The writer has the old file, or waits for its lock: it cannot be closed meanwhile.
            raise store_failed(self._path, "missing" if not self._path.exists() else "locked")
        try:
            return self._open()
        finally:
            self._writing.release()

    def _open(self) -> _Opened:
        """Close what was open and open what lies there; both locks are held."""
        if self._closed:
            raise store_failed(self._path, "closed")
        if self._opened is not None:
            self._opened.close()
            self._opened = None
        if time.monotonic() < self._next:
            raise store_failed(self._path, *self._why)
        try:
            self._opened = _Opened(self._path, self._check)
        except (sqlite3.Error, PersonaImgError) as error:
            self._next = time.monotonic() + _RETRY_SECONDS
            self._why = (self._reason(error), str(error))
            raise store_failed(self._path, *self._why) from error
        return self._opened

    def _failed(self, error: Exception) -> StoreFailed:
        reason = self._reason(error)
        opened = self._opened
        if reason in _SUSPECT and opened is not None:
            opened.suspect = True
        if reason == "corrupt":
            self._corrupt = (time.monotonic(), str(error))
        return store_failed(self._path, reason, error)

    def _reason(self, error: Exception) -> str:
        reason = reason_of(error)
        # SQLite says the same of a file that is not there and of one that it may not open.
        return "disk" if reason == "missing" and self._path.exists() else reason


def connect_to(path: Path, seconds: float, *, new: bool = False) -> sqlite3.Connection:
    """A connection whose commits are on the disk when they return: WAL, synchronous FULL.

    Args:
        path: The database.
        seconds: For how long it waits for others.
        new: Whether the file may be made.

    Raises:
        sqlite3.Error: no database can be here.
        InvalidInput: it can have no write-ahead log here.
    """
    # Options of the address are SQLite's only word for "do not make it".
    address = str(path) if new else f"{path.absolute().as_uri()}?mode=rw"
    db = sqlite3.connect(
        address, timeout=seconds, isolation_level=None, check_same_thread=False, uri=not new
    )
    try:
        mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        if mode != "wal":
            raise InvalidInput(
                f"{path}: no write-ahead log here ({mode}); name a file on a local disk"
            )
    except BaseException:
        db.close()
        raise
    return db


def connect(path: Path, *, new: bool = True) -> sqlite3.Connection:
    """A connection as of :func:`connect_to`, for a program that begins with it.

    Raises:
        InvalidInput: no database can be here.
    """
    try:
        return connect_to(path, BUSY_SECONDS, new=new)
    except sqlite3.Error as error:
        raise InvalidInput(
            f"{path}: cannot be an event log ({error}); name a file in a folder you can write to"
        ) from error

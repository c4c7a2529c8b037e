"""One thread that writes to a database, with many calls to a commit.

Every call that waits goes into the same transaction, so many requests share one fsync; each is
answered after the commit. A call may give up before: what had not begun by then is not done.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from persona_img.errors import PersonaImgError, StoreFailed
from persona_img.serving.sqlite_file import BUSY_SECONDS, store_failed

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

_GROUP = 1024  # calls a transaction; bounds how long the first one waits

_T = TypeVar("_T")
_Work = tuple[Callable[[Any], Any], "Future[Any]"]


class _Connection(Protocol):
    def commit(self) -> None: ...
    def rollback(self) -> None: ...


_Db = TypeVar("_Db", bound=_Connection)


class GroupWriter(Generic[_Db]):
    """Runs writes one after the other.

    Args:
        open: Holds a connection, not bound to a thread, for a transaction; raises
            :class:`StoreFailed` where there is none, and for the database's own errors.
        path: What errors call the database.
        begin: Begins a transaction, and waits until no other one writes.

    Attributes:
        commits: Transactions committed; with the number of calls it tells how well they share.
    """

    def __init__(
        self,
        open: Callable[[], AbstractContextManager[_Db]],
        path: Path | str,
        begin: Callable[[_Db], object],
    ) -> None:
        self.commits = 0
        self._open = open
        self._begin = begin
        self._path = path
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._entering = threading.Lock()
        self._closed = False
        self._since: float | None = None  # when the transaction under way began
        self._locked = False  # whether it waits for other programs
        self._thread = threading.Thread(target=self._run, name="event-log", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Calls that no transaction has taken up yet."""
        return self._queue.qsize()

    def write(self, work: Callable[[_Db], _T], *, seconds: float = BUSY_SECONDS) -> _T:
        """Run ``work`` inside a transaction and return its result once that is committed.

        Args:
            work: May raise a :class:`PersonaImgError`, which is passed on, as long as it has
                written nothing: the other calls of the transaction are committed.
            seconds: After which the call gives up. What the transaction before it has waited
                counts: behind one that waits so long already, it gives up at once, so that many
                calls do not wait one after the other.

        Raises:
            StoreFailed: not committed, or not in time; may be repeated.
        """
        done: Future[_T] = Future()
        left = seconds - self._waited()
        if left <= 0:
            raise self._late()
        with self._entering:
            if self._closed:
                raise store_failed(self._path, "closed")
            self._queue.put((work, done))
        try:
            return done.result(left)
        except TimeoutError:
            if done.cancel() or not done.done():
                raise self._late() from None
            return done.result()  # at the last moment

    def close(self) -> None:
        """Commit what waits; closing twice does no harm."""
        with self._entering:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def _waited(self) -> float:
        since = self._since
        return 0.0 if since is None else time.monotonic() - since

    def _late(self) -> StoreFailed:
        return store_failed(self._path, "locked" if self._locked else "late")

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            self._commit([work])

    def _commit(self, group: list[_Work]) -> None:
        self._since = time.monotonic()
        try:
            outcomes = self._transact(group)
        except StoreFailed as error:
            outcomes = [StoreFailed(str(error), error.reason) for _ in group]
        except Exception as error:  # whatever it is, the callers wait for an answer
            lost = f"{self._path}: not stored, {error}; send it again"
            outcomes = [StoreFailed(lost) for _ in group]
        finally:
            self._since, self._locked = None, False
        for (_, done), outcome in zip(group, outcomes, strict=True):
            _answer(done, outcome)

    def _transact(self, group: list[_Work]) -> list[Any]:
        with self._open() as db:
            try:
                self._locked = True
                self._begin(db)
                self._locked = False
                # Gathered with the lock in hand: whoever came while we waited for it joins.
                self._gather(group)
                group[:] = [one for one in group if one[1].set_running_or_notify_cancel()]
                outcomes = [_outcome(work, db) for work, _ in group]
                db.commit()
            except BaseException:
                with contextlib.suppress(Exception):  # what went wrong before is what is told
                    db.rollback()
                raise
        self.commits += 1
        return outcomes

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


def _outcome(work: Callable[[_Db], Any], db: _Db) -> Any:
    try:
        return work(db)
    except PersonaImgError as error:
        return error


def _answer(done: Future[Any], outcome: Any) -> None:
    if not (done.running() or done.set_running_or_notify_cancel()):
        return  # the caller gave up
    if isinstance(outcome, PersonaImgError):
        done.set_exception(outcome)
    else:
        done.set_result(outcome)

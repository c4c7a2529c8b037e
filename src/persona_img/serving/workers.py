"""Several processes that serve on one socket: one for each core, and no other than the next.

They share the log, the variants and the tables by their files, so it does not matter which of them
answers. One that dies is replaced; told to end, all of them finish what is under way. They end too
where the first process was killed: whoever starts it again has the port and the log to itself.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from typing import TYPE_CHECKING

from persona_img.errors import ServiceFailed

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

_LOG = logging.getLogger(__name__)
_LEAST_SECONDS = 5.0  # one that ends sooner would end again
_END_SECONDS = 4.8
_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE = 10.0
_LOOK_SECONDS = 0.05
_METRICS = "PROMETHEUS_MULTIPROC_DIR"


def run_workers(
    count: int,
    work: Callable[[Callable[[], None]], None],
    *,
    prepare: Callable[[], None] = lambda: None,
) -> None:
    """Run ``work`` in so many processes until this one is interrupted or terminated.

    To be called before there are threads, and before metrics are imported: each process begins as
    a copy of this one. What is under way when they are told to end has under five seconds.

    Args:
        count: Processes, at least 1.
        work: Serves until SIGTERM, on a socket that was opened before. Is given what to call once
            it does: one that is killed before, again and again, is replaced later and later.
        prepare: Done once, before the first process begins, and had by all: imports. It starts no
            threads and opens no files, for a copy cannot use them.

    Raises:
        ServiceFailed: one did not start; what it said stands above.
    """
    with tempfile.TemporaryDirectory(prefix="persona-img-metrics-") as metrics:
        given = os.environ.get(_METRICS)
        os.environ[_METRICS] = given or metrics
        team = _Team(work)
        before = {one: signal.signal(one, team.end) for one in (signal.SIGTERM, signal.SIGINT)}
        try:
            prepare()
            gc.collect()
            gc.freeze()  # what is never looked at again is never copied
            for _ in range(count):
                team.begin()
            team.watch()
        finally:
            team.stop()
            if given is None:
                del os.environ[_METRICS]
            for one, handler in before.items():
                signal.signal(one, handler)
            gc.unfreeze()


class _Team:
    def __init__(self, work: Callable[[Callable[[], None]], None]) -> None:
        self._work = work
        # Nobody writes to it. Its end here closes with this process, however that ends.
        self._listening, self._held = os.pipe()
        # Whoever serves writes its number, in one piece.
        self._told, self._tells = os.pipe()
        os.set_blocking(self._told, False)
        self._serving: set[int] = set()
        self._begun: dict[int, float] = {}
        self._due: list[float] = []
        """When those begin that stand in for who ended soon."""
        self._soon = 0
        """How many ended soon, one after the other."""
        self._ending = False
        self._served = False
        """Whether any of them ever lived long: then one that ends at once ends no other."""

    def begin(self) -> None:
        process = os.fork()
        if process == 0:
            self._be_one()
        self._begun[process] = time.monotonic()

    def end(self, *_: int | FrameType | None) -> None:
        self._ending = True

    def watch(self) -> None:
        """Replace whoever ends, until all are to end."""
        while not self._ending:
            now = time.monotonic()
            self._served |= any(now - begun > _LEAST_SECONDS for begun in self._begun.values())
            ended = self._ended()
            self._hear()  # after it: what those said before they ended is in there
            for process, (begun, status) in ended.items():
                lived = now - begun
                # Killed by the system (no memory, a full disk under what is mapped), it was
                # hindered by nothing of its own: only who says why and leaves cannot start.
                itself = lived < _LEAST_SECONDS and status >= 0
                if itself and not self._served:
                    raise ServiceFailed("a worker did not start; what it said stands above")
                pause = self._pause(itself, process in self._serving)
                self._serving.discard(process)
                _LOG.warning(
                    "worker %d ended after %.0f s, another one begins in %.1f s",
                    process,
                    lived,
                    pause,
                )
                self._due.append(now + pause)
            ready = [when for when in self._due if when <= now]
            self._due = [when for when in self._due if when > now]
            for _ in ready:
                self.begin()
            time.sleep(_LOOK_SECONDS)

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while said := os.read(self._told, 4):
                self._serving.add(int.from_bytes(said, "big"))

    def _pause(self, itself: bool, served: bool) -> float:
        """Seconds until the next one begins.

        Whoever ended soon may do so again: of its own fault, or killed before it served, by a
        system that has no memory left. The first that was killed is replaced at once, the next of
        them later and later.
        """
        if served and not itself:
            self._soon = 0
            return 0.0
        self._soon += 1
        times = self._soon - (0 if itself else 1)
        return min(_PAUSE_SECONDS * 2 ** (times - 1), _LONGEST_PAUSE) if times else 0.0

    def stop(self) -> None:
        """End all: by asking, and in the end by force."""
        self._tell(signal.SIGTERM)
        until = time.monotonic() + _END_SECONDS
        while self._begun and time.monotonic() < until:
            self._ended()
            time.sleep(_LOOK_SECONDS)
        self._tell(signal.SIGKILL)
        for process in self._begun:
            os.waitpid(process, 0)
        for one in (self._held, self._listening, self._told, self._tells):
            os.close(one)

    def _ended(self) -> dict[int, tuple[float, int]]:
        """Who has ended, when each had begun, and by what; they are no longer of the team.

        What was waited for has no number any more: the next process of that number is somebody's.
        """
        found = [os.waitpid(one, os.WNOHANG) for one in self._begun]
        return {
            one: (self._begun.pop(one), os.waitstatus_to_exitcode(status))
            for one, status in found
            if one
        }

    def _tell(self, what: signal.Signals) -> None:
        for process in self._begun:
            os.kill(process, what)

    def _be_one(self) -> None:
        """Never returns: the rest of the program is the first process' own."""
        code = 1
        try:
            signal.signal(
                signal.SIGINT, signal.SIG_IGN
            )  # a terminal interrupts all; the first tells
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.close(self._held)
            threading.Thread(target=self._end_with_first, name="first-process", daemon=True).start()
            self._work(self._tell_first)
            code = 0
        except BaseException as error:
            print(f"worker {os.getpid()}: {error!r}", file=sys.stderr, flush=True)
        finally:
            # At once: a thread that hangs on a disk would keep it.
            os._exit(code)

    def _tell_first(self) -> None:
        os.write(self._tells, os.getpid().to_bytes(4, "big"))

    def _end_with_first(self) -> None:
        """Wait until the first process is gone, then end as if it had told: in time, or by force.

        Without it nobody replaces this one or tells it to end, and it would keep the port.
        """
        os.read(self._listening, 1)
        _LOG.warning("the first process is gone; worker %d ends", os.getpid())
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_END_SECONDS)
        os._exit(1)

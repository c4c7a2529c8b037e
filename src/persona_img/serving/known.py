"""What is known of a shopper, asked where a decision is made: soon, or not at all."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from contextlib import suppress
from typing import TYPE_CHECKING

from cachetools import TTLCache

from persona_img.serving.tracing import NO_SPANS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from persona_img.domain.leaning import Floats
    from persona_img.serving.tracing import Spans

_LOG = logging.getLogger(__name__)

MOST = 100_000
"""Shoppers that are remembered; about 500 bytes each."""

WAITING = 64
"""Questions that may wait for the store; further ones are too late at once."""

REST = 1.0
"""Seconds for which a store that failed is left alone: an error costs a page time, too."""

OUTCOMES = ("kept", "read", "unknown", "late", "failed")
"""What may come of asking: remembered, read in time, nobody known, not in time, or an error."""

_Key = tuple[str, tuple[str, ...]]
_NOBODY: _Key = ("~nobody", ())


class Known:
    """Traits of shoppers out of a feature store, never waited for longer than told.

    What comes too late is remembered for the next decision. One thread asks, one question after the
    other, so behind one that is late nobody waits: a store that hangs costs one decision its wait,
    not each product of a page. One that failed is asked again a second later, by whoever comes.

    Args:
        read: Traits of a shopper by these names at a moment (Unix seconds), None for nobody known.
            It may be slow, and may raise.
        seconds: For how long an answer is taken for true; 0 asks every time.
        wait: Seconds that a decision waits.
        on_outcome: Told what came of each question, of :data:`OUTCOMES`.
        clock: Seconds, for tests.

    Attributes:
        on_outcome: As given.
        spans: Told how long what is not remembered was waited for.
    """

    def __init__(
        self,
        read: Callable[[str, Sequence[str], float], Floats | None],
        *,
        seconds: float = 60.0,
        wait: float = 0.02,
        on_outcome: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._wait, self._clock = read, wait, clock
        self.on_outcome = on_outcome
        self.spans: Spans = NO_SPANS
        self._answers: TTLCache[_Key, Floats | None] = TTLCache(MOST, seconds, timer=clock)
        self._asked: dict[_Key, Future[Floats | None]] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="persona-img-known")
        self._began: float | None = None
        """When the store was asked what it has not answered yet."""
        self._failed: float | None = None
        """When it failed, unless it has answered since."""

    def __call__(self, shopper: str, names: Sequence[str], now: float) -> Floats | None:
        """Traits, or None where nothing is known in time."""
        key = (shopper, tuple(names))
        with self._lock:
            if key in self._answers:
                found = self._answers[key]
                self.on_outcome("kept")
                return found
            if self._failed is not None and self._clock() < self._failed + REST:
                self.on_outcome("failed")
                return None
            asked = self._asked.get(key)
            if asked is None and len(self._asked) >= WAITING:
                self.on_outcome("late")
                return None
            hangs = self._began is not None and self._clock() > self._began + self._wait
            if asked is None:
                try:
                    asked = self._pool.submit(self._ask, key, now)
                except RuntimeError:  # closed: the service is going down
                    self.on_outcome("failed")
                    return None
                self._asked[key] = asked
        with self.spans.span("profile") as span:
            outcome, found = _awaited(asked, 0 if hangs else self._wait)
            span.tell(outcome=outcome)
        self.on_outcome(outcome)
        return found

    def open(self) -> None:
        """Ask for nobody, and wait for nothing: what a store does first takes it seconds."""
        with self._lock:
            self._ask_for_nobody()

    def _ask_for_nobody(self) -> None:
        if not self._asked:
            with suppress(RuntimeError):  # closed: the service is going down
                self._asked[_NOBODY] = self._pool.submit(self._ask, _NOBODY, time.time())

    @property
    def hindrance(self) -> str:
        """What keeps the store from answering, for everybody to read; or empty.

        A store that failed is asked again, if nobody else does, and by the next look it is known
        whether it is back.
        """
        with self._lock:
            now = self._clock()
            failed = self._failed is not None
            hangs = self._began is not None and now > self._began + REST
            if self._failed is not None and now >= self._failed + REST:
                self._ask_for_nobody()
        return "the feature store does not answer, segments decide" if failed or hangs else ""

    def close(self) -> None:
        """End its threads; what they are at is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _ask(self, key: _Key, now: float) -> Floats | None:
        with self._lock:
            self._began = self._clock()
        try:
            found = self._read(*key, now)
        except Exception as error:
            # Whatever a store may raise: the segment's chances are served, and the log says why.
            with self._lock:
                again, self._failed = self._failed is not None, self._clock()
                # What waits would fail as slowly, and hold up whoever asks once the store is back.
                self._asked = {k: f for k, f in self._asked.items() if not f.cancel()}
                self._settle(key)
            if not again:
                _LOG.warning("the feature store does not answer, segments decide: %s", error)
            raise
        with self._lock:
            back, self._failed = self._failed is not None, None
            self._answers[key] = found
            self._settle(key)
        if back:
            _LOG.warning("the feature store answers again")
        return found

    def _settle(self, key: _Key) -> None:
        self._asked.pop(key, None)
        self._began = None


def _awaited(asked: Future[Floats | None], seconds: float) -> tuple[str, Floats | None]:
    """What came of a question within some seconds, of :data:`OUTCOMES`, and the answer."""
    try:
        found = asked.result(seconds)
    except Late:
        return "late", None
    except Exception:  # told by _ask, once
        return "failed", None
    return ("unknown" if found is None else "read"), found

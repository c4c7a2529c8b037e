"""Events beside the event loop, and no more of them at once than memory is there for.

Calls that wait together share a commit, so it does no harm that many do. But where a disk hangs
nothing of what waits ends, and senders send again what was not acknowledged: then who comes is told
to come later, before the service has no memory left.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from fastapi import HTTPException

from persona_img.errors import StoreFailed
from persona_img.serving.base import HINDRANCES
from persona_img.serving.tracing import NO_SPANS

if TYPE_CHECKING:
    from collections.abc import Callable

    from persona_img.serving.hot import Answer
    from persona_img.serving.tracing import Spans

_THREADS = 40
_LATER_SECONDS = 1


class Storing:
    """Hands bodies of events to threads that may wait for a disk.

    Used by one event loop.

    Args:
        store: Reads a body and stores what is in it; called on other threads.
        seconds: For how long an answer is waited for. What waits for a thread then is not begun
            any more; what is under way keeps its thread.
        most: Bodies held at once, also those that nobody waits for any more, at least 1.
        most_bytes: Of these together; one alone may be longer.
        spans: What is stored lies in the span of who asks.
    """

    def __init__(
        self,
        store: Callable[[bytes], Answer],
        seconds: float,
        *,
        most: int = 512,
        most_bytes: int = 2**26,
        spans: Spans = NO_SPANS,
    ) -> None:
        self._spans = spans
        self._store, self._seconds = store, seconds
        self._most, self._most_bytes = most, most_bytes
        self._held = self._bytes = 0
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="persona-img-events")

    async def answer(self, body: bytes) -> Answer:
        """What ``store`` answers.

        Raises:
            HTTPException: 429, with when to come again; nothing of it is stored.
            StoreFailed: not in time; it may be stored, and may be sent again.
            Exception: whatever hinders ``store``.
        """
        full = self._held and self._bytes + len(body) > self._most_bytes
        if full or self._held >= self._most:
            raise HTTPException(
                429,
                f"{self._held} calls with events wait for the disk; send this one again in "
                f"{_LATER_SECONDS} s",
                {"Retry-After": str(_LATER_SECONDS)},
            )
        self._held += 1
        self._bytes += len(body)
        given_up = threading.Event()

        def store() -> Answer | None:
            return None if given_up.is_set() else self._store(body)

        def over(done: asyncio.Future[Answer | None]) -> None:
            self._held -= 1
            self._bytes -= len(body)
            if not done.cancelled():
                done.exception()  # looked at, for there may be nobody else

        try:
            done = asyncio.get_running_loop().run_in_executor(
                self._pool, self._spans.carried(store)
            )
        except RuntimeError as error:  # no thread can begin: nothing is held that would end
            self._held -= 1
            self._bytes -= len(body)
            raise StoreFailed(f"events are not stored, {error}; send them again", "late") from error
        done.add_done_callback(over)
        try:
            # Not cancelled in the end: a cancelled call would be held by the threads' queue, and
            # not be counted.
            found = await asyncio.wait_for(asyncio.shield(done), self._seconds)
        except TimeoutError as error:
            raise StoreFailed(HINDRANCES["late"], "late") from error
        finally:
            given_up.set()
        assert found is not None
        return found

"""An answer that is costly to find out, told again for a moment."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Recent:
    """Asks once, however many want to know; for a while all are told the same.

    Used by one thread, the one that answers.

    Args:
        ask: Finds out; raises where it cannot.
        seconds: For how long what was found, or raised, is told again.
        clock: For tests.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[object]],
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask, self._seconds, self._clock = ask, seconds, clock
        self._asking: asyncio.Future[None] | None = None
        self._found: Exception | None = None
        self._until = float("-inf")

    async def ask(self) -> None:
        """Raise what was raised, if anything was."""
        if self._clock() >= self._until:
            if self._asking is None:
                self._asking = asyncio.ensure_future(self._find())
            # Whoever goes away takes the answer from nobody.
            await asyncio.shield(self._asking)
        if self._found is not None:
            raise self._found

    async def _find(self) -> None:
        try:
            await self._ask()
            self._found = None
        except Exception as error:
            self._found = error
        finally:
            self._asking = None
            self._until = self._clock() + self._seconds

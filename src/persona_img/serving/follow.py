"""A running service takes every table that is published, without a restart."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from persona_img.errors import PersonaImgError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from types import TracebackType

    from persona_img.domain.decision import DecisionTable, Ramp
    from persona_img.serving.decide import Decider

_LOG = logging.getLogger(__name__)
_UNUSABLE = (PersonaImgError, OSError, ValueError, LookupError, TypeError, AttributeError)
"""What reading a file that holds anything at all may raise."""


class Follower:
    """Looks for a new table, while the ``with`` block runs, in a thread of its own.

    A table that cannot be read or used is not taken: the one before it stays in use, the log says
    why, once, and every look tries again, for what hinders may pass.

    Args:
        decider: Gets the tables.
        stamp: Changes when there may be a new one; cheap.
        read: The table, the plans that were rolled back, and the ramp.
        seconds: Between two looks.
        beside: Done at every look, before it; raises nothing.
    """

    def __init__(
        self,
        decider: Decider,
        stamp: Callable[[], object],
        read: Callable[[], tuple[DecisionTable, Collection[str], Ramp | None]],
        *,
        seconds: float = 1.0,
        beside: Callable[[], None] = lambda: None,
    ) -> None:
        self._decider, self._stamp, self._read = decider, stamp, read
        self._seconds, self._beside = seconds, beside
        self._seen: object = None
        self._failed: object = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="persona-img-follow", daemon=True)

    def __enter__(self) -> Follower:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    @property
    def hindrance(self) -> str:
        """What keeps it from taking what is published, for everybody to read; or empty."""
        if self._failed is None:
            return ""
        return "the table that was published cannot be read, the one before it is served"

    def look(self) -> bool:
        """Take what is published, if it may be new; whether it was taken."""
        # Before reading: what is published meanwhile is found at the next look.
        stamp = self._stamp()
        if stamp == self._seen:
            self._failed = None  # what could not be read is gone again
            return False
        try:
            self._decider.replace(*self._read())
        except _UNUSABLE as error:
            if stamp != self._failed:
                _LOG.warning("what was published is not served, what was before is: %s", error)
            self._failed = stamp
            return False
        self._seen, self._failed = stamp, None
        return True

    def _run(self) -> None:
        while not self._done.is_set():
            self._beside()
            self.look()
            self._done.wait(self._seconds)

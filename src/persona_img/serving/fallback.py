"""Where nothing can be decided or logged the photo is shown: counted, and told now and then."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from persona_img.errors import PersonaImgError, StoreFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from persona_img.domain.catalog import Catalog

_LOG = logging.getLogger(__name__)

HALTED = "halted"
"""The reason for a photo of what somebody halted."""

UNKNOWN_PRODUCT = "unknown-product"
"""The reason for a photo of a product that the catalogue does not know."""


class Fallback:
    """Counts photos that stood in for a decision, and says why, once in a while for each reason.

    Used by one thread, the one that answers.

    Args:
        on_photo: Told the reason of each: one of :class:`StoreFailed`, ``late`` for a decision
            that took too long, ``error`` for what nobody foresaw, :data:`HALTED`,
            :data:`UNKNOWN_PRODUCT`, or one of :mod:`persona_img.serving.consent`.
        seconds: Between two lines of the program's log for the same reason.
        clock: For tests.
    """

    def __init__(
        self,
        on_photo: Callable[[str], object],
        *,
        seconds: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_photo, self._seconds, self._clock = on_photo, seconds, clock
        self._told: dict[str, float] = {}
        self._since: dict[str, int] = {}

    def note(self, error: Exception) -> None:
        """A photo is shown because of this error."""
        self._count(reason_of(error), error)

    def note_unknown(self) -> None:
        """A photo of an unknown product is shown."""
        self._count(UNKNOWN_PRODUCT, None)

    def note_chosen(self, reason: str) -> None:
        """A photo is shown because somebody wants it so, not because anything fails."""
        if reason == HALTED:
            self._count(reason, None)
        else:
            self._on_photo(reason)

    def _count(self, reason: str, error: Exception | None) -> None:
        self._on_photo(reason)
        photos = self._since[reason] = self._since.get(reason, 0) + 1
        now = self._clock()
        if now - self._told.get(reason, -self._seconds) < self._seconds:
            return
        self._told[reason], self._since[reason] = now, 0
        _LOG.warning(
            "photos shown, not counted: reason=%s photos=%d error=%s",
            reason,
            photos,
            error,
            extra={"reason": reason, "photos": photos},
            # Of what nobody foresaw, where it came from.
            exc_info=None if error is None or isinstance(error, PersonaImgError) else error,
        )


def reason_of(error: Exception) -> str:
    """One word for what hinders a decision."""
    if isinstance(error, StoreFailed):
        return error.reason
    return "late" if isinstance(error, TimeoutError) else "error"


class LastCatalog:
    """The catalogue, or as it was told last where it cannot be told.

    Args:
        tell: Tells it at every request, and may raise; not at the start.
    """

    def __init__(self, tell: Callable[[], Catalog]) -> None:
        self._tell = tell
        self._last = tell()
        self._failing = False

    def __call__(self) -> Catalog:
        """The catalogue."""
        try:
            self._last = self._tell()
        except Exception as error:
            # Whatever it is: what products were there a moment ago, are there.
            if not self._failing:
                _LOG.warning("the catalogue is used as it was before: %s", error, exc_info=error)
            self._failing = True
        else:
            self._failing = False
        return self._last

"""The photo instead of a picture that cannot be read: no page shows a broken one.

What was shown then is not what was decided, so for some seconds after that no decision for the
picture counts: its shoppers are answered the photo.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from cachetools import TTLCache

from persona_img.errors import StoreFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from persona_img.domain.catalog import Catalog, Product

_SECONDS = 2.0
"""For how long a picture is taken for gone; then one shopper tries it again."""

_MOST = 10_000


class StandIns:
    """Pictures that could not be read a moment ago, and the photos in their place.

    Args:
        catalog: Tells the products.
        product_of: The product that a variant of the table shows, by its digest; None of others.
        clock: Seconds, for tests.
    """

    def __init__(
        self,
        catalog: Callable[[], Catalog],
        product_of: Callable[[str], str | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalog, self._product_of = catalog, product_of
        self._lock = threading.Lock()
        self._gone: TTLCache[str, bool] = TTLCache(_MOST, _SECONDS, timer=clock)

    def note(self, master: str) -> Product | None:
        """A picture cannot be read.

        Args:
            master: Digest of a variant, or of the photo that it is a rendition of.

        Returns:
            The product whose photo stands in for it; None where nobody knows.
        """
        with self._lock:
            self._gone[master] = True
        catalog, product = self._catalog(), self._product_of(master)
        shows = (one for one in catalog if master == one.photo_digest or product == one.product)
        return next(shows, None)

    def check(self, digest: str | None) -> None:
        """Refuse to count a picture that cannot be read.

        Raises:
            StoreFailed: it could not a moment ago.
        """
        if digest is None:
            return
        with self._lock:
            gone = digest in self._gone
        if gone:
            raise StoreFailed(f"variant {digest[:12]}: its file cannot be read", "missing-picture")

    @property
    def hindrance(self) -> str:
        """What is not shown as it should be, for everybody to read; or empty."""
        with self._lock:
            self._gone.expire()
            gone = bool(self._gone)
        return "pictures cannot be read, photos are shown in their place" if gone else ""

"""Which variants may be shown at this moment: asked at every decision."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from persona_img.domain.catalog import Catalog
from persona_img.errors import PersonaImgError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from persona_img.variants.store import VariantStore

_LOG = logging.getLogger(__name__)
_LOOK_SECONDS = 1.0
_REFRESHED_SECONDS = 3.0


class LiveCatalog:
    """The catalogue's table as it is now: read again once it was replaced.

    A running service so learns what was retired, added or given another photo. A table that
    breaks a rule is not taken: the one before it stays in use, and the log says why.

    Args:
        path: The CSV.

    Raises:
        NotFound: no such file.
        BadCatalog: it breaks a rule at the start.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reading = threading.Lock()
        self._stamp = self._look()
        self._failed: tuple[int, int, int] | None = None
        self._catalog = Catalog.load(path)
        self._next = time.monotonic() + _LOOK_SECONDS

    def __call__(self) -> Catalog:
        """The catalogue, at most a second old; while a thread reads it, the one before."""
        if time.monotonic() >= self._next:
            self._refresh(_LOOK_SECONDS)
        return self._catalog

    @property
    def hindrance(self) -> str:
        """What keeps it from reading the table, for everybody to read; or empty."""
        self()
        if self._failed is None:
            return ""
        return "the catalogue cannot be read, it is used as it was before"

    def refresh(self) -> None:
        """Look, and read what changed: for a thread that does so once a second.

        As long as it does, nobody who asks reads: an event loop may not wait. Where it has not for
        three seconds, as after a pause of the machine, whoever asks reads.
        """
        self._refresh(_REFRESHED_SECONDS)

    def _refresh(self, good: float) -> None:
        if self._reading.acquire(blocking=False):
            try:
                self._next = time.monotonic() + good
                self._read()
            finally:
                self._reading.release()

    def _read(self) -> None:
        stamp = self._look()
        if stamp == self._stamp:
            self._failed = None  # it is back as it was
            return
        try:
            self._catalog = Catalog.load(self._path)
        except (PersonaImgError, OSError) as error:
            # Read again at the next look: what hinders may pass.
            if stamp != self._failed:
                _LOG.warning("the catalogue is used as it was before: %s", error)
            self._failed = stamp
        else:
            self._stamp, self._failed = stamp, None

    def _look(self) -> tuple[int, int, int]:
        try:
            found = self._path.stat()
        except OSError:
            return (0, 0, 0)
        return (found.st_mtime_ns, found.st_size, found.st_ino)


class Showing:
    """Whether a variant of a product may be shown at this moment.

    It has to be approved, its product on offer, and made of the photo that the product has now:
    else one arm would see the old photo in new light while the other sees the new one.

    Args:
        store: Keeps the variants and their approval.
        catalog: The catalogue as it is now.
    """

    def __init__(self, store: VariantStore, catalog: Callable[[], Catalog]) -> None:
        self._store, self._catalog = store, catalog
        self._photos: dict[str, str] = {}

    def __call__(self, digest: str, product: str) -> bool:
        """True where the variant may be shown for the product."""
        catalog = self._catalog()
        if product not in catalog or not catalog[product].on_offer:
            return False
        if not self._store.is_servable(digest, product):
            return False
        wanted = catalog[product].photo_digest
        if not wanted:
            return True
        if digest not in self._photos:  # what a variant was made of never changes
            self._photos[digest] = self._store.get(digest).certificate.photo
        return self._photos[digest] == wanted

"""Renditions on disk: what pages load of a master, in a folder named by the master's digest.

Beside the files lies ``record.json``, written last: so a crash leaves nothing that is taken for
whole. Other settings or another encoder give other bytes, so other names: what pages or caches
remember goes on being answered.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import threading
from collections import deque
from datetime import UTC
from typing import TYPE_CHECKING

from cachetools import LRUCache

from persona_img.domain.rendition import Rendition, Renditions
from persona_img.errors import NotFound, PersonaImgError
from persona_img.imaging.decode import decode
from persona_img.imaging.encode import ENCODERS, encode, scaled_to, versions, widths_of
from persona_img.imaging.formats import SUFFIX
from persona_img.imaging.photo import write_whole
from persona_img.imaging.profile import srgb_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from persona_img.provenance.base import ClaimSigner
    from persona_img.variants.marking import Marked, Marking

_RECORD, _SIGNED = "record.json", "signed.png"
_MASTER = re.compile(r"[0-9a-f]{64}")
_FILE = re.compile(r"[1-9][0-9]{0,5}-[0-9a-f]{16}\.(avif|webp|jpg)")
_NICE = 10
_LOG = logging.getLogger(__name__)


class RenditionStore:
    """Renditions of masters by the masters' digests.

    Args:
        folder: Where they live; made when something is first written.
        widths: Pixels in which pictures are offered besides their own width; never larger.
        remembered: Records held in memory.
        marking: What files say of where they come from; None where they say nothing.
    """

    def __init__(
        self,
        folder: Path,
        widths: Sequence[int] = (320, 640, 960, 1280),
        *,
        remembered: int = 20_000,
        marking: Marking | None = None,
    ) -> None:
        self.folder, self._widths = folder, tuple(sorted(set(widths)))
        self._marking = marking
        told = {} if marking is None else marking.told()
        self._made_by = {**versions(), "widths": list(self._widths), **told}
        self._told = {kind: dict(told) for kind, (_, told) in ENCODERS.items()}
        self._known: LRUCache[str, Renditions] = LRUCache(remembered)
        self._lock = threading.Lock()

    def get(self, master: str) -> Renditions | None:
        """What was made of a master by any settings, or None where nothing was."""
        if not _MASTER.fullmatch(master):
            return None
        with self._lock:
            known = self._known.get(master)
        if known is not None:
            return known
        try:
            text = (self._at(master) / _RECORD).read_text(encoding="utf-8")
            found = Renditions.from_dict(json.loads(text))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            _LOG.warning("renditions of %s cannot be read, and are made anew: %s", master, error)
            return None
        with self._lock:
            self._known[master] = found
        return found

    def is_current(self, master: str) -> bool:
        """Whether renditions are there as these settings and encoders make them.

        Signed ones are, whatever the settings, where no key is given: none would be signed again.
        Those that another key signed are not, but where that one's certificate ends later: a
        service that still has the key of before undoes nothing.
        """
        found = self.get(master)
        if found is None:
            return False
        signer = None if self._marking is None else self._marking.signer
        if signer is None and found.signed_by:
            return True
        if found.made_by != self._made_by or not self._as_told(found):
            return False
        if signer is None or found.signed_by == signer.name:
            return True
        return bool(found.signed_by) and found.signed_until > _until(signer)

    def make(self, master: str, source: Path, of: str) -> Renditions:
        """Renditions of a master; those that are current are not made again.

        Args:
            master: Its digest.
            source: Its file.
            of: ``variant`` or ``photo``.

        Returns:
            What there is now. Of a picture with transparency nothing is made: JPEG has none, and
            its own file is shown.

        Raises:
            BadPhoto: the file is not there, or no picture.
            CannotWrite: the folder cannot be written to, or the disk is full.
            StoreFailed: they could not be signed.
        """
        if self.is_current(master):
            found = self.get(master)
            assert found is not None
            return found
        decoded = decode(source, least=1)
        shown = srgb_of(decoded)
        mark = None if self._marking is None else self._marking.of(master, of, source)
        signer = None if mark is None else mark.signer
        by, until = ("", "") if signer is None else (signer.name, _until(signer))
        files = (
            () if decoded.image.has_transparency_data else tuple(self._files(master, shown, mark))
        )
        copy = None if mark is None else mark.master(shown)
        if copy is not None:
            write_whole(self._at(master) / _SIGNED, copy)
        size = shown.shape[1], shown.shape[0]
        made = Renditions(master, of, size, self._made_by, files, by, until)
        text = json.dumps(made.as_dict(), indent=1, sort_keys=True) + "\n"
        write_whole(self._at(master) / _RECORD, text.encode())
        with self._lock:
            self._known[master] = made
        return made

    def path(self, master: str, file: str) -> Path:
        """Where a rendition lies.

        Raises:
            NotFound: no names of a master and a file of it, or nothing lies there.
        """
        if _MASTER.fullmatch(master) and _FILE.fullmatch(file):
            path = self._at(master) / file
            if path.is_file():
                return path
        raise NotFound(f"rendition {file[:60]!r} of {master[:64]!r} is not stored")

    def signed_master(self, master: str) -> Path | None:
        """The master as it may leave the shop, signed; None where it is not."""
        path = self._at(master) / _SIGNED
        return path if _MASTER.fullmatch(master) and path.is_file() else None

    def _files(
        self, master: str, pixels: NDArray[np.uint8], mark: Marked | None
    ) -> Iterator[Rendition]:
        own = pixels.shape[1]
        for width in widths_of(own, self._widths):
            small = scaled_to(pixels, width)
            for kind, told in self._told.items():
                data = encode(small, kind, b"" if mark is None else mark.xmp)
                digest = named = hashlib.sha256(data).hexdigest()
                if mark is not None and mark.signed_by:
                    data = mark.signed(data, kind, smaller=width < own)
                    # Another name for another key or word: what a name answers stays the same.
                    named = hashlib.sha256(f"{digest}{mark.key}".encode()).hexdigest()
                name = f"{width}-{named[:16]}{SUFFIX[kind]}"
                write_whole(self._at(master) / name, data)
                yield Rendition(digest, kind, width, small.shape[0], len(data), name, told)

    def _as_told(self, found: Renditions) -> bool:
        return all(one.settings == self._told.get(one.media_type) for one in found.files)

    def _at(self, master: str) -> Path:
        return self.folder / master[:2] / master


def _until(signer: ClaimSigner) -> str:
    return signer.until.astimezone(UTC).isoformat(timespec="seconds")


class LazyRenditions:
    """Renditions that are made when they are first asked for, by one thread at a time.

    Whoever asks is told at once: what is there, or nothing yet. Where too many wait no more are
    taken; what was left out is asked for again.

    Args:
        store: Keeps them.
        waiting: Masters that may wait.
    """

    def __init__(self, store: RenditionStore, *, waiting: int = 256) -> None:
        self.store, self._most = store, waiting
        self._waiting: deque[tuple[str, Path, str]] = deque()
        # What waits, and what cannot be made: a damaged file is not tried at every request.
        self._asked: LRUCache[str, bool] = LRUCache(8 * waiting)
        self._lock = threading.Lock()
        self._at_work = False

    def get(self, master: str, source: Path, of: str) -> Renditions | None:
        """What was made of a master by any settings; None where nothing was yet."""
        found = self.store.get(master)
        if not self.store.is_current(master):
            self._ask(master, source, of)
        return found

    def known(self, master: str) -> Renditions | None:
        """What was made of a master, and nothing begun where nothing was."""
        return self.store.get(master)

    def path(self, master: str, file: str) -> Path:
        """Where a rendition lies; raises :class:`NotFound`."""
        return self.store.path(master, file)

    def _ask(self, master: str, source: Path, of: str) -> None:
        with self._lock:
            if master in self._asked or len(self._waiting) >= self._most:
                return
            self._waiting.append((master, source, of))
            self._asked[master] = True
            if self._at_work:
                return
            self._at_work = True
        threading.Thread(target=self._work, name="persona-img-renditions", daemon=True).start()

    def _work(self) -> None:
        with contextlib.suppress(OSError):  # of this thread alone: answers come first
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while (asked := self._next()) is not None:
            try:
                self.store.make(*asked)
            except PersonaImgError as error:
                _LOG.warning("no renditions of %s: %s", asked[0], error)
            except Exception:
                _LOG.exception("no renditions of %s", asked[0])

    def _next(self) -> tuple[str, Path, str] | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._at_work = False
            return None

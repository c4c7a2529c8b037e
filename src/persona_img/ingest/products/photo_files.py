"""The photo files that tables name: found, and opened before anything is written."""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from persona_img.errors import BadPhoto
from persona_img.imaging.formats import HEAD, NOT_SHOWN, SUFFIX, media_type
from persona_img.imaging.photo import load_photo

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class PhotoFile:
    """A photograph that was opened and can be used.

    Attributes:
        path: Where it lies.
        digest: SHA-256 of the file's bytes, hex.
        pixels: See ``imaging.photo.pixel_digest``.
        kind: Its media type.
    """

    path: Path
    digest: str
    pixels: str
    kind: str

    @property
    def suffix(self) -> str:
        """Of the file that the shop keeps; what browsers do not show is kept as PNG."""
        return ".png" if self.kind in NOT_SHOWN else SUFFIX[self.kind]


def is_photo(path: Path) -> bool:
    """Whether a file begins like a picture."""
    try:
        with path.open("rb") as file:
            return media_type(file.read(HEAD)) is not None
    except OSError:
        return False


def open_photo(path: Path, known: Callable[[str], str | None]) -> PhotoFile:
    """The photograph, opened unless its pixels are known.

    Args:
        path: Where it lies.
        known: The file's digest to that of its pixels, where the shop has this file already.

    Raises:
        ValueError: with the rule that it breaks.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from error
    digest = hashlib.sha256(data).hexdigest()
    pixels = known(digest)
    if pixels is None:
        try:
            pixels = load_photo(data).digest
        except BadPhoto as error:
            raise ValueError(str(error).removeprefix("photo bytes: ")) from error
    kind = media_type(data[:HEAD])
    if kind is None:
        raise ValueError(f"not a picture we can read; use {', '.join(SUFFIX.values())}")
    return PhotoFile(path, digest, pixels, kind)


class PhotoFinder:
    """Finds photo files by the names that a table gives them.

    Args:
        folder: The table's own: relative paths start there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._listed: dict[Path, dict[str, str]] = {}

    def find(self, written: str) -> Path:
        """The file, also where the table writes backslashes, or letters another way.

        Raises:
            ValueError: it is not there; with the name that is most like it.
        """
        like = None
        for name in dict.fromkeys((written, written.replace("\\", "/"))):
            try:
                path = self._folder / Path(name).expanduser()
                if path.is_file():
                    return path
                found = self._names(path.parent).get(_folded(path.name))
            except (OSError, RuntimeError, ValueError):  # too long, a NUL, nobody's home
                continue
            if found is not None:
                # The same letters, composed in one and decomposed in the other.
                if unicodedata.normalize("NFC", found) == unicodedata.normalize("NFC", path.name):
                    return path.parent / found
                like = found
        hint = f"paths start at {self._folder}" if like is None else f"there is {like!r}"
        raise ValueError(f"no such file; {hint}")

    def _names(self, folder: Path) -> dict[str, str]:
        if folder not in self._listed:
            names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
            self._listed[folder] = {_folded(name): name for name in names}
        return self._listed[folder]


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()

"""The masks that come with photos: found beside them, and opened before anything is written."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_img.errors import BadPhoto
from persona_img.imaging.mask_file import load_mask
from persona_img.imaging.photo import load_photo

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class MaskFile:
    """A mask that was opened and fits its photo.

    Attributes:
        path: Where it lies.
        digest: SHA-256 of the file's bytes, hex.
    """

    path: Path
    digest: str


def open_mask(path: Path, photo: Path) -> MaskFile:
    """The mask, tried on its photo.

    Raises:
        ValueError: with the rule that it breaks.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"the mask {path} cannot be read ({error.strerror})") from error
    try:
        load_photo(photo).with_alpha(load_mask(data))
    except BadPhoto as error:
        raise ValueError(f"the mask {path}: {error}") from error
    return MaskFile(path, hashlib.sha256(data).hexdigest())

"""What an edit gives back: the picture, and a record of what it did to the product.

The record is made from the pixels, not from what the edit meant to do. It travels in the PNG, so an
alteration stays marked in every picture that is made of it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from persona_img.errors import InvalidInput
from persona_img.imaging.folder import EDITS_KEY
from persona_img.imaging.photo import Photo, png_bytes, write_together

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from persona_img.imaging.frame import Frame

ENHANCED = "http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicallyEnhanced"
"""IPTC digital source type: minor correction of a capture by an algorithm, none of it trained."""
COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/composite"
"""IPTC digital source type: a mix of several elements."""

ProductFate = Literal["untouched", "resampled", "altered"]
"""What became of the product's pixels."""


@dataclass(frozen=True)
class Edit:
    """One edit of a picture.

    Attributes:
        name: Of the edit.
        parameters: What it was asked, and what it measured; plain values.
        before: Digest of the picture it was given, hex.
        after: Digest of the picture it gave back, hex.
        product: ``untouched`` where every core pixel (alpha 255) is as it was, ``resampled``
            where the picture was scaled, otherwise ``altered``.
        changed: Core pixels that differ; None where there is no mask, or no pixel to pixel.
        source_type: IPTC digital source type of the result.
    """

    name: str
    parameters: Mapping[str, Any]
    before: str
    after: str
    product: ProductFate
    changed: int | None
    source_type: str


@dataclass(frozen=True, eq=False)
class Edited:
    """An edited picture.

    Attributes:
        photo: The picture; its ``edits`` end with this one.
        edit: What was done.
    """

    photo: Photo
    edit: Edit

    @property
    def png(self) -> bytes:
        """The file: same picture and edits, same bytes.

        Transparent where it is a cut-out. A mask on a photograph says where the product is, and
        makes nothing transparent.
        """
        text = {EDITS_KEY: json.dumps(list(self.photo.edits), sort_keys=True)}
        pixels, alpha = self.photo.pixels, self.photo.alpha
        if self.photo.cut_out and alpha is not None:
            pixels = np.dstack([pixels, alpha])
        return png_bytes(pixels, text)

    def save(self, path: Path) -> Path:
        """Write ``x.png`` with its record, ``x.edit.json``: both, or neither.

        Raises:
            InvalidInput: the folder cannot be written to.
        """
        record = json.dumps(asdict(self.edit), indent=1, sort_keys=True) + "\n"
        write_together({path.with_suffix(".edit.json"): record.encode(), path: self.png})
        return path


def recorded(
    photo: Photo,
    pixels: NDArray[np.uint8],
    name: str,
    parameters: Mapping[str, Any],
    *,
    alpha: NDArray[np.uint8] | None = None,
    frame: Frame | None = None,
    scaled: bool = False,
    keeps: NDArray[np.uint8] | None = None,
    source_type: str = ENHANCED,
) -> Edited:
    """The result of an edit with its record.

    Args:
        photo: What was edited.
        pixels: The result, uint8 sRGB (H, W, 3).
        name: Of the edit.
        parameters: What it was asked, and what it measured.
        alpha: The product on ``photo``, uint8; None where nobody knows it.
        frame: The result's canvas with the photo's place on it; None where it is the photo's own.
        scaled: Whether the result has another scale.
        keeps: The result's alpha: its own transparency, or the mask that came with the photo.
        source_type: IPTC digital source type.
    """
    changed: int | None = None
    if alpha is not None and (alpha == 255).any() and not scaled:
        changed = _changed(photo.pixels, pixels, alpha, frame)
    fate: ProductFate = "untouched" if changed == 0 else "altered"
    made = Photo.of(pixels, keeps, photo.source, cut_out=photo.cut_out and keeps is not None)
    edit = Edit(
        name=name,
        parameters=dict(parameters),
        before=photo.digest,
        after=made.digest,
        product="resampled" if scaled else fate,
        changed=changed,
        source_type=source_type,
    )
    return Edited(replace(made, edits=(*photo.edits, asdict(edit))), edit)


def backdrop_of(photo: Photo, alpha: NDArray[np.uint8] | None) -> NDArray[np.bool_] | None:
    """Where a picture shows its backdrop, bool (H, W): nowhere on a cut-out.

    Args:
        photo: The picture.
        alpha: The product on it, uint8; None where nobody knows it.

    Returns:
        None where the whole picture counts, for nobody knows the product.
    """
    if photo.cut_out:
        return np.zeros(photo.pixels.shape[:2], dtype=bool)
    return None if alpha is None else alpha < 8


def share_of(name: str, value: float, least: float = 0.0, most: float = 1.0) -> float:
    """A number that must lie between two others.

    Raises:
        InvalidInput: it does not.
    """
    if not least <= value <= most:
        raise InvalidInput(f"{name}={value}: give a number from {least:g} to {most:g}")
    return value


def _changed(
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    alpha: NDArray[np.uint8],
    frame: Frame | None,
) -> int:
    """Core pixels that are not as they were, the ones cut away among them."""
    core = alpha == 255
    if frame is None:
        return int(((before != after).any(axis=2) & core).sum())
    on_canvas, on_photo = frame.overlap(*alpha.shape)
    same = (before[on_photo] == after[on_canvas]).all(axis=2) & core[on_photo]
    return int(core.sum()) - int(same.sum())

"""Masks that a person drew or put right, and how they are told from what a masker wrote.

A mask beside its photo, ``hat.mask.png`` beside ``hat.jpg``, is a person's word where it was drawn
elsewhere, where it was corrected here, or where it is no longer what our masker had written.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from persona_img.errors import BadPhoto
from persona_img.imaging.folder import (
    MASK_BY_KEY,
    MASK_KEY,
    VARIANT_KEY,
    marks_of,
    result_name,
)
from persona_img.imaging.mask_file import load_mask
from persona_img.imaging.photo import Photo, load_photo, pixel_digest, png_bytes

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from persona_img.domain.catalog import Product

PERSON = "supplied"
"""What made a mask that a person drew or put right; a masker's name is another."""
_LOG = logging.getLogger(__name__)


def mask_png(alpha: NDArray[np.uint8], photo: str, by: str) -> bytes:
    """A mask as a file that says of which photo it is, and what made it.

    Args:
        alpha: uint8 (H, W), 255 is product.
        photo: Name of the photo's file.
        by: The masker's name, or ``PERSON``.
    """
    return png_bytes(alpha, {MASK_KEY: photo, MASK_BY_KEY: f"{by} {pixel_digest(alpha)}"})


def drawn_by_person(mask: Path) -> bool:
    """Whether a person drew or changed a mask; a masker's own is cut anew each time.

    Raises:
        BadPhoto: it is ours, and cannot be read.
    """
    marks = marks_of(mask)
    if MASK_KEY not in marks:
        return True
    by, _, digest = marks.get(MASK_BY_KEY, "").rpartition(" ")
    if not by:  # written before masks said what made them
        return False
    return by == PERSON or pixel_digest(load_mask(mask)) != digest


def mask_beside(photo: Path) -> Path | None:
    """The mask that a person put beside a photo; None where there is none.

    It is called as the photo's results are: ``hat.mask.png``, or ``hat.jpg.mask.png``.

    Raises:
        BadPhoto: it cannot be read.
    """
    whole, short = (photo.with_name(f"{n}.mask.png") for n in (photo.name, photo.stem))
    found = whole if whole.is_file() else short
    if not found.is_file() or (found == short and result_name(photo) != photo.stem):
        return None
    if VARIANT_KEY in marks_of(photo):  # its mask is of the photo that it was made from
        return None
    return found if drawn_by_person(found) else None


def product_photo(product: Product) -> Photo:
    """A product's photograph, with the mask that a person gave it.

    Raises:
        BadPhoto: the photo or its mask cannot be used.
    """
    photo = load_photo(product.photo)
    if product.mask is None:
        return photo
    if product.photo_digest not in ("", photo.digest):
        _LOG.warning(
            "%s: its mask is of another photo and is not used; add the photo again, with a mask",
            product.product,
        )
        return photo
    try:
        return photo.with_alpha(load_mask(product.mask))
    except BadPhoto as error:
        raise BadPhoto(
            f"product {product.product}: its mask cannot be used: {error}; correct it again, or "
            f"`persona-img mask --product {product.product!r} --forget`"
        ) from error

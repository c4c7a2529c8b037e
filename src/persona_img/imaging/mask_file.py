"""Masks that a person or another tool drew: values, not colours.

A mask says how much of each pixel is product. So nothing of a photograph's reading applies: no
profile, no gamma. White is product; or, where the file is transparent, what can be seen of it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from persona_img.errors import BadPhoto
from persona_img.imaging.alpha import CLEAR, OPAQUE, without_shadow
from persona_img.imaging.decode import decode

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_TINT = 32  # levels between channels: more is a colour, not JPEG's noise
_SOME = 0.01  # of the pixels
_MOST = 0.9


def load_mask(source: str | Path | bytes) -> NDArray[np.uint8]:
    """The mask in a picture file, upright, its values as they were written.

    Grey of 1, 2, 4, 8 or 16 bits, grey written as colours, a palette of greys: white (255) is
    product. Transparent anywhere: the alpha channel is the mask, whatever colours lie in it, as a
    cut-out or a silhouette is meant; without a shadow of its own. EXIF rotation is applied, as to
    the photograph. Profiles and gamma are not, as nowhere for masks: they tell of colours.

    Returns:
        uint8 (H, W).

    Raises:
        BadPhoto: what :func:`.decode.decode` raises; a coloured picture; one that is black and
            white and transparent too, so that it says two things; one with nothing visible.
    """
    decoded = decode(source)
    image, name = decoded.image, decoded.name
    if image.has_transparency_data:
        whole = np.asarray(image.convert("RGBA"))
        alpha = np.ascontiguousarray(whole[..., 3])
        if (alpha < OPAQUE).any():
            if not (alpha > CLEAR).any():
                raise BadPhoto(f"{name}: a mask that is transparent everywhere; save it opaque")
            if _drawn(whole[alpha >= 128, :3]):
                raise BadPhoto(
                    f"{name}: a mask in black and white that is transparent too: which of them is "
                    f"the mask? Save it without transparency, or in one colour"
                )
            return without_shadow(alpha)
        image = image.convert("RGBA")
    if image.mode in ("1", "L", "LA"):
        return np.asarray(image.convert("L"))
    colours = image.convert("RGB")
    coloured = float((np.ptp(np.asarray(colours), axis=2) > _TINT).mean())
    if coloured > _SOME:
        raise BadPhoto(
            f"{name}: {coloured:.0%} of the mask is coloured; draw it in white (product) and black"
        )
    return np.asarray(colours.convert("L"))


def _drawn(visible: NDArray[np.uint8]) -> bool:
    """Whether what can be seen, (N, 3), is a mask by itself: black and white, hardly else."""
    if not len(visible):
        return False
    black = float((visible <= CLEAR).all(axis=1).mean())
    white = float((visible >= OPAQUE).all(axis=1).mean())
    return min(black, white) > _SOME and black + white > _MOST

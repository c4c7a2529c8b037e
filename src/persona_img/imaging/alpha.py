"""What a transparency means: which of its values are product, which are nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

OPAQUE = 250
"""From here on a pixel is product, whole and as it is: programs write 254 or 253 where they round,
JPEG spreads 255 over some levels, and nobody sees what the missing 2 % would show."""
CLEAR = 5
"""Up to here a pixel is nothing: haze of a cut-out, JPEG's noise on black."""

_HALF = 128


def levelled(alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Transparency whose product is 255 and whose nothing is 0; between them it stays.

    Args:
        alpha: uint8 (H, W), from a file or a person. A masker's own is exact already.
    """
    table = np.arange(256, dtype=np.uint8)
    table[OPAQUE:], table[: CLEAR + 1] = 255, 0
    return np.asarray(cv2.LUT(alpha, table), dtype=np.uint8)


def solid(alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A mask with a core: itself where some of it is 255, otherwise :func:`levelled`."""
    return alpha if (alpha == 255).any() else levelled(alpha)


def lacks_core(alpha: NDArray[np.uint8]) -> str | None:
    """Why a transparency has no product in it, and what to do; None where it has."""
    most = int(alpha.max(initial=0))
    if most >= OPAQUE:
        return None
    if most == 1:
        return "no opaque pixel: its values are 0 and 1 of 255; multiply them by 255"
    return f"no opaque pixel (the most is {most} of 255); make the product opaque, 255"


def without_shadow(alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Transparency without the shadow that an editor put under the product.

    A piece of its own that is nowhere half opaque is shadow, glow or dust, not product; the
    style's light casts another shadow.
    """
    count, pieces = cv2.connectedComponents((alpha > CLEAR).astype(np.uint8))
    product = np.zeros(count, dtype=bool)
    product[np.unique(pieces[alpha >= _HALF])] = True
    return np.where(product[pieces], alpha, 0).astype(np.uint8)

"""Protecting the product's outline before anything is painted.

A model that sees half an edge completes it: mugs grow second rims, bottles shoulders. So the
product is kept with a band of bare ground around it while the backdrop is painted, which closes its
outline; then the band alone is painted, too weakly to draw an object, strongly enough for the
contact shadow and for the ground to meet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BAND_STRENGTH = 0.5
"""How far the second painting may leave the first, in the band."""
_REACH = 3.0  # bands beside the product that the second painting may touch


def kept(mask: NDArray[np.float32], band: float) -> NDArray[np.float32]:
    """Where the first painting keeps what it is shown, 0 or 1 (h, w).

    Args:
        mask: float32 (h, w) in 0..1, the product.
        band: Share of the short side that is kept around it.
    """
    return _grown(mask, band)


def beside(mask: NDArray[np.float32], band: float) -> NDArray[np.float32]:
    """Where the second painting paints, 0 or 1 (h, w): around the product, and not on it."""
    return np.asarray(_grown(mask, _REACH * band) * (mask < 0.5), dtype=np.float32)


def share_of_second(mask: NDArray[np.float32], band: float) -> NDArray[np.float32]:
    """The second painting's share of the result, float32 0..1 (h, w).

    1 beside the product, falling to 0 within the area of :func:`beside`: nothing ends at a line.
    """
    near = _grown(mask, (_REACH - 1.0) * band)
    sigma = max(0.5, band * min(mask.shape) / 3)
    return np.asarray(cv2.GaussianBlur(near, (0, 0), sigma), dtype=np.float32)


def _grown(mask: NDArray[np.float32], band: float) -> NDArray[np.float32]:
    solid = (mask > 0.02).astype(np.float32)
    reach = round(band * min(mask.shape))
    if reach < 1:
        return solid
    round_ = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return np.asarray(cv2.dilate(solid, round_), dtype=np.float32)

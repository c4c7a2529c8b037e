"""Masks of round things on a table, drawn as a lens sees them."""

from __future__ import annotations

import cv2
import numpy as np


def cylinder(pitch: float, radius: int = 120, height: int = 200, flare: float = 1.0) -> np.ndarray:
    """Mask of a beaker seen from ``pitch`` degrees above; its mouth ``flare`` times as wide."""
    flat = radius * np.sin(np.radians(pitch))
    tall = height * np.cos(np.radians(pitch))
    wide = max(radius, radius * flare)
    middle, base = wide + 40, flat * flare + tall + 40
    mask = np.zeros((int(base + flat + 40), int(2 * middle)), np.uint8)
    bits = 8  # of cv2's fixed point: a 256th of a pixel
    at = [(middle, base, radius, flat), (middle, base - tall, radius * flare, flat * flare)]
    for x, y, across, down in at:
        centre, axes = (round(x * 256), round(y * 256)), (round(across * 256), round(down * 256))
        cv2.ellipse(mask, centre, axes, 0, 0, 360, 255, -1, cv2.LINE_8, bits)
    side = np.array(
        [
            [middle - radius, base],
            [middle + radius, base],
            [middle + radius * flare, base - tall],
            [middle - radius * flare, base - tall],
        ]
    )
    cv2.fillPoly(mask, [np.round(side).astype(np.int32)], 255)
    return mask

"""A photo, a style and where more photos lie: what many suites render."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from persona_img.domain.style import Style
from persona_img.imaging.photo import Photo

PHOTOS = Path(__file__).parent / "data" / "photos"
STYLE = Style.of({"surface": "linen", "palette": "sage", "light": "side", "framing": "centred"})


def a_photo(size: int = 160) -> Photo:
    """A dark disc on light ground: cut out in a few milliseconds."""
    yy, xx = np.mgrid[0:size, 0:size]
    rng = np.random.default_rng(1)
    inside = np.hypot(yy - 0.55 * size, xx - 0.48 * size) < 0.28 * size
    pixels = np.where(inside[..., None], np.array([60, 40, 90]), np.array([215, 205, 190]))
    return Photo.of(np.clip(pixels + rng.normal(0, 4, pixels.shape), 0, 255).astype(np.uint8))

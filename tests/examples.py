"""A photo, a style and where more photos lie: what many suites render."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from persona_img.domain.style import Style
from persona_img.imaging.photo import Photo
from persona_img.serving.key import DecisionKey

if TYPE_CHECKING:
    from persona_img.rendering.base import Variant

DATA = Path(__file__).parent / "data"
PHOTOS = DATA / "photos"
KEY = DecisionKey(b"the key of the tests, which everybody knows")
STYLE = Style.of({"surface": "linen", "palette": "sage", "light": "side", "framing": "centred"})


def a_photo(size: int = 160) -> Photo:
    """A dark disc on light ground: cut out in a few milliseconds."""
    yy, xx = np.mgrid[0:size, 0:size]
    rng = np.random.default_rng(1)
    inside = np.hypot(yy - 0.55 * size, xx - 0.48 * size) < 0.28 * size
    pixels = np.where(inside[..., None], np.array([60, 40, 90]), np.array([215, 205, 190]))
    return Photo.of(np.clip(pixels + rng.normal(0, 4, pixels.shape), 0, 255).astype(np.uint8))


def a_twin(variant: Variant, digest: str = "ab" * 32) -> Variant:
    """The same recipe's variant with another digest, as another machine may paint it."""
    certificate = dataclasses.replace(variant.certificate, variant=digest)
    return dataclasses.replace(variant, certificate=certificate)

"""A studio sweep: even paper in the colour a style asks for, lit by the light model.

The second backdrop source: no weights, a few milliseconds, for packshots, fast simulation and
wherever a learned backdrop is not wanted. It keeps a style's colour and light, not its material.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.domain.digest import digest_of
from persona_img.errors import UnknownStyle
from persona_img.imaging.colour import from_lab, lab_of
from persona_img.imaging.light import LIGHTS, apply_light, illumination
from persona_img.rendering.tone import light_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from persona_img.imaging.copies import CopyIndex

PAPER = (95.0, 0.0, 1.0)
"""Lab of the paper where a style names no surface."""
TONES: Mapping[str, tuple[float, float, float]] = {
    "light-wood": (76.0, 5.0, 17.0),
    "dark-wood": (38.0, 6.0, 11.0),
    "marble": (90.0, 0.0, 1.0),
    "linen": (82.0, 0.5, 5.0),
    "concrete": (64.0, 0.0, 1.0),
    "plaster": (87.0, 0.5, 3.0),
}
"""Lab of the paper that stands in for a surface."""
PALETTES: Mapping[str, tuple[float, float]] = {
    "neutral": (0.0, 0.0),
    "warm": (4.0, 9.0),
    "cool": (-2.0, -9.0),
    "blush": (9.0, 3.5),
    "sage": (-7.0, 6.0),
}
"""(a*, b*) that a palette adds."""

_SIDE = 512
_FIBRE = 0.35  # L*: paper is never quite even


class PlainBackdrops:
    """Backdrops of even paper.

    Args:
        side: Long side of its plates, pixels.
    """

    name = "plain"
    shows: tuple[str, ...] = ("palette", "light")

    def __init__(self, side: int = _SIDE) -> None:
        self.side = side

    def fingerprint(self) -> str:
        """Hex digest of colours, lights and size."""
        lights = {name: asdict(light) for name, light in LIGHTS.items()}
        return digest_of(["plain-1", self.side, dict(TONES), dict(PALETTES), PAPER, _FIBRE, lights])

    def size(self, height: int, width: int) -> tuple[int, int]:
        """The canvas's own shape, its long side at most ``side``."""
        scale = min(1.0, self.side / max(height, width))
        return max(1, round(scale * height)), max(1, round(scale * width))

    def colour(self, style: Mapping[str, str]) -> tuple[float, float, float]:
        """Lab of the paper: the style's colour, or its palette's.

        Raises:
            UnknownStyle: a surface or palette it has no paper for.
        """
        surface, palette = style.get("surface"), style.get("palette", "neutral")
        if surface is not None and surface not in TONES:
            raise UnknownStyle(f"surface={surface}: the sweep has paper for {', '.join(TONES)}")
        if "colour" in style:
            return lab_of(style["colour"])
        if palette not in PALETTES:
            raise UnknownStyle(f"palette={palette}: choose from {', '.join(PALETTES)}")
        lightness, a, b = PAPER if surface is None else TONES[surface]
        da, db = PALETTES[palette]
        return lightness, a + da, b + db

    def material(self, style: Mapping[str, str]) -> str | None:
        """None: paper has no texture that a product photo would show."""
        return None

    def plates(
        self,
        product: NDArray[np.uint8],
        mask: NDArray[np.float32],
        styles: Sequence[Mapping[str, str]],
        seeds: Sequence[int],
        starts: Sequence[NDArray[np.float32] | None] | None = None,
    ) -> list[NDArray[np.float32]]:
        """Lit paper; neither the product's colours nor a start matter to it."""
        return [self._plate(mask, style, seed) for style, seed in zip(styles, seeds, strict=True)]

    def training_pictures(self) -> CopyIndex | None:
        """None: it learned from nothing."""
        return None

    def _plate(
        self, mask: NDArray[np.float32], style: Mapping[str, str], seed: int
    ) -> NDArray[np.float32]:
        light = light_of(style.get("light", "soft"))
        rng = np.random.default_rng(seed)
        sheet = np.empty((*mask.shape, 3), dtype=np.float32)
        sheet[:] = self.colour(style)
        fibre = rng.standard_normal(mask.shape, dtype=np.float32)
        fibre = cv2.GaussianBlur(fibre, (0, 0), 1.2)
        sheet[..., 0] += _FIBRE * fibre / max(1e-6, float(fibre.std()))
        return apply_light(from_lab(sheet), illumination(mask, light))

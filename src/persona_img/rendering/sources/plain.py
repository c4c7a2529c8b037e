"""A studio sweep: even paper in the colour a style asks for, lit by the light model.

The second backdrop source: no weights, a few milliseconds, for packshots, fast simulation and
wherever a learned backdrop is not wanted. It keeps a style's colour and light, not its material.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from persona_img.domain.digest import digest_of
from persona_img.errors import UnknownStyle
from persona_img.imaging.colour import lab_of
from persona_img.imaging.light import LIGHTS
from persona_img.scenery.build import SceneSet
from persona_img.scenery.materials import materials_of
from persona_img.scenery.plan import Plan
from persona_img.scenery.subject import USUAL_CM, Subject

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from persona_img.imaging.copies import CopyIndex

PAPER = (95.0, 0.0, 1.0)
"""Lab of the paper where a style names no surface."""
PALETTES: Mapping[str, tuple[float, float]] = {
    "neutral": (0.0, 0.0),
    "warm": (4.0, 9.0),
    "cool": (-2.0, -9.0),
    "blush": (9.0, 3.5),
    "sage": (-7.0, 6.0),
}
"""(a*, b*) that a palette adds."""

_SIDE = 512


class PlainBackdrops:
    """Backdrops of even paper.

    Args:
        side: Long side of its plates, pixels.
    """

    name = "plain"
    shows: tuple[str, ...] = ("palette", "light")
    casts_shadows = False

    def __init__(self, side: int = _SIDE) -> None:
        self.side = side

    def fingerprint(self) -> str:
        """Hex digest of colours, lights and size."""
        lights = {name: asdict(light) for name, light in LIGHTS.items()}
        return digest_of(["plain-2", self.side, dict(PALETTES), PAPER, lights])

    def size(self, height: int, width: int) -> tuple[int, int]:
        """The canvas's own shape, its long side at most ``side``."""
        scale = min(1.0, self.side / max(height, width))
        return max(1, round(scale * height)), max(1, round(scale * width))

    def colour(self, style: Mapping[str, str]) -> tuple[float, float, float]:
        """Lab of the paper: the style's colour, or its surface's in its palette.

        Raises:
            UnknownStyle: a surface or palette it has no paper for.
        """
        surface, palette = style.get("surface"), style.get("palette", "neutral")
        lightness, a, b = PAPER if surface is None else materials_of(None).surface(surface).lab
        if "colour" in style:
            return lab_of(style["colour"])
        if palette not in PALETTES:
            raise UnknownStyle(f"palette={palette}: choose from {', '.join(PALETTES)}")
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
        """The start where there is one, which is a set of paper; otherwise a sheet that lies."""
        begin = starts or [None] * len(styles)
        return [
            self._flat(mask, style, seed) if start is None else start
            for style, seed, start in zip(styles, seeds, begin, strict=True)
        ]

    def training_pictures(self) -> CopyIndex | None:
        """None: it learned from nothing."""
        return None

    def _flat(
        self, mask: NDArray[np.float32], style: Mapping[str, str], seed: int
    ) -> NDArray[np.float32]:
        alpha = np.round(mask * 255).astype(np.uint8)
        subject = Subject(alpha, "lying", USUAL_CM["lying"])
        lying = {name: value for name, value in style.items() if name != "scene"}
        plan = Plan.of(subject, lying, materials_of(None), self.colour(style), None, seed)
        return SceneSet(plan).draw(*mask.shape).srgb

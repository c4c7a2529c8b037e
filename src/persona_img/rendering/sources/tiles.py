"""The set itself as the backdrop: real materials in the style's colour and light, no network."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from persona_img.domain.digest import digest_of
from persona_img.errors import InvalidInput
from persona_img.imaging.light import LIGHTS
from persona_img.scenery.build import SceneSet
from persona_img.scenery.materials import colour_asked, materials_of, palettes
from persona_img.scenery.plan import Plan
from persona_img.scenery.subject import USUAL_CM, Subject

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from persona_img.imaging.copies import CopyIndex

_SIDE = 320  # only light is judged on it: what is shown is drawn at the canvas's size


class LibraryBackdrops:
    """Sets of real materials: instant, no weights.

    Args:
        side: Long side of its plates, pixels.
        materials: Folder of materials; None is the shipped one.
    """

    name = "library"
    shows: tuple[str, ...] = ("surface", "palette", "light", "scene")
    casts_shadows = False

    def __init__(self, side: int = _SIDE, materials: Path | None = None) -> None:
        if side < 64:
            raise InvalidInput(f"side={side}: plates need at least 64 pixels")
        self.side = side
        self.materials = materials_of(materials)

    def fingerprint(self) -> str:
        """Hex digest of materials, colours, lights and size."""
        lights = {name: asdict(light) for name, light in LIGHTS.items()}
        mine = [f"{self.name}-2", self.side, self.materials.fingerprint(), dict(palettes()), lights]
        return digest_of(mine)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """The canvas's own shape, its long side at most ``side``."""
        scale = min(1.0, self.side / max(height, width))
        return max(1, round(scale * height)), max(1, round(scale * width))

    def colour(self, style: Mapping[str, str]) -> tuple[float, float, float]:
        """Lab of the dyed material: the style's colour, or its palette's.

        Raises:
            UnknownStyle: no such surface or palette.
            InvalidInput: the style names no surface.
        """
        return colour_asked(style, self.materials)

    def material(self, style: Mapping[str, str]) -> str | None:
        """The surface."""
        return style.get("surface")

    def plates(
        self,
        product: NDArray[np.uint8],
        mask: NDArray[np.float32],
        styles: Sequence[Mapping[str, str]],
        seeds: Sequence[int],
        starts: Sequence[NDArray[np.float32] | None] | None = None,
    ) -> list[NDArray[np.float32]]:
        """The start where there is one, which is the set; otherwise a flat lay of its own."""
        begin = starts or [None] * len(styles)
        return [
            self._flat(mask, style, seed) if start is None else start
            for style, seed, start in zip(styles, seeds, begin, strict=True)
        ]

    def training_pictures(self) -> CopyIndex | None:
        """None: it learned from nothing, and its tiles are free to be shown."""
        return None

    def _flat(
        self, mask: NDArray[np.float32], style: Mapping[str, str], seed: int
    ) -> NDArray[np.float32]:
        alpha = np.round(mask * 255).astype(np.uint8)
        subject = Subject(alpha, "lying", USUAL_CM["lying"])
        lying = {name: value for name, value in style.items() if name != "scene"}
        plan = Plan.of(
            subject, lying, self.materials, self.colour(style), self.material(style), seed
        )
        return SceneSet(plan).draw(*mask.shape).srgb

"""Plates to paint, laid out as the renderer lays them out, so that ways of painting compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from persona_img.imaging.colour import mean_lab
from persona_img.imaging.matting import product_of
from persona_img.rendering.compose import Placed
from persona_img.rendering.enhance import Spot
from persona_img.rendering.framing import frame_of
from persona_img.rendering.sources.material import sheet_of
from persona_img.rendering.tone import Lighting, light_of
from persona_img.threads import one_thread

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_img.generator.pipeline import BackdropPipeline
    from persona_img.rendering.sources.diffusion import DiffusionBackdrops
    from persona_img.reports.evaluation import Asked

WAYS = ("tile", "noise")
"""What a plate begins with."""
STRENGTH = 0.6
"""Share of noise on the tile, as variants are painted."""


@dataclass(frozen=True, eq=False)
class Job:
    """A plate to paint.

    Attributes:
        asked: Of which product, in which style, with which seed.
        product: uint8 (h, w, 3), the product on mid-grey.
        alpha: uint8 (h, w), the product.
        start: float32 sRGB 0..1 (h, w, 3), a real tile in the style's colour and light.
        colour: Mean Lab that the style asks for.
    """

    asked: Asked
    product: NDArray[np.uint8]
    alpha: NDArray[np.uint8]
    start: NDArray[np.float32]
    colour: tuple[float, float, float]

    @classmethod
    def of(cls, asked: Asked, source: DiffusionBackdrops) -> Job:
        """Laid out as the renderer does it."""
        style, pixels, alpha = asked.style.values, asked.photo.pixels, asked.photo.alpha
        assert alpha is not None
        frame = frame_of(alpha, style["framing"])
        size = source.size(frame.height, frame.width)
        placed = Placed.of(frame, pixels, alpha, product_of(asked.photo, alpha))
        spot = Spot.of((frame.height, frame.width), size)
        small, colour = spot.shrink(placed.alpha, size), source.colour(style)
        rng = np.random.default_rng([asked.seed, 1])
        sheet = sheet_of(source.material(style), size, rng)
        assert sheet is not None
        mask = small.astype(np.float32) / 255
        start = sheet.lit(colour, Lighting(mask, light_of(style["light"])), rng)
        return cls(asked, spot.shrink(placed.on_grey(), size), small, start, colour)

    @property
    def mask(self) -> NDArray[np.float32]:
        """The product, float32 (h, w) in 0..1."""
        return self.alpha.astype(np.float32) / np.float32(255)

    def paint(self, pipeline: BackdropPipeline, way: str) -> NDArray[np.float32]:
        """The plate, float32 sRGB 0..1 (h, w, 3); ``way`` is one of ``WAYS``."""
        start = torch.from_numpy(self.start).permute(2, 0, 1)[None] * 2 - 1
        product = torch.from_numpy(self.product.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
        with one_thread():
            made = pipeline(
                product,
                torch.from_numpy(self.mask)[None, None],
                [self.asked.style.values],
                seeds=[self.asked.seed],
                start=start if way == "tile" else None,
                strength=STRENGTH if way == "tile" else 1.0,
            )
        return np.asarray(made.images[0].permute(1, 2, 0).numpy())

    def colour_error(self, plate: NDArray[np.float32]) -> float:
        """CIE76 distance in a*, b* away from the product; NaN where nothing is."""
        far = 1.0 - cv2.dilate(self.mask, np.ones((31, 31), np.uint8))
        return float(np.linalg.norm((mean_lab(plate, far) - np.array(self.colour))[1:]))

    def pasted(self, plate: NDArray[np.float32]) -> NDArray[np.uint8]:
        """The product on its plate, uint8 (h, w, 3)."""
        share = self.mask[..., None]
        return np.round(self.product * share + 255 * plate * (1 - share)).astype(np.uint8)

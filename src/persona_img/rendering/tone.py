"""The colour a style asks for, the colour a plate has, and a gentle pull from one to the other."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.errors import UnknownStyle
from persona_img.imaging.colour import from_lab, grey_of, mean_lab, to_lab
from persona_img.imaging.light import LIGHTS, apply_light, illumination

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_img.imaging.light import Light

MOST_PULL = np.array([8.0, 10.0, 10.0], dtype=np.float32)
"""Largest shift of a plate whose colour the source was taught."""
FARTHEST_PULL = np.array([25.0, 30.0, 30.0], dtype=np.float32)
"""Largest shift where the colour was given by number: a brand's blue need not have been taught."""
_GAMMA = 2.2
_NEAR = 0.06  # of the short side: this close to the product its shadow and colour reach


def light_of(name: str) -> Light:
    """The light of that name.

    Raises:
        UnknownStyle: no such light.
    """
    if name not in LIGHTS:
        raise UnknownStyle(f"light={name}: choose from {', '.join(LIGHTS)}")
    return LIGHTS[name]


def open_area(mask: NDArray[np.float32], light: Light) -> NDArray[np.float32]:
    """Where a plate is neither behind nor beside the product nor in its shadow, 0 or 1 (H, W).

    Where the product leaves no such place, everything outside it.
    """
    reach = max(1, round(_NEAR * min(mask.shape)))
    near = cv2.dilate(mask, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    dx, dy = (round(3 * x * min(mask.shape)) for x in light.shadow_offset)
    move = np.array([[1, 0, dx], [0, 1, dy]], dtype=np.float32)
    shaded = cv2.warpAffine(near, move, (mask.shape[1], mask.shape[0]))
    free = ((near < 0.05) & (shaded < 0.05)).astype(np.float32)
    if free.mean() >= 0.02:
        return np.asarray(free)
    return np.asarray(mask < 0.05, dtype=np.float32)


class Lighting:
    """A light on a canvas, and what follows from the two; each is worked out once.

    Args:
        mask: float32 (h, w) in 0..1, the product.
        light: Falls on product and backdrop.
    """

    def __init__(self, mask: NDArray[np.float32], light: Light) -> None:
        self.mask, self.light = mask, light
        self._expected: dict[tuple[float, float, float], NDArray[np.float32]] = {}

    @cached_property
    def area(self) -> NDArray[np.float32]:
        """See :func:`open_area`."""
        return open_area(self.mask, self.light)

    @cached_property
    def factor(self) -> NDArray[np.float32]:
        """The light's factor on linear light, without chance; see :func:`.light.illumination`."""
        return illumination(self.mask, self.light)

    @cached_property
    def shading(self) -> NDArray[np.float32] | None:
        """The light's factor on sRGB values, float32 (h, w).

        None where it falls through a window: its panes may lie anywhere.
        """
        if self.light.panes:
            return None
        return np.asarray(np.power(grey_of(self.factor), 1 / _GAMMA), dtype=np.float32)

    def expected(self, asked: tuple[float, float, float]) -> NDArray[np.float32]:
        """Mean Lab of the open area if a sheet of the asked Lab lay in this light, (3,)."""
        if asked not in self._expected:
            sheet = np.empty((*self.mask.shape, 3), dtype=np.float32)
            sheet[:] = asked
            lit = apply_light(from_lab(sheet), self.factor)
            self._expected[asked] = mean_lab(lit, self.area)
        return self._expected[asked]

    def pulled(
        self,
        plate: NDArray[np.float32],
        asked: tuple[float, float, float],
        share: float,
        most: NDArray[np.float32] = MOST_PULL,
    ) -> NDArray[np.float32]:
        """The plate with ``share`` of its colour error taken away.

        One shift in Lab for the whole plate, so shadows, grain and veins stay. It is bounded: a
        plate that is further off is wrong, not tinted, and the gate says so.

        Args:
            plate: float32 sRGB 0..1 (h, w, 3).
            asked: Lab of the evenly lit backdrop.
            share: 0..1.
            most: Largest shift of L*, a* and b*, (3,).
        """
        error = self.expected(asked) - mean_lab(plate, self.area)
        shift = np.clip(share * np.nan_to_num(error), -most, most).astype(np.float32)
        lab = to_lab(plate)
        # Chroma follows lightness down into the shadow: black takes no tint.
        weight = np.clip(lab[..., :1] / max(1.0, asked[0]), 0.0, 1.0)
        return from_lab((lab + shift * weight).astype(np.float32))

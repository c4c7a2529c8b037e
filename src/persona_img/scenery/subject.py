"""The product as its set sees it: where it is, how large, how it stands, in what light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from persona_img.domain.pose import CLOTH_CM, POSES
from persona_img.errors import InvalidInput
from persona_img.scenery.camera import Camera

if TYPE_CHECKING:
    from numpy.typing import NDArray

USUAL_CM = {"lying": 60.0, "standing": 26.0, "hanging": 75.0, "worn": 160.0}
"""Longest side of a product of which nobody said how large it is, by pose."""
LEAST_RISE = {"hanging": 3.0, "worn": 12.0}
"""Centimetres that whatever is shown so is away from the plane behind it, at least; by pose."""
_DEPTH = 0.45  # of its width: how deep what stands is
_LEAST_PITCH, _MOST_PITCH = 9.0, 38.0


@dataclass(frozen=True)
class Taken:
    """In what light the photograph was taken, as far as can be measured.

    Attributes:
        side: Where the light came from: -1 left, 1 right, 0 not known.
        exposure: Factor on linear light that a plate takes to be as bright as the product's.
        cast: Factors of red, green and blue; their mean is 1.
    """

    side: float = 0.0
    exposure: float = 1.0
    cast: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True, eq=False)
class Subject:
    """A product on its canvas.

    Attributes:
        alpha: uint8 (H, W), the product; at least one pixel of it is 128 or more.
        pose: One of ``POSES``.
        cm: Its longest side, centimetres.
        pitch: Degrees by which the camera looked down on what stands.
        taken: In what light.
        thick: How far it rises from the plane it lies on or hangs before, centimetres.

    Raises:
        InvalidInput: another pose, no product, or a size or thickness that is not above 0.
    """

    alpha: NDArray[np.uint8]
    pose: str
    cm: float
    pitch: float = 12.0
    taken: Taken = Taken()
    thick: float = CLOTH_CM

    def __post_init__(self) -> None:
        if self.pose not in POSES:
            raise InvalidInput(f"pose={self.pose}: choose from {', '.join(POSES)}")
        if not self.cm > 0:
            raise InvalidInput(f"cm={self.cm}: a product's longest side is above 0")
        if not self.thick > 0:
            raise InvalidInput(f"thick={self.thick}: a product rises above what it lies on")
        if not (self.alpha >= 128).any():
            raise InvalidInput("a mask without a product has no place in a scene; supply a mask")

    @property
    def box(self) -> tuple[int, int, int, int]:
        """First row and column, and one past the last, of the product."""
        rows = np.flatnonzero((self.alpha >= 128).any(axis=1))
        columns = np.flatnonzero((self.alpha >= 128).any(axis=0))
        return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1

    @property
    def per_cm(self) -> float:
        """Pixels a centimetre."""
        top, left, bottom, right = self.box
        return max(bottom - top, right - left) / self.cm

    @property
    def depth(self) -> float:
        """How deep it is taken to be, centimetres."""
        _, left, _, right = self.box
        return _DEPTH * (right - left) / self.per_cm

    def camera(self) -> Camera:
        """The camera that saw it, its axis through the middle of the base."""
        _, left, bottom, right = self.box
        height, width = self.alpha.shape
        pitch = float(np.clip(self.pitch, _LEAST_PITCH, _MOST_PITCH))
        return Camera(height, width, (left + right) / 2, float(bottom), self.per_cm, pitch)

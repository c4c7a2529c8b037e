"""The camera that looks at a standing product, and where its rays meet floor, wall and podium.

Centimetres: x to the right, y up, z away from the camera; the product's front stands at the origin
and is upright in the plane z = 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOCAL = 2.2
"""Focal length in canvas heights: a short telephoto, as products are photographed with."""
_LEAST_SLOPE = 1e-3


@dataclass(frozen=True)
class Camera:
    """A pinhole camera whose ray through the product's base is its axis.

    Attributes:
        height: Of the picture, pixels.
        width: Of the picture, pixels.
        x: Column of the product's base.
        y: Row of it.
        per_cm: Pixels a centimetre of the product.
        pitch: Degrees by which it looks down on the base.
    """

    height: int
    width: int
    x: float
    y: float
    per_cm: float
    pitch: float

    @property
    def focal(self) -> float:
        """Focal length, pixels."""
        return FOCAL * self.height

    @property
    def away(self) -> float:
        """Centimetres to the base."""
        return self.focal / self.per_cm

    @property
    def _turn(self) -> tuple[float, float]:
        return float(np.sin(np.radians(self.pitch))), float(np.cos(np.radians(self.pitch)))

    @property
    def horizon(self) -> float:
        """Row of the horizon; it may lie above the picture."""
        return self.y - self.focal * float(np.tan(np.radians(self.pitch)))

    def row_of(self, depth: float) -> float:
        """Row at which the floor at z = ``depth`` (> -away) is seen."""
        sine, cosine = self._turn
        return self.y - self.focal * depth * sine / (self.away + depth * cosine)

    def depth_at(self, row: float) -> float:
        """Where on the floor a row below the horizon looks; the inverse of :meth:`row_of`."""
        sine, cosine = self._turn
        up = (self.y - row) / self.focal
        return self.away * up / max(_LEAST_SLOPE, sine - up * cosine)

    @cached_property
    def rays(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Directions right, up and away of every pixel, float32 (h, w) each."""
        sine, cosine = self._turn
        across = (np.arange(self.width, dtype=np.float32) - self.x) / self.focal
        down = (np.arange(self.height, dtype=np.float32) - self.y) / self.focal
        right, fall = np.meshgrid(across, down)
        up, on = -sine - fall * cosine, cosine - fall * sine
        return right.astype(np.float32), up.astype(np.float32), on.astype(np.float32)

    @property
    def place(self) -> tuple[float, float]:
        """Where it stands: up and away, centimetres."""
        sine, cosine = self._turn
        return self.away * sine, -self.away * cosine

    def floor(
        self, level: float = 0.0
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
        """Where rays meet the floor at height ``level``: x, z and whether they do, (h, w) each."""
        right, up, on = self.rays
        high, back = self.place
        seen = up < -_LEAST_SLOPE
        time = (level - high) / np.minimum(up, -_LEAST_SLOPE)
        across, along = time * right, back + time * on
        return across.astype(np.float32), along.astype(np.float32), seen

    def wall(self, depth: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Where rays meet the wall at z = ``depth``: x and y, (h, w) each."""
        right, up, on = self.rays
        high, back = self.place
        time = (depth - back) / on
        return (time * right).astype(np.float32), (high + time * up).astype(np.float32)

    def pixel(
        self, x: NDArray[np.float32], y: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Column and row of points of the product's own plane."""
        sine, cosine = self._turn
        scale = self.focal / (self.away - y * sine)
        columns, rows = self.x + x * scale, self.y - y * cosine * scale
        return columns.astype(np.float32), rows.astype(np.float32)

    def scaled(self, height: int, width: int) -> Camera:
        """The same view at another size of the same shape."""
        scale = height / self.height
        return Camera(
            height,
            width,
            self.x * width / self.width,
            self.y * scale,
            self.per_cm * scale,
            self.pitch,
        )

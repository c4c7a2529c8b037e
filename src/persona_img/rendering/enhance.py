"""From a plate of 256 px to a canvas of any size, without looking soft.

A plate knows nothing finer than its own pixels; material.py supplies what lies beyond.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.imaging.matting import strips
from persona_img.rendering.sources.material import fine_relief

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_GRAIN = 2.5  # 8-bit levels


@dataclass(frozen=True)
class Spot:
    """Where a canvas lies on a plate of another shape.

    The canvas is scaled to fit and the rest of the plate is filled by its border pixels, so
    nothing is stretched: a 1:2 canvas uses the middle 144 columns of a 288 x 224 plate.

    Attributes:
        top: First plate row of the canvas.
        left: First plate column.
        height: Plate rows.
        width: Plate columns.
    """

    top: int
    left: int
    height: int
    width: int

    @classmethod
    def of(cls, canvas: tuple[int, int], plate: tuple[int, int]) -> Spot:
        """For a canvas and a plate, each (height, width)."""
        scale = min(plate[0] / canvas[0], plate[1] / canvas[1])
        height = min(plate[0], max(1, round(scale * canvas[0])))
        width = min(plate[1], max(1, round(scale * canvas[1])))
        return cls((plate[0] - height) // 2, (plate[1] - width) // 2, height, width)

    def shrink(self, picture: NDArray[np.uint8], plate: tuple[int, int]) -> NDArray[np.uint8]:
        """A canvas-sized picture at plate size, its border pixels continued outwards."""
        small = cv2.resize(picture, (self.width, self.height), interpolation=cv2.INTER_AREA)
        below, right = plate[0] - self.top - self.height, plate[1] - self.left - self.width
        padded = cv2.copyMakeBorder(small, self.top, below, self.left, right, cv2.BORDER_REPLICATE)
        return np.asarray(padded, dtype=np.uint8)

    def cut(self, plate: NDArray[np.float32]) -> NDArray[np.float32]:
        """The part of a plate that the canvas covers."""
        rows = slice(self.top, self.top + self.height)
        return plate[rows, self.left : self.left + self.width]


def enlarge(
    plate: NDArray[np.float32],
    size: tuple[int, int],
    *,
    tile: NDArray[np.float32] | None,
    strength: float,
    grain: float,
    seed: int,
) -> NDArray[np.float32]:
    """A plate at canvas size with the material's fine texture and the camera's grain.

    Args:
        plate: float32 sRGB 0..1 (h, w, 3).
        size: (height, width) of the canvas.
        tile: Of the material (see :attr:`.material.Sheet.grey`); None adds no texture.
        strength: Factor on the texture.
        grain: Noise of the photograph, 8-bit levels (see :func:`.grain.grain_of`).
        seed: Of texture and grain.

    Returns:
        float32 sRGB 0..1 (height, width, 3).
    """
    big = cv2.resize(plate, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    big = np.asarray(big, dtype=np.float32)
    rng = np.random.default_rng([seed, 0x7E])
    relief = fine_relief(plate, tile, size, rng) * np.float32(strength)
    noise = _grain(relief.shape[0], rng) * np.float32(min(0.8 * grain, _MOST_GRAIN) / 255)
    columns = np.arange(size[1]) % relief.shape[1]
    for rows, _ in strips(size, 0):
        lines = np.arange(rows.start, rows.stop) % relief.shape[0]
        block = big[rows]
        block *= 1.0 + relief[lines][:, columns, None]
        block += noise[lines][:, columns, None]
        np.clip(block, 0.0, 1.0, out=block)
    return big


def _grain(period: int, rng: np.random.Generator) -> NDArray[np.float32]:
    noise = rng.standard_normal((period, period), dtype=np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 0.7, borderType=cv2.BORDER_REFLECT)
    return np.asarray(soft / max(1e-9, float(soft.std())), dtype=np.float32)

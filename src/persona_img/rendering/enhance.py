"""From a painted plate of 256 px to a canvas of any size, without looking soft.

A painter knows nothing finer than its own pixels, and need not: the set it began with can be drawn
at any size. What it painted otherwise, light, colour, shadow and what is out of focus, is smooth;
that is put on the set, whose high frequencies are the materials' own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.imaging.light import to_linear
from persona_img.imaging.matting import strips

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_img.scenery.layer import Layer

_MOST_GRAIN = 2.5  # 8-bit levels
_DARK = 0.015  # linear: below it a relative change is noise
_SMOOTH, _SMOOTH_FAR = 0.05, 0.05  # of the plate's short side: what is taken from a painter
_SMOOTH_HUE = 0.10  # of it, as to hue: beside stones of many colours a painter's is iridescent
_MOST, _MOST_FAR = 0.40, 0.80  # of the logarithm of light: more is another picture
_SHADE, _LEAST_OPEN = 0.35, 0.01  # what is darker is the set's own shadow; its weight
_PERIOD = 512


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
        return np.asarray(self._padded(small, plate), dtype=np.uint8)

    def around(self, picture: NDArray[np.float32], plate: tuple[int, int]) -> NDArray[np.float32]:
        """A picture of the spot's size on the plate, its border pixels continued outwards."""
        return np.asarray(self._padded(picture, plate), dtype=np.float32)

    def cut(self, plate: NDArray[np.float32]) -> NDArray[np.float32]:
        """The part of a plate that the canvas covers."""
        rows = slice(self.top, self.top + self.height)
        return plate[rows, self.left : self.left + self.width]

    def _padded(self, small: NDArray[np.generic], plate: tuple[int, int]) -> NDArray[np.generic]:
        below, right = plate[0] - self.top - self.height, plate[1] - self.left - self.width
        padded = cv2.copyMakeBorder(small, self.top, below, self.left, right, cv2.BORDER_REPLICATE)
        return np.asarray(padded)


def completed(
    painted: NDArray[np.float32], start: Layer, full: Layer, share: float = 1.0
) -> NDArray[np.float32]:
    """The set at the canvas's size, in the light and colours that a painter gave it.

    Args:
        painted: float32 sRGB 0..1 (h, w, 3), what was painted from ``start``.
        start: The set at that size.
        full: The set at the canvas's size; its light is changed in place.
        share: Of the painter's change that is taken over, 0..1.

    Returns:
        Linear light, float32 (H, W, 3).
    """
    short = min(painted.shape[:2])
    change = np.log(to_linear(painted) + np.float32(_DARK)) - np.log(
        np.minimum(start.linear, 1.0) + np.float32(_DARK)
    )
    lightness = change.mean(axis=2, keepdims=True)
    smooth = _in_the_open(lightness[..., 0], start.shade, _SMOOTH * short)[..., None]
    smooth = smooth + cv2.GaussianBlur(change - lightness, (0, 0), _SMOOTH_HUE * short)
    near = np.clip(_level(smooth), -_MOST, _MOST)
    if start.far.max() > 0:
        behind = cv2.GaussianBlur(change, (0, 0), max(0.5, _SMOOTH_FAR * short))
        behind = np.clip(behind, -_MOST_FAR, _MOST_FAR)
        near += start.far[..., None] * (behind - near)
    size = full.linear.shape[1], full.linear.shape[0]
    large = cv2.resize(near * np.float32(share), size, interpolation=cv2.INTER_CUBIC)
    out = full.linear
    for rows, _ in strips(out.shape, 0):
        out[rows] *= cv2.exp(large[rows])
    return out


def _in_the_open(
    change: NDArray[np.float32], shade: NDArray[np.float32] | None, sigma: float
) -> NDArray[np.float32]:
    """A change smoothed, (h, w), and in shadow what it is around it.

    A painter draws shadows paler and in patches; how dark they are is geometry, which the set
    knows. So the shade of what stands keeps its depth, in the light that is painted around it.

    References:
        Knutsson, Westin 1993, "Normalized and Differential Convolution", CVPR.
    """
    if shade is None:
        return np.asarray(cv2.GaussianBlur(change, (0, 0), sigma))
    open_to_light = np.clip(1.0 - shade / np.float32(_SHADE), _LEAST_OPEN, 1.0)
    weighed = cv2.GaussianBlur(change * open_to_light, (0, 0), sigma)
    return np.asarray(weighed / cv2.GaussianBlur(open_to_light, (0, 0), sigma))


def _level(change: NDArray[np.float32]) -> NDArray[np.float32]:
    """A change without its slope across the picture, (h, w, 3).

    How light falls off from one side to the other is the set's lamp's: a painter draws every
    falloff towards the usual one.
    """
    down, across = (np.linspace(-1, 1, n, dtype=np.float32) for n in change.shape[:2])
    slope = (change * across[:, None]).mean((0, 1)) / np.square(across).mean()
    fall = (change * down[:, None, None]).mean((0, 1)) / np.square(down).mean()
    return np.asarray(
        change - slope * across[:, None] - fall * down[:, None, None], dtype=np.float32
    )


def enlarged(plate: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """A plate that has all its own detail, at the canvas's size.

    Args:
        plate: float32 sRGB 0..1 (h, w, 3).
        size: (height, width) of the canvas.

    Returns:
        Linear light, float32 (height, width, 3).
    """
    big = cv2.resize(plate, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    return to_linear(np.clip(np.asarray(big, dtype=np.float32), 0.0, 1.0))


def grained(picture: NDArray[np.float32], grain: float, seed: int) -> NDArray[np.float32]:
    """A picture with the camera's grain, changed in place.

    Args:
        picture: float32 sRGB 0..1 (H, W, 3).
        grain: Noise of the photograph, 8-bit levels (see :func:`.grain.grain_of`).
        seed: Of the noise.
    """
    level = np.float32(min(0.8 * grain, _MOST_GRAIN) / 255)
    if level == 0:
        return picture
    rng = np.random.default_rng([seed, 0x7E])
    noise = cv2.GaussianBlur(
        rng.standard_normal((_PERIOD, _PERIOD), dtype=np.float32),
        (0, 0),
        0.7,
        borderType=cv2.BORDER_REFLECT,
    )
    noise *= level / max(1e-9, float(noise.std()))
    columns = np.arange(picture.shape[1]) % _PERIOD
    for rows, _ in strips(picture.shape, 0):
        lines = np.arange(rows.start, rows.stop) % _PERIOD
        block = picture[rows]
        block += noise[lines][:, columns, None]
        np.clip(block, 0.0, 1.0, out=block)
    return picture

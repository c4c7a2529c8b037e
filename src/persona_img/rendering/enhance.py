"""From a plate of 256 px to a canvas of any size, without looking soft.

A plate knows nothing finer than its own pixels. What lies beyond is added as random-phase texture
of the material: noise with the spectrum of a small photographed tile, only where the plate has no
frequencies, and as strong as the plate's own finest octave, so that the spectrum goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from persona_img.imaging.matting import strips

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FINE, _COARSE = 1.2, 2.4  # sigmas, plate pixels, of the plate's finest trusted octave
_MOST_RELIEF = 0.045  # relative: more looks like noise, not like material
_LEAST_TILE, _MOST_TILE = 256, 1024
_GAMMA = 2.2
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
    material: str | None,
    strength: float,
    grain: float,
    seed: int,
) -> NDArray[np.float32]:
    """A plate at canvas size with the material's fine texture and the camera's grain.

    Args:
        plate: float32 sRGB 0..1 (h, w, 3).
        size: (height, width) of the canvas.
        material: Whose texture; None or a material without tiles adds none.
        strength: Factor on the texture.
        grain: Noise of the photograph, 8-bit levels (see :func:`grain_of`).
        seed: Of texture and grain.

    Returns:
        float32 sRGB 0..1 (height, width, 3).
    """
    big = cv2.resize(plate, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    big = np.asarray(big, dtype=np.float32)
    rng = np.random.default_rng([seed, 0x7E])
    relief = fine_texture(plate, size, material, rng) * np.float32(strength / _GAMMA)
    noise = _grain(relief.shape[0], rng) * np.float32(min(0.8 * grain, _MOST_GRAIN) / 255)
    columns = np.arange(size[1]) % relief.shape[1]
    for rows, _ in strips(size, 0):
        lines = np.arange(rows.start, rows.stop) % relief.shape[0]
        block = big[rows]
        block *= 1.0 + relief[lines][:, columns, None]
        block += noise[lines][:, columns, None]
        np.clip(block, 0.0, 1.0, out=block)
    return big


def fine_texture(
    plate: NDArray[np.float32],
    size: tuple[int, int],
    material: str | None,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """One period of relative relief, float32 (T, T), mean 0, to be repeated over the canvas.

    References:
        Galerne, Gousseau, Morel 2011, "Random Phase Textures: Theory and Synthesis", TIP, section
        IV (asymptotic discrete spot noise of a windowed exemplar). We keep only frequencies above
        the plate's, set the gain so that the octave next to them is as strong as the plate's, and
        turn the exemplar's grain to the plate's.
    """
    period = int(np.clip(2 ** np.floor(np.log2(max(size))), _LEAST_TILE, _MOST_TILE))
    scale = size[0] / plate.shape[0]
    exemplars = _exemplars(material) if material else ()
    if not exemplars or scale <= 1.0:
        return np.zeros((period, period), dtype=np.float32)
    tile = exemplars[int(rng.integers(len(exemplars)))]
    grey = np.asarray(plate.mean(axis=2), dtype=np.float32)
    if _runs_down(tile) != _runs_down(grey):
        tile = tile.T
    window = np.hanning(tile.shape[0] + 2)[1:-1]
    spot = np.zeros((period, period))
    spot[: tile.shape[0], : tile.shape[1]] = (tile - tile.mean()) * np.outer(window, window)
    spectrum = np.fft.rfft2(spot) * np.fft.rfft2(rng.standard_normal((period, period)))
    radius = np.hypot(np.fft.fftfreq(period)[:, None], np.fft.rfftfreq(period)[None, :])
    octave = _gauss(radius, _FINE * scale) - _gauss(radius, _COARSE * scale)
    reference = float(np.fft.irfft2(spectrum * octave, s=(period, period)).std())
    high = np.fft.irfft2(spectrum * (1.0 - _gauss(radius, 0.8 * scale)), s=(period, period))
    gain = _finest_octave(grey) / max(reference, 1e-9)
    spread = float(high.std()) * gain
    return np.asarray(high * gain * min(1.0, _MOST_RELIEF / max(spread, 1e-9)), dtype=np.float32)


def grain_of(photo: NDArray[np.uint8]) -> float:
    """Noise of a photograph in 8-bit levels, from its calmest places.

    References:
        Immerkaer 1996, "Fast Noise Variance Estimation", CVIU; we take the calmest quarter of
        16-pixel blocks instead of the mean over the picture, so texture does not count as noise.
    """
    side = 1024  # of the middle: enough to measure, bounded for large photographs
    top, left = (max(0, (n - side) // 2) for n in photo.shape[:2])
    middle = cv2.cvtColor(photo[top : top + side, left : left + side], cv2.COLOR_RGB2GRAY)
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
    response = np.abs(cv2.filter2D(middle.astype(np.float32), -1, kernel))
    blocks = cv2.resize(
        response,
        (max(1, response.shape[1] // 16), max(1, response.shape[0] // 16)),
        interpolation=cv2.INTER_AREA,
    )
    return float(np.percentile(blocks, 25) * np.sqrt(np.pi / 2) / 6.0)


@lru_cache(maxsize=16)
def _exemplars(material: str) -> tuple[NDArray[np.float32], ...]:
    """Grey tiles of a material, float32 square 0..1; none where the package ships none."""
    folder = files("persona_img") / "assets" / "textures" / material
    if not folder.is_dir():
        return ()
    tiles: list[NDArray[np.float32]] = []
    for entry in sorted(folder.iterdir(), key=lambda e: e.name):
        if entry.name.endswith(".jpg"):
            with entry.open("rb") as lines, Image.open(lines) as image:
                grey = np.asarray(image.convert("L"), dtype=np.float32)
                tiles.append(grey / np.float32(255))
    return tuple(tiles)


def _finest_octave(grey: NDArray[np.float32]) -> float:
    """Typical relative contrast of the plate's finest trusted octave; edges do not count."""
    band = cv2.GaussianBlur(grey, (0, 0), _FINE) - cv2.GaussianBlur(grey, (0, 0), _COARSE)
    relative = np.abs(band) / np.maximum(cv2.GaussianBlur(grey, (0, 0), 8), 0.02)
    return float(np.median(relative) * 1.4826)


def _runs_down(grey: NDArray[np.float32]) -> bool:
    """Whether the grain runs from top to bottom rather than from side to side."""
    across = np.abs(np.diff(grey, axis=1)).mean()
    down = np.abs(np.diff(grey, axis=0)).mean()
    return bool(across > down)


def _gauss(radius: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Frequency response of a Gaussian blur; ``radius`` in cycles a pixel."""
    return np.asarray(np.exp(-2.0 * (np.pi * sigma * radius) ** 2))


def _grain(period: int, rng: np.random.Generator) -> NDArray[np.float32]:
    noise = rng.standard_normal((period, period), dtype=np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 0.7, borderType=cv2.BORDER_REFLECT)
    return np.asarray(soft / max(1e-9, float(soft.std())), dtype=np.float32)

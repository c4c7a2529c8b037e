"""A material's texture, octave by octave: what a plate lacks is added, what is too much is calmed.

Small tiles say how much contrast a material has in each octave. What a plate lacks of it is added
as noise of a tile's spectrum; contrast no tile has (the clouds and blotches of an unsure
generator) is scaled down to what the material may have. A plate that looks like its material is
left as it is. Random phase makes cloth, plaster, stone and grain, not veins and planks: those are
the checkpoint's to paint.

References:
    Galerne, Gousseau, Morel 2011, "Random Phase Textures: Theory and Synthesis", TIP, section IV:
    asymptotic discrete spot noise of a windowed exemplar. We add only what is missing, by octave,
    and turn the exemplar's grain to the plate's.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from itertools import pairwise
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from persona_img.imaging.colour import from_lab, to_lab

if TYPE_CHECKING:
    from numpy.typing import NDArray

_OCTAVES = (
    0.9,
    1.8,
    3.6,
    7.2,
    14.4,
    28.8,
)  # sigmas, plate pixels, between which contrast is compared
_TILE_SPAN = 0.65  # of the plate's short side: how large a tile lies on it
_ENOUGH = 0.75  # share of a tile's contrast that is asked for: the product is to stand out
_ROOM = 1.2  # a plate may have so much more contrast than the material's liveliest tile
_MOST_HUE = 0.8  # spread of a*, b* that does not follow from lightness
_MOST_RELIEF = 0.045  # relative: more of the finest looks like noise, not like material
_LEAST_PERIOD, _MOST_PERIOD = 256, 1024


@lru_cache(maxsize=16)
def exemplars(material: str) -> tuple[NDArray[np.float32], ...]:
    """Grey tiles of a material, float32 square, mean 1; none where the package ships none."""
    folder = files("persona_img") / "assets" / "textures" / material
    if not folder.is_dir():
        return ()
    tiles: list[NDArray[np.float32]] = []
    for entry in sorted(folder.iterdir(), key=lambda e: e.name):
        if entry.name.endswith(".jpg"):
            with entry.open("rb") as lines, Image.open(lines) as image:
                grey = np.asarray(image.convert("L"), dtype=np.float32)
            tiles.append(np.asarray(grey / grey.mean(), dtype=np.float32))
    return tuple(tiles)


def chosen(
    plate: NDArray[np.float32], material: str | None, rng: np.random.Generator
) -> NDArray[np.float32] | None:
    """A tile of the material, its grain turned to the plate's; None where there is none."""
    tiles = exemplars(material) if material else ()
    if not tiles:
        return None
    tile = tiles[int(rng.integers(len(tiles)))]
    return tile.T if _runs_down(tile) != _runs_down(plate.mean(axis=2)) else tile


def matched(
    plate: NDArray[np.float32],
    material: str,
    tile: NDArray[np.float32],
    light: NDArray[np.float32] | None,
    area: NDArray[np.float32],
    strength: float,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """A plate with the contrast of its material.

    Args:
        plate: float32 sRGB 0..1 (h, w, 3).
        material: Whose tiles say how much contrast there may be.
        tile: The tile whose noise is added (see :func:`chosen`).
        light: float32 (h, w), the light's factor on sRGB values: its shadows are no texture.
            None where it is not known where they fall; then nothing is calmed.
        area: float32 (h, w), 1 where the plate's own contrast is measured.
        strength: Share of the difference that is made up for, 0..1.
        rng: Of the noise.
    """
    height, width = plate.shape[:2]
    side = max(8, round(_TILE_SPAN * min(height, width)))
    period = int(2 ** np.ceil(np.log2(max(height, width, side))))
    texture = spot_noise(_resized(tile, side), period, rng)[:height, :width]
    bare = np.log(np.maximum(plate.mean(axis=2), 0.02))
    if light is not None:
        bare = bare - np.log(np.maximum(light, 0.05))
    wanted = _ENOUGH * _contrasts(_resized(tile, side))
    allowed = np.max([_contrasts(_resized(t, side)) for t in exemplars(material)], axis=0) * _ROOM
    change = np.zeros((height, width), dtype=np.float32)
    bands, noises = _octaves(bare.astype(np.float32)), _octaves(texture)
    for band, noise, least, most in zip(bands, noises, wanted, allowed, strict=True):
        there = band[area > 0] if area.any() else band
        # The median forgives edges and veins, which no texture accounts for.
        has = 1.4826 * float(np.median(np.abs(there)))
        if has > most and light is not None:
            change -= band * np.float32(1.0 - most / has)
        elif has < least:
            change += noise * np.float32(np.sqrt(least**2 - has**2) / max(1e-9, float(noise.std())))
    shaped = np.clip(plate * np.exp(np.float32(strength) * change)[..., None], 0.0, 1.0)
    return _one_hue(shaped.astype(np.float32), area, strength)


def fine_relief(
    plate: NDArray[np.float32],
    tile: NDArray[np.float32] | None,
    size: tuple[int, int],
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """What lies beyond the plate's own pixels: one period of relief to repeat over the canvas.

    The tile is laid pixel by pixel, only frequencies above the plate's are kept, and they are
    made as strong as the plate's finest octave, so that the spectrum goes on.

    Args:
        plate: float32 sRGB 0..1 (h, w, 3).
        tile: Of the material; None gives no relief.
        size: (height, width) of the canvas.
        rng: Of the noise.

    Returns:
        float32 (T, T), relative, mean 0.
    """
    period = int(np.clip(2 ** np.floor(np.log2(max(size))), _LEAST_PERIOD, _MOST_PERIOD))
    scale = size[0] / plate.shape[0]
    if tile is None or scale <= 1.0:
        return np.zeros((period, period), dtype=np.float32)
    grey = np.asarray(plate.mean(axis=2), dtype=np.float32)
    spectrum = np.fft.rfft2(spot_noise(tile, period, rng))
    radius = np.hypot(np.fft.fftfreq(period)[:, None], np.fft.rfftfreq(period)[None, :])
    octave = _gauss(radius, _OCTAVES[0] * scale) - _gauss(radius, _OCTAVES[1] * scale)
    reference = float(np.fft.irfft2(spectrum * octave, s=(period, period)).std())
    high = np.fft.irfft2(spectrum * (1.0 - _gauss(radius, 0.6 * scale)), s=(period, period))
    band = _octaves(grey)[0] / np.maximum(cv2.GaussianBlur(grey, (0, 0), 8), 0.02)
    gain = 1.4826 * float(np.median(np.abs(band))) / max(reference, 1e-9)
    spread = float(high.std()) * gain
    return np.asarray(high * gain * min(1.0, _MOST_RELIEF / max(spread, 1e-9)), dtype=np.float32)


def spot_noise(
    tile: NDArray[np.float32], period: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Periodic noise (period, period) with a tile's spectrum; mean 0, spread of the tile."""
    height, width = tile.shape
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
    spot = np.zeros((max(period, height), max(period, width)))
    spot[:height, :width] = (tile - tile.mean()) * window
    noise = np.fft.rfft2(rng.standard_normal(spot.shape))
    made = np.fft.irfft2(np.fft.rfft2(spot) * noise, s=spot.shape)
    made *= float(tile.std()) / max(1e-9, float(made.std()))
    return np.asarray(made, dtype=np.float32)


def _one_hue(
    plate: NDArray[np.float32], area: NDArray[np.float32], strength: float
) -> NDArray[np.float32]:
    """A plate whose hue follows its lightness; what remains is at most ``_MOST_HUE``."""
    lab = to_lab(plate)
    seen = lab[area > 0] if area.any() else lab.reshape(-1, 3)
    centre = seen.mean(axis=0)
    spread = seen - centre
    slope = (spread[:, :1] * spread[:, 1:]).sum(axis=0) / max(
        1e-6, float((spread[:, 0] ** 2).sum())
    )
    follows = centre[1:] + (lab[..., :1] - centre[0]) * slope
    rest = lab[..., 1:] - follows
    blurred = cv2.GaussianBlur(rest, (0, 0), 2.0)
    size = float(np.sqrt(blurred[area > 0].var(axis=0).sum())) if area.any() else 0.0
    calm = strength * (1.0 - min(1.0, _MOST_HUE / max(1e-6, size)))
    lab[..., 1:] -= np.float32(calm) * rest
    return from_lab(lab)


def _contrasts(tile: NDArray[np.float32]) -> NDArray[np.float64]:
    """Spread of a tile's logarithm in each octave."""
    return np.array([band.std() for band in _octaves(np.log(np.maximum(tile, 0.02)))])


def _resized(tile: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    large = cv2.resize(tile, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.asarray(large, dtype=np.float32)


def _octaves(grey: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Differences of Gaussian blurs at ``_OCTAVES``, the finest first."""
    blurred = [cv2.GaussianBlur(grey, (0, 0), sigma) for sigma in _OCTAVES]
    return [np.asarray(a - b) for a, b in pairwise(blurred)]


def _runs_down(grey: NDArray[np.float32]) -> bool:
    """Whether the grain runs from top to bottom rather than from side to side."""
    across = np.abs(np.diff(grey, axis=1)).mean()
    down = np.abs(np.diff(grey, axis=0)).mean()
    return bool(across > down)


def _gauss(radius: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Frequency response of a Gaussian blur; ``radius`` in cycles a pixel."""
    return np.asarray(np.exp(-2.0 * (np.pi * sigma * radius) ** 2))

"""A material on a plate: a real tile is laid out, the generator starts from it and is completed.

The generator paints at 256 pixels; planks, veins and weave that it blurs are in the tile. So a
sheet of the tile, in the style's colour and light, is what sampling starts from, and what the
painted plate still lacks of that same sheet is added octave by octave, in place. Contrast the
sheet does not have (the clouds and blotches of an unsure generator) is scaled down. Beyond the
plate's own pixels the tile's spectrum goes on as noise.

References:
    Meng et al. 2022, "SDEdit", ICLR, arXiv:2108.01073: sampling from a guide with noise on it.
    Galerne, Gousseau, Morel 2011, "Random Phase Textures: Theory and Synthesis", TIP, section IV:
    asymptotic discrete spot noise of a windowed exemplar, here for the finest frequencies only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import pairwise
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image
from scipy import fft

from persona_img.imaging.blur import wide_blur
from persona_img.imaging.colour import from_lab, grey_of, to_lab
from persona_img.imaging.light import apply_light, illumination

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_img.rendering.tone import Lighting

_OCTAVES = (
    0.9,
    1.8,
    3.6,
    7.2,
    14.4,
    28.8,
)  # sigmas, plate pixels, between which contrast is compared
_SPANS = (0.8, 1.2)  # of the plate's short side: how large a tile lies on it
_ENOUGH = 0.75  # share of a tile's contrast that is asked for: the product is to stand out
_OWN_HUE = 0.6  # share of a tile's own variation of hue that a dyed material keeps
_ROOM = 1.2  # besides its sheet a plate may have so much of the sheet's contrast
_MOST_HUE = 0.8  # spread of a*, b* that does not follow from lightness
_MOST_RELIEF = 0.045  # relative: more of the finest looks like noise, not like material
_LEAST_PERIOD, _MOST_PERIOD = 256, 1024


@dataclass(frozen=True, eq=False)
class Sheet:
    """A tile of a material, laid out.

    Attributes:
        material: Its name.
        tile: Lab minus its mean, float32 (t, t, 3); seamless.
        side: Plate pixels that the tile is wide.
        top: Plate pixels by which it is moved up.
        left: Plate pixels by which it is moved left.
    """

    material: str
    tile: NDArray[np.float32]
    side: int
    top: int
    left: int

    @property
    def grey(self) -> NDArray[np.float32]:
        """The tile's lightness, mean 1."""
        return np.asarray(1.0 + self.tile[..., 0] / 100.0, dtype=np.float32)

    def laid(self, size: tuple[int, int]) -> NDArray[np.float32]:
        """Lab minus its mean on a plate of this size, float32 (h, w, 3)."""
        large = _resized(self.tile, self.side)
        rows = (np.arange(size[0]) + self.top) % self.side
        columns = (np.arange(size[1]) + self.left) % self.side
        return large[rows][:, columns]

    def lit(
        self,
        colour: tuple[float, float, float],
        lighting: Lighting,
        rng: np.random.Generator,
    ) -> NDArray[np.float32]:
        """The sheet in a colour (mean Lab) and a light, with the product's shadow; sRGB 0..1."""
        mask, light = lighting.mask, lighting.light
        lab = self.laid((mask.shape[0], mask.shape[1]))
        lab = lab * np.array([_ENOUGH, _OWN_HUE, _OWN_HUE], dtype=np.float32)
        sheet = from_lab((lab + np.array(colour, dtype=np.float32)).astype(np.float32))
        return apply_light(
            sheet, illumination(mask, light, rng) if light.panes else lighting.factor
        )


@lru_cache(maxsize=16)
def tiles_of(material: str) -> tuple[NDArray[np.float32], ...]:
    """Tiles of a material as :attr:`Sheet.tile`; none where the package ships none."""
    folder = files("persona_img") / "assets" / "textures" / material
    if not folder.is_dir():
        return ()
    tiles: list[NDArray[np.float32]] = []
    for entry in sorted(folder.iterdir(), key=lambda e: e.name):
        if entry.name.endswith(".jpg"):
            with entry.open("rb") as lines, Image.open(lines) as image:
                lab = to_lab(np.asarray(image.convert("RGB")))
            tiles.append(np.asarray(lab - lab.mean(axis=(0, 1)), dtype=np.float32))
    return tuple(tiles)


def sheet_of(material: str | None, size: tuple[int, int], rng: np.random.Generator) -> Sheet | None:
    """A tile of the material, somewhere and of some size; None where there is none.

    Args:
        material: Name of a surface.
        size: (height, width) of the plate.
        rng: Of tile, size and place.
    """
    tiles = tiles_of(material) if material else ()
    if not tiles or material is None:
        return None
    tile = tiles[int(rng.integers(len(tiles)))]
    side = max(8, round(rng.uniform(*_SPANS) * min(size)))
    return Sheet(material, tile, side, int(rng.integers(side)), int(rng.integers(side)))


def matched(
    plate: NDArray[np.float32],
    sheet: Sheet,
    light: NDArray[np.float32] | None,
    area: NDArray[np.float32],
    strength: float,
) -> NDArray[np.float32]:
    """A plate with the structure and the contrast of its material.

    Args:
        plate: float32 sRGB 0..1 (h, w, 3).
        sheet: What the plate was to look like.
        light: float32 (h, w), the light's factor on sRGB values: its shadows are no texture.
            None where it is not known where they fall; then nothing is calmed.
        area: float32 (h, w), 1 where the plate's own contrast is measured.
        strength: Share of the difference that is made up for, 0..1.
    """
    grey = grey_of(plate)
    bare = np.log(np.maximum(grey, 0.02))
    if light is not None:
        bare = bare - np.log(np.maximum(light, 0.05))
    # Relief is relative to the light that falls on it: the same veins in sun and in shade.
    around = max(8.0, float((grey * area).sum() / max(1.0, float(area.sum()))) * 100.0)
    laid = np.log1p(np.maximum(sheet.laid(grey.shape)[..., 0] / around, -0.9))
    # The sheet's own structure is put in place below; what else there is may be as lively as it.
    allowed = _contrasts(_resized(sheet.tile, sheet.side)[..., 0], around) * _ROOM
    change = np.zeros(grey.shape, dtype=np.float32)
    where = area > 0 if area.any() else np.ones(grey.shape, dtype=bool)
    bands, asked = _octaves(bare.astype(np.float32)), _octaves(laid.astype(np.float32))
    for band, wanted, most in zip(bands, asked, allowed, strict=True):
        # How much of the sheet's band the plate holds already: least squares.
        power = float((wanted[where] ** 2).sum())
        held = float((band[where] * wanted[where]).sum()) / max(1e-9, power)
        held = float(np.clip(held, 0.0, _ENOUGH))
        rest = band - np.float32(held) * wanted
        # The median forgives edges and veins, which no texture accounts for.
        has = 1.4826 * float(np.median(np.abs(rest[where])))
        if has > most and light is not None:
            change -= rest * np.float32(1.0 - most / has)
        change += wanted * np.float32(_ENOUGH - held)
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
    grey = grey_of(plate)
    spectrum = fft.rfft2(spot_noise(tile, period, rng))
    radius = np.hypot(fft.fftfreq(period)[:, None], fft.rfftfreq(period)[None, :])
    octave = _gauss(radius, _OCTAVES[0] * scale) - _gauss(radius, _OCTAVES[1] * scale)
    reference = float(fft.irfft2(spectrum * octave, s=(period, period)).std())
    high = fft.irfft2(spectrum * (1.0 - _gauss(radius, 0.6 * scale)), s=(period, period))
    band = _octaves(grey)[0] / np.maximum(cv2.GaussianBlur(grey, (0, 0), 8), 0.02)
    gain = 1.4826 * float(np.median(np.abs(band))) / max(reference, 1e-9)
    spread = float(high.std()) * gain
    return np.asarray(high * gain * min(1.0, _MOST_RELIEF / max(spread, 1e-9)), dtype=np.float32)


def spot_noise(
    tile: NDArray[np.float32], period: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Periodic noise with a tile's spectrum; mean 0, spread of the tile.

    Args:
        tile: float32 (h, w), or (h, w, 3): one noise for all channels keeps their correlation.
        period: Side of what is made; never less than the tile's.
        rng: Of the noise.

    Returns:
        float32 (p, p) or (p, p, 3).
    """
    height, width = tile.shape[:2]
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
    shape = (max(period, height), max(period, width))
    noise = fft.rfft2(rng.standard_normal(shape, dtype=np.float32))
    made = np.zeros((*shape, *tile.shape[2:]), dtype=np.float32)
    for channel in np.ndindex(tile.shape[2:]):
        one = tile[(..., *channel)]
        spot = np.zeros(shape, dtype=np.float32)
        spot[:height, :width] = (one - one.mean()) * window
        drawn = fft.irfft2(fft.rfft2(spot) * noise, s=shape)
        drawn -= drawn.mean()
        made[(..., *channel)] = drawn * (float(one.std()) / max(1e-9, float(drawn.std())))
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


def _contrasts(lightness: NDArray[np.float32], around: float) -> NDArray[np.float64]:
    """Spread, in each octave, of the logarithm of a tile that lies around a lightness."""
    relief = np.log1p(np.maximum(lightness / around, -0.9)).astype(np.float32)
    return np.array([band.std() for band in _octaves(relief)])


def _resized(tile: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """A seamless tile at another size, still seamless."""
    border = 4
    around = np.pad(tile, ((border, border), (border, border), (0, 0)), mode="wrap")
    scale = side / tile.shape[0]
    rim = round(border * scale)
    method = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    large = cv2.resize(around, (side + 2 * rim, side + 2 * rim), interpolation=method)
    return np.asarray(large[rim : rim + side, rim : rim + side], dtype=np.float32)


def _octaves(grey: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Differences of Gaussian blurs at ``_OCTAVES``, the finest first."""
    blurred = [wide_blur(grey, sigma) for sigma in _OCTAVES]
    return [np.asarray(a - b) for a, b in pairwise(blurred)]


def _gauss(radius: NDArray[np.float64], sigma: float) -> NDArray[np.float32]:
    """Frequency response of a Gaussian blur; ``radius`` in cycles a pixel."""
    return np.exp(-2.0 * (np.pi * sigma * radius) ** 2).astype(np.float32)

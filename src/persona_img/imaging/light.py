"""What light does to the plane a product lies on: cast shadow, contact shadow, gradient, window.

One light model serves twice: it makes the plates the generator learns from, and it draws the
contact shadow under the pasted product. Lengths are shares of the picture's short side, so the
same light looks the same at every size; a thicker product throws a longer shadow.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CONTACT_SIDE = 900  # short side


@dataclass(frozen=True)
class Light:
    """One way of lighting the plane; where it has a side, the light comes from the upper left.

    Attributes:
        shadow_offset: (dx, dy) of the cast shadow, shares of the short side; right and down; of
            what is :data:`CLOTH` thick.
        shadow_blur: Gaussian sigma of the cast shadow, share of the short side; as thick.
        shadow_strength: Share of light taken away in its middle, 0..1.
        ambient_blur: Sigma of the wide ambient occlusion around the product.
        ambient_strength: Share of light it takes away, 0..1.
        gradient: Relative brightness change from the lit to the far side.
        panes: True where a window throws bright panes over the plane.
        across: Direction of the gradient, right and down, from the lit to the far side.
    """

    shadow_offset: tuple[float, float]
    shadow_blur: float
    shadow_strength: float
    ambient_blur: float
    ambient_strength: float
    gradient: float
    panes: bool = False
    across: tuple[float, float] = (0.8, 0.6)

    def mirrored(self) -> Light:
        """The same light from the upper right."""
        offset = -self.shadow_offset[0], self.shadow_offset[1]
        return replace(self, shadow_offset=offset, across=(-self.across[0], self.across[1]))

    def over(self, thick: float) -> Light:
        """The same light on what is so thick, in shares of the short side.

        The shadow of what rises twice as high is twice as long, and as much softer, until it is
        so long that the product would hover.

        Args:
            thick: How high the product rises from the plane, above 0.
        """
        right, down = self.shadow_offset
        length = float(np.hypot(right, down))
        most = min(_MOST_TIMES, _LONGEST / length) if length > 0 else _MOST_TIMES
        times = min(max(thick / CLOTH, _LEAST_TIMES), most)
        return replace(
            self,
            shadow_offset=(right * times, down * times),
            shadow_blur=max(self.shadow_blur * times, _SHARPEST),
        )


CLOTH = 0.020
"""How thick a garment is in the middle of a picture, share of the short side."""
_LEAST_TIMES, _MOST_TIMES = 0.6, 2.4  # thinner does not show; thicker is not laid flat
_LONGEST = 0.066  # of the short side; with a longer shadow a garment hovers
_BAR, _PANE = 0.71, 1.08  # light in the shade of a window's bars, and between them
_WIDE, _APART = 0.09, 0.045  # of the short side: a bar, and how far from the product it stays
_SLANT = 8.0, 16.0  # degrees
_SHARPEST = 0.0022  # sigma: the sun is half a degree wide, and lenses are no sharper

_ROUNDED = 0.5  # of the shade's length: so far inside its outline a product is as high as anywhere
_REACH = 1.6  # times as long as it is seen, for a round edge hides the rest: 1 / 0.62
_HEIGHTS = (0.2, 0.4, 0.6, 0.75, 0.9, 1.0)  # shares of the full one

LIGHTS: dict[str, Light] = {
    "soft": Light((0.010, 0.014), 0.016, 0.36, 0.060, 0.12, 0.06),
    "side": Light((0.032, 0.007), 0.0070, 0.60, 0.050, 0.15, 0.50, across=(0.98, 0.2)),
    "sun": Light((0.019, 0.021), 0.0022, 0.62, 0.040, 0.09, 0.06),  # 35 degrees high
    "window": Light((0.018, 0.013), 0.0075, 0.44, 0.050, 0.15, 0.10, panes=True),
}


def illumination(
    mask: NDArray[np.float32],
    light: Light,
    rng: np.random.Generator | None = None,
    *,
    panes: np.random.Generator | None = None,
) -> NDArray[np.float32]:
    """Factor on the plane's linear light, float32 (H, W, 3), about 0.3..1.2.

    Args:
        mask: The product, float32 (H, W) in 0..1.
        light: The light.
        rng: Jitters lengths and strengths by about 15 % (training); None for the exact light.
        panes: Of where a window's panes fall; None is ``rng``, or always the same place.
    """
    height, width = mask.shape
    short = min(height, width)

    def jitter(spread: float = 0.15) -> float:
        return float(1.0 + spread * rng.standard_normal()) if rng is not None else 1.0

    cast = _cast(
        mask, light.shadow_offset[0] * short * jitter(), light.shadow_offset[1] * short * jitter()
    )
    cast = _blur(cast, light.shadow_blur * short * jitter())
    ambient = _blur(mask, light.ambient_blur * short * jitter())
    factor = (1.0 - _unit(light.shadow_strength * jitter()) * cast) * (
        1.0 - _unit(light.ambient_strength * jitter()) * ambient
    )
    yy, xx = np.mgrid[0:height, 0:width].astype(np.float32)
    across = light.across[0] * (xx / width - 0.5) + light.across[1] * (yy / height - 0.5)
    field = 1.0 - light.gradient * jitter(0.3) * across
    if light.panes:
        if light.across[0] > 0:
            field = field * _panes(mask, panes or rng)
        else:
            field = field * _panes(np.ascontiguousarray(mask[:, ::-1]), panes or rng)[:, ::-1]
    # Shade is a little bluer than light, as under a sky: shadows that are pure grey look painted.
    shade = (factor * field)[..., None]
    tint = np.array([0.985, 1.0, 1.03], dtype=np.float32)
    return np.asarray(shade * np.where(shade < 1, tint ** (1 - shade), 1.0), dtype=np.float32)


def contact_shadow(mask: NDArray[np.float32], light: Light) -> NDArray[np.float32]:
    """Thin dark line where the product meets the plane: factor on linear light, (H, W), 0..1."""
    short = min(mask.shape)
    dx, dy = light.shadow_offset
    length = float(np.hypot(dx, dy)) or 1.0
    near = _shifted(mask, 0.004 * short * dx / length, 0.004 * short * dy / length)
    tight = _blur(near, 0.0045 * short)
    wide = _blur(near, 0.012 * short)
    return np.asarray((1.0 - 0.30 * tight) * (1.0 - 0.16 * wide), dtype=np.float32)


def contact_on(alpha: NDArray[np.uint8], light: Light) -> NDArray[np.float32]:
    """:func:`contact_shadow` of a mask of any size, uint8 (H, W); made on fewer pixels."""
    height, width = alpha.shape
    scale = min(1.0, _CONTACT_SIDE / min(height, width))
    size = (max(1, round(scale * width)), max(1, round(scale * height)))
    small = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0
    factor = contact_shadow(small, light)
    large = cv2.resize(factor, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(large, dtype=np.float32)


def apply_light(rgb: NDArray[np.float32], factor: NDArray[np.float32]) -> NDArray[np.float32]:
    """SRGB float32 0..1 with its linear light multiplied by ``factor``."""
    return to_srgb(to_linear(rgb) * factor)


def to_linear(rgb: NDArray[np.float32]) -> NDArray[np.float32]:
    """SRGB 0..1 to linear light 0..1 (IEC 61966-2-1)."""
    high = cv2.pow((rgb + np.float32(0.055)) * np.float32(1 / 1.055), 2.4)
    return np.where(rgb <= 0.04045, rgb * np.float32(1 / 12.92), high).astype(np.float32)


def to_srgb(linear: NDArray[np.float32]) -> NDArray[np.float32]:
    """Linear light to sRGB 0..1; brighter than white is clipped."""
    x = np.clip(linear, 0.0, 1.0)
    high = cv2.pow(x, 1 / 2.4) * np.float32(1.055) - np.float32(0.055)
    return np.where(x <= 0.0031308, x * np.float32(12.92), high).astype(np.float32)


def _panes(mask: NDArray[np.float32], rng: np.random.Generator | None) -> NDArray[np.float32]:
    """Slanted panes of a window, float32 (H, W): light in the bars' shade and between them.

    The product lies in one pane, however large that has to be: its pixels are as photographed,
    without bars, and bars that ended at it, or faded before it, would be stains.
    """
    draw = rng if rng is not None else np.random.default_rng(0)
    height, width = mask.shape
    short = min(height, width)
    yy, xx = np.mgrid[0:height, 0:width].astype(np.float32) / np.float32(short)
    angle = np.radians(draw.uniform(*_SLANT))
    places = (
        xx * np.cos(angle) + yy * np.sin(angle),
        -xx * np.sin(angle) + yy * np.cos(angle),
    )
    solid = mask > 0.5
    lit = np.ones(mask.shape, dtype=bool)
    for place, pitch, chance in zip(
        places,
        (draw.uniform(0.42, 0.55), draw.uniform(0.55, 0.75)),
        draw.uniform(0, 1, 2),
        strict=True,
    ):
        least = float(place[solid].min()) if solid.any() else 0.0
        wide = float(place[solid].max()) - least + 2 * _APART if solid.any() else 0.0
        every = max(pitch, wide + _WIDE)
        begins = least - _APART - _WIDE - chance * (every - wide - _WIDE)
        lit &= ((place - begins) / every) % 1.0 > _WIDE / every
    soft = _blur(lit.astype(np.float32), 0.012 * short)
    return np.asarray(_BAR + (_PANE - _BAR) * soft, dtype=np.float32)


def _cast(mask: NDArray[np.float32], right: float, down: float) -> NDArray[np.float32]:
    """The shade of what is rounded at its edges, float32 (H, W) in 0..1, before it is blurred.

    An edge touches the plane, and full height begins a little inside: shade that is only the
    outline moved away, as of a flat card in the air, lets a garment hover; a cord or a cuff, which
    is narrow, is low.

    Args:
        mask: The product, float32 (H, W) in 0..1.
        right: How far shade is seen beside what is wide, pixels.
        down: The same.
    """
    right, down = right * _REACH, down * _REACH
    inset = _ROUNDED * float(np.hypot(right, down))
    made = mask
    for height in _HEIGHTS:
        size = 2 * round(inset * (1.0 - np.sqrt(1.0 - height**2))) + 1
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
        part = cv2.erode(mask, kernel, borderType=cv2.BORDER_REPLICATE)
        made = np.maximum(made, _shifted(part.astype(np.float32), right * height, down * height))
    return made


def _unit(x: float) -> float:
    return min(max(x, 0.0), 0.85)


def _blur(x: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    if sigma < 0.25:
        return x
    return np.asarray(
        cv2.GaussianBlur(x, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), dtype=np.float32
    )


def _shifted(mask: NDArray[np.float32], dx: float, dy: float) -> NDArray[np.float32]:
    move = np.array([[1, 0, dx], [0, 1, dy]], dtype=np.float32)
    size = (mask.shape[1], mask.shape[0])
    return np.asarray(cv2.warpAffine(mask, move, size, flags=cv2.INTER_LINEAR), dtype=np.float32)

"""The product in the light of its new backdrop: only where it is asked for, and written down.

A relit product is no longer as photographed. So the change is kept small enough to be told whole:
one tint, one slope of brightness over the canvas, and more light on the outline's lit side than on
the other, all in the certificate. Whoever verifies the variant puts them on the photograph again
and finds every core pixel.

References:
    Johnston 2002, "Lumo: Illumination for Cel Animation", NPAR: normals of an outline that is
    inflated; here by its distance transform.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from persona_img.errors import VerificationFailed
from persona_img.imaging.light import to_linear, to_srgb
from persona_img.imaging.matting import strips

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from persona_img.imaging.frame import Frame
    from persona_img.imaging.light import Light

_BOUNCE = 0.5  # of a backdrop's cast comes back from it at full share
_MOST_TINT = 0.20
_SHAPE = 0.30  # relative: how much a round thing's lit side gains in a light from the side
_LEAST_GRADIENT = 0.20
_SHAPE_SIDE = 400  # long side, pixels, at which an outline is inflated
_THICK = 0.30  # of an outline's short side: beyond, it is taken to be flat
SIDES = {
    "left": (1.0, 0.0),
    "right": (-1.0, 0.0),
    "above": (0.0, 1.0),
    "upper-left": (0.8, 0.6),
    "upper-right": (-0.8, 0.6),
}
"""Sides a light may come from, each with the way it goes, right and down."""
_FROM_UPPER_LEFT = (0.8, 0.6)
"""Where the light came from in variants whose certificate does not say it."""


@dataclass(frozen=True)
class Relight:
    """A light field on a product: a factor on its linear light.

    It is a plane over the canvas, and a shading of the silhouette as if it were inflated.

    Attributes:
        share: How much of it is applied, 0..1.
        tint: Factors of red, green and blue; their mean is 1.
        gradient: Relative change of brightness from the lit to the far side of the canvas.
        across: Direction of that change, right and down.
        shape: How much brighter the lit side of the outline is, relative.
    """

    share: float
    tint: tuple[float, float, float]
    gradient: float
    across: tuple[float, float] = _FROM_UPPER_LEFT
    shape: float = 0.0

    @classmethod
    def of(
        cls,
        share: float,
        plate: NDArray[np.float32],
        area: NDArray[np.float32],
        light: Light,
        side: str | None = None,
    ) -> Relight:
        """The light a backdrop throws back, and the side its light comes from.

        Args:
            share: How much of it to apply, 0..1.
            plate: float32 sRGB 0..1 (h, w, 3).
            area: float32 (h, w), above 0 where the backdrop is open.
            light: Of the style.
            side: One of ``SIDES`` that the light comes from; None for the light's own.
        """
        mean = to_linear(plate)[area > 0].mean(axis=0).astype(np.float64)
        cast = 1.0 + _BOUNCE * (mean / max(float(mean.mean()), 1e-6) - 1.0)
        cast = np.clip(cast, 1.0 - _MOST_TINT, 1.0 + _MOST_TINT)
        red, green, blue = (round(float(v), 4) for v in cast / cast.mean())
        across, gradient = light.across, light.gradient
        if side is not None:
            across, gradient = SIDES[side], max(gradient, _LEAST_GRADIENT)
        shape = _SHAPE * min(1.0, gradient / _LEAST_GRADIENT)
        return cls(round(share, 4), (red, green, blue), gradient, across, round(shape, 4))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Relight:
        """The inverse of :meth:`as_dict`.

        Raises:
            VerificationFailed: fields of something else.
        """
        try:
            red, green, blue = (float(v) for v in values["tint"])
            right, down = (float(v) for v in values.get("across", _FROM_UPPER_LEFT))
            share, gradient = float(values["share"]), float(values["gradient"])
            shape = float(values.get("shape", 0.0))
            return cls(share, (red, green, blue), gradient, (right, down), shape)
        except (KeyError, TypeError, ValueError) as error:
            raise VerificationFailed(f"{values}: not a light on a product ({error})") from error

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"tint": list(self.tint), "across": list(self.across)}

    def on(
        self, picture: NDArray[np.uint8], frame: Frame, alpha: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        """A photo-sized picture as the light finds it on its canvas.

        Args:
            picture: uint8 sRGB (H, W, 3).
            frame: Its canvas.
            alpha: uint8 (H, W), the product.
        """
        shading = None if self.shape == 0.0 else _inflated(alpha, self.across) * self.shape
        out = np.empty_like(picture)
        xs = (np.arange(picture.shape[1], dtype=np.float32) + frame.dx) / frame.width - 0.5
        ys = (np.arange(picture.shape[0], dtype=np.float32) + frame.dy) / frame.height - 0.5
        tint = np.array(self.tint, dtype=np.float32)
        for rows, _ in strips(picture.shape, 0):
            across = self.across[0] * xs[None, :] + self.across[1] * ys[rows, None]
            field = 1.0 - np.float32(self.gradient) * across
            if shading is not None:
                field = field + shading[rows]
            field = field[..., None] * tint
            factor = 1.0 + np.float32(self.share) * (field - 1.0)
            linear = to_linear(picture[rows].astype(np.float32) / 255.0)
            lit = to_srgb((linear * factor).astype(np.float32))
            out[rows] = np.round(lit * 255.0).astype(np.uint8)
        return out


def _inflated(alpha: NDArray[np.uint8], across: tuple[float, float]) -> NDArray[np.float32]:
    """How far each part of an inflated outline faces the light: about -1..1, float32 (H, W).

    In steps of 1/256, so that it is the same wherever it is worked out again.
    """
    height, width = alpha.shape
    scale = min(1.0, _SHAPE_SIDE / max(height, width))
    size = max(1, round(scale * width)), max(1, round(scale * height))
    small = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
    inside = np.pad((small >= 128).astype(np.uint8), 1)
    far = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    reach = max(2.0, _THICK * min(size))
    share = np.clip(far / reach, 0, 1)
    raised = cv2.GaussianBlur(reach * np.sqrt(1.0 - (1.0 - share) ** 2), (0, 0), 0.02 * min(size))
    right, down = (cv2.Sobel(raised, cv2.CV_32F, x, 1 - x, ksize=3) / 8 for x in (1, 0))
    # The light comes from where it does not go: a slope that rises along its way faces it.
    facing = (right * across[0] + down * across[1]) / np.sqrt(1 + right * right + down * down)
    large = cv2.resize(facing.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.round(large * 256) / 256, dtype=np.float32)

"""The product in the light of its new backdrop: only where it is asked for, and written down.

A relit product is no longer as photographed. So the change is kept small enough to be told whole:
one tint and one slope of brightness over the canvas, no more, both in the certificate. Whoever
verifies the variant puts them on the photograph again and finds every core pixel.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

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
_FROM_UPPER_LEFT = (0.8, 0.6)
"""Where the light came from in variants whose certificate does not say it."""


@dataclass(frozen=True)
class Relight:
    """A light field on a product: a factor on its linear light that is a plane over the canvas.

    Attributes:
        share: How much of it is applied, 0..1.
        tint: Factors of red, green and blue; their mean is 1.
        gradient: Relative change of brightness from the lit to the far side of the canvas.
        across: Direction of that change, right and down.
    """

    share: float
    tint: tuple[float, float, float]
    gradient: float
    across: tuple[float, float] = _FROM_UPPER_LEFT

    @classmethod
    def of(
        cls,
        share: float,
        plate: NDArray[np.float32],
        area: NDArray[np.float32],
        light: Light,
    ) -> Relight:
        """The light a backdrop throws back, and the side its light comes from.

        Args:
            share: How much of it to apply, 0..1.
            plate: float32 sRGB 0..1 (h, w, 3).
            area: float32 (h, w), above 0 where the backdrop is open.
            light: Of the style.
        """
        mean = to_linear(plate)[area > 0].mean(axis=0).astype(np.float64)
        cast = 1.0 + _BOUNCE * (mean / max(float(mean.mean()), 1e-6) - 1.0)
        cast = np.clip(cast, 1.0 - _MOST_TINT, 1.0 + _MOST_TINT)
        red, green, blue = (round(float(v), 4) for v in cast / cast.mean())
        return cls(round(share, 4), (red, green, blue), light.gradient, light.across)

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
            return cls(share, (red, green, blue), gradient, (right, down))
        except (KeyError, TypeError, ValueError) as error:
            raise VerificationFailed(f"{values}: not a light on a product ({error})") from error

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"tint": list(self.tint), "across": list(self.across)}

    def on(self, picture: NDArray[np.uint8], frame: Frame) -> NDArray[np.uint8]:
        """A photo-sized picture, uint8 sRGB (H, W, 3), as the light finds it on its canvas."""
        out = np.empty_like(picture)
        xs = (np.arange(picture.shape[1], dtype=np.float32) + frame.dx) / frame.width - 0.5
        ys = (np.arange(picture.shape[0], dtype=np.float32) + frame.dy) / frame.height - 0.5
        tint = np.array(self.tint, dtype=np.float32)
        for rows, _ in strips(picture.shape, 0):
            across = self.across[0] * xs[None, :] + self.across[1] * ys[rows, None]
            field = (1.0 - np.float32(self.gradient) * across)[..., None] * tint
            factor = 1.0 + np.float32(self.share) * (field - 1.0)
            linear = to_linear(picture[rows].astype(np.float32) / 255.0)
            lit = to_srgb((linear * factor).astype(np.float32))
            out[rows] = np.round(lit * 255.0).astype(np.uint8)
        return out

"""The product back on the plate: contact shadow, edge, and the photograph's own core."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.imaging.light import contact_shadow
from persona_img.imaging.matting import composite, foreground, strips

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_img.imaging.light import Light
    from persona_img.rendering.framing import Frame

_SHADOW_SIDE = 900  # short side at which the contact shadow is computed; it is blurred anyway
_GAMMA = 2.2


@dataclass(frozen=True, eq=False)
class Placed:
    """A product on its canvas.

    Attributes:
        frame: The canvas.
        photo: uint8 (H, W, 3), the photograph; mid-grey where it does not reach.
        alpha: uint8 (H, W), the product.
        product: uint8 (H, W, 3), the photograph with its edge unmixed from the old backdrop.
    """

    frame: Frame
    photo: NDArray[np.uint8]
    alpha: NDArray[np.uint8]
    product: NDArray[np.uint8]

    @classmethod
    def of(
        cls,
        frame: Frame,
        photo: NDArray[np.uint8],
        alpha: NDArray[np.uint8],
        product: NDArray[np.uint8] | None = None,
    ) -> Placed:
        """A photo-sized picture and mask moved onto the canvas; ``product`` if already known."""
        unmixed = foreground(photo, alpha) if product is None else product
        return cls(
            frame=frame,
            photo=frame.place(photo, 127),
            alpha=frame.place(alpha, 0),
            product=frame.place(unmixed, 127),
        )

    def on_grey(self) -> NDArray[np.uint8]:
        """The product alone on mid-grey, uint8 (H, W, 3): what a source of backdrops sees."""
        out = np.empty_like(self.product)
        for rows, _ in strips(self.alpha.shape, 0):
            opacity = self.alpha[rows].astype(np.float32)[..., None] / 255.0
            mixed = 127.0 + opacity * (self.product[rows] - np.float32(127.0))
            out[rows] = np.round(mixed).astype(np.uint8)
        return out


def compose(plate: NDArray[np.float32], placed: Placed, light: Light) -> NDArray[np.uint8]:
    """The finished picture, uint8 (H, W, 3).

    Args:
        plate: float32 sRGB 0..1 (H, W, 3) of the canvas's size; it is changed in place.
        placed: The product on the canvas.
        light: Casts the contact shadow.
    """
    factor = _contact(placed.alpha, light)
    for rows, _ in strips(factor.shape, 0):
        # A factor on linear light is, near enough for a thin shadow, its root on sRGB values.
        plate[rows] *= np.power(factor[rows], np.float32(1 / _GAMMA))[..., None]
    return composite(plate, placed.photo, placed.alpha, placed.product)


def _contact(alpha: NDArray[np.uint8], light: Light) -> NDArray[np.float32]:
    height, width = alpha.shape
    scale = min(1.0, _SHADOW_SIDE / min(height, width))
    size = (max(1, round(scale * width)), max(1, round(scale * height)))
    small = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0
    factor = contact_shadow(small, light)
    return np.asarray(
        cv2.resize(factor, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32
    )

"""The product back on the plate: contact shadow, edge, and the photograph's own core."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.imaging.matting import composite, strips
from persona_img.rendering.proof.measure import Look

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_img.imaging.frame import Frame

_WRAP_SIDE = 900  # short side at which the wrapping light is computed; it is blurred anyway
_GAMMA = 2.2
_WRAP_REACH = 0.02  # of the short side: from how far the light comes


@dataclass(frozen=True, eq=False)
class Placed:
    """A product on its canvas.

    Attributes:
        frame: The canvas.
        photo: uint8 (H, W, 3), the photograph; mid-grey where it does not reach.
        alpha: uint8 (H, W), the product.
        product: uint8 (H, W, 3), the product's own colours, at its edge too
            (:func:`.matting.product_of`).
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
        product: NDArray[np.uint8],
    ) -> Placed:
        """A photo-sized picture, mask and product moved onto the canvas."""
        return cls(
            frame=frame,
            photo=frame.place(photo, 127),
            alpha=frame.place(alpha, 0),
            product=frame.place(product, 127),
        )

    @cached_property
    def look(self) -> Look:
        """The photograph on the canvas, as outlines are judged."""
        return Look(self.photo, self.alpha)

    def on_grey(self) -> NDArray[np.uint8]:
        """The product alone on mid-grey, uint8 (H, W, 3): what a source of backdrops sees."""
        out = np.empty_like(self.product)
        for rows, _ in strips(self.alpha.shape, 0):
            opacity = self.alpha[rows].astype(np.float32)[..., None] / 255.0
            mixed = 127.0 + opacity * (self.product[rows] - np.float32(127.0))
            out[rows] = np.round(mixed).astype(np.uint8)
        return out


def compose(
    plate: NDArray[np.float32],
    placed: Placed,
    contact: NDArray[np.float32] | None = None,
    wrap: float = 0.0,
) -> NDArray[np.uint8]:
    """The finished picture, uint8 (H, W, 3).

    Args:
        plate: float32 sRGB 0..1 (H, W, 3) of the canvas's size; it is changed in place.
        placed: The product on the canvas.
        contact: Factor on linear light where product and surface touch, float32 (H, W); None
            where the plate has that shadow already.
        wrap: Share, 0..1, of a brighter backdrop's light that wraps around the edge (light wrap);
            only pixels that are part product, part backdrop can show it.
    """
    if contact is not None:
        for rows, _ in strips(contact.shape, 0):
            # A factor on linear light is, near enough for a thin shadow, its root on sRGB values.
            plate[rows] *= np.power(contact[rows], np.float32(1 / _GAMMA))[..., None]
    product = placed.product if wrap == 0.0 else _wrapped(plate, placed, wrap)
    return composite(plate, placed.photo, placed.alpha, product)


def _wrapped(plate: NDArray[np.float32], placed: Placed, share: float) -> NDArray[np.uint8]:
    """The product's edge with the light of the backdrop around it; light is added, never taken.

    References:
        Brinkmann 2008, "The Art and Science of Digital Compositing", 2nd ed.: light wrap.
    """
    height, width = placed.alpha.shape
    scale = min(1.0, _WRAP_SIDE / min(height, width))
    size = (max(1, round(scale * width)), max(1, round(scale * height)))
    around = cv2.resize(plate, size, interpolation=cv2.INTER_AREA)
    around = cv2.GaussianBlur(around, (0, 0), _WRAP_REACH * min(size))
    out = placed.product.copy()
    for rows, _ in strips(placed.alpha.shape, 0):
        alpha = placed.alpha[rows]
        edge = (alpha > 0) & (alpha < 255)
        if not edge.any():
            continue
        ys, xs = np.nonzero(edge)
        own = out[rows][edge].astype(np.float32)
        at_y = np.minimum(((ys + rows.start) * scale).astype(np.intp), size[1] - 1)
        at_x = np.minimum((xs * scale).astype(np.intp), size[0] - 1)
        more = np.maximum(around[at_y, at_x] * 255.0 - own, 0.0)
        clear = 1.0 - alpha[edge].astype(np.float32)[:, None] / 255.0
        out[rows][edge] = np.round(own + share * clear * more).astype(np.uint8)
    return out

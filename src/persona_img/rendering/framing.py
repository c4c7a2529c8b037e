"""Where the product stands on its canvas. Whole pixels only: the product is never resampled."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from persona_img.errors import InvalidInput, UnknownStyle

if TYPE_CHECKING:
    from numpy.typing import NDArray

FRAMINGS = ("centred", "close", "airy")
"""Values of the attribute ``framing``."""

_CLOSE_MARGIN = 0.06
_SQUAREST = 4 / 3  # a close canvas is no longer than this to its short side
_AIRY_MOST = 1.25
_AIRY_LEAST = 1.10
_AIRY_SHARE = 0.62
_TRACE = 16  # alpha below this is haze: too little to make room for
_BORDER = 0.01  # of the short side: a cut-out seldom follows the product to the last pixel
_TOUCH = 0.006  # of a side: less of the product on the border is a grazing thread, not a cut


@dataclass(frozen=True)
class Frame:
    """A canvas and the photograph's place on it.

    Attributes:
        width: Of the canvas, pixels.
        height: Of the canvas, pixels.
        dx: Photo pixel (x, y) is canvas pixel (x + dx, y + dy).
        dy: See ``dx``.
    """

    width: int
    height: int
    dx: int
    dy: int

    def place(self, picture: NDArray[np.uint8], fill: int) -> NDArray[np.uint8]:
        """A photo-sized picture (H, W) or (H, W, 3) on the canvas; ``fill`` where it has none."""
        canvas = np.full((self.height, self.width, *picture.shape[2:]), fill, dtype=np.uint8)
        on_canvas, on_photo = self.overlap(picture.shape[0], picture.shape[1])
        canvas[on_canvas] = picture[on_photo]
        return canvas

    def overlap(self, height: int, width: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Rows and columns of canvas, and of a photo of this size, that lie on each other."""
        canvas, photo = [], []
        for size, length, shift in ((self.height, height, self.dy), (self.width, width, self.dx)):
            start, stop = max(0, shift), max(0, min(size, length + shift))
            start = min(start, stop)
            canvas.append(slice(start, stop))
            photo.append(slice(start - shift, stop - shift))
        return (canvas[0], canvas[1]), (photo[0], photo[1])


def frame_of(alpha: NDArray[np.uint8], framing: str) -> Frame:
    """Canvas for a product.

    ``centred`` keeps the photograph's size. ``close`` crops it to the product with 6 % of the
    product's long side around it, no longer than 4:3. ``airy`` widens each side up to 1.25 times,
    until the product takes 62 % of it; the fuller side by at least 1.10. Where the photograph's
    border cuts the product, that side stays flush with the canvas's edge; where it cuts both
    ends of an axis, the canvas ends there with the product.

    Args:
        alpha: uint8 (H, W), the product; H, W at least 1.
        framing: One of ``FRAMINGS``.

    Raises:
        UnknownStyle: another framing.
        InvalidInput: no product in ``alpha``.
    """
    if framing not in FRAMINGS:
        raise UnknownStyle(f"framing={framing}: choose from {', '.join(FRAMINGS)}")
    height, width = alpha.shape
    rows = np.flatnonzero((alpha >= _TRACE).any(axis=1))
    columns = np.flatnonzero((alpha >= _TRACE).any(axis=0))
    if not rows.size:
        raise InvalidInput("a mask without a product cannot be framed; supply a mask")
    across = int(columns[0]), int(columns[-1]) + 1
    down = int(rows[0]), int(rows[-1]) + 1
    lengths = across[1] - across[0], down[1] - down[0]
    wanted = {"centred": _centred, "close": _close, "airy": _airy}[framing](
        lengths, (width, height)
    )
    near = max(1, round(_BORDER * min(height, width)))
    left, right = _touches(alpha[:, :near], 1), _touches(alpha[:, -near:], 1)
    top, bottom = _touches(alpha[:near], 0), _touches(alpha[-near:], 0)
    canvas_width, dx = _axis(across, wanted[0], left, right)
    canvas_height, dy = _axis(down, wanted[1], top, bottom)
    return Frame(canvas_width, canvas_height, dx, dy)


def _centred(product: tuple[int, int], photo: tuple[int, int]) -> tuple[int, int]:
    return photo


def _close(product: tuple[int, int], photo: tuple[int, int]) -> tuple[int, int]:
    margin = 2 * round(_CLOSE_MARGIN * max(product))
    width, height = product[0] + margin, product[1] + margin
    width = max(width, math.ceil(height / _SQUAREST))
    height = max(height, math.ceil(width / _SQUAREST))
    return min(width, photo[0]), min(height, photo[1])


def _airy(product: tuple[int, int], photo: tuple[int, int]) -> tuple[int, int]:
    shares = [length / side for length, side in zip(product, photo, strict=True)]
    grow = [min(max(share / _AIRY_SHARE, 1.0), _AIRY_MOST) for share in shares]
    fuller = int(shares[1] > shares[0])
    grow[fuller] = max(grow[fuller], _AIRY_LEAST)
    return math.ceil(grow[0] * photo[0]), math.ceil(grow[1] * photo[1])


def _axis(span: tuple[int, int], wanted: int, cut_first: bool, cut_last: bool) -> tuple[int, int]:
    """Length of the canvas along an axis, and the shift of the photograph on it."""
    first, last = span
    if cut_first and cut_last:
        return last - first, -first
    size = max(wanted, last - first)
    if cut_first:
        return size, -first
    if cut_last:
        return size, size - last
    return size, (size - (last - first)) // 2 - first


def _touches(border: NDArray[np.uint8], axis: int) -> bool:
    """Whether the product reaches a strip along the border; ``axis`` runs across the strip."""
    return float((border.max(axis=axis) >= 128).mean()) > _TOUCH

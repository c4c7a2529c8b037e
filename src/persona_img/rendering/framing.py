"""Where the product stands on its canvas. Whole pixels only: the product is never resampled.

A framing says how much of the canvas the product takes and where it stands; a layout says what
the picture is for: the shape of an advertisement, and room for its text.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from persona_img.errors import InvalidInput, RenderRejected, UnknownStyle
from persona_img.imaging.frame import Frame
from persona_img.imaging.photo import MAX_PIXELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

FRAMINGS = ("centred", "close", "airy", "left-third", "right-third")
"""Values of the attribute ``framing``."""
FORMATS = {"1:1": (1, 1), "4:5": (4, 5), "3:4": (3, 4), "16:9": (16, 9), "9:16": (9, 16)}
"""Shapes of advertisements, width to height."""
SIDES = ("left", "right", "top", "bottom")
"""Where a layout may keep room for text."""

_CLOSE_MARGIN = 0.06
_SQUAREST = 4 / 3  # a close canvas is no longer than this to its short side
_AIRY_MOST = 1.25
_AIRY_LEAST = 1.10
_AIRY_SHARE = 0.62
_TEXT_SHARE = 0.36  # of the canvas, on the side of the text
_TEXT_INSET = 0.05  # of the short side: players and feeds cover the outermost
_MOST_PIXELS = 2 * MAX_PIXELS
_TRACE = 16  # alpha below this is haze: too little to make room for
_BORDER = 0.01  # of the short side: a cut-out seldom follows the product to the last pixel
_TOUCH = 0.006  # of a side: less of the product on the border is a grazing thread, not a cut


@dataclass(frozen=True)
class Layout:
    """What a picture is for.

    Attributes:
        format: One of ``FORMATS``; None keeps the framing's own shape.
        text: One of ``SIDES``: the product keeps clear of it; None keeps no room.

    Raises:
        InvalidInput: another format or side.
    """

    format: str | None = None
    text: str | None = None

    def __post_init__(self) -> None:
        if self.format is not None and self.format not in FORMATS:
            raise InvalidInput(f"format {self.format}: choose from {', '.join(FORMATS)}")
        if self.text is not None and self.text not in SIDES:
            raise InvalidInput(f"text {self.text}: choose from {', '.join(SIDES)}")

    @property
    def ratio(self) -> float | None:
        """Width to height; None where the framing says it."""
        if self.format is None:
            return None
        width, height = FORMATS[self.format]
        return width / height

    def free(self, axis: str) -> float:
        """Share of an axis (``x`` or ``y``) that is the product's."""
        across = self.text in ("left", "right")
        taken = self.text is not None and across == (axis == "x")
        return 1.0 - _TEXT_SHARE if taken else 1.0

    def text_box(self, frame: Frame) -> tuple[int, int, int, int] | None:
        """Left, top, width and height of the room for text on a canvas, pixels; None for none."""
        if self.text is None:
            return None
        inset = round(_TEXT_INSET * min(frame.width, frame.height))
        width, height = frame.width - 2 * inset, frame.height - 2 * inset
        if self.text in ("left", "right"):
            width = int(_TEXT_SHARE * frame.width) - inset
        else:
            height = int(_TEXT_SHARE * frame.height) - inset
        left = frame.width - inset - width if self.text == "right" else inset
        top = frame.height - inset - height if self.text == "bottom" else inset
        return left, top, width, height


def frame_of(alpha: NDArray[np.uint8], framing: str, layout: Layout | None = None) -> Frame:
    """Canvas for a product.

    ``centred`` keeps the photograph's size. ``close`` crops it to the product with 6 % of the
    product's long side around it, no longer than 4:3. ``airy`` widens each side up to 1.25 times,
    until the product takes 62 % of it; the fuller side by at least 1.10. ``left-third`` and
    ``right-third`` widen an airy canvas until the product's middle lies on that third of its
    width. Where the photograph's border cuts the product, that side stays flush with the canvas's
    edge; where it cuts both ends of an axis, the canvas ends there with the product.

    A layout's format keeps the product's share of the side it fills most and adds backdrop on the
    other. Room for text is added beside the product, which stands in the middle of the rest.

    Args:
        alpha: uint8 (H, W), the product; H, W at least 1.
        framing: One of ``FRAMINGS``.
        layout: Format and room for text; None for neither.

    Raises:
        UnknownStyle: another framing.
        InvalidInput: no product in ``alpha``.
        RenderRejected: the photograph cuts the product where the layout needs backdrop, or the
            canvas would have more than 100 megapixels.
    """
    layout = layout or Layout()
    if framing not in FRAMINGS:
        raise UnknownStyle(f"framing={framing}: choose from {', '.join(FRAMINGS)}")
    height, width = alpha.shape
    rows = np.flatnonzero((alpha >= _TRACE).any(axis=1))
    columns = np.flatnonzero((alpha >= _TRACE).any(axis=0))
    if not rows.size:
        raise InvalidInput("a mask without a product cannot be framed; supply a mask")
    across = int(columns[0]), int(columns[-1]) + 1
    down = int(rows[0]), int(rows[-1]) + 1
    near = max(1, round(_BORDER * min(height, width)))
    left, right = _touches(alpha[:, :near], 1), _touches(alpha[:, -near:], 1)
    top, bottom = _touches(alpha[:near], 0), _touches(alpha[-near:], 0)
    lengths = across[1] - across[0], down[1] - down[0]
    wanted = _WANTED[framing](lengths, (width, height))
    x = _Axis(across, left, right, layout.free("x"), _place(framing, layout, "x"))
    y = _Axis(down, top, bottom, layout.free("y"), _place(framing, layout, "y"))
    size = _shaped(x, y, wanted, layout)
    if size[0] * size[1] > _MOST_PIXELS:
        raise RenderRejected(
            f"a canvas of {size[0]}x{size[1]} has over {_MOST_PIXELS // 10**6} megapixels; "
            f"scale the photo down, or take another format"
        )
    return Frame(size[0], size[1], x.shift(size[0]), y.shift(size[1]))


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


_WANTED = {
    "centred": _centred,
    "close": _close,
    "airy": _airy,
    "left-third": _airy,
    "right-third": _airy,
}


def _place(framing: str, layout: Layout, axis: str) -> float:
    """Where along an axis the product's middle belongs, as share of the canvas."""
    free = layout.free(axis)
    if free < 1.0:
        return free / 2 if layout.text in ("right", "bottom") else 1.0 - free / 2
    if axis == "x" and framing.endswith("-third"):
        return 1 / 3 if framing == "left-third" else 2 / 3
    return 0.5


@dataclass(frozen=True)
class _Axis:
    """The product along one axis of the photograph, and where it belongs on the canvas."""

    span: tuple[int, int]
    cut_first: bool
    cut_last: bool
    free: float
    place: float

    @property
    def length(self) -> int:
        return self.span[1] - self.span[0]

    @property
    def fixed(self) -> bool:
        """Whether the photograph cuts both ends: there is nothing to add."""
        return self.cut_first and self.cut_last

    @property
    def room(self) -> float:
        """Share of the canvas that is at most the product's, flush sides or not."""
        flush = self.cut_first or self.cut_last
        return self.free if flush else min(self.free, 2 * min(self.place, 1.0 - self.place))

    def shift(self, size: int) -> int:
        """Of the photograph on a canvas of this length."""
        first, last = self.span
        if self.cut_first:
            return -first
        if self.cut_last:
            return size - last
        if self.place == 0.5:
            return (size - self.length) // 2 - first
        start = round(self.place * size - self.length / 2)
        return min(max(start, 0), size - self.length) - first


def _shaped(across: _Axis, down: _Axis, wanted: tuple[int, int], layout: Layout) -> tuple[int, int]:
    """Width and height of the canvas."""
    _check_text(across, down, layout)
    axes = across, down
    ratio = layout.ratio
    if ratio is None:
        width, height = (
            axis.length if axis.fixed else max(math.ceil(side / axis.room), axis.length)
            for axis, side in zip(axes, wanted, strict=True)
        )
        return width, height
    if not any(axis.fixed for axis in axes):
        share = max(min(1.0, axis.length / side) for axis, side in zip(axes, wanted, strict=True))
        needs = [axis.length / (share * axis.room) for axis in axes]
        wide = max(needs[0], ratio * needs[1])
    else:
        wide = across.length if across.fixed else down.length * ratio
        for axis, side in zip(axes, (wide, wide / ratio), strict=True):
            short = side < axis.length / axis.room - 1
            if short or (axis.fixed and side > axis.length + 1):
                raise RenderRejected(
                    f"the photograph cuts the product at both ends, so no backdrop can be added "
                    f"there: it does not fit {layout.format}; take another format or photo"
                )
    return max(across.length, round(wide)), max(down.length, round(wide / ratio))


def _check_text(across: _Axis, down: _Axis, layout: Layout) -> None:
    cut = {
        "left": across.cut_first,
        "right": across.cut_last,
        "top": down.cut_first,
        "bottom": down.cut_last,
    }
    axis = across if layout.text in ("left", "right") else down
    if layout.text is not None and (cut[layout.text] or axis.fixed):
        free = [side for side in SIDES if not cut[side]]
        raise RenderRejected(
            f"text {layout.text}: the photograph cuts the product there, so no room can be added; "
            f"choose from {', '.join(free) or 'no side'}"
        )


def _touches(border: NDArray[np.uint8], axis: int) -> bool:
    """Whether the product reaches a strip along the border; ``axis`` runs across the strip."""
    return float((border.max(axis=axis) >= 128).mean()) > _TOUCH

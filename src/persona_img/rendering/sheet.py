"""A contact sheet: the photo beside its variants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

_GAP = 10
_INK = (60, 60, 60)


@dataclass(frozen=True, eq=False)
class Cell:
    """One picture of a sheet.

    Attributes:
        pixels: uint8 sRGB (H, W, 3).
        caption: A few words below it; longer ones are cut.
    """

    pixels: NDArray[np.uint8]
    caption: str = ""


def contact_sheet(rows: Sequence[Sequence[Cell]], *, side: int = 260) -> Image.Image:
    """Rows of pictures on white, each fitted into a square.

    Args:
        rows: Pictures; a row is usually a photo and its variants.
        side: Of a square, pixels.

    Raises:
        InvalidInput: no picture at all.
    """
    columns = max((len(row) for row in rows), default=0)
    if columns == 0:
        raise InvalidInput("a contact sheet without pictures; give at least one")
    font = ImageFont.load_default(size=max(9, side // 20))
    line = round(1.6 * max(9, side // 20))
    step_x, step_y = side + _GAP, side + line + _GAP
    sheet = Image.new("RGB", (columns * step_x + _GAP, len(rows) * step_y + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for r, row in enumerate(rows):
        for c, cell in enumerate(row):
            x, y = _GAP + c * step_x, _GAP + r * step_y
            picture = Image.fromarray(cell.pixels)
            picture.thumbnail((side, side), Image.Resampling.LANCZOS)
            sheet.paste(picture, (x + (side - picture.width) // 2, y + side - picture.height))
            draw.text((x, y + side + 2), _fitted(cell.caption, font, side), fill=_INK, font=font)
    return sheet


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """As much of a text as fits, with an ellipsis where it was cut."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"

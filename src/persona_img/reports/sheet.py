"""A contact sheet: the photo beside its variants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

_GAP = 12
_INK, _TITLE_INK = (90, 90, 90), (20, 20, 20)

Cell = tuple[str, Image.Image]
"""A caption, of one line or more, and its picture."""
Row = tuple[str, "Sequence[Cell]"]
"""A title, which may be empty, and its pictures: usually a photo and its variants."""


def contact_sheet(rows: Sequence[Row], *, side: int = 260) -> Image.Image:
    """Rows of pictures on white, each fitted into a square; lines that are too long are cut.

    Args:
        rows: Titles and pictures.
        side: Of a square, pixels.

    Raises:
        InvalidInput: no picture at all.
    """
    columns = max((len(cells) for _, cells in rows), default=0)
    if columns == 0:
        raise InvalidInput("a contact sheet without pictures; give at least one")
    size = max(9, side // 20)
    font = ImageFont.load_default(size=size)
    line = round(1.4 * size)
    lines = max(caption.count("\n") + 1 for _, cells in rows for caption, _ in cells)
    title = round(2.2 * size) if any(name for name, _ in rows) else 0
    step = title + side + lines * line + _GAP
    sheet = Image.new("RGB", (columns * (side + _GAP) + _GAP, len(rows) * step + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for r, (name, cells) in enumerate(rows):
        top = _GAP + r * step
        draw.text((_GAP, top), _fitted(name, font, sheet.width), fill=_TITLE_INK, font=font)
        for c, (caption, picture) in enumerate(cells):
            left = _GAP + c * (side + _GAP)
            small = picture.convert("RGB")
            small.thumbnail((side, side), Image.Resampling.LANCZOS)
            below = top + title + side
            sheet.paste(small, (left + (side - small.width) // 2, below - small.height))
            for i, text in enumerate(caption.split("\n")):
                place = (left, below + 3 + i * line)
                draw.text(place, _fitted(text, font, side), fill=_INK, font=font)
    return sheet


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """As much of a line as fits, with an ellipsis where it was cut."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"

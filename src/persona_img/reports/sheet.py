"""A contact sheet: the photo beside its variants."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from persona_img.errors import InvalidInput
from persona_img.imaging.folder import SHEET_MARK
from persona_img.imaging.photo import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SHEETS = (".jpg", ".jpeg", ".png")
"""What a sheet's file may end in."""

_GAP = 12
_MOST_SIDE, _MOST_PIXELS = 65_500, 300_000_000  # a JPEG holds no more; nor does a small memory
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
        InvalidInput: no picture at all, or a sheet that is too large.
    """
    columns = max((len(cells) for _, cells in rows), default=0)
    if columns == 0:
        raise InvalidInput("a contact sheet without pictures; give at least one")
    lines = max(caption.count("\n") + 1 for _, cells in rows for caption, _ in cells)
    titled = any(name for name, _ in rows)
    size, line, title, step = _measures(side, lines, titled)
    font = ImageFont.load_default(size=size)
    sheet = Image.new("RGB", check_size(len(rows), columns, lines, side, titled=titled), "white")
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


def check_size(
    rows: int, columns: int, lines: int, side: int, *, titled: bool = False
) -> tuple[int, int]:
    """Width and height of a sheet, pixels.

    Args:
        rows: Of pictures.
        columns: Of pictures.
        lines: Of text below each.
        side: Of a picture, pixels.
        titled: Whether a row has a title.

    Raises:
        InvalidInput: it would be larger than a file can hold.
    """
    step = _measures(side, lines, titled)[3]
    width, height = columns * (side + _GAP) + _GAP, rows * step + _GAP
    if max(width, height) > _MOST_SIDE or width * height > _MOST_PIXELS:
        raise InvalidInput(
            f"a sheet of {rows} rows of {columns} pictures would have {width}x{height} px: at most "
            f"{_MOST_SIDE} a side and {_MOST_PIXELS // 10**6} megapixels; take smaller pictures, "
            f"or fewer"
        )
    return width, height


def save_sheet(sheet: Image.Image, path: Path) -> Path:
    """Write a sheet whole or not at all, marked so that nobody takes it for a photo.

    Raises:
        InvalidInput: another suffix than ``SHEETS``, or it cannot be written.
    """
    if path.suffix.lower() not in SHEETS:
        raise InvalidInput(f"{path}: ends in {path.suffix!r}; end it in {' or '.join(SHEETS)}")
    out = io.BytesIO()
    if path.suffix.lower() == ".png":
        text = PngInfo()
        text.add_itxt(SHEET_MARK, "")
        sheet.save(out, "PNG", pnginfo=text)
    else:
        sheet.save(out, "JPEG", quality=86, comment=SHEET_MARK)
    return write_whole(path, out.getvalue())


def _measures(side: int, lines: int, titled: bool) -> tuple[int, int, int, int]:
    """Font size, height of a line and of a title, and from one row to the next, pixels."""
    size = max(9, side // 20)
    line = round(1.4 * size)
    title = round(2.2 * size) if titled else 0
    return size, line, title, title + side + lines * line + _GAP


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """As much of a line as fits, with an ellipsis where it was cut."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"

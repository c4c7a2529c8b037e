"""Options that several commands share, and how their texts are read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from persona_img import wiring
from persona_img.cli.command import MOST
from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    from persona_img.settings import Settings

Source = Annotated[Path, typer.Argument(help="A photo, or a folder of photos.")]
Out = Annotated[Path, typer.Option("-o", "--out", help="Folder for what is made.")]
MaskFile = Annotated[
    Path | None,
    typer.Option(
        "--mask",
        exists=True,
        dir_okay=False,
        help="Your own, of one photo: white is product, or what is not transparent.",
    ),
]
MaskerName = Annotated[
    str | None, typer.Option("--masker", help="learned (default), classic, transformers or onnx.")
]
MaskerModel = Annotated[
    str | None,
    typer.Option(help="With --masker transformers: a model's id or folder; with onnx its file."),
]
Reference = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        dir_okay=False,
        help="A picture whose look is taken: colour, material, light, scene.",
    ),
]
Seed = Annotated[int, typer.Option(min=0, max=MOST, help="Same seed, same bytes.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON line per result.")]
OUT = Path("out")

_MOST_RATIO = 20.0


def checked(**given: object) -> Settings:
    """Settings whose names all exist; what they name is not loaded yet.

    Raises:
        InvalidInput: a value breaks a rule, or a name is nobody's.
    """
    from persona_img.settings import Settings

    settings = Settings.load(**given)
    wiring.check(settings)
    return settings


def ratio_of(text: str) -> float:
    """Width to height of ``4:5``.

    Raises:
        InvalidInput: written otherwise, or longer than 20 to 1.
    """
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?):(\d{1,9}(?:\.\d{1,9})?)", text, re.ASCII)
    if found is None or float(found[1]) == 0 or float(found[2]) == 0:
        raise InvalidInput(f"ratio {text}: write width:height, for example 4:5")
    ratio = float(found[1]) / float(found[2])
    if not 1 / _MOST_RATIO <= ratio <= _MOST_RATIO:
        raise InvalidInput(f"ratio {text}: no longer than {_MOST_RATIO:.0f} to 1")
    return ratio


@dataclass(frozen=True)
class Place:
    """Numbers that say where on a photo, in whole pixels or as shares of its sides.

    Attributes:
        text: As it was written.
        values: Along and down, along and down, …
        shares: Whether they are shares, 0..1.
    """

    text: str
    values: tuple[float, ...]
    shares: bool

    @classmethod
    def of(cls, option: str, text: str, parts: str) -> Place:
        """What was written: ``310,220`` are pixels of the upright photo, ``0.42,0.31`` shares.

        Args:
            option: Where it was written, for the message.
            text: What was written.
            parts: What its numbers are, ``x,y``.

        Raises:
            InvalidInput: written otherwise, both mixed, or a share over 1.
        """
        given = [part.strip() for part in text.split(",")]
        count = parts.count(",") + 1
        shares = all(re.fullmatch(r"\d*\.\d{1,9}", part, re.ASCII) for part in given)
        pixels = all(re.fullmatch(r"\d{1,9}", part, re.ASCII) for part in given)
        values = tuple(map(float, given)) if shares or pixels else ()
        if len(values) != count or (shares and max(values) > 1):
            raise InvalidInput(
                f"{option} {text}: write {parts} as {count} whole pixels of the upright photo "
                f"(310,220…), or each as a share of its width or height with a decimal point "
                f"(0.42,0.31…, 1.0 at most)"
            )
        return cls(text, values, shares)

    def point(self, width: int, height: int) -> tuple[int, int]:
        """The pixel (x, y) of a photo of this size; pixels are as they were written."""
        x, y = self.values
        if not self.shares:
            return int(x), int(y)
        return min(width - 1, int(x * width)), min(height - 1, int(y * height))

    def box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Left, top, right and bottom in pixels of a photo of this size."""
        sides = (width, height, width, height) if self.shares else (1, 1, 1, 1)
        left, top, right, bottom = (round(v * s) for v, s in zip(self.values, sides, strict=True))
        return left, top, right, bottom


def box_of(text: str) -> tuple[int, int, int, int]:
    """Left, top, width and height of ``310,220,24,18``.

    Raises:
        InvalidInput: written otherwise, or a box without a pixel.
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 4 or not all(re.fullmatch(r"-?\d{1,9}", p, re.ASCII) for p in parts):
        raise InvalidInput(f"box {text}: write left,top,width,height in pixels")
    left, top, width, height = (int(part) for part in parts)
    if width < 1 or height < 1:
        raise InvalidInput(f"box {text}: {width} x {height} pixels; both need at least 1")
    return left, top, width, height

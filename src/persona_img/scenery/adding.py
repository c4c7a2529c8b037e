"""A shop's own material: a photograph of it becomes a seamless tile in a folder of materials."""

from __future__ import annotations

import io
import re
import tomllib
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import tomli_w
from PIL import Image

from persona_img.errors import InvalidInput
from persona_img.imaging.photo import load_photo, write_whole
from persona_img.scenery.materials import TABLE, Surface, mean_of, read_table
from persona_img.scenery.quilting import cheapest_cut

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_SIDE, _LEAST_SIDE = 1024, 256
_LAP = 1 / 6  # of the side, where its ends are sewn to each other
_SEAM = 2.0  # times the usual step from pixel to pixel: a larger one at the border is a seam


def add_material(
    folder: Path,
    picture: Path,
    name: str,
    cm: float,
    *,
    normal: Path | None = None,
    dye: float | None = None,
    gloss: float | None = None,
    repeat: str | None = None,
    licence: str = "own",
    source: str = "",
) -> Surface:
    """Add a photograph of a material; another one of a name that the folder has is one more piece.

    It is squared, scaled to at most 1,024 pixels, and sewn to itself where its ends do not meet.

    Args:
        folder: Of materials; made, with its table, where there is none.
        picture: The material from straight above, evenly lit, filling the picture.
        name: Value of the attribute ``surface``: lower case letters, digits, hyphens.
        cm: How wide the photographed piece is, centimetres.
        normal: Its normals (OpenGL), a picture of the same piece.
        dye: How far it takes a palette's colour, 0..1; None for what the name has, or 0.5.
        gloss: Share of light it mirrors, 0..1; None for what the name has, or 0.
        repeat: ``quilt`` or ``tile``; None for what the name has, or ``quilt``.
        licence: Under which it may be shown.
        source: Where it comes from.

    Returns:
        The surface as it is now.

    Raises:
        InvalidInput: a name, a size or a share that cannot be, or too small a picture.
        BadPhoto: it cannot be read.
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise InvalidInput(f"material {name!r}: write lower case letters, digits and hyphens")
    if not 0.0 < cm <= 1000.0:
        raise InvalidInput(f"material {name}: cm={cm}; give its width, above 0 and at most 1000")
    pixels = load_photo(picture).pixels
    side = min(pixels.shape[:2])
    if side < _LEAST_SIDE:
        raise InvalidInput(f"{picture}: {side} pixels; a tile needs at least {_LEAST_SIDE}")
    square, kept = seamless(_squared(pixels))
    table: dict[str, Any] = {}
    if (folder / TABLE).exists():
        read_table(folder)  # a broken table is not written over
        table = tomllib.loads((folder / TABLE).read_text(encoding="utf-8"))
    surface = table.setdefault("surface", {}).setdefault(name, {})
    given = {"dye": (dye, 0.5), "gloss": (gloss, 0.0), "repeat": (repeat, "quilt")}
    for key, (value, usual) in given.items():
        surface[key] = value if value is not None else surface.get(key, usual)
    surface.setdefault("lab", [round(v, 1) for v in mean_of(square)])
    tiles = surface.setdefault("tile", [])
    number = len(tiles) + 1
    tile: dict[str, Any] = {"file": f"{name}-{number}.jpg", "cm": round(cm * kept, 2)}
    tile |= {"source": source or picture.name, "licence": licence}
    written = {tile["file"]: _jpeg(square)}
    if normal is not None:
        tile["normal"] = f"{name}-{number}.normal.jpg"
        written[tile["normal"]] = _jpeg(_squared(load_photo(normal).pixels))
    tiles.append(tile)
    folder.mkdir(parents=True, exist_ok=True)
    for file, data in written.items():
        write_whole(folder / file, data)
    before = (folder / TABLE).read_bytes() if (folder / TABLE).exists() else None
    write_whole(folder / TABLE, tomli_w.dumps(table).encode())
    try:
        return read_table(folder)[name]
    except InvalidInput:
        for file in written:
            (folder / file).unlink()
        (folder / TABLE).unlink() if before is None else write_whole(folder / TABLE, before)
        raise


def seamless(square: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    """A tile whose ends meet, and the share of its side that is left.

    What is seamless already stays as it is; else each end is laid over the other and joined along
    the cheapest cut (Efros and Freeman 2001).

    Args:
        square: uint8 (t, t, 3).
    """
    found, kept = square, 1.0
    if _has_seam(found, 0) or _has_seam(found, 1):
        found = _joined(_joined(found).transpose(1, 0, 2)).transpose(1, 0, 2)
        kept = found.shape[0] / square.shape[0]
    return np.ascontiguousarray(found), kept


def _joined(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Its left end laid over its right one; narrower by the lap."""
    lap = round(_LAP * picture.shape[1])
    right, left = picture[:, -lap:].astype(np.float32), picture[:, :lap].astype(np.float32)
    cost = np.square(right - left).sum(axis=2)
    share = cv2.GaussianBlur(cheapest_cut(cost).astype(np.float32), (0, 0), 1.2)[..., None]
    out = picture[:, : picture.shape[1] - lap].copy()
    out[:, :lap] = np.round(share * right + (1.0 - share) * left).astype(np.uint8)
    return out


def _has_seam(picture: NDArray[np.uint8], axis: int) -> bool:
    steps = np.abs(np.diff(picture.astype(np.int16), axis=axis)).mean()
    ends = np.take(picture, [0, -1], axis=axis).astype(np.int16)
    return bool(np.abs(np.diff(ends, axis=axis)).mean() > _SEAM * max(0.5, float(steps)))


def _squared(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The middle of a picture, square, at most 1,024 pixels."""
    side = min(pixels.shape[:2])
    top, left = ((n - side) // 2 for n in pixels.shape[:2])
    square = pixels[top : top + side, left : left + side]
    if side > _SIDE:
        square = cv2.resize(square, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(square, dtype=np.uint8)


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=88, optimize=True)
    return out.getvalue()

"""Picture files made by hand, as other programs write them and Pillow does not."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
from PIL import Image

KINDS = {1: 0, 2: 4, 3: 2, 4: 6}
"""PNG's colour type by the number of channels."""
D65 = (0.3127, 0.3290)
SRGB = (*D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
DISPLAY_P3 = (*D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
ADOBE_RGB = (*D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
"""x and y of white, red, green and blue."""


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png(values: np.ndarray, depth: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of (H, W) or (H, W, C) values of so many bits, with these chunks before the pixels."""
    channels = 1 if values.ndim == 2 else values.shape[2]
    height, width = values.shape[:2]
    if depth == 16:
        rows = [row.astype(">u2").tobytes() for row in values]
    elif depth == 8:
        rows = [row.astype(np.uint8).tobytes() for row in values]
    else:
        bits = np.unpackbits(values.astype(np.uint8)[..., None], axis=2)[..., -depth:]
        rows = [np.packbits(row.reshape(-1)).tobytes() for row in bits]
    head = struct.pack(">IIBBBBB", width, height, depth, KINDS[channels], 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [(b"IHDR", head), *chunks, (b"IDAT", body), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )


def gama(exponent: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(exponent * 100_000))


def chrm(chromaticities: tuple[float, ...]) -> tuple[bytes, bytes]:
    return b"cHRM", struct.pack(">8I", *(round(v * 100_000) for v in chromaticities))


def noise_and_cut(seed: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """A picture of noise, (60, 80, 3), and a cut of soft blots that so much of it is outside of."""
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    blots = cv2.GaussianBlur(rng.random((60, 80), dtype=np.float32), (0, 0), 3)
    return picture, (blots > np.quantile(blots, share)).astype(np.uint8)


def disc_cut_out(hidden: Any = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A patterned disc with a soft edge of 6 px, some colour under its transparency.

    Returns:
        The file's values, uint8 (150, 150, 4); the disc's colours (150, 150, 3) and its alpha.
    """
    yy, xx = np.mgrid[0:150, 0:150]
    alpha = np.clip((50 - np.hypot(yy - 75, xx - 75)) / 6 + 0.5, 0, 1)
    colours = np.dstack([100 + 10 * np.sin(xx / 9), 120 + 15 * np.cos(yy / 11), 90 + 0 * xx])
    under = np.where((alpha > 0)[..., None], colours, np.broadcast_to(hidden, colours.shape))
    return np.dstack([under, 255 * alpha]).round().astype(np.uint8), colours, alpha

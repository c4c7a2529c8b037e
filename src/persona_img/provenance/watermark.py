"""A watermark of 64 bits in the backdrop alone; not one pixel of the product or its edge changes.

References:
    Cox et al. 2007, "Digital Watermarking and Steganography", 2nd ed.: spread spectrum, masking.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.errors import InvalidInput
from persona_img.imaging.matting import strips
from persona_img.provenance.codeword import PAYLOAD_BYTES
from persona_img.provenance.pattern import Pattern

if TYPE_CHECKING:
    from numpy.typing import NDArray

_VERSION = b"1"  # raised whenever the same arguments would give other pixels

LEAST_PSNR = 41.0
"""Decibels between a backdrop with and without the mark."""

_MOST_ERROR = 255.0 / 10 ** (LEAST_PSNR / 20.0)  # root mean square, 8-bit levels
_FLAT, _BUSY = 1.6, 4.0  # amplitude where nothing hides it, and at most
_CELL = 4  # pixels at least: smaller ones a JPEG of half the size has lost
_SOFT = 0.15  # of a cell: harder ones a JPEG dulls, softer ones are lost in what is shown
_CELLS_ACROSS = 256  # the short side of a larger picture


class Watermark:
    """Marks backdrops.

    Args:
        key: At least 16 secret bytes.

    Raises:
        InvalidInput: a shorter key.

    Example:
        >>> import numpy as np
        >>> grey = np.full((256, 256, 3), 140, np.uint8)
        >>> product = np.zeros((256, 256), np.uint8)
        >>> product[64:192, 64:192] = 255
        >>> marked = Watermark(b"sixteen bytes or more").mark(grey, product, b"8 bytes!")
        >>> bool((marked[product > 0] == grey[product > 0]).all())
        True
    """

    def __init__(self, key: bytes) -> None:
        self.pattern = Pattern.of(key)

    def fingerprint(self) -> str:
        """Hex digest of the key's pattern and of how it is put on; see :class:`.PictureMark`."""
        drawn = self.pattern.signs.tobytes() + self.pattern.owner.tobytes()
        return hashlib.sha256(_VERSION + drawn).hexdigest()

    def mark(
        self, pixels: NDArray[np.uint8], alpha: NDArray[np.uint8], payload: bytes
    ) -> NDArray[np.uint8]:
        """The picture with a payload in its backdrop.

        Args:
            pixels: uint8 sRGB (H, W, 3).
            alpha: uint8 (H, W), the product on it: only where it is 0 anything changes.
            payload: 8 bytes.

        Returns:
            uint8 (H, W, 3), a new array; the same arguments give the same bytes. The backdrop's
            PSNR is at least 41 dB.

        Raises:
            InvalidInput: shapes that do not fit, or another length of payload.
        """
        if pixels.shape[:2] != alpha.shape:
            raise InvalidInput(f"picture {pixels.shape[:2]}, mask {alpha.shape}: give one size")
        if len(payload) != PAYLOAD_BYTES:
            raise InvalidInput(f"payload of {len(payload)} bytes: give {PAYLOAD_BYTES}")
        backdrop = alpha == 0
        if not backdrop.any():
            return pixels.copy()
        change = self._tiled(payload, alpha.shape) * _room(pixels)
        change *= backdrop
        moved = _kept_within(change, int(backdrop.sum()))
        out = np.empty_like(pixels)
        for rows, _ in strips(alpha.shape, 0):
            summed = pixels[rows].astype(np.int16) + moved[rows][..., None]
            out[rows] = np.clip(summed, 0, 255).astype(np.uint8)
        return out

    def _tiled(self, payload: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """The tile repeated over a picture, its cells a little rounded."""
        side = cell_size(shape[0], shape[1])
        tile = cv2.resize(
            self.pattern.tile(payload), None, fx=side, fy=side, interpolation=cv2.INTER_NEAREST
        )
        around = side * 2
        wrapped = np.pad(tile, around, mode="wrap")
        soft = cv2.GaussianBlur(wrapped, (0, 0), _SOFT * side)[around:-around, around:-around]
        soft /= math.sqrt(float((soft**2).mean()))
        height, width = tile.shape
        times = -(-shape[0] // height), -(-shape[1] // width)
        return np.asarray(np.tile(soft, times)[: shape[0], : shape[1]], np.float32)


def _kept_within(change: NDArray[np.float32], count: int) -> NDArray[np.int16]:
    """A change in whole levels, int16 (H, W), weakened until its error is allowed."""
    strength = 1.0
    while True:
        moved: NDArray[np.float32] = np.rint(strength * change)
        error = math.sqrt(float((moved**2).sum(dtype=np.float64)) / count)
        if error <= _MOST_ERROR:
            return np.asarray(moved, np.int16)
        # A little more than it takes: what rounding adds does not follow the strength.
        strength *= min(0.99, _MOST_ERROR / error)


def cell_size(height: int, width: int) -> int:
    """Pixels along a side of a cell in a picture of this size, at least 4."""
    return max(_CELL, round(min(height, width) / _CELLS_ACROSS))


def luma(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Brightness as seen, float32 (H, W), 0..255."""
    grey: NDArray[np.float32] = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return grey


def _room(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How far each pixel may be moved, 8-bit levels: more where its surroundings hide it."""
    grey = luma(pixels)
    wide = 2.0 * cell_size(*grey.shape)
    fine = grey - cv2.GaussianBlur(grey, (0, 0), wide)
    busy = np.sqrt(cv2.GaussianBlur(fine * fine, (0, 0), wide))
    # By the root: what is hidden best is also found worst.
    return np.asarray(np.clip(np.sqrt(busy), _FLAT, _BUSY), np.float32)

"""Fingerprints of pictures: 256 bits that copies share, also where no mark is in the pixels.

PDQ sees what is large in a picture: it outlives another size, format and light, and turning or
mirroring are tried; cropping it does not outlive. Two pictures of one product in two styles may
share it, so it tells the product surely and the style as far as its distance.

References:
    Meta 2019, "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm"
    (ThreatExchange, hashing/hashing.pdf): 31 of 256 bits, from a quality of 50 on.
    Daugman 2004, "How Iris Recognition Works", IEEE TCSVT 14: degrees of freedom of bits that
    hang together, out of the spread of distances between what has nothing to do with each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEAR = 31
"""Bits of 256 in which a copy may differ."""
LEAST_QUALITY = 50
"""Of 100: a picture that shows less has no fingerprint that tells it."""
FREEDOM = 170
"""Coins as fair as 256 bits of unrelated pictures, whose spread was 9.7: 946 pairs of products'
photographs, none nearer than 94; 5,753 of variants of different products, none nearer than 88."""

_WAYS = 8  # turned by quarters, and mirrored
_LONGEST = 512  # pixels: PDQ looks at 64
_BYTES = 32
_ONES = np.array([value.bit_count() for value in range(256)], np.uint8)


@dataclass(frozen=True)
class Fingerprint:
    """PDQ's bits of a picture.

    Attributes:
        bits: 32 bytes.
        quality: 0 to 100: how much there is to see.
    """

    bits: bytes
    quality: int

    @property
    def tells(self) -> bool:
        """Whether there is enough to see for it to be compared."""
        return self.quality >= LEAST_QUALITY


def fingerprint(pixels: NDArray[np.uint8]) -> Fingerprint:
    """The fingerprint of a picture.

    Args:
        pixels: uint8 sRGB (H, W, 3).

    Raises:
        ImportError: the extra ``fingerprints`` is not installed.

    Example:
        >>> import numpy as np
        >>> fingerprint(np.full((80, 80, 3), 90, np.uint8)).tells
        False
    """
    import pdqhash  # an extra: what was taken in elsewhere is read without it

    bits, quality = pdqhash.compute(_small(pixels))
    return Fingerprint(np.packbits(bits.astype(np.uint8)).tobytes(), int(quality))


def turned(pixels: NDArray[np.uint8]) -> list[bytes]:
    """Bits of a picture turned by quarters and mirrored, 32 bytes each, as it is first."""
    import pdqhash

    ways, _ = pdqhash.compute_dihedral(_small(pixels))
    return [np.packbits(bits.astype(np.uint8)).tobytes() for bits in ways]


def distances(ways: list[bytes], known: list[bytes]) -> NDArray[np.int64]:
    """Bits in which fingerprints differ from a picture's nearest way to lie, int64 (N,).

    Args:
        ways: Of :func:`turned`.
        known: 32 bytes each.
    """
    rows = np.frombuffer(b"".join(known), np.uint8).reshape(len(known), _BYTES)
    nearest = np.full(len(known), 8 * _BYTES, np.int64)
    for way in ways:
        far = _ONES[rows ^ np.frombuffer(way, np.uint8)].sum(axis=1, dtype=np.int64)
        nearest = np.minimum(nearest, far)
    return nearest


def chance(distance: int, known: int) -> float:
    """How probable it is that a picture that has nothing to do with them is so near to one.

    An estimate, not a bound: of pictures whose bits hang together as those that were measured do.

    Args:
        distance: Bits in which it differs from the nearest.
        known: How many it was compared with.

    Example:
        >>> chance(NEAR, 1_000_000) < 1e-15
        True
    """
    most = distance * FREEDOM // 256
    ways = sum(math.comb(FREEDOM, wrong) for wrong in range(most + 1))
    return min(1.0, float(_WAYS * known * ways / 2**FREEDOM))


def _small(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    share = _LONGEST / max(pixels.shape[:2])
    if share >= 1.0:
        return np.ascontiguousarray(pixels)
    size = max(1, round(share * pixels.shape[1])), max(1, round(share * pixels.shape[0]))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)

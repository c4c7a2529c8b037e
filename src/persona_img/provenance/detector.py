"""Finds a watermark in a copy of any size, cut or saved anew, and says how it may be mistaken.

At every scale that is tried the picture is folded onto one tile, and the tile compared at every
offset with the key's locating signs. Divided by its own length, such a sum of values times random
signs is above z with a chance of at most exp(-z²/2), whatever the picture (Hoeffding); so the
threshold follows from the number of places alone, and needs no sample of unmarked pictures. Which
finer scales are tried depends on the picture: so all that could have been count as searched.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.errors import InvalidInput
from persona_img.provenance.codeword import decode_payload
from persona_img.provenance.pattern import CELLS, Pattern
from persona_img.provenance.watermark import luma

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

FALSE_ALARM = 1e-6
"""Chance that a picture without a mark of the key is said to have one, over all places searched."""

LEAST_SIDE = 64
_LONGEST = 1400  # pixels: larger pictures are made smaller first
_CELL_RANGE = 1.25, 12.0  # pixels of a cell in the picture searched
_DRAWN = 2  # pixels of a cell when folded
_MOST_DRAWN = 3_000  # pixels along a side
_FINEST = 0.03  # of a step of scale
_FINER = 4, 2, 1  # finest steps by which it is refined around the best, twice to either side
_REACH = 2 * sum(_FINER)  # finest steps that a refined scale may be off where it began
_FLOOR = 0.5  # levels: noise that is taken for granted at every frequency
_NEIGHBOURS = 4.0  # bins of frequency over which loudness is averaged; a tile's lines lie within
_AROUND = 12.0  # pixels over which loudness of a place is averaged
_LOUDEST = 2.5  # standard deviations: edges of a product are not to outvote a backdrop


@dataclass(frozen=True)
class Detection:
    """What was found.

    Attributes:
        found: Whether there is a watermark of this key.
        payload: Its 8 bytes, where they could be read.
        score: The best place's sum over its length.
        threshold: What ``score`` has to reach.
        places: Scales times offsets that were compared, or would have been had others been best.
        cell: Pixels of a cell at the best place.
        bits_wrong: Bits of the codeword that Reed-Solomon put right; -1 where none was read.
        chance: At most how probable such a score, or a better one, is without a mark.
    """

    found: bool
    payload: bytes | None
    score: float
    threshold: float
    places: int
    cell: float
    bits_wrong: int
    chance: float


class Detector:
    """Searches pictures for the marks of one key.

    Args:
        key: The bytes that marked.
        false_alarm: Chance of a false alarm for a whole picture, above 0 and below 1.

    Raises:
        InvalidInput: a chance out of range, or a key that is too short.
    """

    def __init__(self, key: bytes, false_alarm: float = FALSE_ALARM) -> None:
        if not 0.0 < false_alarm < 1.0:
            raise InvalidInput(f"false_alarm={false_alarm}: give a chance above 0 and below 1")
        self.pattern, self.false_alarm = Pattern.of(key), false_alarm
        signs = self.pattern.locating()
        self._signs = np.conj(np.fft.rfft2(signs))
        self._where = np.conj(np.fft.rfft2((signs != 0).astype(np.float32)))

    def detect(self, pixels: NDArray[np.uint8]) -> Detection:
        """Search a picture.

        Args:
            pixels: uint8 sRGB (H, W, 3), both sides at least 64.

        Raises:
            InvalidInput: a smaller picture.
        """
        if min(pixels.shape[:2]) < LEAST_SIDE:
            height, width = pixels.shape[:2]
            raise InvalidInput(f"picture of {width} x {height}: give at least {LEAST_SIDE} each")
        grey = luma(pixels)
        shrunk = min(1.0, _LONGEST / max(grey.shape))
        if shrunk < 1.0:
            grey = cv2.resize(grey, None, fx=shrunk, fy=shrunk, interpolation=cv2.INTER_AREA)
        searched = _Searched(grey)
        coarse = list(_cells(max(grey.shape)))
        best = max((self._at(searched.folded(cell), cell) for cell in coarse), key=_score)
        # On a grid around where it began: whatever is best, no other scales are ever tried.
        began, off = best.cell, 0
        finest = _FINEST * 2.0 * began / max(grey.shape)
        for step in _FINER:
            near = [off + side * step for side in (-2, -1, 1, 2)]
            cells = [began * (1.0 + finest * at) for at in near]
            found_near = [self._at(searched.folded(cell), cell) for cell in cells]
            for at, place in zip(near, found_near, strict=True):
                if place.score > best.score:
                    best, off = place, at
        places = len(coarse) * (2 * _REACH + 1) * (_DRAWN * CELLS) ** 2
        threshold = math.sqrt(2.0 * math.log(places / self.false_alarm))
        chance = min(1.0, places * math.exp(-0.5 * max(best.score, 0.0) ** 2))
        found = best.score >= threshold
        soft = self.pattern.read(best.cells)
        payload = decode_payload(soft) if found else None
        wrong = -1
        if payload is not None:
            word = self.pattern.read(self.pattern.tile(payload) * (self.pattern.owner >= 0))
            wrong = int(((word > 0) != (soft > 0)).sum())
        cell = best.cell / shrunk
        return Detection(found, payload, best.score, threshold, places, cell, wrong, chance)

    def _at(self, folded: NDArray[np.float32], cell: float) -> _Place:
        """The best offset of a picture that was folded onto one tile."""
        phases = _phases(folded)
        values = np.fft.irfft2(np.fft.rfft2(phases) * self._signs, s=(CELLS, CELLS))
        lengths = np.fft.irfft2(np.fft.rfft2(phases**2) * self._where, s=(CELLS, CELLS))
        scores = values / np.sqrt(np.maximum(lengths, 1e-9))
        phase, down, right = np.unravel_index(int(np.argmax(scores)), scores.shape)
        cells = np.roll(phases[phase], (-int(down), -int(right)), (0, 1))
        return _Place(float(scores[phase, down, right]), cell, cells)


@dataclass(frozen=True, eq=False)
class _Place:
    score: float
    cell: float
    cells: NDArray[np.float32]


def _score(place: _Place) -> float:
    return place.score


class _Searched:
    """A picture with what is common in it made quiet, once, and folded for any size of a cell."""

    def __init__(self, grey: NDArray[np.float32]) -> None:
        self._quiet = _quiet(grey)
        self._half: NDArray[np.float32] | None = None

    def folded(self, cell: float) -> NDArray[np.float32]:
        """The sum of all tiles, float32 (128, 128), were a cell so many pixels large."""
        source, scale = self._quiet, _DRAWN / cell
        height, width = (max(1, round(side * scale)) for side in source.shape)
        if scale < 0.5:
            if self._half is None:
                size = source.shape[1] // 2, source.shape[0] // 2
                even = source[: 2 * size[1], : 2 * size[0]]
                self._half = cv2.resize(even, size, interpolation=cv2.INTER_AREA)
            source, scale = self._half, 2.0 * scale
        # By the true ratio: that of rounded sides is off by a cell at the far end.
        shift = 0.5 * scale - 0.5
        ratio = np.array([[scale, 0.0, shift], [0.0, scale, shift]])
        return _fold(cv2.warpAffine(source, ratio, (width, height)))


def _quiet(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a matched filter is given: each frequency, then each place, by how loud it is there.

    A weave is loud at few frequencies, a shadow at the low ones, a product in one place: none of
    them is to outvote the rest.
    """
    found = np.fft.rfft2(grey - grey.mean())
    power = cv2.GaussianBlur((np.abs(found) ** 2).astype(np.float32), (0, 0), _NEIGHBOURS)
    floor = _FLOOR**2 * grey.size
    flat = np.fft.irfft2(found / np.sqrt(power + floor), s=grey.shape).astype(np.float32)
    loud = np.sqrt(cv2.GaussianBlur(flat * flat, (0, 0), _AROUND))
    loud = np.maximum(loud, 0.1 * float(loud.mean()) + 1e-12)
    return np.asarray(np.clip(flat / loud, -_LOUDEST, _LOUDEST), np.float32)


def _fold(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    side = _DRAWN * CELLS
    height, width = picture.shape
    padded = np.pad(picture, ((0, -height % side), (0, -width % side)))
    tiles = padded.reshape(padded.shape[0] // side, side, padded.shape[1] // side, side)
    return np.asarray(tiles.sum(axis=(0, 2)), np.float32)


def _phases(folded: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of 2 x 2 pixels at each of the four ways in which cells may lie on them."""
    down = folded + np.roll(folded, -1, 0)
    both = down + np.roll(down, -1, 1)
    return np.stack([both[y::_DRAWN, x::_DRAWN] for y in range(_DRAWN) for x in range(_DRAWN)])


def _cells(longest: int) -> Iterator[float]:
    """Sizes of a cell to try, so close that at neither end a cell is missed by half of one."""
    cell, most = _CELL_RANGE
    while cell <= most:
        if longest * _DRAWN / cell <= _MOST_DRAWN:
            yield cell
        cell *= 1.0 + 2.0 * cell / longest

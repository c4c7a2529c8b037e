"""The keyed tile of a watermark: which of its cells say where it lies, and which say a bit.

A tile has 64 x 64 cells. Each has a sign drawn from the key; a quarter of them are always so and
tell scale and offset, the others carry 24 times each bit of a codeword. It is repeated over the
whole picture, so any part as large as one tile has all of it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from persona_img.errors import InvalidInput
from persona_img.provenance.codeword import CODE_BITS, encode_payload

if TYPE_CHECKING:
    from numpy.typing import NDArray

CELLS = 64
"""Cells along a side of a tile."""

LEAST_KEY = 16
_LOCATING = CELLS * CELLS // 4
_DOMAIN = b"persona-img watermark 1\0"


@dataclass(frozen=True, eq=False)
class Pattern:
    """What a key draws.

    Attributes:
        signs: int8 (64, 64) of -1 and 1.
        owner: int16 (64, 64): the codeword's bit that a cell carries, -1 for a cell that locates.
    """

    signs: NDArray[np.int8]
    owner: NDArray[np.int16]

    @classmethod
    def of(cls, key: bytes) -> Pattern:
        """The pattern of a key; the same key gives the same on any machine.

        Args:
            key: At least 16 secret bytes: who has them can remove the watermark, or put it on
                other pictures.

        Raises:
            InvalidInput: a shorter key.
        """
        if len(key) < LEAST_KEY:
            raise InvalidInput(f"watermark key of {len(key)} bytes: give at least {LEAST_KEY}")
        count = CELLS * CELLS
        # Bytes of an extendable hash, not of a generator: those of numpy may change with it.
        drawn = hashlib.shake_256(_DOMAIN + key).digest(count // 8 + 8 * count)
        bits = np.unpackbits(np.frombuffer(drawn[: count // 8], np.uint8))
        order = np.argsort(np.frombuffer(drawn[count // 8 :], "<u8"), kind="stable")
        owner = np.full(count, -1, np.int16)
        carrying = order[_LOCATING:]
        owner[carrying] = np.arange(carrying.size) % CODE_BITS
        signs = (2 * bits.astype(np.int8) - 1).reshape(CELLS, CELLS)
        return cls(signs.astype(np.int8), owner.reshape(CELLS, CELLS))

    def locating(self) -> NDArray[np.float32]:
        """Signs of the cells that locate, 0 elsewhere; float32 (64, 64)."""
        return np.where(self.owner < 0, self.signs, 0).astype(np.float32)

    def tile(self, payload: bytes) -> NDArray[np.float32]:
        """The tile that carries 8 bytes, float32 (64, 64) of -1 and 1."""
        word = np.append(encode_payload(payload), np.int8(1))  # the last is found by -1
        return (self.signs * word[self.owner]).astype(np.float32)

    def read(self, cells: NDArray[np.float32]) -> NDArray[np.float32]:
        """Soft bits, float32 (128,), of a tile's cells as they were found, float32 (64, 64)."""
        carrying = self.owner >= 0
        found = (cells * self.signs)[carrying]
        return np.bincount(self.owner[carrying], found, CODE_BITS).astype(np.float32)

"""64 bits that survive errors: Reed-Solomon over bytes, decoded from soft bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import reedsolo

if TYPE_CHECKING:
    from numpy.typing import NDArray

PAYLOAD_BYTES = 8
CODE_BITS = 128
"""Bits of a codeword: 8 bytes of payload and 8 of parity, so 4 wrong bytes are put right."""

_PARITY = CODE_BITS // 8 - PAYLOAD_BYTES
_ERASED = (0, 2, 4, 6)  # weakest bytes that are given up, in the order in which it is tried
_CODEC = reedsolo.RSCodec(_PARITY)


def encode_payload(payload: bytes) -> NDArray[np.int8]:
    """A payload's codeword, int8 (128,) of -1 and 1.

    Args:
        payload: 8 bytes.

    Raises:
        ValueError: another length.

    Example:
        >>> int(encode_payload(b"8 bytes!").size)
        128
    """
    if len(payload) != PAYLOAD_BYTES:
        raise ValueError(f"payload of {len(payload)} bytes: a watermark carries {PAYLOAD_BYTES}")
    bits = np.unpackbits(np.frombuffer(bytes(_CODEC.encode(payload)), np.uint8))
    return (2 * bits.astype(np.int8) - 1).astype(np.int8)


def decode_payload(soft: NDArray[np.float32]) -> bytes | None:
    """The payload of a codeword that was read with errors, or None where there are too many.

    Args:
        soft: float32 (128,), the sign says the bit and the size how sure it is.

    Note:
        A word of noise decodes to some payload about once in 25 times: what says that there is a
        watermark at all is not this, see :mod:`.detector`.
    """
    word = np.packbits(soft > 0).tobytes()
    weakest = np.argsort(np.abs(soft).reshape(-1, 8).min(axis=1), kind="stable")
    for erased in _ERASED:
        try:
            decoded = _CODEC.decode(word, erase_pos=[int(at) for at in weakest[:erased]])[0]
        except reedsolo.ReedSolomonError:
            continue
        return bytes(decoded)
    return None

"""A payload comes back from soft bits that are wrong in as many bytes as are promised."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_img.provenance.codeword import CODE_BITS, decode_payload, encode_payload

PAYLOADS = st.binary(min_size=8, max_size=8)


@given(PAYLOADS, st.sets(st.integers(0, 15), max_size=4), st.integers(1, 255))
def test_any_payload_comes_back_with_four_bytes_wrong(payload, wrong, flips):
    soft = encode_payload(payload).astype(np.float32)
    for byte in wrong:
        for bit in range(8):
            if flips >> bit & 1:
                soft[8 * byte + bit] *= -1
    assert decode_payload(soft) == payload


@given(PAYLOADS, st.sets(st.integers(0, 15), min_size=5, max_size=6))
def test_more_come_back_where_they_are_known_to_be_weak(payload, wrong):
    soft = encode_payload(payload).astype(np.float32)
    for byte in wrong:
        soft[8 * byte : 8 * byte + 8] *= -0.01
    assert decode_payload(soft) == payload


def test_nothing_comes_back_from_a_word_that_is_wrong_everywhere():
    rng = np.random.default_rng(3)
    words = rng.normal(size=(100, CODE_BITS)).astype(np.float32)
    assert sum(decode_payload(word) is not None for word in words) < 20


def test_another_length_is_refused():
    with pytest.raises(ValueError, match="payload of 7 bytes"):
        encode_payload(b"7 bytes")

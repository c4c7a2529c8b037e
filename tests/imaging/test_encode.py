from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from examples import PHOTOS
from persona_img.imaging.cutout import as_shown
from persona_img.imaging.encode import ENCODERS, encode, scaled_to, widths_of
from persona_img.imaging.formats import media_type


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.asarray(as_shown(PHOTOS / "shirt-01.jpg"))


@pytest.mark.parametrize("kind", ENCODERS)
def test_same_pixels_same_bytes_of_the_kind_asked_for(kind: str, pixels: np.ndarray) -> None:
    data = encode(pixels, kind)
    assert media_type(data) == kind
    assert encode(pixels.copy(), kind) == data
    assert encode(255 - pixels, kind) != data


@pytest.mark.parametrize("kind", ENCODERS)
def test_nobody_tells_it_from_the_master(kind: str, pixels: np.ndarray) -> None:
    seen = np.asarray(Image.open(io.BytesIO(encode(pixels, kind))).convert("RGB"), np.float32)
    off = np.abs(seen - pixels)
    assert off.mean() < 3.0
    assert np.quantile(off, 0.99) < 16


@given(st.integers(1, 5000), st.lists(st.integers(16, 8192), max_size=12))
def test_widths_are_the_wanted_ones_below_its_own_and_its_own(own: int, wanted: list[int]) -> None:
    found = widths_of(own, wanted)
    assert found[-1] == own
    assert set(found[:-1]) == {width for width in wanted if width < own}
    assert list(found) == sorted(set(found))


def test_a_smaller_picture_is_as_bright() -> None:
    board = np.zeros((64, 64, 3), np.uint8)
    board[::2] = 255
    small = scaled_to(board, 16)
    assert small.shape == (16, 16, 3)
    assert np.abs(small.astype(int) - 188).max() <= 1  # half the light, which is not 128


def test_its_own_width_is_its_own_pixels(pixels: np.ndarray) -> None:
    assert scaled_to(pixels, pixels.shape[1]) is pixels
    assert scaled_to(pixels, 32).shape == (round(pixels.shape[0] * 32 / pixels.shape[1]), 32, 3)

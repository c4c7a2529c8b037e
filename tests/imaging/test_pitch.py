from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_img.errors import InvalidInput
from persona_img.imaging.pitch import pitch_of
from vessels import cylinder


@settings(deadline=None, max_examples=60)
@given(
    st.floats(6, 35),
    st.integers(60, 240),
    st.integers(150, 400),
    st.floats(0.8, 1.3),
    st.booleans(),
)
def test_the_pitch_of_a_round_base_is_found(
    pitch: float, radius: int, height: int, flare: float, mirrored: bool
) -> None:
    mask = cylinder(pitch, radius, height, flare)
    found = pitch_of(np.ascontiguousarray(mask[:, ::-1]) if mirrored else mask)
    assert abs(found - pitch) < 3.5


def test_a_flat_bottom_says_nothing_and_gives_the_least() -> None:
    box = np.zeros((300, 300), np.uint8)
    box[60:240, 80:220] = 255
    assert pitch_of(box) == 6.0
    tilted = cv2.warpAffine(box, cv2.getRotationMatrix2D((150, 150), 8, 1), (300, 300))
    assert pitch_of(tilted) < 10.0  # a tilt is no arch


def test_a_pitch_is_never_more_than_a_table_can_have() -> None:
    assert pitch_of(cylinder(80)) == 35.0


def test_a_handle_does_not_change_the_pitch() -> None:
    mug = cylinder(20, radius=100, height=200)
    height, width = mug.shape
    with_handle = cv2.copyMakeBorder(mug, 0, 0, 0, 120, cv2.BORDER_CONSTANT, value=0)
    cv2.ellipse(with_handle, (width - 40, height // 2), (70, 60), 0, 0, 360, 255, 18)
    assert abs(pitch_of(with_handle) - 20) < 3.5


def test_each_piece_stands_for_itself() -> None:
    one = cylinder(25)
    other = np.roll(one, -30, axis=0)  # behind the first, so higher in the picture
    assert abs(pitch_of(np.concatenate([one, other], axis=1)) - 25) < 3.5
    speck = np.zeros_like(one)
    speck[20:50, 20:50] = 255
    assert pitch_of(np.concatenate([one, speck], axis=1)) == pytest.approx(pitch_of(one))


def test_a_large_photo_has_the_pitch_of_a_small_one() -> None:
    small = cylinder(18)
    large = np.repeat(np.repeat(small, 7, axis=0), 7, axis=1)
    assert abs(pitch_of(large) - 18) < 3.5


@pytest.mark.parametrize("thick", [1, 2])
def test_a_thread_has_a_pitch_too(thick: int) -> None:
    thread = np.zeros((3000, 2000), np.uint8)
    cv2.line(thread, (300, 200), (1500, 2800), 255, thick)
    assert 6 <= pitch_of(thread) <= 35


def test_what_is_no_mask_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no product"):
        pitch_of(np.full((20, 20), 127, np.uint8))
    with pytest.raises(InvalidInput, match="float64"):
        pitch_of(np.ones((20, 20)))  # type: ignore[arg-type]

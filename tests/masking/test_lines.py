from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_img.masking.lines import without_line_ends
from pictures import noise_and_cut

SIDE = 220


def scene(length: int, colour: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A shirt on pale tiles, a joint of which is that long: picture, cut with its end, the end."""
    picture = np.full((SIDE, SIDE, 3), 200, np.uint8)
    cv2.line(picture, (150, 100), (150 + length, 100), (colour,) * 3, 3)
    shirt = np.zeros((SIDE, SIDE), np.uint8)
    shirt[25:175, 25:151] = 1
    picture[shirt > 0] = (90, 70, 50)
    kept = shirt.copy()
    kept[99:102, 151:158] = 1
    return picture, kept, (kept > 0) & (shirt == 0)


def test_the_end_of_a_joint_is_taken_out() -> None:
    picture, kept, end = scene(50)
    made = without_line_ends(picture, kept, np.full(kept.shape, 0.8, np.float32), 0.97)
    assert made[end].sum() <= 3  # where it meets the sleeve the outline is round
    np.testing.assert_array_equal(made[~end], kept[~end])


@pytest.mark.parametrize(
    ("length", "colour", "chance"),
    [
        (10, 60, 0.8),  # a tie: nothing goes on beyond it
        (50, 60, 0.99),  # the network is sure
        (50, 190, 0.8),  # no dark line
    ],
)
def test_what_is_no_joint_stays(length: int, colour: int, chance: float) -> None:
    picture, kept, _ = scene(length, colour)
    made = without_line_ends(picture, kept, np.full(kept.shape, chance, np.float32), 0.97)
    np.testing.assert_array_equal(made, kept)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_it_never_adds_and_never_takes_a_large_piece(seed: int) -> None:
    picture, kept = noise_and_cut(seed, 0.5)
    made = without_line_ends(picture, kept, np.zeros((60, 80), np.float32), 0.97)
    assert (made <= kept).all()
    taken = cv2.connectedComponentsWithStats(kept - made)[2][1:, cv2.CC_STAT_AREA]
    assert (taken <= 0.002 * kept.sum()).all()

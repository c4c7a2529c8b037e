from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_img.masking.floor_lines import line_ends, looked_past, painted
from pictures import noise_and_cut

SIDE = 220
Views = tuple[np.ndarray, np.ndarray]


def floor(to: tuple[int, int] = (215, 40), *, colour: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """A dark shirt on pale tiles, a joint of which ends at its side: picture, shirt."""
    picture = np.full((SIDE, SIDE, 3), 200, np.uint8)
    cv2.line(picture, (145, 100), to, (colour,) * 3, 2)
    shirt = np.zeros((SIDE, SIDE), np.uint8)
    shirt[25:175, 25:151] = 1
    picture[shirt > 0] = (90, 70, 50)
    return picture, shirt


def bumped(picture: np.ndarray) -> Views:
    """A network that is sure of what is dark and wide, and thinks more of it beside dark lines."""
    dark = (picture.mean(axis=2) < 120).astype(np.float32)
    wide = cv2.morphologyEx(dark, cv2.MORPH_OPEN, np.ones((15, 15), np.uint8))
    beside = cv2.dilate(wide, np.ones((17, 17), np.uint8))
    bump = 0.7 * beside * cv2.dilate(dark - wide, np.ones((5, 5), np.uint8))
    found = np.maximum(wide, bump)
    return found, found.copy()


def test_a_joint_is_found_where_it_runs_up_to_the_product() -> None:
    picture, shirt = floor()
    ends = line_ends(picture, shirt)
    assert ends[88:98, 152:158].sum() > 10
    assert ends[:, :148].sum() == 0
    assert ends[:, 185:].sum() == 0  # what is far off says nothing about the outline


@pytest.mark.parametrize(
    ("to", "colour"),
    [
        ((162, 85), 60),  # a tie: nothing goes on beyond it
        ((215, 40), 190),  # hardly darker than the floor
    ],
)
def test_what_is_no_joint_is_none(to: tuple[int, int], colour: int) -> None:
    assert not line_ends(*floor(to, colour=colour)).any()


def test_a_shadow_along_the_outline_is_none() -> None:
    picture, shirt = floor(colour=200)
    cv2.line(picture, (155, 60), (172, 190), (60,) * 3, 3)
    assert not line_ends(picture, shirt).any()


def test_a_bent_lace_is_none() -> None:
    picture, shirt = floor(colour=200)
    cv2.ellipse(picture, (151, 112), (18, 12), 0, -90, 90, (60,) * 3, 3)
    assert not line_ends(picture, shirt).any()


def test_looking_again_the_bump_beside_a_joint_is_gone() -> None:
    picture, shirt = floor()
    seen, straight, mirrored = looked_past(picture, bumped)
    first, _ = bumped(picture)
    beside = np.s_[82:98, 153:162]
    assert (first[beside] > 0.5).mean() > 0.3
    assert (straight[beside] > 0.5).mean() < 0.1
    np.testing.assert_array_equal(straight, mirrored)
    assert (seen != picture).any()
    assert straight[shirt > 0].min() == 1.0


def test_the_second_look_counts_beside_the_line_alone() -> None:
    picture, _ = floor()
    found = [bumped(picture), (np.zeros((SIDE, SIDE), np.float32),) * 2]
    first = found[0][0]
    seen, straight, _ = looked_past(picture, lambda _: found.pop(0))
    same = (seen == picture).all(axis=2).astype(np.uint8)
    apart = cv2.distanceTransform(same, cv2.DIST_L2, 5)
    np.testing.assert_array_equal(straight[apart > 24], first[apart > 24])
    assert straight[apart < 10].max() == 0.0


def test_without_lines_the_network_is_asked_once() -> None:
    picture, _ = floor(colour=200)
    asked = []

    def look(small: np.ndarray) -> Views:
        asked.append(small)
        return bumped(small)

    seen, *_ = looked_past(picture, look)
    assert seen is picture
    assert len(asked) == 1


def test_paint_is_put_on_the_photo_where_it_lies_and_nowhere_else() -> None:
    photo = cv2.resize(floor()[0], (3 * SIDE, 3 * SIDE), interpolation=cv2.INTER_CUBIC)
    small = cv2.resize(photo, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    assert painted(photo, small) is photo
    plain = small.copy()
    plain[84:98, 150:165] = 200
    made = painted(photo, plain)
    changed = (made != photo).any(axis=2)
    assert changed[252:294, 450:495].any()
    changed[252:294, 450:495] = False
    assert not changed.any()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_any_picture_and_any_cut_will_do(seed: int, share: float) -> None:
    picture, cut = noise_and_cut(seed, share)
    ends = line_ends(picture, cut)
    assert ends.shape == cut.shape
    assert ends.max() <= 1

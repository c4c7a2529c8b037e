from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_img.domain.pose import POSES
from persona_img.errors import InvalidInput
from persona_img.scenery.subject import USUAL_CM, Subject, Taken
from sets import BASE, SIZE, silhouette, subject


def test_its_box_scale_and_camera_are_of_its_mask() -> None:
    known = subject(cm=16.0)
    top, left, bottom, right = known.box
    assert (top, bottom) == (64, BASE)
    assert right - left == pytest.approx(SIZE[1] / 3, abs=1)
    assert known.per_cm == 64 / 16.0
    assert 0 < known.depth < (right - left) / known.per_cm
    camera = known.camera()
    assert (camera.height, camera.width) == SIZE
    assert (camera.x, camera.y) == ((left + right) / 2, BASE)
    assert (camera.per_cm, camera.pitch) == (4.0, 12.0)
    assert 0 < camera.horizon < BASE


def test_soft_edges_belong_to_it_from_the_half() -> None:
    alpha = silhouette()
    alpha[BASE] = 127
    assert Subject(alpha, "standing", 24.0).box == subject().box
    alpha[BASE] = 128
    assert Subject(alpha, "standing", 24.0).box[2] == BASE + 1


@given(st.floats(-90, 90))
def test_no_camera_looks_along_the_floor_or_straight_down(pitch: float) -> None:
    camera = Subject(silhouette(), "standing", 24.0, pitch=pitch).camera()
    assert 5 <= camera.pitch <= 38


def test_each_pose_has_a_usual_size_and_nothing_is_known_of_the_light_at_first() -> None:
    assert set(USUAL_CM) == set(POSES)
    assert subject().taken == Taken(0.0, 1.0, (1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("alpha", "pose", "cm", "says"),
    [
        (silhouette(), "sitting", 24.0, "pose=sitting: choose from lying, standing"),
        (silhouette(), "lying", 0.0, r"cm=0.0: .*above 0"),
        (silhouette(), "lying", float("nan"), r"cm=nan"),
        (0 * silhouette(), "lying", 24.0, "supply a mask"),
    ],
)
def test_what_has_no_place_in_a_scene_is_refused(
    alpha: np.ndarray, pose: str, cm: float, says: str
) -> None:
    with pytest.raises(InvalidInput, match=says):
        Subject(alpha, pose, cm)


@pytest.mark.parametrize("thick", [0.0, -1.0, float("nan")])
def test_what_rises_from_nothing_throws_no_shadow(thick: float) -> None:
    with pytest.raises(InvalidInput, match=f"thick={thick}"):
        Subject(silhouette(), "lying", 24.0, thick=thick)

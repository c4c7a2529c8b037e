from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_img.assets import ASSETS
from persona_img.domain.pose import POSES
from persona_img.errors import BadCatalog, InvalidInput
from persona_img.imaging.photo import load_photo
from persona_img.imaging.pose import (
    LEAST_SURE,
    UPRIGHT,
    Pose,
    kind_features,
    pose_features,
    pose_of,
)
from vessels import cylinder

PHOTOS = ASSETS / "catalog" / "photos"


def example(name: str) -> tuple[np.ndarray, np.ndarray]:
    """A photo of the catalogue with a plain mask: what is not the floor's colour."""
    photo = load_photo(PHOTOS / f"{name}.jpg").pixels
    rim = np.concatenate([photo[:12].reshape(-1, 3), photo[-12:].reshape(-1, 3)])
    far = np.linalg.norm(photo.astype(float) - np.median(rim, axis=0), axis=2)
    mask = (cv2.GaussianBlur(far, (0, 0), 3) > 40).astype(np.uint8)
    _, pieces, boxes, _ = cv2.connectedComponentsWithStats(mask)
    return photo, np.where(pieces == 1 + boxes[1:, cv2.CC_STAT_AREA].argmax(), 255, 0).astype("u1")


def test_chances_are_of_all_poses_and_sum_to_one() -> None:
    pose = pose_of(*example("polo-01"), "polo")
    assert tuple(pose.chances) == POSES
    assert sum(pose.chances.values()) == pytest.approx(1)
    assert min(pose.chances.values()) >= 0
    assert pose.chances["worn"] == 0  # no photo of a person was ever looked at
    assert pose_of(*example("polo-01"), "polo") == pose


@pytest.mark.parametrize("name", ["polo-01", "skirt-03", "shoes-04"])
def test_a_flat_lay_of_the_catalogue_lies(name: str) -> None:
    assert pose_of(*example(name), name.split("-")[0]).safe == "lying"


def test_a_mug_stands_before_any_backdrop_and_is_a_guess_without_its_name() -> None:
    mask = cylinder(15, radius=90, height=200)
    mug = np.full((*mask.shape, 3), 250, np.uint8)
    mug[mask > 0] = (40, 90, 160)
    named = pose_of(mug, mask, "Coffee mugs")
    assert named.likely == named.safe == "standing"
    assert pose_of(mug, mask).chances["standing"] < named.chances["standing"]


def test_what_lies_under_a_cut_out_does_not_matter() -> None:
    _, mask = example("polo-01")
    photo = load_photo(PHOTOS / "polo-01.jpg").pixels
    black, white = (np.where(mask[..., None] > 0, photo, np.uint8(v)) for v in (0, 255))
    np.testing.assert_array_equal(
        pose_features(black, mask, "polo"), pose_features(white, mask, "polo")
    )
    assert np.isnan(pose_features(white, mask, "polo")).any()
    assert np.isfinite(pose_features(photo, mask, "polo")).all()


def test_size_and_place_of_a_photo_count_little() -> None:
    photo, mask = example("polo-01")
    double = [cv2.resize(p, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC) for p in (photo, mask)]
    one, other = pose_of(photo, mask, "polo"), pose_of(double[0], double[1], "polo")
    assert other.likely == one.likely
    assert other.chances["lying"] == pytest.approx(one.chances["lying"], abs=0.15)


def test_a_pose_is_a_guess_below_the_threshold_and_lying_is_safe() -> None:
    guess = Pose({"lying": 0.3, "standing": LEAST_SURE - 0.01, "hanging": 0.11, "worn": 0.0})
    assert (guess.likely, guess.unsure, guess.safe) == ("standing", True, "lying")
    sure = Pose({"lying": 0.3, "standing": LEAST_SURE, "hanging": 0.1, "worn": 0.0})
    assert (sure.likely, sure.unsure, sure.safe) == ("standing", False, "standing")


def test_what_the_shop_tells_is_certain() -> None:
    assert Pose.told(" Worn").chances == {"lying": 0, "standing": 0, "hanging": 0, "worn": 1}
    with pytest.raises(BadCatalog, match="on edge"):
        Pose.told("on edge")
    with pytest.raises(InvalidInput, match="empty"):
        Pose.told(" ")


def test_a_category_names_one_kind_or_says_nothing() -> None:
    for category in ("shoes", "caps", "Tote bags", "Dresses"):
        assert kind_features(category).sum() == 1
    assert not np.array_equal(kind_features("shoes"), kind_features("dress"))
    for category in (None, "", "party", *UPRIGHT):
        assert kind_features(category).sum() == 0


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32), st.integers(40, 1500), st.integers(40, 1500), st.integers(1, 9))
def test_any_mask_gets_a_pose_or_is_refused(seed: int, height: int, width: int, thick: int) -> None:
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), np.uint8)
    ends = rng.integers(0, (width, height), size=(2, 2))
    cv2.line(mask, ends[0].tolist(), ends[1].tolist(), 255, thick)
    photo = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    if (mask > 0).mean() < 1e-4:
        with pytest.raises(InvalidInput, match="no product"):
            pose_of(photo, mask)
        return
    assert sum(pose_of(photo, mask, "necklace").chances.values()) == pytest.approx(1)


def test_what_cannot_be_judged_is_refused() -> None:
    photo, mask = example("polo-01")
    with pytest.raises(InvalidInput, match="no product"):
        pose_of(photo, np.zeros_like(mask))
    with pytest.raises(InvalidInput, match="as the mask is"):
        pose_of(photo[1:], mask)

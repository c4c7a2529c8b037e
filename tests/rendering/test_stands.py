from __future__ import annotations

import numpy as np
import pytest

from persona_img.imaging.photo import About, Photo
from persona_img.rendering.stands import Stands


def photo(pose: str, category: str | None, size_cm: float | None = None) -> Photo:
    pixels = np.full((80, 60, 3), 200, np.uint8)
    return Photo(pixels, None, "0" * 64, about=About(pose, size_cm, category))


def alpha() -> np.ndarray:
    mask = np.zeros((80, 60), np.uint8)
    mask[20:60, 15:45] = 255
    return mask


@pytest.mark.parametrize(
    ("pose", "category", "size_cm", "thick"),
    [
        ("lying", "t-shirt", None, 1.6),
        ("lying", None, None, 1.6),
        ("lying", "shoes", None, 10.0),
        ("lying", "shoes", 12.0, 6.0),  # a child's: half as high as long
        ("hanging", "t-shirt", None, 3.0),
        ("worn", "dress", 160.0, 12.0),
    ],
)
def test_things_rise_as_high_as_their_kind_and_pose(
    pose: str, category: str | None, size_cm: float | None, thick: float
) -> None:
    found = Stands.of(photo(pose, category, size_cm), alpha())
    assert found.thick == pytest.approx(thick)
    assert found.subject(alpha()).thick == found.thick
    assert found.as_dict()["thick"] == pytest.approx(thick)

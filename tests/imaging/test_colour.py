from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_img.errors import InvalidInput, UnknownStyle
from persona_img.imaging.colour import colours_of, from_lab, lab_of


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_a_web_colour_is_the_lab_that_gives_it_back(rgb: tuple[int, int, int]) -> None:
    lab = lab_of("#{:02x}{:02X}{:02x}".format(*rgb))
    back = from_lab(np.array([[lab]], dtype=np.float32))[0, 0] * 255
    np.testing.assert_allclose(back, rgb, atol=0.1)


@pytest.mark.parametrize("text", ["c8a27a", "#c8a27", "#c8a27g", "red", "#c8a27a00"])
def test_colours_are_written_as_the_web_writes_them(text: str) -> None:
    with pytest.raises(UnknownStyle, match="write it as #rrggbb"):
        lab_of(text)


def test_a_picture_is_told_by_its_colours_the_largest_first() -> None:
    picture = np.zeros((10, 10, 3), dtype=np.uint8)
    picture[:6] = (200, 160, 120)
    picture[6:9] = (20, 40, 60)
    picture[9:] = (250, 250, 250)
    found = colours_of(picture)
    assert found[:3] == [("#c8a078", 0.6), ("#14283c", 0.3), ("#fafafa", 0.1)]
    where = np.zeros((10, 10), dtype=bool)
    where[9:] = True
    assert colours_of(picture, where)[0] == ("#fafafa", 1.0)
    with pytest.raises(InvalidInput, match="no pixel of the reference"):
        colours_of(picture, np.zeros((10, 10), dtype=bool))

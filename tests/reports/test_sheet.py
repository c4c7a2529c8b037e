from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from persona_img.errors import InvalidInput
from persona_img.reports.sheet import contact_sheet

RED = Image.new("RGB", (300, 150), (200, 0, 0))
BLUE = Image.new("RGB", (40, 90), (0, 0, 200))


def test_pictures_stand_in_rows_below_their_titles() -> None:
    sheet = contact_sheet([("shirt", [("photo", RED), ("sage\nsoft", BLUE)]), ("hat", [("", RED)])])
    pixels = np.asarray(sheet).astype(int)
    red = (pixels[..., 0] > 150) & (pixels[..., 2] < 50)
    blue = (pixels[..., 2] > 150) & (pixels[..., 0] < 50)
    assert red.sum() == 2 * 260 * 130
    assert blue.sum() == 40 * 90, "a small picture is not blown up"
    assert np.nonzero(blue)[1].min() > 260, "the variant is right of the photo"
    assert sheet.width > 2 * 260


def test_long_captions_are_cut_and_change_no_size() -> None:
    short = contact_sheet([("", [("a", RED)])])
    long = contact_sheet([("", [("a very long caption " * 20, RED)])])
    assert short.size == long.size
    assert short.tobytes() != long.tobytes()


@pytest.mark.parametrize("rows", [[], [("empty", [])]])
def test_a_sheet_of_nothing_is_an_error(rows: list) -> None:
    with pytest.raises(InvalidInput, match="without pictures"):
        contact_sheet(rows)

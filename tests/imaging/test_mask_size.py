from __future__ import annotations

import numpy as np
import pytest

from persona_img.errors import InvalidInput
from persona_img.imaging.mask_size import check_mask, no_larger, product


def test_a_large_picture_is_made_smaller_and_another_stays() -> None:
    picture = np.full((3000, 1500, 3), 90, np.uint8)
    assert no_larger(picture).shape == (1024, 512, 3)
    assert (no_larger(picture) == 90).all()
    assert no_larger(np.zeros((2048, 1), np.uint8)).shape == (1024, 1)
    small = np.zeros((1024, 30), np.uint8)
    assert no_larger(small) is small


def test_a_mask_is_refused_where_next_to_nothing_is_product() -> None:
    mask = np.zeros((200, 200), np.uint8)
    mask[:2, :2] = 128  # a ten-thousandth
    check_mask(mask)
    mask[1, 1] = 127
    with pytest.raises(InvalidInput, match=r"0\.01% of its pixels are at least 128"):
        check_mask(mask)
    for wrong in (np.zeros((0, 4), np.uint8), mask[..., None], mask.astype(bool)):
        with pytest.raises(InvalidInput):
            check_mask(wrong)


def test_what_is_thin_is_product_where_it_has_left_a_trace() -> None:
    traces = np.array([[0, 3, 40]], np.uint8)
    assert product(traces).tolist() == [[False, False, True]]
    solid = np.array([[0, 127, 128, 255]], np.uint8)
    assert product(solid).tolist() == [[False, False, True, True]]
    assert not product(np.zeros((2, 2), np.uint8)).any()

from __future__ import annotations

import numpy as np
import pytest

from contracts.masker import boxed
from persona_img.errors import InvalidInput
from persona_img.masking.classic import ClassicMasker
from persona_img.masking.within import cut_within, only_within


def test_a_box_holds_all_of_the_product() -> None:
    one = boxed(240, 240)
    photo = np.concatenate([one, one], axis=1)
    both = ClassicMasker().cut(photo)
    assert (both.alpha[120, [120, 360]] == 255).all()
    found = cut_within(ClassicMasker(), photo, (40, 40, 200, 200))
    assert found.alpha.shape == photo.shape[:2]
    truth = np.zeros(photo.shape[:2], bool)
    truth[60:180, 60:180] = True
    product = found.alpha > 127
    assert (product & truth).sum() / (product | truth).sum() > 0.97
    assert (found.alpha[:, 200:] == 0).all()
    assert found.confidence == min(found.checks.values())
    through = cut_within(ClassicMasker(), photo, (40, 40, 176, 200)).alpha
    assert through[120, 170] == 255
    assert not through[:, 176:].any()  # though the masker saw a little more


@pytest.mark.parametrize(
    "box", [(0, 0, 500, 100), (10, 10, 10, 90), (50, 10, 20, 90), (-1, 0, 9, 9)]
)
def test_a_box_lies_on_the_photo(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(InvalidInput, match="the photo is 160 x 120"):
        cut_within(ClassicMasker(), boxed(120, 160), box)


def test_a_box_has_room_for_a_product() -> None:
    with pytest.raises(InvalidInput, match="16 each are the least"):
        cut_within(ClassicMasker(), boxed(120, 160), (10, 10, 20, 60))


def test_a_mask_is_cut_off_at_a_box() -> None:
    alpha = np.full((40, 60), 200, np.uint8)
    found = only_within(alpha, (10, 5, 30, 25))
    assert (found[5:25, 10:30] == 200).all()
    assert found.sum() == 200 * 20 * 20

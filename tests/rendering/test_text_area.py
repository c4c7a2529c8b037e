from __future__ import annotations

import numpy as np
import pytest

from persona_img.rendering.text_area import TextArea


@pytest.mark.parametrize(
    ("level", "ink", "contrast"), [(255, "black", 21.0), (0, "white", 21.0), (119, "black", 4.69)]
)
def test_the_ink_that_is_read_better_with_its_contrast(
    level: int, ink: str, contrast: float
) -> None:
    area = TextArea.of(np.full((40, 60, 3), level, dtype=np.uint8), (10, 5, 30, 20))
    assert (area.ink, area.box) == (ink, (10, 5, 30, 20))
    assert area.contrast == pytest.approx(contrast, abs=0.01)


def test_only_the_box_counts_and_its_worst_part() -> None:
    picture = np.full((40, 60, 3), 255, dtype=np.uint8)
    picture[:, :10] = 0
    assert TextArea.of(picture, (10, 0, 50, 40)).contrast == pytest.approx(21.0)
    assert TextArea.of(picture, (0, 0, 60, 40)).contrast == pytest.approx(1.0)

from __future__ import annotations

import cv2
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_img.imaging.matting import composite, foreground, product_of, strips
from persona_img.imaging.photo import Photo

GREEN, ORANGE = np.array([30.0, 160.0, 60.0]), np.array([230.0, 120.0, 40.0])


def disc(size: int = 160, soft: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """An orange disc photographed on green with a soft edge, and its true alpha."""
    yy, xx = np.mgrid[0:size, 0:size]
    inside = (np.hypot(yy - size / 2, xx - size / 2) < size / 3).astype(np.float32)
    share = cv2.GaussianBlur(inside, (0, 0), soft)
    photo = share[..., None] * ORANGE + (1 - share[..., None]) * GREEN
    return np.round(photo).astype(np.uint8), np.round(share * 255).astype(np.uint8)


def test_the_edge_is_unmixed_from_the_old_backdrop() -> None:
    photo, alpha = disc()
    edge = (alpha > 60) & (alpha < 200)
    before = np.abs(photo[edge] - ORANGE).mean()
    after = np.abs(foreground(photo, alpha)[edge] - ORANGE).mean()
    assert before > 40
    assert after < before / 4


def test_outside_the_edge_nothing_is_touched() -> None:
    photo, alpha = disc()
    sure = (alpha == 0) | (alpha == 255)
    assert (foreground(photo, alpha)[sure] == photo[sure]).all()


def test_no_rim_of_the_old_backdrop_is_left_on_a_new_one() -> None:
    photo, alpha = disc()
    plate = np.full((*alpha.shape, 3), 0.9, np.float32)
    made = composite(plate, photo, alpha, foreground(photo, alpha))
    share = alpha[..., None] / 255
    wanted = share * ORANGE + (1 - share) * 0.9 * 255
    assert np.abs(made - wanted).max() < 12
    naive = composite(plate, photo, alpha, photo)
    assert np.abs(naive - wanted).max() > 40


def test_strips_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    photo, alpha = disc(96)
    whole = foreground(photo, alpha)
    monkeypatch.setattr("persona_img.imaging.matting._STRIP_PIXELS", 96 * 20)
    assert np.abs(foreground(photo, alpha).astype(int) - whole).max() <= 1


def test_the_core_is_the_photos_whatever_the_estimate_says() -> None:
    photo, alpha = disc(64)
    plate = np.zeros((64, 64, 3), np.float32)
    made = composite(plate, photo, alpha, np.full_like(photo, 9))
    assert (made[alpha == 255] == photo[alpha == 255]).all()


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 40))
def test_strips_cover_every_row_once(height: int, width: int, margin: int) -> None:
    rows = [r for inner, _ in strips((height, width), margin) for r in range(height)[inner]]
    assert rows == list(range(height))
    for inner, padded in strips((height, width), margin):
        assert padded.start == max(0, inner.start - margin)
        assert padded.stop == min(height, inner.stop + margin)


sizes = st.tuples(st.integers(2, 40), st.integers(2, 40))


@settings(max_examples=60, deadline=None)
@given(st.data(), sizes)
def test_where_alpha_is_full_the_photo_survives_exactly(
    data: st.DataObject, size: tuple[int, int]
) -> None:
    photo = data.draw(hnp.arrays(np.uint8, (*size, 3)))
    alpha = data.draw(hnp.arrays(np.uint8, size, elements=st.sampled_from([0, 1, 127, 254, 255])))
    plate = data.draw(hnp.arrays(np.float32, (*size, 3), elements=st.floats(0, 1, width=32)))
    made = composite(plate, photo, alpha, foreground(photo, alpha))
    assert made.dtype == np.uint8
    assert (made[alpha == 255] == photo[alpha == 255]).all()
    outside = alpha == 0
    assert (made[outside] == np.round(plate[outside] * 255).astype(np.uint8)).all()


def test_only_a_photograph_is_unmixed_not_a_cut_out() -> None:
    pixels, alpha = disc()
    photograph = Photo.of(pixels.copy(), alpha)
    assert photograph.alpha is not None
    np.testing.assert_array_equal(product_of(photograph, alpha), foreground(pixels, alpha))
    cut_out = Photo.of(pixels.copy(), alpha, cut_out=True)
    np.testing.assert_array_equal(product_of(cut_out, alpha), cut_out.pixels)

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from editing.conftest import scene
from persona_img.editing.shape import crop, packshot, resize, upscale
from persona_img.errors import InvalidInput
from persona_img.imaging.grain import grain_of
from persona_img.imaging.photo import Photo


@settings(max_examples=30, deadline=None)
@given(st.integers(66, 300), st.integers(66, 300), st.integers(64, 400))
def test_resize_keeps_the_shape(height: int, width: int, side: int) -> None:
    photo = Photo.of(np.full((height, width, 3), 90, dtype=np.uint8))
    if round(min(height, width) * side / max(height, width)) < 64:
        with pytest.raises(InvalidInput, match="both sides need 64"):
            resize(photo, side=side, enlarge=True)
        return
    made = resize(photo, side=side, enlarge=True).photo.pixels
    assert max(made.shape[:2]) == side
    assert abs(made.shape[1] / made.shape[0] - width / height) < 0.02 * width / height
    assert (made == 90).all()


def test_resize_averages_light_not_numbers() -> None:
    stripes = np.zeros((128, 128, 3), dtype=np.uint8)
    stripes[::2] = 255
    made = resize(Photo.of(stripes), scale=0.5).photo.pixels
    assert abs(int(made[30, 30, 0]) - 188) <= 1  # half the light of white, sRGB


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ({"side": 500}, "allow it with enlarge"),
        ({"side": 40}, "both sides need 64"),
        ({"scale": 100.0, "enlarge": True}, "50 megapixels"),
        ({}, "give one of them"),
        ({"side": 80, "scale": 1.0}, "give one of them"),
    ],
)
def test_sizes_that_cannot_be(wish: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        resize(scene(1)[0], **wish)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 80), st.integers(0, 80), st.integers(1, 60), st.integers(1, 60),
    st.floats(0, 1), st.sampled_from([None, 1.0, 0.8, 16 / 9]),
)  # fmt: skip
def test_a_crop_holds_all_of_the_product(
    top: int, left: int, height: int, width: int, margin: float, ratio: float | None
) -> None:
    alpha = np.zeros((100, 120), dtype=np.uint8)
    alpha[top : top + height, left : left + width] = 255
    rng = np.random.default_rng(top)
    photo = Photo.of(rng.integers(0, 256, (100, 120, 3), dtype=np.uint8))
    try:
        made = crop(photo, alpha, margin=margin, ratio=ratio)
    except InvalidInput:  # no room for the ratio, or less than 64 px left
        shown = min(height, 100 - top), min(width, 120 - left)
        assert ratio is not None or min(shown) + 2 * round(margin * max(shown)) < 64
        return
    assert made.edit.product == "untouched"
    assert made.edit.changed == 0
    shape = made.photo.pixels.shape
    if ratio is not None:
        assert abs(shape[1] - ratio * shape[0]) <= max(1.0, ratio)


def test_a_crop_that_lost_product_would_be_told(hoodie: Photo) -> None:
    assert hoodie.alpha is not None
    made = crop(hoodie, hoodie.alpha)
    assert made.photo.pixels.shape[0] < hoodie.pixels.shape[0]
    assert made.photo.alpha is not None
    assert (made.photo.alpha == 255).sum() == (hoodie.alpha == 255).sum()


@pytest.mark.parametrize(("ratio", "shadow"), [(1.0, True), (0.8, False), (16 / 9, True)])
def test_a_packshot_is_the_product_untouched_on_pure_white(
    hoodie: Photo, ratio: float, shadow: bool
) -> None:
    assert hoodie.alpha is not None
    made = packshot(hoodie, hoodie.alpha, ratio=ratio, shadow=shadow)
    pixels = made.photo.pixels
    assert (made.edit.product, made.edit.changed) == ("untouched", 0)
    assert abs(pixels.shape[1] - ratio * pixels.shape[0]) <= max(1.0, ratio)
    for border in (pixels[:4], pixels[-4:], pixels[:, :4], pixels[:, -4:]):
        assert (border == 255).all()
    seen = (pixels < 250).any(axis=2)
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    spans = np.ptp(columns) / pixels.shape[1], np.ptp(rows) / pixels.shape[0]
    assert max(spans) == pytest.approx(0.85, abs=0.03)
    middle = (rows[0] + rows[-1]) / 2 / pixels.shape[0]
    assert middle == pytest.approx(0.5, abs=0.02)


def test_a_packshot_has_a_shadow_only_where_asked(hoodie: Photo) -> None:
    assert hoodie.alpha is not None
    plain = packshot(hoodie, hoodie.alpha, shadow=False).photo.pixels.astype(int)
    shaded = packshot(hoodie, hoodie.alpha, shadow=True).photo.pixels.astype(int)
    assert (shaded <= plain).all()
    assert (shaded < plain).any()


def test_a_product_that_the_photo_cuts_has_no_packshot() -> None:
    photo, alpha = scene(1)
    alpha[68:, 40:60] = 255
    with pytest.raises(InvalidInput, match="shows all of it"):
        packshot(photo, alpha)
    with pytest.raises(InvalidInput, match="without a product"):
        packshot(photo, np.zeros_like(alpha))
    with pytest.raises(InvalidInput, match="fill=2"):
        packshot(photo, alpha, fill=2.0)


def test_upscaling_keeps_the_grain_of_the_backdrop_alone() -> None:
    rng = np.random.default_rng(4)
    pixels = np.clip(120 + rng.normal(0, 4, (200, 200, 1)), 0, 255).repeat(3, axis=2)
    photo = Photo.of(pixels.astype(np.uint8))
    alpha = np.zeros((200, 200), dtype=np.uint8)
    alpha[60:140, 60:140] = 255
    made = upscale(photo, alpha, factor=2)
    assert made.photo.pixels.shape == (400, 400, 3)
    assert made.edit.product == "resampled"
    plain = resize(photo, scale=2.0, enlarge=True).photo.pixels
    np.testing.assert_array_equal(made.photo.pixels[130:270, 130:270], plain[130:270, 130:270])
    assert grain_of(made.photo.pixels[:100]) > 1.5 * grain_of(plain[:100])
    again = upscale(photo, alpha, factor=2)
    assert again.edit.after == made.edit.after
    with pytest.raises(InvalidInput, match="factor=5"):
        upscale(photo, alpha, factor=5)

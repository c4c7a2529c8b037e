from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from editing.conftest import scene
from persona_img.editing.colour import transfer, white_balance
from persona_img.errors import InvalidInput
from persona_img.imaging.colour import to_lab
from persona_img.imaging.light import to_linear, to_srgb
from persona_img.imaging.photo import Photo


def cast(photo: Photo, gains: tuple[float, float, float]) -> Photo:
    linear = to_linear(photo.pixels.astype(np.float32) / 255) * np.array(gains, dtype=np.float32)
    return Photo.of(np.round(to_srgb(linear) * 255).astype(np.uint8))


def grey(seed: int = 3) -> tuple[Photo, np.ndarray]:
    photo, alpha = scene(seed)
    pixels = photo.pixels.copy()
    ground = np.random.default_rng(seed).integers(120, 190, (*alpha.shape, 1))
    pixels = np.where(alpha[..., None] > 0, pixels // 2 + 40, ground).astype(np.uint8)
    return Photo.of(pixels), alpha


@pytest.mark.parametrize("neutral", [None, (0, 0, 20, 20)])
def test_a_cast_is_taken_away(neutral: tuple[int, int, int, int] | None) -> None:
    photo, alpha = grey()
    tinted = cast(photo, (1.1, 1.0, 0.75))
    made = white_balance(tinted, alpha, neutral=neutral)
    before = to_lab(tinted.pixels)[alpha == 0][:, 1:].mean(axis=0)
    after = to_lab(made.photo.pixels)[alpha == 0][:, 1:].mean(axis=0)
    assert np.hypot(*before) > 8
    assert np.hypot(*after) < 1
    assert made.edit.product == "altered"
    assert made.edit.changed is not None
    assert made.edit.changed > 0


def test_what_is_neutral_stays() -> None:
    photo, alpha = grey()
    made = white_balance(photo, alpha)
    assert np.abs(made.photo.pixels.astype(int) - photo.pixels.astype(int)).max() <= 1


@pytest.mark.parametrize(
    ("neutral", "says"),
    [((0, 0, 200, 5), "not a box in a picture"), ((-1, 0, 5, 5), "not a box")],
)
def test_boxes_that_cannot_be(neutral: tuple[int, int, int, int], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        white_balance(*grey(), neutral=neutral)


def test_a_coloured_or_blown_ground_is_no_cast() -> None:
    photo, alpha = grey()
    with pytest.raises(InvalidInput, match="coloured ground"):
        white_balance(cast(photo, (1.2, 0.6, 0.3)), alpha)
    with pytest.raises(InvalidInput, match="neither black nor blown out"):
        white_balance(Photo.of(np.full((80, 80, 3), 255, dtype=np.uint8)))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 1000), st.floats(0, 1))
def test_the_product_stays_whatever_the_reference(one: int, other: int, strength: float) -> None:
    photo, alpha = scene(one)
    rng = np.random.default_rng(other)
    base = rng.integers(20, 230, 3)
    pixels = np.clip(base + rng.normal(0, rng.uniform(0.1, 40), (70, 80, 3)), 0, 255)
    made = transfer(photo, alpha, Photo.of(pixels.astype(np.uint8)), strength=strength)
    assert (made.edit.product, made.edit.changed) == ("untouched", 0)
    core = alpha == 255
    np.testing.assert_array_equal(made.photo.pixels[core], photo.pixels[core])


def test_the_backdrop_takes_the_references_colour_by_strength(shirt: Photo) -> None:
    photo, alpha = scene(5)
    reference = Photo.of(np.full((80, 80, 3), (60, 110, 150), dtype=np.uint8))
    wanted = to_lab(reference.pixels)[0, 0]
    away = alpha == 0

    def distance(strength: float) -> float:
        made = transfer(photo, alpha, reference, strength=strength).photo.pixels
        return float(np.linalg.norm(to_lab(made)[away].mean(axis=0) - wanted))

    assert distance(1.0) < 1.5
    assert distance(0.0) > distance(0.5) > distance(1.0)
    none = transfer(photo, alpha, reference, strength=0.0).photo.pixels[away].astype(int)
    assert np.abs(none - photo.pixels[away].astype(int)).max() <= 1


def test_an_even_ground_is_not_stretched_into_noise() -> None:
    photo, alpha = scene(5)
    lively = np.random.default_rng(1).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    made = transfer(photo, alpha, Photo.of(lively)).photo.pixels
    away = alpha == 0
    assert to_lab(made)[away].std(axis=0).max() < 1.6 * to_lab(photo.pixels)[away].std(axis=0).max()


def test_transfers_that_cannot_be() -> None:
    photo, alpha = scene(5)
    with pytest.raises(InvalidInput, match="strength=2"):
        transfer(photo, alpha, photo, strength=2)
    full = photo.with_alpha(np.full(alpha.shape, 255, dtype=np.uint8))
    with pytest.raises(InvalidInput, match="the reference shows 0 pixels"):
        transfer(photo, alpha, full)

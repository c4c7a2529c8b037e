from __future__ import annotations

import numpy as np
import pytest

from persona_img.imaging.grain import grain_of


def noisy(sigma: float, size: int = 300) -> np.ndarray:
    rng = np.random.default_rng(1)
    grey = 120 + rng.normal(0, sigma, (size, size, 1))
    return np.clip(np.round(grey), 0, 255).astype(np.uint8).repeat(3, axis=2)


@pytest.mark.parametrize("hidden", [0, 255])
def test_only_what_counts_is_measured(hidden: int) -> None:
    whole = noisy(5)
    where = np.zeros(whole.shape[:2], dtype=bool)
    where[60:240, 90:270] = True
    cut = np.where(where[..., None], whole, np.uint8(hidden))
    assert grain_of(cut) == 0.0
    assert grain_of(cut, where) == pytest.approx(grain_of(whole), abs=0.8)
    assert grain_of(whole, np.ones_like(where)) == pytest.approx(grain_of(whole), abs=0.5)


def test_nothing_that_counts_has_no_grain() -> None:
    nowhere = np.zeros((300, 300), dtype=bool)
    assert grain_of(noisy(5), nowhere) == 0.0
    nowhere[3:40, 3:40] = True
    assert grain_of(noisy(5), nowhere) == 0.0


def test_texture_on_part_of_a_product_is_not_its_noise() -> None:
    pixels = noisy(1.0)
    pixels[:240] = np.random.default_rng(2).integers(0, 256, (240, 300, 3), dtype=np.uint8)
    assert grain_of(pixels, np.ones(pixels.shape[:2], dtype=bool)) < 2


def test_a_pixel_beside_what_is_hidden_does_not_count() -> None:
    squares = np.kron(np.indices((8, 8)).sum(axis=0) % 2, np.ones((32, 32))).astype(bool)
    whole = noisy(5, 256)
    for hidden in (0, 255):
        assert grain_of(np.where(squares[..., None], whole, np.uint8(hidden)), squares) == 0.0

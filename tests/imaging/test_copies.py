from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from persona_img.imaging.copies import CopyIndex

SHAPE = (96, 128)


def texture(seed: int) -> np.ndarray:
    """Coarse blotches, uint8 (H, W, 3): structure that survives at 16 x 16."""
    cells = np.random.default_rng(seed).normal(128, 40, (12, 12)).astype(np.float32)
    grey = cv2.resize(cells, SHAPE[::-1], interpolation=cv2.INTER_CUBIC)
    return np.dstack([np.clip(grey, 0, 255).astype(np.uint8)] * 3)


def flat(level: int = 190, slope: float = 0.0) -> np.ndarray:
    """An evenly lit wall, its light falling off to one side."""
    fall = slope * np.linspace(-1, 1, SHAPE[1])
    noise = np.random.default_rng(level).normal(0, 1.0, SHAPE)
    return np.dstack([np.clip(level + fall + noise, 0, 255).astype(np.uint8)] * 3)


@pytest.fixture(scope="module")
def index() -> CopyIndex:
    everywhere = np.ones(SHAPE, dtype=np.float32)
    beside = everywhere.copy()
    beside[20:80, 40:90] = 0  # a product stood here
    pictures = [texture(1), texture(2), flat(slope=30)]
    return CopyIndex.of(pictures, [everywhere, beside, everywhere])


def test_a_copy_is_found_also_darker_and_noisy(index: CopyIndex) -> None:
    noise = np.random.default_rng(9).normal(0, 4, (*SHAPE, 1))
    darker = np.clip(0.7 * texture(2) + noise, 0, 255).astype(np.uint8)
    for plate, seen in ((texture(1), 0), (texture(2), 1), (darker, 1)):
        likeness, where = index.nearest(plate)
        assert where == seen
        assert 0.95 < likeness <= 1.0 + 1e-9


def test_what_stood_where_the_product_was_does_not_matter(index: CopyIndex) -> None:
    plate = texture(2)
    plate[26:74, 48:80] = 0
    likeness, where = index.nearest(plate)
    assert where == 1
    assert likeness > 0.95


@pytest.mark.parametrize("seed", range(10, 20))
def test_another_texture_is_no_copy(index: CopyIndex, seed: int) -> None:
    assert index.nearest(texture(seed))[0] < 0.8


def test_evenly_lit_walls_are_not_copies_of_each_other(index: CopyIndex) -> None:
    for plate in (flat(), flat(120), flat(slope=30), flat(100, slope=-25)):
        assert index.nearest(plate) == (0.0, -1)


def test_nothing_to_compare_with() -> None:
    nowhere = np.zeros(SHAPE, dtype=np.float32)
    assert CopyIndex.of([texture(1)], [nowhere]).nearest(texture(1)) == (0.0, -1)
    assert CopyIndex.of([], []).nearest(texture(1)) == (0.0, -1)


def test_an_index_survives_its_file(index: CopyIndex, tmp_path: Path) -> None:
    index.save(tmp_path / "copies.npz")
    again = CopyIndex.load(tmp_path / "copies.npz")
    np.testing.assert_array_equal(again.grey, index.grey)
    np.testing.assert_array_equal(again.known, index.known)

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from persona_img.imaging.photo import Photo, load_photo

PRODUCTS = Path(__file__).parents[2] / "experiments" / "render" / "products"
PHOTOS = Path(__file__).parents[1] / "data" / "photos"


def scene(seed: int, height: int = 90, width: int = 110) -> tuple[Photo, np.ndarray]:
    """A patterned product with a soft edge on a patterned ground, and its mask."""
    rng = np.random.default_rng(seed)
    ground = np.array([200, 180, 150]) + rng.normal(0, 12, (height, width, 1))
    product = rng.integers(0, 256, (height, width, 3))
    alpha = np.zeros((height, width), dtype=np.uint8)
    alpha[20:70, 30:80] = 120
    alpha[22:68, 32:78] = 255
    share = alpha[..., None] / 255
    mixed = share * product + (1 - share) * ground
    return Photo.of(np.clip(np.round(mixed), 0, 255).astype(np.uint8)), alpha


@pytest.fixture(scope="session")
def hoodie() -> Photo:
    return load_photo(PRODUCTS / "saleor_saleor-blue-hoodie.png")


@pytest.fixture(scope="session")
def shirt() -> Photo:
    return load_photo(PHOTOS / "shirt-01.jpg")

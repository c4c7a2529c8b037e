from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from examples import a_photo
from persona_img.domain.catalog import Product
from persona_img.errors import BadPhoto
from persona_img.imaging.drawn import PERSON, drawn_by_person, mask_beside, mask_png, product_photo
from persona_img.imaging.folder import find_photos
from persona_img.imaging.mask_file import load_mask
from persona_img.imaging.photo import png_bytes, save_png
from persona_img.masking.classic import ClassicMasker


@pytest.fixture
def hat(tmp_path: Path) -> Path:
    return save_png(tmp_path / "hat.png", a_photo().pixels)


@pytest.fixture
def alpha() -> np.ndarray:
    return ClassicMasker().cut(a_photo().pixels).alpha


def test_a_maskers_own_is_told_from_a_persons(tmp_path: Path, alpha: np.ndarray) -> None:
    mask = tmp_path / "m.png"
    mask.write_bytes(mask_png(alpha, "hat.png", "learned"))
    np.testing.assert_array_equal(load_mask(mask), alpha)
    assert not drawn_by_person(mask)
    mask.write_bytes(mask_png(alpha, "hat.png", PERSON))
    assert drawn_by_person(mask)
    mask.write_bytes(png_bytes(alpha))  # drawn elsewhere
    assert drawn_by_person(mask)
    mask.write_bytes(png_bytes(alpha, {"persona-img-mask": "hat.png"}))  # of an earlier version
    assert not drawn_by_person(mask)


def test_what_a_person_painted_into_a_maskers_file_is_theirs(
    tmp_path: Path, alpha: np.ndarray
) -> None:
    """Other programs keep the texts of a file that they change."""
    before = Image.open(_written(tmp_path / "m.png", mask_png(alpha, "hat.png", "learned")))
    painted = alpha.copy()
    painted[:9, :9] = 255
    after = png_bytes(painted, {key: str(text) for key, text in before.info.items()})
    assert drawn_by_person(_written(tmp_path / "m.png", after))


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_a_mask_beside_a_photo_is_named_as_its_results_are(hat: Path, alpha: np.ndarray) -> None:
    assert mask_beside(hat) is None
    short = _written(hat.with_name("hat.mask.png"), png_bytes(alpha))
    assert mask_beside(hat) == short
    whole = _written(hat.with_name("hat.png.mask.png"), png_bytes(alpha))
    assert mask_beside(hat) == whole
    whole.unlink()
    save_png(hat.with_name("other.png"), a_photo().pixels).rename(hat.with_name("hat.webp"))
    assert mask_beside(hat) is None  # it could be of either
    short.write_bytes(mask_png(alpha, "hat.png", "learned"))
    assert mask_beside(hat.with_name("hat.webp")) is None


@pytest.mark.parametrize("kind", ["grey", "colours", "silhouette"])
def test_a_mask_beside_its_photo_is_no_photo_however_it_is_written(
    hat: Path, alpha: np.ndarray, kind: str
) -> None:
    whole = np.dstack([alpha] * 3)
    values = {
        "grey": alpha,
        "colours": whole,
        "silhouette": np.dstack([np.full_like(whole, 255), alpha]),
    }
    save_png(hat.with_name("hat.mask.png"), values[kind])
    found = find_photos(hat.parent)
    assert found.photos == (hat,)
    assert "a mask of hat.png" in found.skipped[0][1]
    assert mask_beside(hat) is not None


def test_a_product_is_photographed_with_the_mask_that_it_was_given(
    hat: Path, alpha: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    mask = save_png(hat.with_name("m.png"), alpha)
    digest = a_photo().digest
    product = Product("hat", "hat", "A hat", hat, "own", photo_digest=digest, mask=mask)
    np.testing.assert_array_equal(product_photo(product).alpha, alpha)
    assert product_photo(Product("hat", "hat", "A hat", hat, "own")).alpha is None
    save_png(hat, a_photo().pixels[::-1])
    with caplog.at_level(logging.WARNING):
        assert product_photo(product).alpha is None  # somebody put another photo there
    assert "hat: its mask is of another photo" in caplog.text
    save_png(mask, alpha[:90])
    with pytest.raises(BadPhoto, match=r"product hat: its mask cannot be used: .*--forget"):
        product_photo(Product("hat", "hat", "A hat", hat, "own", mask=mask))

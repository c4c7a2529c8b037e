"""Masks that people drew, with the products whose photos they are of."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from examples import STYLE, a_photo
from persona_img import loop
from persona_img.domain.catalog import Catalog
from persona_img.domain.style import ORIGINAL
from persona_img.errors import BadCatalog, BadPhoto, InvalidInput, NotFound
from persona_img.imaging.drawn import mask_png
from persona_img.imaging.mask_file import load_mask
from persona_img.imaging.photo import pixel_digest, png_bytes, save_png
from persona_img.ingest.products.rows import Reading
from persona_img.masking.classic import ClassicMasker
from persona_img.rendering.renderer import BackdropRenderer
from persona_img.shop import Shop
from persona_img.variants.store import VariantStore

OWN = Reading(category="hat", licence="own")
ALPHA = ClassicMasker().cut(a_photo().pixels).alpha
DRAWN = np.where(np.arange(160)[:, None] < 100, ALPHA, 0).astype(np.uint8)
"""Half of the disc, as nobody but a person would draw it."""


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop.open(tmp_path / "shop")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_png(tmp_path / "photos" / "hat.png", a_photo().pixels)
    save_png(tmp_path / "photos" / "cap.png", a_photo(170).pixels)
    return tmp_path / "photos"


def test_a_mask_beside_a_photo_comes_with_it(shop: Shop, folder: Path) -> None:
    save_png(folder / "hat.mask.png", DRAWN)
    (folder / "cap.mask.png").write_bytes(mask_png(ALPHA, "cap.png", "learned"))
    added = shop.add_products(folder, OWN)
    assert added.added == ("cap", "hat")
    assert added.masked == ("hat",)
    hat = shop.catalog["hat"]
    assert hat.mask is not None
    assert hat.mask.parent == hat.photo.parent
    np.testing.assert_array_equal(load_mask(hat.mask), DRAWN)
    np.testing.assert_array_equal(shop.photo("hat").alpha, DRAWN)
    assert shop.photo("cap").alpha is None
    again = shop.add_products(folder, OWN)
    assert (again.unchanged, again.masked, again.updated) == (("cap", "hat"), (), {})


def test_a_mask_named_for_one_photo(shop: Shop, folder: Path, tmp_path: Path) -> None:
    mask = save_png(tmp_path / "drawn.png", DRAWN)
    assert shop.add_products(folder / "hat.png", OWN, mask=mask).masked == ("hat",)
    with pytest.raises(InvalidInput, match="has 2 photos; a mask is of one"):
        shop.add_products(folder, OWN, mask=mask)


def test_a_mask_stays_while_the_photo_does(shop: Shop, folder: Path, tmp_path: Path) -> None:
    save_png(folder / "hat.mask.png", DRAWN)
    shop.add_products(folder, OWN)
    (folder / "hat.mask.png").unlink()
    mask = shop.catalog["hat"].mask
    assert shop.add_products(folder, OWN).unchanged == ("cap", "hat")
    table = tmp_path / "prices.csv"
    table.write_text("sku,price\nhat,12\n")
    assert shop.add_products(table, Reading()).updated == {"hat": ("price",)}
    (folder / "hat.png").write_bytes(png_bytes(a_photo().pixels, {"note": "saved anew"}))
    added = shop.add_products(folder, OWN)
    assert added.unmasked == ()  # another file of the same pixels
    assert shop.catalog["hat"].mask == mask
    shop.retire_products(["hat"], "sold out")
    assert shop.catalog["hat"].mask == mask


def test_a_mask_goes_with_its_photo_and_that_is_told(shop: Shop, folder: Path) -> None:
    save_png(folder / "hat.mask.png", DRAWN)
    shop.add_products(folder, OWN)
    (folder / "hat.mask.png").unlink()
    before = shop.catalog["hat"]
    assert before.mask is not None
    save_png(folder / "hat.png", np.ascontiguousarray(a_photo().pixels[:, ::-1]))
    added = shop.add_products(folder, OWN)
    assert added.unmasked == ("hat",)
    assert added.updated == {"hat": ("photo", "mask")}
    assert shop.catalog["hat"].mask is None
    assert before.mask.is_file()  # whoever reads the earlier table finds it
    save_png(folder / "hat.mask.png", np.ascontiguousarray(DRAWN[:, ::-1]))
    assert shop.add_products(folder, OWN).masked == ("hat",)


def test_a_mask_that_does_not_fit_its_photo_is_named(shop: Shop, folder: Path) -> None:
    save_png(folder / "hat.mask.png", DRAWN[:90])
    save_png(folder / "hat.png.mask.png", DRAWN[:90])
    with pytest.raises(BadCatalog, match=r"hat\.png\.mask\.png: mask uint8 \(90, 160\)"):
        shop.add_products(folder / "hat.png", OWN)
    assert not shop.workspace.catalog.exists()


def test_a_mask_is_given_to_a_product_that_is_there(shop: Shop, folder: Path) -> None:
    shop.add_products(folder, OWN)
    given = shop.give_mask("hat", DRAWN)
    assert given.mask == shop.catalog["hat"].mask
    before = shop.workspace.catalog.stat().st_mtime_ns
    assert shop.give_mask("hat", DRAWN).mask == given.mask
    assert shop.workspace.catalog.stat().st_mtime_ns == before
    np.testing.assert_array_equal(shop.photo("hat").alpha, DRAWN)
    moved = shop.workspace.root.rename(folder.parent / "moved")
    np.testing.assert_array_equal(Shop.open(moved).photo("hat").alpha, DRAWN)
    shop = Shop.open(moved)
    with pytest.raises(BadPhoto, match="give uint8 of the photo's"):
        shop.give_mask("hat", DRAWN[:90])
    with pytest.raises(NotFound):
        shop.give_mask("scarf", DRAWN)
    assert shop.give_mask("hat", None).mask is None
    assert shop.photo("hat").alpha is None


def test_products_that_are_handed_on_keep_their_masks(shop: Shop, folder: Path) -> None:
    save_png(folder / "hat.mask.png", DRAWN)
    shop.add_products(folder, OWN)
    other = Shop.open(folder.parent / "other")
    assert other.add_products(shop.catalog).masked == ("hat",)
    np.testing.assert_array_equal(other.photo("hat").alpha, DRAWN)


def test_rendering_uses_the_mask_that_a_person_gave(
    shop: Shop, folder: Path, renderer: BackdropRenderer, tmp_path: Path
) -> None:
    shop.add_products(folder / "hat.png", OWN)
    store, slates = VariantStore(tmp_path / "variants"), {("all", "hat"): (ORIGINAL, STYLE)}

    def rendered() -> str:
        (made,) = loop.render(slates, shop.catalog, renderer, store, seed=7)
        assert made.record is not None, made.reason
        return made.record.digest

    cut = rendered()
    assert store.get(cut).certificate.recipe["mask"] == "classic"
    smaller = cv2.erode(ALPHA, np.ones((5, 5), np.uint8))
    shop.give_mask("hat", smaller)
    given = rendered()
    assert given != cut
    certificate = store.get(given).certificate
    assert certificate.recipe["mask"] == "supplied"
    assert certificate.mask == pixel_digest(smaller)
    assert rendered() == given
    shop.give_mask("hat", None)
    assert rendered() == cut
    assert Catalog.load(shop.workspace.catalog)["hat"].mask is None

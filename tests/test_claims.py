"""A shop's pictures are taken in as somebody's, and nobody else's near copy comes after them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from examples import PHOTOS
from persona_img.cli import app
from persona_img.domain.catalog import Product
from persona_img.domain.style import Style
from persona_img.errors import StoreConflict
from persona_img.imaging.photo import load_photo
from persona_img.rendering.base import Variant
from persona_img.settings import Settings
from persona_img.shop import Shop
from persona_img.wiring import renderer


@pytest.fixture(scope="module")
def variant() -> Variant:
    style = Style.of({"palette": "sage", "light": "soft", "framing": "centred"})
    return renderer(Settings(render={"backdrops": "plain"})).render(
        load_photo(PHOTOS / "shirt-01.jpg"), style, seed=7
    )


@pytest.fixture
def shop(tmp_path: Path, variant: Variant) -> Shop:
    shop = Shop.open(tmp_path / "shop")
    shop.add_products([Product("shirt", "tops", "A shirt", PHOTOS / "shirt-01.jpg", "own", "Ann")])
    shop.variants.put(variant, "shirt")
    shop.approve(variant.digest, by="ann")
    return shop


def copied(picture: Path, of: Image.Image) -> Path:
    of.convert("RGB").resize((of.width * 2 // 3, of.height * 2 // 3)).save(picture, quality=75)
    return picture


def test_photos_and_variants_are_taken_in(shop: Shop, variant: Variant) -> None:
    assert shop.registry.digests() == {variant.certificate.photo, variant.digest}


@pytest.mark.parametrize("what", ["photo", "variant"])
def test_another_persons_near_copy_is_refused_and_nothing_is_written(
    shop: Shop, variant: Variant, tmp_path: Path, what: str
) -> None:
    own = Image.open(PHOTOS / "shirt-01.jpg") if what == "photo" else None
    copy = copied(tmp_path / "copy.jpg", own or Image.fromarray(variant.pixels))
    before = shop.workspace.catalog.read_bytes(), len(shop.registry)
    other = Product("copy", "tops", "A copy", copy, "own", "Ben")
    with pytest.raises(StoreConflict, match=r"'copy': .*Ann's.*nothing was added"):
        shop.add_products([other])
    assert (shop.workspace.catalog.read_bytes(), len(shop.registry)) == before
    shop.add_products([Product("copy", "tops", "A copy", copy, "own", "Ann")])
    assert "copy" in shop.catalog


def test_a_copy_is_found_without_a_watermark(shop: Shop, variant: Variant, tmp_path: Path) -> None:
    copy = copied(tmp_path / "copy.jpg", Image.fromarray(variant.pixels))
    find = ["provenance", "find", str(copy), "--home", str(shop.settings.home)]
    done = CliRunner().invoke(app, find)
    assert done.exit_code == 0, done.output
    assert f"fingerprint  variant {variant.digest}: " in done.output
    assert "shows        shirt, Ann's, own, " in done.output
    told = json.loads(CliRunner().invoke(app, [*find, "--json"]).output)
    assert told["watermark"] is None
    (near,) = told["near"]
    assert (near["digest"], near["kind"], near["by"]) == (variant.digest, "variant", "ann")
    assert near["distance"] <= 31
    assert near["chance"] < 1e-15
    other = CliRunner().invoke(app, [*find[:2], str(PHOTOS / "shoes-01.jpg"), *find[3:]])
    assert other.exit_code == 1
    assert "near to none" in other.output

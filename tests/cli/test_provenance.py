"""A copy of a variant is led back to it by the command, on a real store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from examples import PHOTOS
from persona_img.cli import app
from persona_img.domain.style import Style
from persona_img.errors import BadPhoto, InvalidInput
from persona_img.imaging.photo import load_photo
from persona_img.rendering.base import Variant
from persona_img.shop import Shop
from persona_img.wiring import renderer

KEY = "a key for these tests"
VARIABLE = "PERSONA_IMG_PROVENANCE__WATERMARK_KEY"


@pytest.fixture(scope="module")
def variant() -> Variant:
    from persona_img.settings import Settings

    settings = Settings(render={"backdrops": "plain"}, provenance={"watermark_key": KEY})
    style = Style.of({"palette": "sage", "light": "soft", "framing": "centred"})
    return renderer(settings).render(load_photo(PHOTOS / "shirt-01.jpg"), style, seed=7)


@pytest.fixture
def shop(tmp_path: Path, variant: Variant, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setenv(VARIABLE, KEY)
    shop = Shop.open(tmp_path / "shop")
    shop.variants.put(variant, "shirt")
    return shop


def find(shop: Shop, picture: Path, *options: str) -> Result:
    return CliRunner().invoke(
        app, ["provenance", "find", str(picture), *options, "--home", str(shop.settings.home)]
    )


@pytest.mark.xfail(strict=False, reason="at .7 and JPEG 70 many are not read")
def test_a_smaller_copy_is_read(shop: Shop, variant: Variant, tmp_path: Path) -> None:
    copy = tmp_path / "copy.jpg"
    image = Image.fromarray(variant.pixels)
    image.resize((image.width * 7 // 10, image.height * 7 // 10)).save(copy, quality=70)
    told = json.loads(find(shop, copy, "--json").output)
    assert [one["digest"] for one in told["variants"]] == [variant.digest]


def test_a_copy_of_another_size_is_led_back_to_variant_and_photo(
    shop: Shop, variant: Variant, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.jpg"
    image = Image.fromarray(variant.pixels)
    image.resize((image.width * 2, image.height * 2)).save(copy, quality=80)
    done = find(shop, copy, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert [one["digest"] for one in told["variants"]] == [variant.digest]
    assert told["variants"][0]["photo"] == variant.certificate.photo
    assert told["payload"] == variant.certificate.recipe["watermark"]
    assert told["false_alarm"] <= 1e-6
    text = find(shop, copy).output
    assert variant.digest in text
    assert "a chance of at most" in text


def test_a_photo_is_no_copy_of_ours(shop: Shop) -> None:
    done = find(shop, PHOTOS / "shirt-01.jpg")
    assert done.exit_code == 1
    assert "none found" in done.output
    assert "payload" not in done.output


def test_a_mark_of_a_variant_that_is_gone_is_still_told(
    variant: Variant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, KEY)
    picture = tmp_path / "marked.png"
    picture.write_bytes(variant.png)
    done = find(Shop.open(tmp_path / "empty"), picture)
    assert done.exit_code == 0, done.output
    assert "none of this shop carries this payload" in done.output


def test_the_key_is_not_kept_with_the_shop(shop: Shop) -> None:
    assert KEY not in shop.settings.save().read_text()
    assert KEY not in repr(shop.settings)


def test_without_key_or_picture_the_reason_is_told(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadPhoto):
        raise find(shop, tmp_path / "none.png").exception or AssertionError
    monkeypatch.setenv(VARIABLE, "short")
    with pytest.raises(InvalidInput, match=r"watermark_key=\.\.\..*16"):
        raise find(shop, PHOTOS / "shirt-01.jpg").exception or AssertionError
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(InvalidInput, match="set PERSONA_IMG_PROVENANCE__WATERMARK_KEY"):
        raise find(shop, PHOTOS / "shirt-01.jpg").exception or AssertionError

"""Keys are made, pictures leave signed, and whoever checks them is told what is wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from examples import PHOTOS
from persona_img import wiring
from persona_img.cli import app
from persona_img.domain.catalog import Product
from persona_img.domain.style import Style
from persona_img.errors import InvalidInput, NotFound, PersonaImgError
from persona_img.imaging.photo import load_photo
from persona_img.rendering.base import Variant
from persona_img.settings import Settings
from persona_img.shop import Shop
from persona_img.wiring import renderer

KEYS = "PERSONA_IMG_PROVENANCE__KEYS"


@pytest.fixture(scope="module")
def variant() -> Variant:
    style = Style.of({"palette": "sage", "light": "soft", "framing": "centred"})
    settings = Settings(render={"backdrops": "plain"})
    return renderer(settings).render(load_photo(PHOTOS / "shirt-01.jpg"), style, seed=7)


def provenance(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["provenance", *map(str, arguments)])


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    assert provenance("keys", "init", tmp_path / "keys", "--owner", "Our shop").exit_code == 0
    return tmp_path / "keys"


@pytest.fixture
def home(tmp_path: Path, keys: Path, variant: Variant, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(KEYS, str(keys))
    monkeypatch.setenv("PERSONA_IMG_HOME", str(tmp_path / "shop"))
    shop = Shop.open(tmp_path / "shop", provenance={"keys": keys, "rights": "© Our shop"})
    photo = PHOTOS / "shirt-01.jpg"
    digest = load_photo(photo).digest
    shop.add_products(
        [Product("shirt", "tops", "A shirt", photo, "CC0-1.0", "Ann", photo_digest=digest)]
    )
    shop.settings.save()
    shop.variants.put(variant, "shirt")
    shop.approve(variant.digest, by="ann")
    return tmp_path / "shop"


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.webp", "x.avif"])
def test_a_variant_leaves_signed_and_is_trusted_in_every_format(
    home: Path, keys: Path, variant: Variant, tmp_path: Path, name: str
) -> None:
    done = provenance("export", variant.digest[:12], tmp_path / name, "--home", home)
    assert done.exit_code == 0, done.output
    assert done.output.strip().endswith("signed")
    checked = provenance("verify", tmp_path / name, "--trust", keys / "trusted.pem")
    assert checked.exit_code == 0, checked.output
    for said in (
        "manifest     trusted, signed by Our shop pictures",
        "title        A shirt",
        "source type  composite\n",
        "product      product unchanged",
        f"variant      {variant.digest}",
        f"photo        {variant.certificate.photo}",
        "ok   its bytes",
    ):
        assert said in checked.output
    told = json.loads(provenance("inspect", tmp_path / name, "--json").output)
    assert told["xmp"]["photoshop:Credit"] == "Ann"
    assert told["xmp"]["dc:rights"] == "© Our shop"
    if name == "x.png":
        core = variant.alpha == 255
        with Image.open(tmp_path / name) as image:
            assert (np.asarray(image)[core] == variant.pixels[core]).all()


def test_a_changed_byte_another_authority_and_no_manifest_are_each_told(
    home: Path, keys: Path, variant: Variant, tmp_path: Path
) -> None:
    picture = tmp_path / "x.png"
    provenance("export", variant.digest, picture, "--home", home)
    whole = picture.read_bytes()
    other = tmp_path / "other"
    provenance("keys", "init", other)
    untrusted = provenance("verify", picture, "--trust", other / "trusted.pem")
    assert untrusted.exit_code == 1
    assert "FAIL who signed it is not trusted" in untrusted.output
    changed = bytearray(whole)
    changed[-60] ^= 1
    picture.write_bytes(bytes(changed))
    bytewise = provenance("verify", picture)
    assert bytewise.exit_code == 1
    assert "FAIL its bytes are not those that were signed" in bytewise.output
    picture.write_bytes(variant.png)
    bare = provenance("verify", picture)
    assert bare.exit_code == 1
    assert "FAIL manifest: it carries none" in bare.output
    told = json.loads(provenance("verify", picture, "--json").output)
    assert (told["trusted"], told["state"]) == (False, "missing")


def test_what_pages_load_is_signed_and_stays_trusted_when_keys_change(
    home: Path, keys: Path, variant: Variant
) -> None:
    shop = Shop.open(home)
    made = shop.renditions.get(variant.digest)
    assert made is not None
    assert made.signed_by
    assert shop.shown_path(variant.digest).name == "signed.png"
    assert provenance("keys", "rotate").exit_code == 0
    files = [shop.renditions.path(variant.digest, one.file) for one in made.files]
    for path in (*files, shop.shown_path(variant.digest)):
        done = provenance("verify", path)
        assert done.exit_code == 0, done.output


def test_a_picture_without_anything_says_so(tmp_path: Path) -> None:
    Image.new("RGB", (70, 70)).save(tmp_path / "x.png")
    done = provenance("inspect", tmp_path / "x.png")
    assert done.exit_code == 0, done.output
    assert "manifest     none" in done.output
    assert "xmp          none" in done.output


def test_keys_are_shown_and_not_made_twice(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEYS, str(keys))
    assert "as Our shop, until 20" in provenance("keys", "show").output
    again = provenance("keys", "init", keys)
    assert "there are keys already" in str(again.exception)


def test_keys_never_lie_in_the_shops_folder(tmp_path: Path, variant: Variant) -> None:
    home = tmp_path / "shop"
    done = provenance("keys", "init", home / "keys", "--home", home)
    assert "lies in the shop's folder" in str(done.exception)
    assert not (home / "keys").exists()
    shop = Shop.open(home, provenance={"keys": home / "keys"})
    assert not shop.marking.signs
    with pytest.raises(InvalidInput, match="would be in its backups"):
        wiring.check_keys(shop.settings)


@pytest.mark.parametrize("how", ["gone", "readable", "broken"])
def test_keys_that_cannot_be_used_stop_no_pages_and_nothing_signed_is_lost(
    home: Path, keys: Path, variant: Variant, tmp_path: Path, how: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    signed = Shop.open(home, provenance={"keys": keys})
    signed.make_renditions([variant.digest])
    before = signed.renditions.get(variant.digest)
    assert before is not None
    bad = tmp_path / "bad"
    if how != "gone":
        shutil.copytree(keys, bad)
    if how == "readable":
        (bad / "signing.pem").chmod(0o640)
    if how == "broken":
        (bad / "signing.pem").write_text("no key")
    shop = Shop.open(home, provenance={"keys": bad, "credit": "Others"})
    assert shop.make_renditions([variant.digest], shop.catalog.on_offer) == 2
    assert "nothing is signed" in caplog.text
    assert shop.renditions.get(variant.digest) == before
    assert shop.shown_path(variant.digest).name == "signed.png"
    with pytest.raises(PersonaImgError, match="keys"):
        shop.export(variant.digest, tmp_path / "x.jpg")


def test_where_keys_lie_is_not_kept_with_the_shop(home: Path, keys: Path) -> None:
    assert str(keys) not in (home / "persona-img.toml").read_text()


def test_what_cannot_be_done_is_told_with_what_to_do(
    home: Path, variant: Variant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def error(*arguments: object) -> BaseException:
        return provenance(*arguments).exception or AssertionError("it went well")

    with pytest.raises(InvalidInput, match=r"end it in \.png"):
        raise error("export", variant.digest, tmp_path / "x.gif")
    with pytest.raises(InvalidInput, match="give at most these"):
        raise error("export", variant.digest, tmp_path / "x.jpg", "--width", "20000")
    assert not (tmp_path / "x.jpg").exists()
    with pytest.raises(InvalidInput, match="cannot be read"):
        raise error("inspect", tmp_path / "gone.png")
    (tmp_path / "text").write_text("no picture")
    with pytest.raises(InvalidInput, match="no picture"):
        raise error("inspect", tmp_path / "text")
    monkeypatch.setenv(KEYS, str(tmp_path / "nowhere"))
    with pytest.raises(NotFound, match="keys init"):
        raise error("export", variant.digest, tmp_path / "x.png")
    monkeypatch.delenv(KEYS)
    (tmp_path / "x.png").write_bytes(variant.png)
    with pytest.raises(InvalidInput, match="nobody is trusted"):
        raise error("verify", tmp_path / "x.png")

"""What may not be used stops a preparation by name, and nothing is half written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

import persona_img as pi
from persona_img.assets import ASSETS
from persona_img.cli import app
from persona_img.demo.traffic import simulate_history, simulated_shoppers
from persona_img.domain.catalog import Catalog
from persona_img.errors import InvalidInput, UnknownStyle
from persona_img.settings import Settings

START = datetime(2026, 3, 2, tzinfo=UTC)


def settings(home: Path, **groups: object) -> Settings:
    told = {
        "stores": {"features": "frame", "tracker": "folder"},
        "render": {"backdrops": "plain"},
        "learn": {"segments": 2, "least_shoppers": 20, "slate": 2, "variants_per_product": 2},
    }
    return Settings.model_validate({"home": home} | told | groups)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shop = pi.Shop.begin(settings(tmp_path_factory.mktemp("rights") / "shop"))
    shipped = Catalog.load(ASSETS / "catalog" / "products.csv")
    shop.add_products([p for p in shipped if p.product in ("dress-03", "shirt-02")])
    simulate_history(shop, simulated_shoppers(shop, 300), 30, START)
    shop.profile(START)
    shop.prepare(version="first")
    return shop.settings.home


@pytest.fixture
def shop(home: Path) -> pi.Shop:
    for name in ("licences.toml", "brand.toml"):
        (home / name).unlink(missing_ok=True)
    return pi.Shop.open(home)


def listed(shop: pi.Shop, text: str) -> None:
    shop.workspace.licences.write_text(text)


def refused(shop: pi.Shop) -> str:
    """Why a preparation is refused; that it changes nothing is checked."""
    root = shop.workspace.root

    def files() -> dict[Path, bytes]:
        kept = (*root.glob("*.json"), *root.glob("decisions/*"), *root.glob("variants/**/*.png"))
        return {path: path.read_bytes() for path in kept}

    before = files()
    with pytest.raises(InvalidInput) as told:
        shop.prepare()
    assert files() == before
    return str(told.value)


def licences(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["licences", *map(str, arguments)])


def test_an_expired_photo_stops_it_by_name(shop: pi.Shop) -> None:
    listed(
        shop,
        '[[input]]\nkind = "photo"\nname = "dress-03"\nlicence = "agency"\nowner = "Ann"\n'
        "expires = 2026-01-31\n",
    )
    said = refused(shop)
    assert "photo 'dress-03' (agency, Ann): its licence ended on 2026-01-31" in said
    assert "shirt-02" not in said
    assert shop.refusals(today=date(2026, 1, 31)) == []
    done = licences("check", "--home", shop.settings.home)
    assert done.exit_code == 1
    assert done.output.startswith("FAIL photo 'dress-03'")


def test_a_photo_for_the_web_alone_is_none_for_ads(shop: pi.Shop) -> None:
    listed(shop, '[[input]]\nkind = "photo"\nname = "*"\nlicence = "agency"\nuses = ["web"]\n')
    assert shop.refusals("web") == []
    assert len(shop.refusals("ads")) == 2
    shop.check_rights()


def test_a_non_commercial_model_stops_it_by_name_until_a_proof_is_given(shop: pi.Shop) -> None:
    told = {
        "render": {"backdrops": "pretrained"},
        "pretrained": {"model": "black-forest-labs/FLUX.1-Fill-dev"},
    }
    other = pi.Shop(settings(shop.settings.home, **told), shop.workspace)
    said = refused(other)
    assert "model 'black-forest-labs/FLUX.1-Fill-dev' (FLUX.1 [dev] Non-Commercial)" in said
    listed(
        shop,
        '[[input]]\nkind = "model"\nname = "black-forest-labs/FLUX.1-Fill-dev"\n'
        'licence = "FLUX.1 [dev] Non-Commercial"\nproof = "contract 2026-3"\n',
    )
    assert other.refusals() == []


@pytest.fixture
def rented(shop: pi.Shop) -> Iterator[pi.Shop]:
    """A shop whose products' table says of one photo that it is not for business."""
    path = shop.workspace.catalog
    before = path.read_bytes()
    table = Catalog.load(path).on_offer
    Catalog(
        [replace(p, licence="CC-BY-NC-4.0") if p.product == "dress-03" else p for p in table]
    ).save(path)
    yield pi.Shop.open(shop.settings.home)
    path.write_bytes(before)


def test_without_a_listing_a_products_table_stops_nothing_and_is_still_told(
    rented: pi.Shop, caplog: pytest.LogCaptureFixture
) -> None:
    rented.check_rights()
    assert "forbids use for business" in caplog.text
    assert len(rented.refusals()) == 1
    record = next(r for r in rented.variants.records() if r.product == "dress-03")
    assert rented.licence_of(record).uses == ()
    listed(rented, '[[input]]\nkind = "photo"\nname = "shirt-02"\nlicence = "own"\n')
    with pytest.raises(InvalidInput, match="forbids use for business"):
        rented.check_rights()


def test_what_a_model_wears_and_what_cuts_out_is_asked_too(shop: pi.Shop) -> None:
    ended = 'licence = "x"\nexpires = 2020-01-01\n'
    told = {
        "render": {"backdrops": "pretrained"},
        "pretrained": {
            "model": "some/model",
            "lora": "lora",
            "look": "look.jpg",
            "controlnet": "net",
            "ip_adapter": ["ip", "b", "c"],
        },
        "mask": {"masker": "onnx", "model": "cut.onnx"},
    }
    other = pi.Shop(settings(shop.settings.home, **told), shop.workspace)
    assert other.refusals() == []
    rows = [("adapter", "*"), ("photo", "look.jpg"), ("model", "cut.onnx")]
    listed(shop, "".join(f'[[input]]\nkind = "{k}"\nname = "{n}"\n{ended}' for k, n in rows))
    found = "\n".join(other.refusals())
    for name in ("'lora'", "'net'", "'ip'", "look.jpg'", "'cut.onnx'"):
        assert f"{name} (x): its licence ended" in found


def test_a_variants_licence_is_no_other_than_its_parts_allow(shop: pi.Shop) -> None:
    record = next(r for r in shop.variants.records() if r.product == "dress-03")
    gone = replace(record, product="gone")
    assert (str(shop.licence_of(gone)), shop.licence_of(gone).uses) == ("unknown", ())
    photo = replace(record.certificate, photo="0" * 64)
    assert shop.licence_of(replace(record, certificate=photo)).uses == ()
    painted = replace(
        record, certificate=replace(record.certificate, recipe={"backdrops": "diffusion"})
    )
    told = {"render": {"materials": "stones", "adapter": "worn", "backdrops": "diffusion"}}
    own = pi.Shop(settings(shop.settings.home, **told), shop.workspace)
    rows = [("materials", own.settings.render.materials), ("adapter", "*")]
    said = 'licence = "agency"\nuses = ["web"]\n'
    listed(shop, "".join(f'[[input]]\nkind = "{k}"\nname = "{n}"\n{said}' for k, n in rows))
    assert own.licence_of(painted).uses == ("web",)
    assert "agency" in own.licence_of(painted).licences
    assert own.refusals("ads")


def test_a_forbidden_style_is_neither_planned_nor_approved(shop: pi.Shop) -> None:
    record = shop.variants.records()[0]
    surface = record.style.values["surface"]
    shop.workspace.brand.write_text(f'[[forbidden_styles]]\nsurface = "{surface}"\n')
    again = pi.Shop.open(shop.settings.home)
    assert surface not in {s.values.get("surface") for s in again.space.styles()}
    with pytest.raises(UnknownStyle, match=rf"brand\.toml forbids surface={surface}"):
        again.approve(record.digest, by="ann")
    again.withdraw(record.digest, by="ann", reason="not ours")
    with pytest.raises(UnknownStyle, match=r"brand\.toml forbids"):
        again.restore(record.digest, by="ann", reason="ours")
    shop.workspace.brand.unlink()
    pi.Shop.open(shop.settings.home).restore(record.digest, by="ann", reason="ours")
    with pytest.raises(UnknownStyle, match="forbidden"):
        again.space.check(record.style)


def test_a_forbidden_word_stops_it_where_it_stands(shop: pi.Shop) -> None:
    word = shop.catalog["dress-03"].title.split()[0]
    shop.workspace.brand.write_text(f'forbidden_words = ["{word.upper()}"]\n')
    said = refused(pi.Shop.open(shop.settings.home))
    assert "title of product 'dress-03': brand.toml forbids the word" in said


def test_a_variants_licence_follows_from_its_parts(shop: pi.Shop) -> None:
    record = next(r for r in shop.variants.records() if r.product == "dress-03")
    own = shop.catalog["dress-03"].licence
    assert shop.licence_of(record).licences == (own,)
    listed(
        shop,
        '[[input]]\nkind = "photo"\nname = "dress-03"\nlicence = "agency"\nowner = "Ann"\n'
        'expires = 2099-01-31\nuses = ["web"]\n',
    )
    shown = licences("show", record.digest[:10], "--json", "--home", shop.settings.home)
    assert json.loads(shown.output) == {
        "licences": ["agency"], "owners": ["Ann"], "until": "2099-01-31", "uses": ["web"],
    }  # fmt: skip
    assert (
        "until        2099-01-31"
        in licences("show", record.digest[:10], "--home", shop.settings.home).output
    )


def test_a_listing_that_breaks_a_rule_stops_it_too(shop: pi.Shop) -> None:
    listed(shop, '[[input]]\nkind = "photo"\n')
    assert "licences.toml: input 1: name" in refused(shop)


def test_a_variant_is_held_against_a_marketplaces_rules_and_its_licence(shop: pi.Shop) -> None:
    record = next(r for r in shop.variants.records() if r.product == "dress-03")

    def comply(market: str, *options: str) -> Result:
        home = str(shop.settings.home)
        return CliRunner().invoke(
            app, ["comply", record.digest[:10], "--for", market, *options, "--home", home]
        )

    google = comply("google-merchant")
    assert google.exit_code == 0, google.output
    assert "ok   a generated picture says so in its metadata: source type composite" in (
        google.output
    )
    amazon = comply("amazon-main", "--json")
    assert amazon.exit_code == 1
    failed = {one["rule"] for one in json.loads(amazon.output) if one["outcome"] == "FAIL"}
    assert "pure white around the product" in failed
    listed(shop, '[[input]]\nkind = "photo"\nname = "*"\nlicence = "agency"\nuses = ["web"]\n')
    other = comply("google-merchant")
    assert other.exit_code == 1
    assert "FAIL a licence for marketplaces: agency: web, for good" in other.output

"""The ledger by its commands, on a real store."""

from __future__ import annotations

import dataclasses
import getpass
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from examples import PHOTOS, STYLE, a_twin
from persona_img.cli import app
from persona_img.domain.catalog import Catalog, Product
from persona_img.errors import InvalidInput, NotFound, PersonaImgError, StoreConflict, UnknownStyle
from persona_img.rendering.base import Variant
from persona_img.shop import Shop

WHY = "the rug hides the heel"


@pytest.fixture
def shop(tmp_path: Path, variant: Variant) -> Shop:
    """Two variants: one approved by the gate, of two products; one proposed."""
    shop = Shop.open(tmp_path / "shop")
    shop.workspace.catalog.parent.mkdir()
    names = ("shirt", "blouse", "hat")
    photo = PHOTOS / "shirt-01.jpg"
    Catalog([Product(n, "tops", n, photo, "own") for n in names]).save(shop.workspace.catalog)
    shop.variants.put(variant, "shirt")
    shop.variants.show(variant.digest, "blouse")
    shop.variants.ledger.propose(variant.digest)
    shop.variants.put(a_twin(variant), "shirt")
    return shop


def run(shop: Shop, *arguments: str) -> Result:
    return CliRunner().invoke(
        app, ["variants", *arguments, "--home", str(shop.settings.home)], catch_exceptions=True
    )


def out(shop: Shop, *arguments: str) -> str:
    done = run(shop, *arguments)
    assert done.exit_code == 0, done.output
    return str(done.output)


def told(shop: Shop, *arguments: str) -> Any:
    return json.loads(out(shop, *arguments, "--json"))


def refused(shop: Shop, error: type[PersonaImgError], says: str, *arguments: str) -> None:
    done = run(shop, *arguments)
    with pytest.raises(error, match=says):
        raise done.exception or AssertionError(done.output)


def test_the_list_says_what_there_is_and_who_decided(shop: Shop, variant: Variant) -> None:
    rows = told(shop, "list")
    assert {(r["product"], r["state"], r["who"]) for r in rows} == {
        ("blouse", "approved", "gate"), ("shirt", "approved", "gate"), ("shirt", "proposed", None),
    }  # fmt: skip
    assert len(rows) == 3
    assert all(r["style"] == STYLE.key for r in rows)
    for filters, count in (
        (("--product", "blouse"), 1),
        (("--product", "nobody"), 0),
        (("--state", "proposed"), 1),
        (("--state", "withdrawn"), 0),
        (("--style", "light=side, surface=linen"), 3),
        (("--style", "light=soft"), 0),
        (("--product", "shirt", "--state", "approved"), 1),
    ):
        assert len(told(shop, "list", *filters)) == count, filters
    text = out(shop, "list")
    assert "approved by gate, 20" in text
    assert "waits for approval" in text
    assert text.endswith("3 variants of 2 products\n")
    refused(shop, UnknownStyle, "attribute=value", "list", "--style", "linen")


def test_withdrawing_and_restoring_leave_their_reasons(shop: Shop, variant: Variant) -> None:
    said = out(shop, "withdraw", variant.digest[:10], "--reason", WHY, "--by", "ann")
    assert "withdrawn" in said
    assert not shop.variants.is_servable(variant.digest)
    out(shop, "restore", variant.digest, "--reason", "it was another rug")
    assert shop.variants.is_servable(variant.digest)
    history = told(shop, "show", variant.digest)["history"]
    assert [(e["who"], e["action"], e["reason"]) for e in history] == [
        ("gate", "approve", "passed the gate"),
        ("ann", "withdraw", WHY),
        (getpass.getuser(), "restore", "it was another rug"),
    ]
    assert told(shop, "log") == history
    assert out(shop, "log").count("\n") == 4


def test_what_a_person_approves_is_made_for_pages(shop: Shop, variant: Variant) -> None:
    assert "no renditions yet" in out(shop, "show", variant.digest)
    assert told(shop, "show", variant.digest)["renditions"] is None
    out(shop, "approve", variant.digest)
    made = told(shop, "show", variant.digest)["renditions"]
    assert made["master"] == variant.digest
    assert "image/avif: " in out(shop, "show", variant.digest)


def test_showing_a_variant_shows_its_proof_and_files(shop: Shop, variant: Variant) -> None:
    other = dataclasses.replace(variant, seed=8)  # of another recipe
    found = told(shop, "show", variant.digest[:8])
    assert found["digest"] == variant.digest
    assert {p: s["state"] for p, s in found["states"].items()} == {
        "blouse": "approved", "shirt": "approved",
    }  # fmt: skip
    assert Path(found["files"]["file"]).read_bytes() == variant.png
    assert Path(found["files"]["mask"]).exists()
    assert found["certificate"]["core_changed"] == 0
    text = out(shop, "show", variant.digest[:8])
    for part in (variant.digest, "as photographed: 0 of", "history", "passed the gate", STYLE.key):
        assert part in text
    shop.variants.path(variant.digest).unlink()
    assert "(lost)" in out(shop, "show", variant.digest)
    twin = out(shop, "show", a_twin(variant).digest)
    assert f"{variant.digest[:12]}, of the same recipe: approved by gate" in twin
    shop.variants.put(a_twin(other, "cd" * 32), "hat")
    assert "nobody decided yet" in out(shop, "show", "cdcd")


def test_approving_lets_it_be_served(shop: Shop, variant: Variant) -> None:
    twin = a_twin(variant)
    out(shop, "approve", twin.digest[:8], "--by", "ann")
    assert shop.variants.is_servable(twin.digest)
    out(shop, "withdraw", twin.digest, variant.digest, "--reason", WHY)
    assert not any(shop.variants.is_servable(v.digest) for v in (variant, twin))
    refused(shop, StoreConflict, "restore", "approve", twin.digest)


def test_a_style_of_a_product_is_withdrawn_for_good(shop: Shop, variant: Variant) -> None:
    about = ("--product", "blouse", "--style", STYLE.key)
    out(shop, "withdraw", *about, "--reason", WHY, "--by", "ann")
    assert [r["product"] for r in told(shop, "list", "--state", "withdrawn")] == ["blouse"]
    assert "blouse in framing=" in out(shop, "log")
    out(shop, "restore", *about, "--reason", "a new rug", "--by", "ann")
    assert told(shop, "list", "--state", "withdrawn") == []
    unrendered = shop.space.styles()[5].key
    out(shop, "withdraw", "--product", "hat", "--style", unrendered, "--reason", WHY)
    refused(shop, NotFound, "'cap'", "withdraw", "--product", "cap", "--style", unrendered,
            "--reason", WHY)  # fmt: skip
    refused(shop, UnknownStyle, "lacks", "withdraw", "--product", "hat", "--style",
            "surface=linen", "--reason", WHY)  # fmt: skip
    refused(shop, InvalidInput, "original", "withdraw", "--product", "hat", "--style",
            "original", "--reason", WHY)  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("withdraw", "abcd"), "--reason"),
        (("withdraw", "--reason", WHY), "give a digest"),
        (("approve",), "give a digest"),
        (("withdraw", "--product", "hat", "--reason", WHY), "together"),
        (("withdraw", "abcd", "--product", "hat", "--style", "a=b", "--reason", WHY), "together"),
        (("list", "--state", "lost"), "approved"),
    ],
)
def test_what_is_missing_is_named(shop: Shop, arguments: tuple[str, ...], says: str) -> None:
    done = run(shop, *arguments)
    assert done.exit_code == 2
    assert says in done.output
    assert len(shop.variants.ledger.entries()) == 1


def test_where_nobody_is_logged_in_a_name_is_asked_for(
    shop: Shop, variant: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(getpass, "getuser", nobody)
    done = run(shop, "withdraw", variant.digest, "--reason", WHY)
    assert done.exit_code == 2
    assert "--by" in done.output
    out(shop, "withdraw", variant.digest, "--reason", WHY, "--by", "ann")

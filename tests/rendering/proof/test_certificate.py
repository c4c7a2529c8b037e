from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from examples import a_photo
from persona_img.domain.style import Style
from persona_img.domain.variant import Certificate
from persona_img.errors import NotFound, VerificationFailed
from persona_img.imaging.photo import About, Photo, png_bytes
from persona_img.rendering.base import RenderSettings, Variant
from persona_img.rendering.proof.certificate import load_certificate, mask_path, verify
from persona_img.rendering.proof.gate import RULES
from persona_img.rendering.renderer import BackdropRenderer
from persona_img.rendering.sources.tiles import LibraryBackdrops
from persona_img.variants.store import write_variant


@pytest.fixture
def path(variant: Variant, tmp_path: Path) -> Path:
    return write_variant(variant, tmp_path, "shirt")["variant"]


def failed(path: Path, certificate: Certificate | None = None) -> set[str]:
    report = verify(path, a_photo(), certificate)
    assert report.passed == all(check.passed for check in report.checks)
    return {check.name for check in report.checks if not check.passed}


def test_a_rendered_variant_verifies(path: Path, variant: Variant) -> None:
    assert failed(path) == set()
    assert "FAIL" not in str(verify(path, a_photo()))
    assert load_certificate(path.with_suffix(".json")) == variant.certificate


@pytest.mark.parametrize(
    ("pose", "scene", "grounded"),
    [("standing", "tabletop", True), ("worn", "outdoor", False), ("lying", "flat-lay", True)],
)
def test_what_stands_or_touches_nothing_is_measured_as_it_was(
    pose: str, scene: str, grounded: bool, tmp_path: Path
) -> None:
    stands = dataclasses.replace(a_photo(), about=About(pose, 24.0))
    lenient = tuple(rule for rule in RULES if rule.score != "grounding")
    source = LibraryBackdrops(128)
    renderer = BackdropRenderer(source, RenderSettings(rules=lenient))
    style = Style.of({"surface": "linen", "light": "soft", "scene": scene})
    variant = renderer.render(stands, style, seed=2)
    path = write_variant(variant, tmp_path, "mug")["variant"]
    assert failed(path) == set()
    assert ("grounding" in variant.gate.scores) == grounded
    # A recipe that says nothing of it is of a picture that lies.
    recipe = {k: v for k, v in variant.certificate.recipe.items() if k != "rests"}
    untold = dataclasses.replace(variant.certificate, recipe=recipe)
    assert failed(path, untold) == (set() if pose == "lying" else {"gate grounding"})


def test_one_changed_product_pixel_is_found(path: Path, variant: Variant) -> None:
    ys, xs = np.nonzero(variant.mask.alpha == 255)
    dx, dy = variant.certificate.offset
    pixels = variant.pixels.copy()
    pixels[ys[0] + dy, xs[0] + dx, 1] ^= 1
    path.write_bytes(png_bytes(pixels))
    assert {"variant file", "product unchanged", "core changed"} <= failed(path)


def test_a_smaller_mask_does_not_hide_a_change(path: Path, variant: Variant) -> None:
    alpha = variant.mask.alpha.copy()
    ys, xs = np.nonzero(alpha == 255)
    alpha[ys[0], xs[0]] = 0
    mask_path(path).write_bytes(png_bytes(alpha))
    assert {"mask", "core pixels"} <= failed(path)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"variant": "0" * 64}, "variant file"),
        ({"photo": "0" * 64}, "photograph"),
        ({"mask": "0" * 64}, "mask"),
        ({"offset": (1, 0)}, "product unchanged"),
        ({"offset": (0.5, 0)}, "offset"),
        ({"size": (401, 533)}, "size"),
        ({"core_pixels": 7}, "core pixels"),
        ({"core_changed": 1}, "core changed"),
        ({"core_outside": 1}, "core outside"),
        ({"edge_error": 99.0}, "edge error"),
        ({"silhouette_growth": float("nan")}, "silhouette growth"),
        ({"gate": {}}, "gate grounding"),
        ({"gate": {"distinct": 99.0}}, "gate distinct"),
        ({"text": {"box": [0, 0, 9, 9], "ink": "black", "contrast": 1.0}}, "text area"),
    ],
)
def test_a_changed_certificate_is_found(
    path: Path, variant: Variant, changes: dict[str, Any], name: str
) -> None:
    assert name in failed(path, dataclasses.replace(variant.certificate, **changes))


def test_another_photograph_is_found(path: Path) -> None:
    report = verify(path, Photo.of(a_photo().pixels[:, ::-1].copy()))
    found = {check.name for check in report.checks if not check.passed}
    assert {"photograph", "product unchanged"} <= found


@pytest.mark.parametrize("suffix", [".png", ".mask.png", ".json"])
def test_what_is_missing_or_broken_is_an_error(path: Path, suffix: str) -> None:
    part = path.with_suffix(suffix)
    part.write_bytes(part.read_bytes()[:40])
    with pytest.raises(VerificationFailed, match=part.name):
        verify(path, a_photo())
    part.unlink()
    with pytest.raises(NotFound, match=part.name):
        verify(path, a_photo())


def test_a_mask_stored_anew_is_the_same_mask(path: Path, variant: Variant) -> None:
    """Programs that shrink PNGs write other forms of the same values."""
    place, alpha = mask_path(path), Image.fromarray(variant.mask.alpha)
    with Image.open(place) as stored:
        assert stored.mode == "L"
    for image in (alpha.convert("RGB"), alpha.convert("P"), alpha.convert("LA")):
        image.save(place)
        assert failed(path) == set()
    Image.fromarray(a_photo().pixels).save(place)
    with pytest.raises(VerificationFailed, match="coloured"):
        verify(path, a_photo())


def test_a_certificate_of_other_fields_is_none(path: Path) -> None:
    path.with_suffix(".json").write_text(json.dumps({"offset": [0, 0], "size": [1, 1]}))
    with pytest.raises(VerificationFailed, match="not a certificate"):
        load_certificate(path.with_suffix(".json"))

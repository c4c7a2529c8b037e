from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from editing.conftest import scene
from persona_img.domain.style import Style
from persona_img.editing import colour, repair, shape
from persona_img.errors import BadPhoto
from persona_img.imaging.photo import EDITS_KEY, Photo, load_photo
from persona_img.rendering.renderer import BackdropRenderer
from persona_img.rendering.sources.plain import PlainBackdrops


def test_a_saved_edit_keeps_its_record_and_its_pixels(hoodie: Photo, tmp_path: Path) -> None:
    edited = shape.resize(hoodie, side=300)
    path = edited.save(tmp_path / "hoodie-resize.png")
    again = load_photo(path)
    np.testing.assert_array_equal(again.pixels, edited.photo.pixels)
    assert again.alpha is not None
    assert again.digest == edited.edit.after
    assert json.loads(path.with_suffix(".edit.json").read_text()) == asdict(edited.edit)
    assert edited.save(tmp_path / "again.png").read_bytes() == path.read_bytes()


def test_edits_add_up_and_the_certificate_of_a_variant_tells_them(tmp_path: Path) -> None:
    photo, alpha = scene(1, 160, 160)
    first = colour.transfer(photo, alpha, scene(2)[0]).save(tmp_path / "one.png")
    area = np.zeros(alpha.shape, dtype=bool)
    area[40:44, 50:54] = True
    second = repair.inpaint(load_photo(first), area, alpha).save(tmp_path / "two.png")
    final = load_photo(second)
    assert [(e["name"], e["product"]) for e in final.edits] == [
        ("transfer", "untouched"),
        ("inpaint", "altered"),
    ]
    style = Style.of({"palette": "sage", "light": "soft"})
    renderer = BackdropRenderer(PlainBackdrops())
    variant = renderer.render(final.with_alpha(alpha), style, seed=1)
    assert variant.certificate.labels == ("photo altered",)
    assert [e["name"] for e in variant.certificate.edits] == ["transfer", "inpaint"]
    untouched = renderer.render(load_photo(first).with_alpha(alpha), style, seed=1)
    assert untouched.certificate.labels == ()


@pytest.mark.parametrize("text", ["{", "{}", "[1]"])
def test_a_damaged_record_is_not_passed_over(tmp_path: Path, text: str) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt(EDITS_KEY, text)
    Image.new("RGB", (90, 90)).save(tmp_path / "x.png", pnginfo=info)
    with pytest.raises(BadPhoto, match="record of edits is damaged"):
        load_photo(tmp_path / "x.png")

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from examples import a_photo
from persona_img.assets import ASSETS
from persona_img.domain.style import StyleSpace
from persona_img.errors import NotEnoughData
from persona_img.imaging.photo import About, Photo
from persona_img.rendering.base import RenderSettings
from persona_img.rendering.proof.adherence import StyleJudge
from persona_img.rendering.proof.gate import Rule
from persona_img.rendering.renderer import BackdropRenderer
from persona_img.rendering.sources.plain import PlainBackdrops
from persona_img.rendering.sources.tiles import LibraryBackdrops
from persona_img.reports.evaluation import (
    Asked,
    Shown,
    evaluate_source,
    no_defect_rate,
    pictures_of,
    resized,
    speed,
    spread,
)
from pictures import disc_cut_out

TILES = ASSETS / "textures"
SHIPPED = StyleSpace.load(ASSETS / "styles.toml").attributes
SPACE = StyleSpace(
    {
        "surface": ("light-wood", "dark-wood", "marble", "linen", "concrete", "plaster"),
        **{name: SHIPPED[name] for name in ("palette", "light")},
        "framing": ("centred", "airy"),  # a disc has no backdrop left where it is shown close
    },
    ({"surface": "dark-wood", "palette": "blush"}, {"surface": "light-wood", "palette": "sage"}),
)
"""What lies, on surfaces of which there are tiles that nothing is painted with."""


def photos() -> list[Photo]:
    return [a_photo(160), a_photo(176)]


def test_each_surface_is_asked_for_as_often_and_the_draw_is_the_seeds() -> None:
    asked = spread(photos(), SPACE, 9, seed=1)
    surfaces = [a.style.values["surface"] for a in asked]
    assert {surfaces.count(s) for s in SPACE.attributes["surface"]} == {3}
    assert len({a.seed for a in asked}) == 18
    assert [a.style for a in asked] == [a.style for a in spread(photos(), SPACE, 9, seed=1)]
    assert [a.style for a in asked] != [a.style for a in spread(photos(), SPACE, 9, seed=2)]


@pytest.fixture(scope="module")
def measured() -> dict[str, dict[str, float]]:
    asked = spread(photos(), SPACE, 6, seed=1)
    sources = (LibraryBackdrops(160), PlainBackdrops())
    return {
        s.name: evaluate_source(BackdropRenderer(s), asked, StyleJudge(), TILES)[0] for s in sources
    }


@pytest.mark.slow
def test_materials_are_recognised_and_a_bare_sheet_is_not(
    measured: dict[str, dict[str, float]],
) -> None:
    real, bare = measured["library"], measured["plain"]
    assert real["adherence"] > 0.75
    assert bare["adherence_surface"] < 0.7
    assert bare["adherence_surface"] < real["adherence_surface"]
    for figures in measured.values():  # of real pictures from one another
        assert 0 < figures["distance_floor"] == real["distance_floor"] < figures["distance"]


@pytest.mark.slow
def test_the_product_is_proved_unchanged(measured: dict[str, dict[str, float]]) -> None:
    for figures in measured.values():
        assert figures["changed"] == 0
        assert figures["verified"] == figures["shown"] == 1.0
        assert figures["edge_psnr"] > 25
        assert 0.9 < figures["edge_ssim"] <= 1.0
        assert figures["copies"] == figures["fell_back"] == 0
        assert figures["seconds"] > 0


def test_what_the_gate_refuses_is_counted_with_its_reason() -> None:
    asked = spread(photos(), SPACE, 6, seed=1)
    rule = Rule("colour_error", "wrong colour", most=1.0)
    wood = [a for a in asked if "wood" in a.style.values["surface"]]
    others = [a for a in asked if a not in wood]
    split = Rule("plate_spread", "too flat", least=7.5)
    settings = RenderSettings(rules=(split,), tries=1)
    figures, shown = evaluate_source(
        BackdropRenderer(LibraryBackdrops(160), settings), wood + others, StyleJudge(), TILES
    )
    assert 0 < len(shown) < len(asked)
    assert figures["shown"] == len(shown) / len(asked)
    assert figures["refused"] == {"too flat": len(asked) - len(shown)}
    never = RenderSettings(rules=(Rule("plate_spread", "flat", least=99.0), rule), tries=1)
    renderer = BackdropRenderer(LibraryBackdrops(160), never)
    with pytest.raises(NotEnoughData, match="none of 2"):
        evaluate_source(renderer, asked[:2], StyleJudge(), TILES)


def test_tiles_that_are_missing_are_named(tmp_path: Path) -> None:
    asked = spread(photos()[:1], SPACE, 1, seed=1)
    with pytest.raises(NotEnoughData, match="no tile of"):
        evaluate_source(BackdropRenderer(LibraryBackdrops(160)), asked, StyleJudge(), tmp_path)


def test_labels_count_only_for_the_pixels_somebody_looked_at(tmp_path: Path) -> None:
    asked = spread(photos()[:1], SPACE, 4, seed=1)
    asked = [Asked(a.photo, a.style, a.seed) for a in asked]
    shown = [
        Shown(a, f"d{i}", "library", np.zeros((4, 4, 3), np.uint8)) for i, a in enumerate(asked)
    ]
    path = tmp_path / "labels.csv"
    with path.open("w", newline="", encoding="utf-8") as lines:
        table = csv.writer(lines)
        table.writerow(["product", "style", "digest", "defect"])
        table.writerow([shown[0].asked.product, asked[0].style.key, "d0", ""])
        table.writerow([shown[1].asked.product, asked[1].style.key, "d1", "halo"])
        table.writerow([shown[2].asked.product, asked[2].style.key, "older", "halo"])
        table.writerow(["another", asked[3].style.key, "d3", "halo"])
    seen = no_defect_rate(path, shown)
    assert seen == {"looked_at": 2, "no_defect": 0.5, "changed": 1, "defects": {"halo": 1}}
    assert math.isnan(no_defect_rate(path, [])["no_defect"])


def test_pictures_with_an_exact_mask_are_the_variants_own() -> None:
    photo = a_photo(160)
    alpha = np.zeros((160, 160), np.uint8)
    alpha[60:120, 50:110] = 255
    lying = replace(photo.with_alpha(alpha), about=About("lying"))
    found = pictures_of(BackdropRenderer(LibraryBackdrops(160)), [lying], SPACE, each=2)
    assert len(found) == 2
    for picture, mask in found:
        assert picture.shape[:2] == mask.shape
        assert (mask == 255).sum() == (alpha == 255).sum()
        assert (picture[mask == 255] == photo.pixels[alpha == 255]).all()


def test_speed_is_told_by_size_and_stage() -> None:
    styles = [a.style for a in spread(photos()[:1], SPACE, 2, seed=1)]
    found = speed(BackdropRenderer(LibraryBackdrops(160)), a_photo(160), styles, (96, 200))
    assert set(found) == {"96", "200"}
    for stages in found.values():
        assert {"each", "mask", "plate", "gate", "encode"} <= set(stages)
        assert all(v > 0 for v in stages.values())


def test_a_smaller_cut_out_is_a_cut_out_and_what_it_hid_is_not_seen() -> None:
    made = []
    for hidden in (0, (255, 0, 255)):
        values, _, _ = disc_cut_out(hidden)
        cut = Photo.of(values[..., :3].copy(), values[..., 3].copy(), cut_out=True)
        made.append(resized(cut, 100))
    assert made[0].cut_out
    assert made[0].pixels.shape == (100, 100, 3)
    assert made[0].digest == made[1].digest

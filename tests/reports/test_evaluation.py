from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from examples import a_photo
from persona_img.assets import ASSETS
from persona_img.domain.style import StyleSpace
from persona_img.errors import NotEnoughData
from persona_img.imaging.photo import About, Photo, load_photo, pixel_digest
from persona_img.rendering.base import RenderSettings
from persona_img.rendering.proof.adherence import StyleJudge
from persona_img.rendering.proof.certificate import verify
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
    references,
    resized,
    speed,
    spread,
)
from pictures import disc_cut_out

HELD_OUT = Path(__file__).parents[2] / "experiments" / "render" / "materials"
SHIPPED = StyleSpace.load(ASSETS / "styles.toml").attributes
SPACE = StyleSpace(
    {
        "surface": ("light-wood", "dark-wood", "marble", "linen", "concrete", "plaster"),
        **{name: SHIPPED[name] for name in ("palette", "light")},
        "framing": ("centred", "airy"),  # a disc has no backdrop left where it is shown close
    },
    ({"surface": "dark-wood", "palette": "blush"}, {"surface": "light-wood", "palette": "sage"}),
)
"""What lies; of linen alone nothing is held out."""


JUDGE = StyleJudge()


def photos() -> list[Photo]:
    return [a_photo(160), a_photo(176)]


def test_styles_differ_fit_the_pose_and_are_the_seeds() -> None:
    asked = spread(photos(), SPACE, 6, seed=1)
    for at in (0, 6):
        assert len({a.style.values["surface"] for a in asked[at : at + 6]}) >= 5
    assert len({a.seed for a in asked}) == 12
    assert [a.style for a in asked] == [a.style for a in spread(photos(), SPACE, 6, seed=1)]
    assert [a.style for a in asked] != [a.style for a in spread(photos(), SPACE, 6, seed=2)]
    space = StyleSpace.load(ASSETS / "styles.toml")
    lying, standing = (
        [a.style.values["scene"] for a in spread([one], space, 8, seed=1)]
        for one in (replace(photos()[0], about=About(pose)) for pose in ("lying", "standing"))
    )
    assert set(lying) == {"flat-lay"}
    assert set(standing) == {"tabletop", "podium", "room", "outdoor"}


@pytest.fixture(scope="module")
def measured() -> dict[str, dict[str, Any]]:
    shots = [a_photo(300), a_photo(320)]
    asked = spread(shots, SPACE, 6, seed=1)
    sources = (LibraryBackdrops(160), PlainBackdrops())
    first = BackdropRenderer(sources[0])
    real = references(asked, first, HELD_OUT)
    assert len(real) == sum(a.style.values["surface"] != "linen" for a in asked)
    return {s.name: evaluate_source(BackdropRenderer(s), asked, JUDGE, real)[0] for s in sources}


@pytest.mark.slow
def test_materials_are_recognised_and_a_bare_sheet_is_not(
    measured: dict[str, dict[str, Any]],
) -> None:
    real, bare = measured["library"], measured["plain"]
    assert real["adherence"] > bare["adherence"]
    assert real["adherence_surface"] > bare["adherence_surface"]
    assert 0 < real["distance_full"] < bare["distance_full"], "a sheet has no grain at 1:1"
    for figures in measured.values():  # of real pictures from one another
        assert 0 < figures["distance_full_floor"] < figures["distance_full"]
        assert 0 < figures["compared"] < figures["asked"], "linen has no reference"


@pytest.mark.slow
def test_each_scene_has_figures_of_its_own(measured: dict[str, dict[str, Any]]) -> None:
    for figures in measured.values():
        assert set(figures["scenes"]) == {"flat-lay"}
        assert figures["scenes"]["flat-lay"]["asked"] == figures["asked"]
        assert figures["scenes"]["flat-lay"]["distance"] == figures["distance"]
    assert math.isnan(measured["plain"]["sharpness"]), "even paper has no grain to measure"
    assert measured["plain"]["soft"] == 0


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
    split = Rule("plate_spread", "too flat", least=7.5)
    settings = RenderSettings(rules=(split,), tries=1)
    renderer = BackdropRenderer(LibraryBackdrops(160), settings)
    figures, shown = evaluate_source(renderer, asked, JUDGE, {})
    assert 0 < len(shown) < len(asked)
    assert figures["shown"] == len(shown) / len(asked)
    assert figures["refused"] == {"too flat": len(asked) - len(shown)}
    assert math.isnan(figures["distance"]), "there was nothing to compare with"
    never = RenderSettings(rules=(Rule("plate_spread", "flat", least=99.0), rule), tries=1)
    renderer = BackdropRenderer(LibraryBackdrops(160), never)
    with pytest.raises(NotEnoughData, match="none of 2"):
        evaluate_source(renderer, asked[:2], JUDGE, {})


def test_materials_that_are_missing_are_named() -> None:
    linen = StyleSpace({**SPACE.attributes, "surface": ("linen",)})
    asked = spread(photos()[:1], linen, 1, seed=1)
    with pytest.raises(NotEnoughData, match="none of linen"):
        references(asked, BackdropRenderer(LibraryBackdrops(160)), HELD_OUT)


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
    assert math.isnan(seen.pop("believable")), "nobody was asked"
    assert seen == {
        "looked_at": 2,
        "no_defect": 0.5,
        "changed": 1,
        "defects": {"halo": 1},
        "named": {},
    }
    assert math.isnan(no_defect_rate(path, [])["no_defect"])


def test_backdrops_and_named_styles_are_counted_where_somebody_judged_them(tmp_path: Path) -> None:
    asked = spread(photos()[:1], SPACE, 4, seed=1)
    shown = [
        Shown(a, f"d{i}", "library", np.zeros((4, 4, 3), np.uint8)) for i, a in enumerate(asked)
    ]
    values = [a.style.values for a in asked]
    other = next(v for v in SPACE.attributes["light"] if v != values[1]["light"])
    path = tmp_path / "labels.csv"
    with path.open("w", newline="", encoding="utf-8") as lines:
        table = csv.writer(lines)
        table.writerow(["product", "style", "digest", "defect", "backdrop", "named"])
        rows = [
            ("d0", "believable", f"scene=flat-lay,light={values[0]['light']}"),
            ("d1", "blotched", f"scene=podium,light={other}"),
            ("d2", "believable", ""),
            ("older", "blotched", "scene=podium"),
        ]
        for one, (digest, backdrop, named) in zip(asked, rows, strict=True):
            table.writerow([one.product, one.style.key, digest, "", backdrop, named])
    seen = no_defect_rate(path, shown)
    assert seen["looked_at"] == 3
    assert seen["believable"] == pytest.approx(2 / 3)
    assert seen["named"] == {"light": 0.5, "scene": 0.5}


def test_shown_variants_are_kept_whole_under_the_name_of_their_pixels(tmp_path: Path) -> None:
    photo = a_photo(160)
    asked = spread([photo], SPACE, 2, seed=1)
    renderer = BackdropRenderer(LibraryBackdrops(160), RenderSettings(rules=()))
    _, shown = evaluate_source(renderer, asked, JUDGE, {}, keep=tmp_path / "kept")
    for one in shown:
        kept = tmp_path / "kept" / f"{one.digest[:16]}.png"
        assert pixel_digest(load_photo(kept).pixels) == one.digest
        assert verify(kept, photo).passed
    assert len(list((tmp_path / "kept").glob("*.mask.png"))) == len(shown) == 2


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

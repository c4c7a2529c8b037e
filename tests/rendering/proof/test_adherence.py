from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from examples import a_photo
from persona_img.assets import ASSETS
from persona_img.domain.style import Style
from persona_img.errors import NotFound
from persona_img.imaging.photo import About, Photo
from persona_img.rendering.base import RenderSettings, Variant
from persona_img.rendering.proof.adherence import FAMILIES, StyleJudge, alike
from persona_img.rendering.renderer import BackdropRenderer
from persona_img.rendering.sources.tiles import LibraryBackdrops

STYLES = [
    {"surface": s, "palette": p, "light": x, "scene": scene, "framing": "airy"}
    for s, p, x, scene in (
        ("marble", "neutral", "soft", "flat-lay"),
        ("linen", "sage", "side", "flat-lay"),
        ("concrete", "warm", "soft", "flat-lay"),
        ("plaster", "blush", "sun", "flat-lay"),
        ("walnut", "neutral", "soft", "tabletop"),
        ("terrazzo", "neutral", "sun", "room"),
    )
]


@pytest.fixture(scope="module")
def judge() -> StyleJudge:
    return StyleJudge()


@pytest.fixture(scope="module")
def variants() -> list[Variant]:
    """A disc of 500 px in each style, lying or standing as the scene wants it."""
    photo = a_photo(500)
    found = []
    for i, values in enumerate(STYLES):
        pose = "lying" if values["scene"] == "flat-lay" else "standing"
        posed = replace(photo, about=About(pose, 30.0))
        renderer = BackdropRenderer(LibraryBackdrops(), RenderSettings(rules=()))
        found.append(renderer.render(posed, Style.of(values), seed=i))
    return found


def test_it_recognises_materials_in_their_colour_light_and_scene(
    judge: StyleJudge, variants: list[Variant]
) -> None:
    right = []
    for variant, values in zip(variants, STYLES, strict=True):
        chances = judge.chances(variant.pixels, variant.alpha)
        assert all(sum(c.values()) == pytest.approx(1) for c in chances.values())
        seen = judge.recognised(variant.pixels, variant.alpha)
        right += [alike(name, values[name], value) for name, value in seen.items()]
    assert len(right) == 4 * len(STYLES)
    assert np.mean(right) >= 0.7


def test_what_was_asked_for_scores_above_what_was_not(
    judge: StyleJudge, variants: list[Variant]
) -> None:
    for i, variant in enumerate(variants):
        scores = [judge.adherence(variant.pixels, variant.alpha, s) or 0.0 for s in STYLES]
        assert scores[i] > np.median(scores)
        assert scores[i] > 0.1
        assert min(scores) < 0.1


def test_what_nobody_tells_apart_counts_as_shown(
    judge: StyleJudge, variants: list[Variant]
) -> None:
    variant = variants[3]
    asked = [
        judge.adherence(variant.pixels, variant.alpha, {"surface": name})
        for name in ("plaster", "limewash", "paper", "terrazzo")
    ]
    assert asked[0] == asked[1] == asked[2] != asked[3]
    for attribute, families in FAMILIES.items():
        named = [value for family in families for value in family]
        assert len(named) == len(set(named)), "a value has one family"
        assert set(named) <= set(judge.values(attribute))


def test_what_it_has_not_learned_it_does_not_judge(judge: StyleJudge, photo: Photo) -> None:
    alpha = np.zeros(photo.pixels.shape[:2], np.uint8)
    alpha[60:100, 60:100] = 255
    assert judge.adherence(photo.pixels, alpha, {"surface": "lava", "mood": "calm"}) is None
    known = judge.adherence(photo.pixels, alpha, {"light": "soft"})
    assert known == judge.adherence(photo.pixels, alpha, {"surface": "lava", "light": "soft"})
    assert known is not None


def test_without_backdrop_it_does_not_judge(judge: StyleJudge, photo: Photo) -> None:
    full = np.full(photo.pixels.shape[:2], 255, np.uint8)
    assert judge.adherence(photo.pixels, full, {"light": "soft"}) is None
    assert judge.recognised(photo.pixels, full) == {}


def test_its_file_names_it_and_must_be_there(judge: StyleJudge, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="train-judge"):
        StyleJudge(tmp_path / "none.npz")
    with np.load(ASSETS / "judge.npz") as stored:
        table = dict(stored)
    np.savez(tmp_path / "same.npz", **table)
    assert StyleJudge(tmp_path / "same.npz").fingerprint() == judge.fingerprint()
    table["light.out"] = table["light.out"] + 1
    np.savez(tmp_path / "other.npz", **table)
    assert StyleJudge(tmp_path / "other.npz").fingerprint() != judge.fingerprint()

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from persona_img.assets import ASSETS
from persona_img.domain.style import Style
from persona_img.errors import NotFound
from persona_img.imaging.photo import Photo
from persona_img.rendering.base import RenderSettings
from persona_img.rendering.proof.adherence import StyleJudge
from persona_img.rendering.renderer import BackdropRenderer
from persona_img.rendering.sources.tiles import LibraryBackdrops

STYLES = [
    {"surface": s, "palette": p, "light": x, "framing": "centred"}
    for s, p, x in (
        ("light-wood", "neutral", "side"),
        ("marble", "cool", "soft"),
        ("linen", "sage", "window"),
        ("concrete", "warm", "sun"),
        ("plaster", "blush", "side"),
        ("dark-wood", "neutral", "sun"),
    )
]


@pytest.fixture(scope="module")
def judge() -> StyleJudge:
    return StyleJudge()


def test_it_recognises_real_materials_in_their_colour_and_light(
    judge: StyleJudge, photo: Photo
) -> None:
    renderer = BackdropRenderer(LibraryBackdrops(), RenderSettings(rules=()))
    right = []
    for i, values in enumerate(STYLES):
        variant = renderer.render(photo, Style.of(values), seed=i)
        chances = judge.chances(variant.pixels, variant.alpha)
        assert all(sum(c.values()) == pytest.approx(1) for c in chances.values())
        seen = judge.recognised(variant.pixels, variant.alpha)
        right += [value == values[name] for name, value in seen.items()]
    assert len(right) == 3 * len(STYLES)
    assert np.mean(right) >= 0.8


def test_what_was_asked_for_scores_above_what_was_not(judge: StyleJudge, photo: Photo) -> None:
    renderer = BackdropRenderer(LibraryBackdrops(), RenderSettings(rules=()))
    variant = renderer.render(photo, Style.of(STYLES[2]), seed=2)
    scores = [judge.adherence(variant.pixels, variant.alpha, s) for s in STYLES]
    assert max(range(6), key=lambda i: scores[i] or 0) == 2
    assert min(s for s in scores if s is not None) < 0.05


def test_what_it_has_not_learned_it_does_not_judge(judge: StyleJudge, photo: Photo) -> None:
    alpha = np.zeros(photo.pixels.shape[:2], np.uint8)
    alpha[60:100, 60:100] = 255
    assert judge.adherence(photo.pixels, alpha, {"surface": "grass", "mood": "calm"}) is None
    known = judge.adherence(photo.pixels, alpha, {"light": "soft"})
    assert known == judge.adherence(photo.pixels, alpha, {"surface": "grass", "light": "soft"})
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

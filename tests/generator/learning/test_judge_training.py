from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from persona_img.domain.style import StyleSpace
from persona_img.errors import NotEnoughData
from persona_img.generator.learning.judge_training import JudgeSettings, train_judge
from persona_img.rendering.proof.adherence import StyleJudge

MATERIALS = """
[surface.felt]
lab = [75, 0, 3]
[[surface.felt.tile]]
file = "felt.jpg"
cm = 60

[surface.slate]
lab = [35, 0, 0]
[[surface.slate.tile]]
file = "slate.jpg"
cm = 60
"""
SPACE = StyleSpace(
    {"surface": ("felt", "slate"), "palette": ("neutral", "warm", "cool", "blush", "sage")},
    ({"palette": "blush"}, {"palette": "sage"}, {"palette": "warm"}),
)


def materials(folder: Path, seed: int) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for name, grain in (("felt", 4), ("slate", 20)):
        tile = np.clip(120 + rng.normal(0, grain, (256, 256, 1)), 0, 255).astype(np.uint8)
        Image.fromarray(np.repeat(tile, 3, axis=2)).save(folder / f"{name}.jpg")
    (folder / "materials.toml").write_text(MATERIALS, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> JudgeSettings:
    folder = tmp_path_factory.mktemp("judge")
    (folder / "products").mkdir()
    rng = np.random.default_rng(0)
    for i in range(10):
        alpha = np.zeros((96, 80), np.uint8)
        alpha[20 + i : 60, 20:60] = 255
        rgb = rng.integers(0, 255, (96, 80, 3), dtype=np.uint8)
        Image.fromarray(np.dstack([rgb, alpha])).save(folder / "products" / f"{i}.png")
    return JudgeSettings(
        products=folder / "products",
        styles=SPACE,
        materials=materials(folder / "taught", 1),
        unseen=materials(folder / "unseen", 2),
        made=40,
    )


@pytest.fixture(scope="module")
def taught(
    settings: JudgeSettings, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], StyleJudge]:
    """A judge trained in one process, and the report on it."""
    file = tmp_path_factory.mktemp("taught") / "one.npz"
    report = train_judge(settings, file, workers=1)
    return report, StyleJudge(file)


@pytest.mark.slow
def test_it_learns_what_it_is_taught_and_the_same_every_time(
    taught: tuple[dict[str, Any], StyleJudge], settings: JudgeSettings, tmp_path: Path
) -> None:
    report, one = taught
    assert 100 < report["pictures"] <= 120, "three of each set, but of what leaves no backdrop"
    assert report["accuracy"]["surface"] > 0.85
    assert report["accuracy"]["scene"] > 1.5 / 7
    assert one.values("surface") == ("felt", "slate")
    assert set(one.values("palette")) == {"cool", "neutral"}, "what is forbidden is not made"
    train_judge(settings, tmp_path / "two.npz", workers=2)
    assert one.fingerprint() == StyleJudge(tmp_path / "two.npz").fingerprint()
    alpha = np.zeros((300, 260), np.uint8)
    alpha[80:200, 60:200] = 255
    chances = one.chances(np.full((300, 260, 3), 80, np.uint8), alpha)
    assert set(chances) == {"surface", "palette", "light", "scene"}
    assert all(sum(by_value.values()) == pytest.approx(1) for by_value in chances.values())


@pytest.mark.long
def test_another_seed_learns_from_other_pictures(
    taught: tuple[dict[str, Any], StyleJudge], settings: JudgeSettings, tmp_path: Path
) -> None:
    train_judge(replace(settings, seed=8), tmp_path / "two.npz", workers=1)
    assert taught[1].fingerprint() != StyleJudge(tmp_path / "two.npz").fingerprint()


def test_too_little_to_learn_from_says_what_is_missing(
    settings: JudgeSettings, tmp_path: Path
) -> None:
    few = tmp_path / "products"
    few.mkdir()
    (few / "0.png").write_bytes((settings.products / "0.png").read_bytes())
    with pytest.raises(NotEnoughData, match="1 cut-out products"):
        train_judge(replace(settings, products=few), tmp_path / "x.npz", workers=1)
    assert not (tmp_path / "x.npz").exists()

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from persona_img.domain.style import StyleSpace
from persona_img.errors import InvalidInput, NotEnoughData
from persona_img.generator.learning.judge_training import JudgeSettings, train_judge
from persona_img.rendering.proof.adherence import StyleJudge

SURFACES = """
[surface.felt]
tiles = ["felt_0", "felt_1", "felt_2", "felt_3", "felt_4"]
lightness = 75
scale = [0.8, 1.2]
natural = [0, 3]

[surface.slate]
tiles = ["slate_0", "slate_1", "slate_2", "slate_3", "slate_4"]
lightness = 35
scale = [0.8, 1.2]
natural = [0, 0]
"""
SPACE = StyleSpace({"surface": ("felt", "slate"), "palette": ("plain", "red"), "light": ("soft",)})


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> JudgeSettings:
    folder = tmp_path_factory.mktemp("judge")
    rng = np.random.default_rng(0)
    for name, grain in (("felt", 4), ("slate", 20)):
        (folder / "tiles" / name).mkdir(parents=True)
        for i in range(5):
            tile = np.clip(120 + rng.normal(0, grain, (48, 48, 1)), 0, 255).astype(np.uint8)
            Image.fromarray(np.repeat(tile, 3, axis=2)).save(
                folder / "tiles" / name / f"{name}_{i}.jpg"
            )
    (folder / "cut").mkdir()
    for i in range(10):
        alpha = np.zeros((96, 80), np.uint8)
        alpha[20 + i : 60, 20:60] = 255
        rgb = rng.integers(0, 255, (96, 80, 3), dtype=np.uint8)
        np.savez(folder / "cut" / f"{i}.npz", rgb=rgb, alpha=alpha)
    (folder / "surfaces.toml").write_text(SURFACES, encoding="utf-8")
    return JudgeSettings(
        cut=folder / "cut",
        textures=folder / "tiles",
        surfaces=folder / "surfaces.toml",
        styles=SPACE,
        palettes={"plain": (0.0, 0.0), "red": (25.0, 5.0)},
        made=160,
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
    assert report["pictures"] == 160
    assert report["unseen"] == 40
    assert report["accuracy"]["surface"] > 0.85
    assert report["accuracy"]["palette"] > 0.85
    train_judge(settings, tmp_path / "two.npz", workers=2)
    assert one.fingerprint() == StyleJudge(tmp_path / "two.npz").fingerprint()
    grey = np.full((96, 80, 3), 80, np.uint8)
    alpha = np.zeros((96, 80), np.uint8)
    alpha[30:60, 20:60] = 255
    chances = one.chances(grey, alpha)
    assert {name: set(by_value) for name, by_value in chances.items()} == {
        "surface": {"felt", "slate"}, "palette": {"plain", "red"}, "light": {"soft"}
    }  # fmt: skip
    assert all(sum(by_value.values()) == pytest.approx(1) for by_value in chances.values())


@pytest.mark.slow
def test_another_fold_learns_from_other_pictures(
    taught: tuple[dict[str, Any], StyleJudge], settings: JudgeSettings, tmp_path: Path
) -> None:
    train_judge(replace(settings, fold=2), tmp_path / "two.npz", workers=1)
    assert taught[1].fingerprint() != StyleJudge(tmp_path / "two.npz").fingerprint()


def test_too_little_to_learn_from_says_what_is_missing(
    settings: JudgeSettings, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match="fold 5"):
        train_judge(replace(settings, fold=5), tmp_path / "x.npz")
    few = tmp_path / "cut"
    few.mkdir()
    (few / "0.npz").write_bytes((settings.cut / "0.npz").read_bytes())
    with pytest.raises(NotEnoughData, match="1 cut-out products"):
        train_judge(replace(settings, cut=few), tmp_path / "x.npz", workers=1)
    short = tmp_path / "surfaces.toml"
    short.write_text(SURFACES.replace(', "slate_4"', ""), encoding="utf-8")
    with pytest.raises(NotEnoughData, match="surface slate: 4 tiles"):
        train_judge(replace(settings, surfaces=short), tmp_path / "x.npz", workers=1)
    assert not (tmp_path / "x.npz").exists()

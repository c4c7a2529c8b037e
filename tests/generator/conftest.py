from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from persona_img.assets import ASSETS
from persona_img.generator.learning.corpus import CorpusSettings
from persona_img.generator.learning.training import train
from persona_img.generator.learning.training_settings import TrainingSettings

SURFACES = """
[surface.linen]
lab = [80, 1, 4]
[[surface.linen.tile]]
file = "linen.jpg"
cm = 20

[surface.dark-wood]
lab = [35, 8, 15]
dye = 0.4
gloss = 0.1
repeat = "tile"
[[surface.dark-wood.tile]]
file = "wood.jpg"
cm = 40
"""


def write_tiles(folder: Path) -> None:
    rng = np.random.default_rng(1)
    for stem in ("linen", "wood"):
        noise = rng.integers(90, 160, (64, 64, 3)).astype(np.uint8)
        Image.fromarray(noise).save(folder / f"{stem}.jpg", quality=90)
    (folder / "materials.toml").write_text(SURFACES)
    alone = np.zeros((90, 50, 4), np.uint8)
    alone[10:80, 10:40] = (150, 60, 40, 255)
    (folder / "standing").mkdir()
    Image.fromarray(alone).save(folder / "standing" / "box.png")


@pytest.fixture(scope="session")
def corpus_settings(made_once: Callable[..., Path]) -> CorpusSettings:
    """Shipped photos, two made-up tiles and a box that stands: trained on in seconds."""
    folder = made_once("tiles", write_tiles)
    return CorpusSettings(
        photos=ASSETS / "catalog" / "photos",
        palettes={"neutral": (0.0, 0.0), "sage": (-8.0, 7.0)},
        materials=folder,
        standing=folder / "standing",
        max_photos=12,
        made=20,
        seed=3,
    )


@pytest.fixture(scope="session")
def training_settings() -> TrainingSettings:
    return TrainingSettings(
        codec_steps=3,
        denoiser_steps=4,
        codec_batch=2,
        denoiser_batch=2,
        crop=64,
        latent_channels=8,
        codec_widths=(16, 16, 32),
        widths=(32, 32),
        token_width=32,
        save_every=1e9,
    )


@pytest.fixture(scope="session")
def trained(
    corpus_settings: CorpusSettings,
    training_settings: TrainingSettings,
    made_once: Callable[..., Path],
) -> Path:
    """The work folder of a whole training, with its checkpoint in ``checkpoint``."""

    def make(work: Path) -> None:
        train(corpus_settings, training_settings, work, work / "checkpoint")

    return made_once("trained", make)


@pytest.fixture(scope="module")
def work_folder(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What that training left, for one suite to go on with."""
    work = tmp_path_factory.mktemp("work")
    for path in trained.iterdir():
        if path.name in ("cut", "plates"):  # large, and never written again
            (work / path.name).symlink_to(path)
        elif path.is_dir():
            shutil.copytree(path, work / path.name)
        else:
            shutil.copy(path, work)
    return work


@pytest.fixture(scope="module")
def checkpoint(work_folder: Path) -> Path:
    """The trained checkpoint, for one suite."""
    return work_folder / "checkpoint"

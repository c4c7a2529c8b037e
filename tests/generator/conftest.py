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
lightness = 80
scale = [0.6, 0.9]
natural = [1, 4]
tiles = ["Fabric_001"]

[surface.dark-wood]
lightness = 35
scale = [0.8, 1.2]
natural = [8, 15]
dye = 0.4
tiles = ["Wood_001"]
"""


def write_tiles(folder: Path) -> None:
    rng = np.random.default_rng(1)
    for stem in ("Fabric_001", "Wood_001"):
        tile = folder / "textures" / stem.split("_")[0] / f"{stem}.jpg"
        tile.parent.mkdir(parents=True)
        noise = rng.integers(90, 160, (64, 64, 3)).astype(np.uint8)
        Image.fromarray(noise).save(tile, quality=90)
    (folder / "surfaces.toml").write_text(SURFACES)


@pytest.fixture(scope="session")
def corpus_settings(made_once: Callable[..., Path]) -> CorpusSettings:
    """Shipped photos and two made-up tiles: small enough to train on in seconds."""
    folder = made_once("tiles", write_tiles)
    return CorpusSettings(
        photos=ASSETS / "catalog" / "photos",
        textures=folder / "textures",
        surfaces=folder / "surfaces.toml",
        palettes={"neutral": (0.0, 0.0), "sage": (-8.0, 7.0)},
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

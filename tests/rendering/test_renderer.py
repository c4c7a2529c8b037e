from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from contracts.renderer import RendererContract
from persona_img.errors import InvalidInput, NotFound
from persona_img.generator.codec import Codec
from persona_img.generator.pipeline import BackdropPipeline, new_denoiser
from persona_img.generator.style_encoder import StyleEncoder
from persona_img.rendering.base import BackdropSource
from persona_img.rendering.diffusion import DiffusionBackdrops
from persona_img.rendering.plain import PlainBackdrops


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real classes at tiny size and random; the codec's statistics are those of pale cloth."""
    torch.manual_seed(0)
    surfaces = {"linen": [80, 1, 4, 1.0]}
    encoder = StyleEncoder(surfaces, ["soft", "side"], {"neutral": [0, 0]}, width=32)
    mean, std = [0.52, 0.02, -0.04, 0, 0, 0, 0, 0], [0.04, 0.005, 0.005, *[0.1] * 5]
    pipeline = BackdropPipeline(
        Codec(8, (16, 16, 32), latent_mean=mean, latent_std=std).eval(),
        new_denoiser(8, 32, (32, 32)).eval(),
        encoder.eval(),
        FlowMatchEulerDiscreteScheduler(),
    )
    folder = tmp_path_factory.mktemp("checkpoint")
    pipeline.save_pretrained(folder)
    return folder


class TestPlain(RendererContract):
    seed_matters = False

    @pytest.fixture(scope="class")
    def source(self) -> BackdropSource:
        return PlainBackdrops()


class TestDiffusion(RendererContract):
    @pytest.fixture(scope="class")
    def source(self, checkpoint: Path) -> BackdropSource:
        return DiffusionBackdrops(checkpoint, steps=1)


def test_a_folder_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="train-generator"):
        DiffusionBackdrops(tmp_path)


def test_steps_enter_the_fingerprint(checkpoint: Path) -> None:
    one, two = (DiffusionBackdrops(checkpoint, steps=n) for n in (1, 2))
    assert one.fingerprint() != two.fingerprint()
    with pytest.raises(InvalidInput, match="at least one"):
        DiffusionBackdrops(checkpoint, steps=0)

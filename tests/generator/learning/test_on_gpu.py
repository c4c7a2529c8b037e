"""What the other suites do on the CPU, on a GPU where there is one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from persona_img.generator.learning.corpus import CorpusSettings
from persona_img.generator.learning.distillation import DistillationSettings, distill
from persona_img.generator.learning.sharpening import SharpeningSettings, sharpen
from persona_img.generator.learning.training import train
from persona_img.generator.learning.training_settings import TrainingSettings
from persona_img.generator.pipeline import BackdropPipeline
from persona_img.settings import ASSETS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]
STYLES = [
    {"surface": "linen", "light": "sun", "palette": "sage"},
    {"surface": "dark-wood", "light": "window", "palette": "neutral"},
]


def load(folder: Path, device: str) -> BackdropPipeline:
    made = BackdropPipeline.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    made.set_progress_bar_config(disable=True)
    return made.to(device)


def plates(pipeline: BackdropPipeline) -> torch.Tensor:
    torch.manual_seed(0)
    product = torch.rand(2, 3, 96, 96) * 0.2
    mask = torch.zeros(2, 1, 96, 96)
    mask[..., 30:60, 40:70] = 1
    start = torch.rand(2, 3, 96, 96)
    made = pipeline(product * mask, mask, STYLES, seeds=[3, 4], start=start, strength=0.6)
    return made.images.cpu()


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gpu")


@pytest.fixture(scope="module")
def checkpoint(
    corpus_settings: CorpusSettings, training_settings: TrainingSettings, work: Path
) -> Path:
    on_gpu = dataclasses.replace(training_settings, device="cuda", precision="bf16")
    return train(corpus_settings, on_gpu, work, work / "checkpoint")


def test_what_was_trained_there_is_read_everywhere(checkpoint: Path) -> None:
    assert torch.isfinite(plates(load(checkpoint, "cpu"))).all()


def test_training_goes_on_there(
    checkpoint: Path,
    corpus_settings: CorpusSettings,
    training_settings: TrainingSettings,
    work: Path,
) -> None:
    longer = dataclasses.replace(
        training_settings, device="cuda", precision="bf16", denoiser_steps=6, save_every=0.0
    )
    train(corpus_settings, longer, work, work / "longer")
    assert torch.load(work / "denoiser.pt", weights_only=True)["step"] == 6


def test_a_teacher_has_a_student_and_a_sharper_decoder_there(checkpoint: Path, work: Path) -> None:
    taught = DistillationSettings(steps=2, updates=2, batch=2, save_every=0.0, device="cuda")
    student = distill(checkpoint, work, work / "student", taught)
    sharper = SharpeningSettings(steps=3, batch=4, crop=64, alone=1, save_every=0.0, device="cuda")
    sharp = sharpen(student, work, work / "sharp", sharper)
    assert torch.isfinite(plates(load(sharp, "cpu"))).all()


def test_the_shipped_checkpoint_paints_there_what_the_cpu_paints() -> None:
    shipped = ASSETS / "checkpoint"
    on_cpu, on_gpu = plates(load(shipped, "cpu")), load(shipped, "cuda")
    first = plates(on_gpu)
    assert torch.equal(first, plates(on_gpu)), "the same inputs, the same bytes"
    assert (first - on_cpu).abs().mean() < 1 / 255

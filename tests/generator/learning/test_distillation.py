from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from persona_img.errors import InvalidInput, NotFound
from persona_img.generator.learning import distillation
from persona_img.generator.learning.distillation import DistillationSettings, distill, student_loss
from persona_img.generator.learning.training import batch_of
from persona_img.generator.learning.training_settings import TrainingSettings
from persona_img.generator.pipeline import BackdropPipeline

pytestmark = pytest.mark.slow
SETTINGS = DistillationSettings(steps=2, updates=3, batch=2, save_every=1e9, seed=3)


@pytest.fixture(scope="module")
def teacher(checkpoint: Path) -> Path:
    return checkpoint


def load(folder: Path) -> BackdropPipeline:
    return BackdropPipeline.from_pretrained(folder, dtype=torch.float32, local_files_only=True)


def batch(work_folder: Path, settings: TrainingSettings) -> dict[str, torch.Tensor]:
    latents = torch.load(work_folder / "latents.pt", weights_only=True)
    return batch_of(latents, settings, np.random.default_rng(0))


def test_a_student_knows_its_own_steps_and_keeps_codec_and_styles(
    teacher: Path, work_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "latents.pt").symlink_to(work_folder / "latents.pt")
    student = load(distill(teacher, tmp_path, tmp_path / "student", SETTINGS))
    before = load(teacher)
    assert (student.config.steps, student.config.guidance) == (2, 1.0)
    assert (before.config.steps, before.config.guidance) == (8, 2.0)
    for part in ("codec", "style_encoder"):
        old, new = (getattr(p, part).state_dict() for p in (before, student))
        assert all(torch.equal(old[n], new[n]) for n in old), part
    moved = [
        not torch.equal(a, b)
        for a, b in zip(before.denoiser.parameters(), student.denoiser.parameters(), strict=True)
    ]
    assert any(moved)
    with pytest.raises(InvalidInput, match="is a student already"):
        distill(tmp_path / "student", tmp_path, tmp_path / "other", SETTINGS)


def test_interrupted_and_resumed_is_in_one_go(
    teacher: Path, work_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        (folder / "latents.pt").symlink_to(work_folder / "latents.pt")
    often = dataclasses.replace(SETTINGS, save_every=0.0)
    real, seen = student_loss, []

    def stopping(*args: object) -> torch.Tensor:
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(1)
        return real(*args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(distillation, "student_loss", stopping)
        with pytest.raises(KeyboardInterrupt):
            distill(teacher, folders[0], folders[0] / "student", often)
    resumed = load(distill(teacher, folders[0], folders[0] / "student", often))
    whole = load(distill(teacher, folders[1], folders[1] / "student", SETTINGS))
    for a, b in zip(resumed.denoiser.parameters(), whole.denoiser.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_a_teacher_of_one_unguided_step_has_nothing_left_to_teach_itself(
    teacher: Path, work_folder: Path, training_settings: TrainingSettings
) -> None:
    pipeline = load(teacher)
    denoiser, style = pipeline.denoiser.eval(), pipeline.style_encoder.eval()
    some = batch(work_folder, training_settings)
    plain = dataclasses.replace(SETTINGS, teacher_steps=1, guidance=1.0, whole=0.5)
    with torch.no_grad():
        assert student_loss(denoiser, denoiser, style, some, plain).item() < 1e-8
        several = dataclasses.replace(plain, teacher_steps=3)
        assert student_loss(denoiser, denoiser, style, some, several).item() > 1e-8
        guided = dataclasses.replace(plain, guidance=4.0)
        assert student_loss(denoiser, denoiser, style, some, guided).item() > 1e-8


def test_without_latents_or_steps_it_says_so(teacher: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="train-generator worked in"):
        distill(teacher, tmp_path, tmp_path / "student", SETTINGS)
    with pytest.raises(InvalidInput, match="at least 1"):
        distill(teacher, tmp_path, tmp_path / "x", dataclasses.replace(SETTINGS, steps=0))


def test_from_a_start_it_goes_all_the_way(
    teacher: Path,
    work_folder: Path,
    training_settings: TrainingSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipeline = load(teacher)
    some = batch(work_folder, dataclasses.replace(training_settings, denoiser_batch=64))
    times: list[torch.Tensor] = []
    real = distillation.predict

    def watched(net: torch.nn.Module, noisy: torch.Tensor, *given: torch.Tensor) -> torch.Tensor:
        times.append(given[1][: len(some["target"])] / 1000)
        return real(net, noisy, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(distillation, "predict", watched)
    settings = dataclasses.replace(SETTINGS, steps=4, teacher_steps=2, whole=0.75)
    with torch.no_grad():
        student_loss(pipeline.denoiser, pipeline.denoiser, pipeline.style_encoder, some, settings)
    *taught, asked = times
    assert torch.equal(taught[0], asked)
    assert len(taught) == 6, "as fine as two of the teacher's steps for each of four"
    end = taught[-1] - (taught[0] - taught[1])
    near = asked <= 0.75
    assert 0.3 < near.float().mean() < 0.9
    torch.testing.assert_close(end[near], torch.zeros_like(end[near]), atol=1e-5, rtol=0)
    torch.testing.assert_close(end[~near], asked[~near] - 0.25, atol=1e-5, rtol=0)

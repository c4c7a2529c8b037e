from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from persona_img.errors import InvalidInput, NotFound
from persona_img.generator.learning import sharpening
from persona_img.generator.learning.codec_training import reconstruction_loss
from persona_img.generator.learning.distillation import DistillationSettings, distill
from persona_img.generator.learning.sharpening import SharpeningSettings, sharpen
from persona_img.generator.pipeline import BackdropPipeline

pytestmark = pytest.mark.slow
SETTINGS = SharpeningSettings(steps=4, batch=4, crop=64, alone=1, save_every=1e9, seed=3)


@pytest.fixture(scope="module")
def teacher(checkpoint: Path) -> Path:
    return checkpoint


@pytest.fixture(scope="module")
def student(teacher: Path, work_folder: Path) -> Path:
    settings = DistillationSettings(steps=2, updates=2, batch=2, save_every=1e9, seed=3)
    return distill(teacher, work_folder, work_folder / "student", settings)


@pytest.fixture
def work(work_folder: Path, tmp_path: Path) -> Path:
    for name in ("plates", "latents.pt"):
        (tmp_path / name).symlink_to(work_folder / name)
    return tmp_path


def load(folder: Path) -> BackdropPipeline:
    return BackdropPipeline.from_pretrained(folder, dtype=torch.float32, local_files_only=True)


def test_only_the_decoder_learns(student: Path, work: Path) -> None:
    (student / "training_pictures.npz").write_bytes(b"an index")
    old, new = load(student), load(sharpen(student, work, work / "sharp", SETTINGS))
    before, after = old.codec.state_dict(), new.codec.state_dict()
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert moved
    assert {name.split(".")[0] for name in moved} == {"decoder"}
    for part in ("denoiser", "style_encoder"):
        same = [getattr(p, part).state_dict() for p in (old, new)]
        assert all(torch.equal(same[0][n], same[1][n]) for n in same[0]), part
    settings = ("steps", "guidance", "steps_from_start")
    assert [old.config[n] for n in settings] == [new.config[n] for n in settings]
    assert old.codec.config.latent_mean == new.codec.config.latent_mean
    assert (work / "sharp" / "training_pictures.npz").read_bytes() == b"an index"


def test_the_decoder_waits_until_the_discriminator_knows_something(
    student: Path, work: Path
) -> None:
    waiting = dataclasses.replace(SETTINGS, alone=SETTINGS.steps)
    old, new = load(student), load(sharpen(student, work, work / "sharp", waiting))
    before, after = old.codec.state_dict(), new.codec.state_dict()
    assert all(torch.equal(before[n], after[n]) for n in before)


def test_interrupted_and_resumed_is_in_one_go(
    student: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    often = dataclasses.replace(SETTINGS, save_every=0.0)
    real, seen = sharpening._step, []

    def stopping(*args: object) -> dict[str, float]:
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(1)
        return real(*args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(sharpening, "_step", stopping)
        with pytest.raises(KeyboardInterrupt):
            sharpen(student, work, work / "a", often)
    resumed = load(sharpen(student, work, work / "a", often))
    (work / "sharpened.pt").unlink()
    whole = load(sharpen(student, work, work / "b", SETTINGS))
    for a, b in zip(resumed.codec.parameters(), whole.codec.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_a_student_paints_what_is_learned_from_and_a_teacher_does_not(
    student: Path, teacher: Path, work: Path
) -> None:
    always = dataclasses.replace(SETTINGS, painted=1.0, batch=8)
    exact = {}
    for name, folder in (("student", student), ("teacher", teacher)):
        crops = sharpening._Crops(load(folder), sharpening.Corpus(work / "plates"), work, always)
        found = [crops.batch(step) for step in range(4)]
        exact[name] = torch.cat([one[2] for one in found])
        for real, raw, _ in found:
            assert real.shape == (8, 3, 64, 64)
            assert raw.shape[2:] == (4, 4)
    assert exact["teacher"].all()
    assert not exact["student"].all()
    assert exact["student"].any(), "photographs are never painted: there is no telling their style"


def test_exact_crops_lie_where_their_latents_do(student: Path, work: Path) -> None:
    never = dataclasses.replace(SETTINGS, painted=0.0)
    pipeline = load(student)
    crops = sharpening._Crops(pipeline, sharpening.Corpus(work / "plates"), work, never)
    real, raw, _ = crops.batch(0)
    # The first three channels are the picture's own small copy, whatever the codec has learned.
    thumbnail = torch.nn.functional.avg_pool2d(real.mean(1, keepdim=True), 16)
    torch.testing.assert_close(raw[:, :1], thumbnail, atol=0.02, rtol=0.02)


def test_without_plates_with_another_codec_or_an_odd_crop_it_says_so(
    student: Path, work: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with pytest.raises(NotFound, match="train-generator worked in"):
        sharpen(student, tmp_path_factory.mktemp("empty"), work / "x", SETTINGS)
    with pytest.raises(InvalidInput, match="multiple of 16"):
        sharpen(student, work, work / "x", dataclasses.replace(SETTINGS, crop=40))
    latents = torch.load(work / "latents.pt", weights_only=True)
    (work / "latents.pt").unlink()
    for some in latents.values():
        some["target"] += 1.0
    torch.save(latents, work / "latents.pt")
    with pytest.raises(InvalidInput, match="another codec"):
        sharpen(student, work, work / "x", SETTINGS)


def test_phases_do_not_count_where_they_are_not_known() -> None:
    rng = np.random.default_rng(0)
    stripes = torch.from_numpy(np.tile(np.sin(np.arange(64) * np.pi / 2), (64, 1))).float()
    picture = (0.5 * stripes).expand(1, 3, 64, 64)
    shifted, grey = picture.roll(2, dims=3), torch.zeros_like(picture)
    known, unknown = ({"phases": p} for p in (True, False))
    assert reconstruction_loss(shifted, picture, **known)[0] > 0.3
    assert reconstruction_loss(shifted, picture, **unknown)[0] < 0.05
    assert reconstruction_loss(grey, picture, **unknown)[0] > 0.3
    darker = picture - torch.from_numpy(rng.random((1, 1, 1, 1))).float()
    assert reconstruction_loss(darker, picture, **unknown)[0] > 0.1

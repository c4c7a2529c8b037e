from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from persona_img.errors import InvalidInput, NotEnoughData
from persona_img.generator.learning import codec_training, training
from persona_img.generator.learning.codec_training import train_codec
from persona_img.generator.learning.corpus import Corpus, CorpusSettings, cut_photos, list_photos
from persona_img.generator.learning.evaluation import evaluate, index_training
from persona_img.generator.learning.training import cache_latents, train
from persona_img.generator.learning.training_settings import TrainingSettings
from persona_img.generator.pipeline import BackdropPipeline

pytestmark = pytest.mark.slow


def test_a_checkpoint_is_safetensors_only_and_half_precision(checkpoint: Path) -> None:
    files = [p for p in checkpoint.rglob("*") if p.is_file()]
    assert {p.suffix for p in files} <= {".json", ".safetensors"}
    pipeline = BackdropPipeline.from_pretrained(checkpoint, local_files_only=True)
    assert pipeline.codec.config.latent_mean is not None
    stored = BackdropPipeline.from_pretrained(checkpoint, dtype=torch.float16)
    assert stored.denoiser.dtype == torch.float16


def stopping_after(steps: int) -> Callable[..., tuple[torch.Tensor, dict[str, float]]]:
    real, seen = codec_training.codec_loss, []

    def loss(*args: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
        if len(seen) == steps:
            raise KeyboardInterrupt
        seen.append(1)
        return real(*args)

    return loss


def test_training_interrupted_and_resumed_is_training_in_one_go(
    corpus_settings: CorpusSettings,
    training_settings: TrainingSettings,
    checkpoint: Path,
    work_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "cut").symlink_to(work_folder / "cut")
    (tmp_path / "plates").symlink_to(work_folder / "plates")

    corpus = Corpus(tmp_path / "plates")
    every_step = dataclasses.replace(training_settings, save_every=0.0)
    with monkeypatch.context() as patch:
        patch.setattr(codec_training, "codec_loss", stopping_after(2))
        with pytest.raises(KeyboardInterrupt):
            train_codec(corpus, corpus_settings, every_step, tmp_path)
    resumed = train_codec(corpus, corpus_settings, every_step, tmp_path)
    whole = train_codec(corpus, corpus_settings, training_settings, work_folder)
    for a, b in zip(resumed.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_training_can_begin_with_a_checkpoint(
    checkpoint: Path,
    corpus_settings: CorpusSettings,
    training_settings: TrainingSettings,
    work_folder: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "cut").symlink_to(work_folder / "cut")
    (tmp_path / "plates").symlink_to(work_folder / "plates")
    no_steps = dataclasses.replace(training_settings, codec_steps=0, denoiser_steps=0)
    out = train(corpus_settings, no_steps, tmp_path, tmp_path / "checkpoint", checkpoint)
    kept, began = (BackdropPipeline.from_pretrained(x) for x in (out, checkpoint))
    for part in ("codec", "denoiser", "style_encoder"):
        a, b = (getattr(p, part).state_dict() for p in (kept, began))
        assert all(torch.equal(a[name], b[name]) for name in b), part
    wider = dataclasses.replace(no_steps, latent_channels=16)
    (tmp_path / "codec.pt").unlink()
    with pytest.raises(InvalidInput, match="another shape"):
        train(corpus_settings, wider, tmp_path, tmp_path / "other", checkpoint)


def test_it_stops_where_held_out_plates_gain_nothing_and_keeps_the_best(
    corpus_settings: CorpusSettings,
    training_settings: TrainingSettings,
    checkpoint: Path,
    work_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("cut", "plates", "latents.pt"):
        (tmp_path / name).symlink_to(work_folder / name)
    (tmp_path / "codec.pt").write_bytes((work_folder / "codec.pt").read_bytes())
    patient = dataclasses.replace(
        training_settings, denoiser_steps=40, check_every=1, patience=2, denoiser_rate=1e-2
    )
    losses, seen = iter([3.0, 1.0, 2.0, float("nan"), 0.0]), []

    def held_loss(net: training.Painter, *_: object) -> float:
        seen.append({name: value.clone() for name, value in net.state_dict().items()})
        return next(losses)

    monkeypatch.setattr(training, "held_loss", held_loss)
    written = BackdropPipeline.from_pretrained(
        train(corpus_settings, patient, tmp_path, tmp_path / "out"), local_files_only=True
    )
    assert len(seen) == 4
    assert torch.load(tmp_path / "denoiser.pt", weights_only=True)["step"] == 4
    for name, value in written.denoiser.state_dict().items():
        assert torch.equal(value, seen[1][f"denoiser.{name}"].half().float()), name
    train(corpus_settings, patient, tmp_path, tmp_path / "out")
    assert len(seen) == 4, "what has stopped stays stopped"


def test_held_out_plates_are_not_trained_on(
    checkpoint: Path, training_settings: TrainingSettings, work_folder: Path
) -> None:
    latents = training.load_latents(work_folder)
    learned, unseen = training.held_plates(latents, training_settings)
    for name, some in latents.items():
        parts = [learned[name]["target"], unseen[name]["target"]]
        assert [len(p) for p in parts] == [len(some["target"]) - len(parts[1]), len(parts[1])]
        both = {row.numpy().tobytes() for row in parts[0]} & {
            row.numpy().tobytes() for row in parts[1]
        }
        assert not both
    assert sum(len(some["target"]) for some in unseen.values()) >= 1


def test_cached_latents_hide_the_product_of_a_photo_but_not_of_a_made_plate(
    checkpoint: Path,
    corpus_settings: CorpusSettings,
    training_settings: TrainingSettings,
    work_folder: Path,
) -> None:
    corpus = Corpus(work_folder / "plates")
    codec = train_codec(corpus, corpus_settings, training_settings, work_folder)
    latents = cache_latents(corpus, codec, training_settings, work_folder)
    assert any((some["surface"] == 0).any() for some in latents.values())
    for some in latents.values():
        photo = some["surface"] == 0
        assert (some["known"][~photo] == 1).all()
        assert (some["known"][photo] == 0).any(dim=(1, 2, 3)).all()
        assert torch.isfinite(some["target"]).all()


def test_the_report_counts_copies_of_training_pictures(
    checkpoint: Path, corpus_settings: CorpusSettings, work_folder: Path
) -> None:
    index = index_training(work_folder, checkpoint)
    report = evaluate(checkpoint, corpus_settings, index, photos=2, steps=(1,))
    assert report["steps"]["1"]["copies"] == 0
    assert np.isfinite(report["codec_psnr_db"])
    assert (checkpoint / "samples.jpg").exists()


def test_held_out_contributors_are_never_cut(
    corpus_settings: CorpusSettings, checkpoint: Path, work_folder: Path
) -> None:
    kept, unseen = list_photos(corpus_settings)
    assert unseen
    assert not {p.stem for p in kept} & {p.stem for p in unseen}
    assert not {p.stem for p in (work_folder / "cut").iterdir()} & {p.stem for p in unseen}


def test_too_few_photos_and_empty_folders_are_refused(
    corpus_settings: CorpusSettings, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match="no photo"):
        list_photos(dataclasses.replace(corpus_settings, photos=tmp_path))
    few = dataclasses.replace(corpus_settings, max_photos=2)
    with pytest.raises(NotEnoughData, match="add photos"):
        Corpus.build(few, tmp_path / "plates", cut_photos(few, tmp_path / "cut", workers=1))

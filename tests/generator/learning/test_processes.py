from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState

from persona_img.errors import InvalidInput
from persona_img.generator.learning import training
from persona_img.generator.learning.corpus import CorpusSettings
from persona_img.generator.learning.processes import join_processes
from persona_img.generator.learning.training import train
from persona_img.generator.learning.training_settings import TrainingSettings
from persona_img.generator.pipeline import BackdropPipeline

PROGRAM = Path(__file__).with_name("joint_training.py")
TWO = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2",
       "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
       "--main_process_port", "0"]  # fmt: skip
STEPS = 20


@pytest.fixture(scope="module")
def prepared(trained: Path) -> Path:
    """A work folder with all that precedes the denoiser."""
    return trained


def begun(prepared: Path, work: Path) -> Path:
    work.mkdir(parents=True)
    for name in ("cut", "plates", "latents.pt"):
        (work / name).symlink_to(prepared / name)
    (work / "codec.pt").write_bytes((prepared / "codec.pt").read_bytes())
    return work


def joint(
    corpus: CorpusSettings,
    prepared: Path,
    folder: Path,
    launcher: list[str],
    accumulate: int,
    precision: str = "no",
) -> dict[str, dict[str, Any]]:
    """What the processes of one training saw, ``first`` and, where there were two, ``other``."""
    begun(prepared, folder / "work")
    assert corpus.materials is not None
    (folder / "materials").symlink_to(corpus.materials)
    given = [folder, folder / "out", folder / "record", STEPS, accumulate, precision]
    done = subprocess.run(
        [sys.executable, *launcher, str(PROGRAM), *map(str, given)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return {
        path.suffixes[0][1:]: torch.load(path, weights_only=True)
        for path in folder.glob("record.*.pt")
    }


@pytest.fixture(scope="module")
def two(
    corpus_settings: CorpusSettings, prepared: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("two")
    return folder, joint(corpus_settings, prepared, folder, TWO, accumulate=1)


@pytest.mark.slow
def test_two_processes_end_with_the_same_weights_and_a_lower_loss(
    two: tuple[Path, dict[str, dict[str, Any]]],
) -> None:
    _, seen = two
    assert set(seen) == {"first", "other"}
    first, other = seen["first"]["weights"], seen["other"]["weights"]
    assert all(torch.equal(value, other[name]) for name, value in first.items())
    for one in seen.values():
        assert one["after"] < 0.95 * one["before"]


@pytest.mark.slow
def test_the_first_of_two_processes_writes_the_checkpoint_once(
    two: tuple[Path, dict[str, dict[str, Any]]],
) -> None:
    folder, seen = two
    assert (seen["first"]["exports"], seen["other"]["exports"]) == (1, 0)
    written = BackdropPipeline.from_pretrained(folder / "out", local_files_only=True)
    state = torch.load(folder / "work" / "denoiser.pt", weights_only=True)
    assert state["step"] == STEPS
    for name, value in written.denoiser.state_dict().items():
        assert torch.equal(value, state["averaged"][f"denoiser.{name}"].half().float()), name


@pytest.mark.slow
def test_two_processes_share_the_batches_that_one_would_accumulate(
    two: tuple[Path, dict[str, dict[str, Any]]],
    corpus_settings: CorpusSettings,
    prepared: Path,
    tmp_path: Path,
) -> None:
    _, seen = two
    alone = joint(corpus_settings, prepared, tmp_path / "one", [], accumulate=2)
    assert set(alone) == {"first"}
    ours, theirs = seen["first"]["batches"], seen["other"]["batches"]
    taken_in_turn = [b for pair in zip(ours, theirs, strict=True) for b in pair]
    assert alone["first"]["batches"] == taken_in_turn
    assert len(set(taken_in_turn)) == 2 * STEPS
    for name, value in seen["first"]["weights"].items():
        torch.testing.assert_close(alone["first"]["weights"][name], value, atol=2e-3, rtol=0)


@pytest.mark.long
def test_bf16_trains_weights_that_stay_float32(
    corpus_settings: CorpusSettings, prepared: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "bf16"
    seen = joint(corpus_settings, prepared, folder, [], accumulate=1, precision="bf16")["first"]
    assert seen["after"] < 0.95 * seen["before"]
    assert seen["arithmetic"] == "torch.bfloat16"
    assert {w.dtype for w in seen["weights"].values()} == {torch.float32}


@pytest.mark.slow
def test_the_denoiser_interrupted_and_resumed_is_trained_in_one_go(
    corpus_settings: CorpusSettings,
    training_settings: TrainingSettings,
    prepared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    several = dataclasses.replace(training_settings, accumulate=2, save_every=0.0)
    works = [begun(prepared, tmp_path / name) for name in ("whole", "stopped")]
    train(corpus_settings, several, works[0], tmp_path / "out")
    whole = torch.load(works[0] / "denoiser.pt", weights_only=True)
    real, seen = training.flow_loss, []

    def stopping(*given: Any) -> torch.Tensor:
        if len(seen) == 5:  # in the middle of the third step
            raise KeyboardInterrupt
        seen.append(1)
        return real(*given)

    with monkeypatch.context() as patch:
        patch.setattr(training, "flow_loss", stopping)
        with pytest.raises(KeyboardInterrupt):
            train(corpus_settings, several, works[1], tmp_path / "out")
    assert torch.load(works[1] / "denoiser.pt", weights_only=True)["step"] == 2
    train(corpus_settings, several, works[1], tmp_path / "out")
    resumed = torch.load(works[1] / "denoiser.pt", weights_only=True)
    for part in ("net", "averaged"):
        for name, value in whole[part].items():
            torch.testing.assert_close(resumed[part][name], value)


def test_what_no_process_could_do_is_refused() -> None:
    with pytest.raises(InvalidInput, match="needs a GPU"):
        join_processes(TrainingSettings(precision="fp16"))
    with pytest.raises(InvalidInput, match="at least one batch"):
        join_processes(TrainingSettings(accumulate=0))


def test_another_precision_in_the_same_process_is_refused() -> None:
    AcceleratorState._reset_state(True)
    try:
        join_processes(TrainingSettings())
        with pytest.raises(InvalidInput, match="restart your runtime"):
            join_processes(TrainingSettings(precision="bf16"))
    finally:
        AcceleratorState._reset_state(True)

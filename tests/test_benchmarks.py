"""Benchmarks, tried small and without a GPU: they run, and their figures agree with each other."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

pytestmark = pytest.mark.slow
FOLDER = Path(__file__).parents[1] / "benchmarks"
PRICE = 3.6


def figures(script: str, folder: Path, *options: str) -> dict[str, Any]:
    kept = folder / "figures.json"
    asked = ("--tiny", "--price", str(PRICE), "--json", str(kept), *options)
    done = subprocess.run(
        [sys.executable, str(FOLDER / script), *asked],
        # No GPU, also where there is one: what is tested is the same everywhere.
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(kept.read_text())


def agrees(row: dict[str, Any]) -> None:
    assert math.isfinite(row["seconds"])
    assert row["seconds"] > 0
    assert row["per_second"] == pytest.approx(row["batch"] / row["seconds"])
    if row["cost_per_thousand"] is not None:
        assert row["cost_per_thousand"] == pytest.approx(PRICE / 3.6 / row["per_second"])


@pytest.mark.long
def test_the_checkpoint_beside_the_cpu(tmp_path: Path) -> None:
    found = figures("render_gpu.py", tmp_path, "--batches", "2", "--workers", "2")
    for start in ("from noise", "from a tile"):
        rows = [row for row in found["plates"] if row["start"] == start]
        cpu = [row for row in rows if row["cost_per_thousand"] is None]
        assert [row["batch"] for row in cpu] == [1, 2]
        assert len(rows) == len(cpu) + 4  # settings
        best = max(row["batch"] / row["seconds"] for row in cpu)
        for row in rows:
            agrees(row)
            assert row["ratio"] == pytest.approx(row["batch"] / row["seconds"] / best)
            # The same plates, whatever they were computed in: eight bits hide most of it.
            assert row["levels_off"] < (0.01 if row["setting"] == "float32" else 1.0)
    [ceiling] = found["ceiling"]
    assert ceiling["variants"] + ceiling["refused"] == 2
    assert ceiling["variants"] > 0
    assert all(seconds > 0 for seconds in ceiling["stages"].values())
    rest = sum(ceiling["stages"].values())
    assert ceiling["ratio_at_most"] == pytest.approx(1 + ceiling["painting_seconds"] / rest)
    assert ceiling["ratio_at_most"] > 1


@pytest.mark.long
def test_large_models(tmp_path: Path) -> None:
    found = figures("large_models.py", tmp_path)
    for name, many in (("sdxl", 30), ("flux", 28)):
        asked = [(row["steps"], row["batch"]) for row in found[name]]
        assert asked == [(4, 1), (4, 2), (many, 1), (many, 2)]
        for row in found[name]:
            agrees(row)
            assert row["seconds_each"] == pytest.approx(row["seconds"] / row["batch"])
    rows = [row for name in ("sdxl", "flux") for row in found[name]]
    few = sum(row["seconds"] for row in rows if row["steps"] == 4)
    assert few < sum(row["seconds"] for row in rows if row["steps"] != 4)


def test_interactions_beside_pandas(tmp_path: Path) -> None:
    kept = tmp_path / "figures.json"
    subprocess.run(
        [sys.executable, str(FOLDER / "interactions.py"), "--rows", "3000", "--json", str(kept)],
        capture_output=True,
        check=True,
    )
    found = json.loads(kept.read_text())
    assert [one["rows"] for one in found] == [3000] * 6
    assert {one["file"] for one in found} == {"events.parquet", "events.csv"}
    assert all(one["seconds"] > 0 and one["peak_mib"] > 20 for one in found)


@pytest.fixture
def timing() -> ModuleType:
    spec = importlib.util.spec_from_file_location("timing", FOLDER / "timing.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_figure_is_of_as_many_calls_as_were_asked_for(
    timing: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, calls = [0.0], []
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])

    def slow() -> None:
        calls.append(1)
        clock[0] += 1.0

    for many in (1, 5):
        calls.clear()
        given = Namespace(tiny=False, calls=many, price=PRICE)
        assert timing.measure(slow, 1, torch.device("cpu"), given)["seconds"] == 1.0
        assert len(calls) == many
    with pytest.raises(SystemExit, match="at least 1"):
        timing.begin(Namespace(tiny=True, calls=0, price=PRICE, json=None))


def test_fits_are_timed_each_with_its_own_peak() -> None:
    asked = ("--rows", "20000", "--segments", "2", "--products", "6")
    found = {}
    for name in ("none", "boosted"):
        done = subprocess.run(
            [sys.executable, str(FOLDER / "rankers.py"), *asked, "--only", name],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        found[name] = json.loads(done.stdout)
    assert found["none"]["told"] == {}
    assert found["none"]["worked"] < 0.1 < found["boosted"]["worked"]
    assert found["none"]["peak"] < found["boosted"]["peak"] < 8
    assert found["boosted"]["told"]["rounds"] >= 0


def test_every_way_to_read_feedback_counts_the_same_clicks(tmp_path: Path) -> None:
    kept = tmp_path / "figures.json"
    command = [sys.executable, str(FOLDER / "feedback.py"), "--rows", "3000", "--json", str(kept)]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    found = json.loads(kept.read_text())
    ways = {one["way"]: one for one in found if "way" in one}
    assert {one["rows"] for one in ways.values()} == {3000}
    assert len({one["clicks"] for way, one in ways.items() if way != "archive it"}) == 1
    assert found[-1]["archive"] < found[-1]["log"]

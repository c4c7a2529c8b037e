from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from contracts.tracker import TABLE, TrackerContract, contents
from persona_img.tracking import FolderTracker
from persona_img.tracking.files import read_json

if TYPE_CHECKING:
    from pathlib import Path


class TestFolderTracker(TrackerContract):
    def new_tracker(self, root: Path) -> FolderTracker:
        return FolderTracker(root)

    def read_run(self, root: Path, experiment: str, run_id: str) -> dict[str, Any]:
        folder = root / "runs" / experiment / run_id
        run = read_json(folder / "run.json")
        files = contents(folder / "artifacts") if (folder / "artifacts").exists() else {}
        return run | {
            "datasets": {name: kept["digest"] for name, kept in run["datasets"].items()},
            "files": files | {"report.json": (folder / "report.json").read_bytes()},
        }

    def runs(self, root: Path, experiment: str) -> list[str]:
        found = (root / "runs" / experiment).glob("[0-9a-f]*")
        return [folder.name for folder in found]

    def stored_files(self, root: Path, version: int) -> Path:
        return root / "rankers" / str(version) / "files"


def test_nothing_is_written_before_it_must(tmp_path: Path) -> None:
    tracker = FolderTracker(tmp_path / "store")
    tracker.history()
    tracker.champion()
    assert list(tmp_path.iterdir()) == []


def test_nothing_half_written_is_left(tmp_path: Path) -> None:
    tracker = FolderTracker(tmp_path / "store")
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "model.txt").write_text("x")
    tracker.promote(tracker.register_ranker(tmp_path / "r"))
    tracker.log_report({}, experiment="e", run_name="n", datasets={"t": TABLE})
    assert [f for f in (tmp_path / "store").rglob("*") if f.name.startswith(".")] == []


def test_rows_of_datasets_are_not_kept(tmp_path: Path) -> None:
    """A run is read by many; who clicked what is not for them."""
    table = pd.DataFrame({"shopper": ["ann-of-green-gables"]})
    FolderTracker(tmp_path).log_report({}, experiment="e", run_name="n", datasets={"t": table})
    kept = b"".join(contents(tmp_path).values())
    assert b"green-gables" not in kept

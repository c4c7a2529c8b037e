"""What every Tracker must do; each adapter's tests inherit it and say how to make one."""

from __future__ import annotations

import math
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from persona_img.errors import InvalidInput, NotFound, StoreConflict, VerificationFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from persona_img.tracking import Tracker

TABLE = pd.DataFrame(
    {
        "shopper": ["ann", "bob"],
        "digest": [None, None],
        "factors": [[0.1, 0.2], [0.3, 0.4]],
        "clicked": [0, 1],
        "shown_at": pd.to_datetime(["2026-03-01", "2026-03-02"], utc=True),
    }
)


BAD_RUNS: list[tuple[dict[str, Any], str]] = [
    ({"experiment": "../up"}, "experiment"),
    ({"run_name": " "}, "run_name"),
    ({"metrics": {"lift": math.inf}}, "metric lift"),
    ({"metrics": {"lift": "0.1"}}, "metric lift"),
    ({"metrics": {"": 1.0}}, "metric ''"),
    ({"params": {"a;b": 1}}, "param 'a;b'"),
    ({"params": {"long": "x" * 9_000}}, "param long"),
    ({"tags": {"\n": "x"}}, "tag"),
    ({"artifacts": {"../x": Path(__file__)}}, r"artifact '\.\./x'"),
    ({"artifacts": {"/x": Path(__file__)}}, "artifact '/x'"),
    ({"artifacts": {"report.json": Path(__file__)}}, "report.json"),
]


def a_ranker(folder: Path, trees: str = "tree one") -> Path:
    """A folder of files such as a ranker saves."""
    (folder / "parts").mkdir(parents=True)
    (folder / "model.txt").write_text(trees)
    (folder / "parts" / "columns.json").write_text("[]")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    files = (f for f in folder.rglob("*") if f.is_file())
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in files}


class TrackerContract:
    """Inherit it, and give :meth:`new_tracker`, :meth:`read_run` and :meth:`stored_files`."""

    def new_tracker(self, root: Path) -> Tracker:
        """A tracker that keeps everything below ``root``, another process would find it all."""
        raise AssertionError("the adapter's tests say how")

    def read_run(self, root: Path, experiment: str, run_id: str) -> dict[str, Any]:
        """What is kept of a run: ``metrics, params, tags, datasets`` (name to digest), ``files``
        (name to bytes)."""
        raise AssertionError("the adapter's tests say how")

    def runs(self, root: Path, experiment: str) -> list[str]:
        """Ids of the runs that are kept as good."""
        raise AssertionError("the adapter's tests say how")

    def stored_files(self, root: Path, version: int) -> Path:
        """Folder where a version's files lie."""
        raise AssertionError("the adapter's tests say how")

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        return tmp_path / "kept here ü"

    @pytest.fixture
    def tracker(self, root: Path) -> Tracker:
        return self.new_tracker(root)

    @pytest.fixture
    def three(self, tracker: Tracker, tmp_path: Path) -> tuple[int, ...]:
        folders = [a_ranker(tmp_path / f"ranker-{n}", f"tree {n}") for n in range(3)]
        return tuple(tracker.register_ranker(folder) for folder in folders)

    # Runs

    def test_a_run_is_kept_as_given(self, tracker: Tracker, root: Path, tmp_path: Path) -> None:
        sheet = tmp_path / "x.png"
        sheet.write_bytes(b"picture")
        run_id = tracker.log_report(
            {"lift": 0.1, "p": None, "arms": [1, 2]},
            experiment="hero-image",
            run_name="round 1",
            metrics={"lift/personalized": 0.25, "p/personalized": math.nan, "shoppers": 7},
            params={"seed": 3, "arms": ("control", "b")},
            tags={"shoppers": "simulated"},
            datasets={"feedback": TABLE},
            artifacts={"pictures/sheet.png": sheet, "ranker": a_ranker(tmp_path / "r")},
        )
        run = self.read_run(root, "hero-image", run_id)
        assert run["metrics"].pop("p/personalized") != 0.0
        assert run["metrics"] == {"lift/personalized": 0.25, "shoppers": 7.0}
        assert run["params"] == {"seed": "3", "arms": "('control', 'b')"}
        assert run["tags"]["shoppers"] == "simulated"
        assert list(run["datasets"]) == ["feedback"]
        assert run["files"]["pictures/sheet.png"] == b"picture"
        assert run["files"]["ranker/model.txt"] == b"tree one"
        assert b'"p": null' in run["files"]["report.json"]

    def test_datasets_are_told_apart_by_content(self, tracker: Tracker, root: Path) -> None:
        def digest(table: pd.DataFrame) -> str:
            run_id = tracker.log_report(
                {}, experiment="e", run_name="n", datasets={"feedback": table}
            )
            return str(self.read_run(root, "e", run_id)["datasets"]["feedback"])

        changed = TABLE.assign(clicked=[1, 1])
        assert digest(TABLE) == digest(TABLE.copy()) != digest(changed)

    def test_many_numbers_fit_in_a_run(self, tracker: Tracker, root: Path) -> None:
        metrics = {f"lift/{n}": float(n) for n in range(250)}
        params = {f"p{n}": n for n in range(150)}
        run_id = tracker.log_report(
            {}, experiment="e", run_name="n", metrics=metrics, params=params
        )
        run = self.read_run(root, "e", run_id)
        assert run["metrics"] == metrics
        assert len(run["params"]) == 150

    def test_the_same_run_again_is_another_run(self, tracker: Tracker, root: Path) -> None:
        ids = {tracker.log_report({}, experiment="e", run_name="n") for _ in range(2)}
        assert len(ids) == 2
        assert set(self.runs(root, "e")) == ids

    def test_bad_runs_are_refused_and_not_kept(self, tracker: Tracker, root: Path) -> None:
        for wrong, message in BAD_RUNS:
            usual: dict[str, Any] = {"experiment": "e", "run_name": "n"}
            with pytest.raises(InvalidInput, match=message):
                tracker.log_report({}, **(usual | wrong))
        for value in (math.nan, {1, 2}):
            with pytest.raises(InvalidInput, match="report"):
                tracker.log_report({"lift": value}, experiment="e", run_name="n")
        assert self.runs(root, "e") == []

    def test_a_missing_artifact_is_named(self, tracker: Tracker, tmp_path: Path) -> None:
        with pytest.raises(NotFound, match="sheet"):
            tracker.log_report(
                {}, experiment="e", run_name="n", artifacts={"sheet": tmp_path / "no.png"}
            )

    # Rankers

    def test_before_the_first_ranker(self, tracker: Tracker, tmp_path: Path) -> None:
        assert tracker.champion() is None
        assert tracker.history() == ()
        with pytest.raises(NotFound, match="no champion yet"):
            tracker.fetch_ranker("champion", tmp_path / "x")
        with pytest.raises(NotFound, match="no earlier champion"):
            tracker.rollback()
        with pytest.raises(NotFound, match="version 1"):
            tracker.promote(1)

    def test_a_registered_ranker_is_not_yet_champion(
        self, tracker: Tracker, tmp_path: Path
    ) -> None:
        folder = a_ranker(tmp_path / "r")
        version = tracker.register_ranker(
            folder, metrics={"ndcg": 0.5, "ips": math.nan}, tags={"round": "1"}
        )
        (known,) = tracker.history()
        assert (known.version, known.role, known.tags) == (version, None, {"round": "1"})
        assert known.metrics["ndcg"] == 0.5
        assert math.isnan(known.metrics["ips"])
        assert known.created_at > 1_700_000_000
        assert tracker.champion() is None

    def test_files_come_back_as_they_went(
        self, tracker: Tracker, three: tuple[int, ...], tmp_path: Path
    ) -> None:
        for n, version in enumerate(three):
            got = tracker.fetch_ranker(version, tmp_path / "out" / str(version))
            assert contents(got) == contents(tmp_path / f"ranker-{n}")

    def test_the_store_keeps_its_own_copy(self, tracker: Tracker, tmp_path: Path) -> None:
        folder = a_ranker(tmp_path / "r")
        version = tracker.register_ranker(folder)
        (folder / "model.txt").write_text("changed afterwards")
        got = tracker.fetch_ranker(version, tmp_path / "out")
        assert (got / "model.txt").read_text() == "tree one"

    def test_the_same_bytes_are_the_same_version(self, tracker: Tracker, tmp_path: Path) -> None:
        first = tracker.register_ranker(
            a_ranker(tmp_path / "a"), metrics={"ndcg": 0.5, "old": 1.0}, tags={"a": "1", "b": "1"}
        )
        again = tracker.register_ranker(
            a_ranker(tmp_path / "b"), metrics={"ndcg": 0.6}, tags={"b": "2"}
        )
        other = tracker.register_ranker(a_ranker(tmp_path / "c", "tree two"))
        assert first == again != other
        assert tracker.history()[0].metrics == {"ndcg": 0.6, "old": 1.0}
        assert tracker.history()[0].tags == {"a": "1", "b": "2"}

    def test_names_count_not_only_bytes(self, tracker: Tracker, tmp_path: Path) -> None:
        first = a_ranker(tmp_path / "a")
        second = a_ranker(tmp_path / "b")
        (second / "model.txt").rename(second / "other.txt")
        assert tracker.register_ranker(first) != tracker.register_ranker(second)

    def test_promotion_and_rollback(self, tracker: Tracker, three: tuple[int, ...]) -> None:
        one, two, last = three
        for version in three:
            tracker.promote(version)
        assert [v.role for v in tracker.history()] == [None, "previous", "champion"]
        assert tracker.champion() == last
        assert tracker.rollback() == two
        assert [v.role for v in tracker.history()] == ["previous", "champion", None]
        assert tracker.rollback() == one
        with pytest.raises(NotFound, match="no earlier champion"):
            tracker.rollback()
        assert tracker.champion() == one

    def test_promoting_the_champion_again_keeps_the_way_back(
        self, tracker: Tracker, three: tuple[int, ...]
    ) -> None:
        for version in (*three[:2], three[1]):
            tracker.promote(version)
        assert tracker.rollback() == three[0]

    def test_roles_can_be_fetched(
        self, tracker: Tracker, three: tuple[int, ...], tmp_path: Path
    ) -> None:
        tracker.promote(three[0])
        tracker.promote(three[2])
        champion = tracker.fetch_ranker("champion", tmp_path / "champion")
        previous = tracker.fetch_ranker("previous", tmp_path / "previous")
        assert (champion / "model.txt").read_text() == "tree 2"
        assert (previous / "model.txt").read_text() == "tree 0"

    def test_another_process_finds_it_all(
        self, tracker: Tracker, root: Path, three: tuple[int, ...]
    ) -> None:
        tracker.promote(three[0])
        tracker.promote(three[1])
        later = self.new_tracker(root)
        assert later.champion() == three[1]
        assert later.history() == tracker.history()
        assert later.rollback() == three[0]
        assert tracker.champion() == three[0]

    def test_a_fetch_into_a_used_place(
        self, tracker: Tracker, three: tuple[int, ...], tmp_path: Path
    ) -> None:
        target = tracker.fetch_ranker(three[0], tmp_path / "out")
        assert tracker.fetch_ranker(three[0], target) == target
        with pytest.raises(StoreConflict, match="something else"):
            tracker.fetch_ranker(three[1], target)
        assert (target / "model.txt").read_text() == "tree 0"

    def test_pickles_are_refused(self, tracker: Tracker, tmp_path: Path) -> None:
        for name in ("model.pkl", "weights.PT", "a.joblib"):
            folder = a_ranker(tmp_path / name)
            (folder / name).write_bytes(b"x")
            with pytest.raises(InvalidInput, match="pickle"):
                tracker.register_ranker(folder)
        assert tracker.history() == ()

    def test_links_and_nothing_are_refused(self, tracker: Tracker, tmp_path: Path) -> None:
        with pytest.raises(NotFound, match="no such folder"):
            tracker.register_ranker(tmp_path / "nowhere")
        (tmp_path / "empty").mkdir()
        with pytest.raises(InvalidInput, match="no file"):
            tracker.register_ranker(tmp_path / "empty")
        folder = a_ranker(tmp_path / "r")
        (folder / "link").symlink_to(folder / "model.txt")
        with pytest.raises(InvalidInput, match="link"):
            tracker.register_ranker(folder)

    # Damage and crashes

    @pytest.mark.parametrize("damage", ["lost", "cut", "added"])
    def test_a_damaged_version_is_never_champion(
        self, tracker: Tracker, root: Path, three: tuple[int, ...], tmp_path: Path, damage: str
    ) -> None:
        tracker.promote(three[0])
        files = self.stored_files(root, three[1])
        if damage == "lost":
            (files / "model.txt").unlink()
        elif damage == "cut":
            os.truncate(files / "model.txt", 2)
        else:
            (files / "more.txt").write_text("x")
        with pytest.raises(VerificationFailed):
            tracker.promote(three[1])
        with pytest.raises(VerificationFailed):
            tracker.fetch_ranker(three[1], tmp_path / "out")
        assert not (tmp_path / "out").exists()
        assert tracker.champion() == three[0]
        healed = tracker.register_ranker(tmp_path / "ranker-1")
        assert healed not in three
        tracker.promote(healed)
        assert tracker.champion() == healed

    def test_no_return_to_a_damaged_version(
        self, tracker: Tracker, root: Path, three: tuple[int, ...]
    ) -> None:
        tracker.promote(three[0])
        tracker.promote(three[1])
        (self.stored_files(root, three[0]) / "model.txt").unlink()
        with pytest.raises(VerificationFailed):
            tracker.rollback()
        assert tracker.champion() == three[1]

    def killed_while(self, root: Path, work: Callable[[Tracker], object]) -> None:
        """Another process does ``work`` and is killed where the copied files are checked."""
        child = os.fork()
        if not child:
            tracker = self.new_tracker(root)
            modules = (m for name, m in sys.modules.items() if name.startswith("persona_img.tr"))
            for module in modules:
                if hasattr(module, "check_folder"):
                    module.check_folder = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
            try:
                work(tracker)
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status)

    def test_killed_while_registering(
        self, tracker: Tracker, root: Path, three: tuple[int, ...], tmp_path: Path
    ) -> None:
        tracker.promote(three[0])
        folder = a_ranker(tmp_path / "new", "new tree")
        self.killed_while(root, lambda t: t.register_ranker(folder))
        later = self.new_tracker(root)
        assert [v.version for v in later.history()] == list(three)
        assert later.champion() == three[0]
        version = later.register_ranker(folder)
        later.promote(version)
        assert contents(later.fetch_ranker("champion", tmp_path / "out")) == contents(folder)

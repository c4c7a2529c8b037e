from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.parse import urlparse
from urllib.request import url2pathname

import pandas as pd
import pytest

from contracts.tracker import TABLE, TrackerContract, a_ranker, contents
from persona_img.errors import InvalidInput, StoreConflict
from persona_img.tracking import MlflowTracker, ui_command

if TYPE_CHECKING:
    from tracking.conftest import FirstUse


def client_of(root: Path) -> Any:
    from mlflow import MlflowClient

    uri = f"sqlite:///{root}/mlflow.db"
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def local(uri: str) -> Path:
    return Path(url2pathname(urlparse(uri).path))


class TestMlflowTracker(TrackerContract):
    @pytest.fixture(autouse=True)
    def _database(self, first_use: FirstUse, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A copy of an empty database: MLflow takes seconds to make one."""
        root.mkdir()
        shutil.copy(first_use.database, root / "mlflow.db")
        here = root.parent / "here"
        here.mkdir()
        monkeypatch.chdir(here)

    def new_tracker(self, root: Path) -> MlflowTracker:
        return MlflowTracker(f"sqlite:///{root}/mlflow.db", root / "artifacts")

    def read_run(self, root: Path, experiment: str, run_id: str) -> dict[str, Any]:
        run = client_of(root).get_run(run_id)
        assert client_of(root).get_experiment_by_name(experiment) is not None
        return {
            "metrics": run.data.metrics,
            "params": run.data.params,
            "tags": run.data.tags,
            "datasets": {i.dataset.name: i.dataset.digest for i in run.inputs.dataset_inputs},
            "files": contents(local(run.info.artifact_uri)),
        }

    def runs(self, root: Path, experiment: str) -> list[str]:
        client = client_of(root)
        known = client.get_experiment_by_name(experiment)
        if known is None:
            return []
        found = client.search_runs([known.experiment_id], "attributes.status = 'FINISHED'")
        return [run.info.run_id for run in found]

    def stored_files(self, root: Path, version: int) -> Path:
        source = client_of(root).get_model_version("persona-img-ranker", str(version)).source
        return local(source) / "ranker"

    @pytest.fixture(autouse=True)
    def _nothing_elsewhere(self, _database: None, root: Path) -> Any:
        yield
        assert list((root.parent / "here").iterdir()) == []

    def test_mlflow_shows_champion_and_previous(
        self, tracker: MlflowTracker, root: Path, three: tuple[int, ...]
    ) -> None:
        def aliases() -> dict[str, int]:
            return dict(client_of(root).get_registered_model("persona-img-ranker").aliases)

        tracker.promote(three[0])
        assert aliases() == {"champion": 1}
        tracker.promote(three[1])
        assert aliases() == {"champion": 2, "previous": 1}
        tracker.rollback()
        assert aliases() == {"champion": 1}

    @pytest.mark.parametrize("order", ["1,2,3", "1"])
    def test_killed_between_the_order_and_the_alias(
        self, tracker: MlflowTracker, root: Path, three: tuple[int, ...], order: str
    ) -> None:
        """Of a promotion to 3, or of a rollback from 2, only the order was written."""
        tracker.promote(three[0])
        tracker.promote(three[1])
        name, tag = "persona-img-ranker", "persona_img.champions"
        client_of(root).set_registered_model_tag(name, tag, order)
        later = self.new_tracker(root)
        assert later.champion() == 2
        assert later.rollback() == 1

    def test_an_alias_set_by_hand_is_a_promotion(
        self, tracker: MlflowTracker, root: Path, three: tuple[int, ...]
    ) -> None:
        tracker.promote(three[0])
        client_of(root).set_registered_model_alias("persona-img-ranker", "champion", "3")
        assert tracker.champion() == 3
        assert tracker.rollback() == 1

    def test_a_failed_run_is_marked(
        self, tracker: MlflowTracker, root: Path, tmp_path: Path
    ) -> None:
        secret = tmp_path / "folder"
        secret.mkdir()
        (secret / "dangling").symlink_to(tmp_path / "nowhere")
        with pytest.raises(shutil.Error):
            tracker.log_report({}, experiment="e", run_name="n", artifacts={"x": secret})
        assert self.runs(root, "e") == []
        client = client_of(root)
        (run,) = client.search_runs([client.get_experiment_by_name("e").experiment_id])
        assert run.info.status == "FAILED"

    @pytest.mark.parametrize("how", ["moved", "copied"])
    def test_a_store_that_was_moved_or_copied_goes_on_where_it_is(
        self, tracker: MlflowTracker, root: Path, three: tuple[int, ...], tmp_path: Path, how: str
    ) -> None:
        tracker.promote(three[0])
        first = tracker.log_report({"lift": 0.1}, experiment="e", run_name="n")
        place = root.with_name("elsewhere, 50%25 off")
        before = sorted(f for f in root.rglob("*") if f.is_file())
        shutil.move(root, place) if how == "moved" else shutil.copytree(root, place)
        later = self.new_tracker(place)
        second = later.log_report({"lift": 0.2}, experiment="e", run_name="n")
        later.promote(later.register_ranker(a_ranker(tmp_path / "new", "new")))
        assert contents(later.fetch_ranker("previous", tmp_path / "out")) == contents(
            tmp_path / "ranker-0"
        )
        client = later._client
        for run_id, lift in ((first, 0.1), (second, 0.2)):
            files = local(client.get_run(run_id).info.artifact_uri)
            assert files.is_relative_to(place)
            assert json.loads((files / "report.json").read_text()) == {"lift": lift}
        for version in (*three, 4):
            source = local(client.get_model_version("persona-img-ranker", str(version)).source)
            assert source.is_relative_to(place)
            assert source.is_dir()
        assert sorted(f for f in root.rglob("*") if f.is_file()) == (
            [] if how == "moved" else before
        )
        if how == "copied":
            tracker.log_report({}, experiment="e", run_name="n")
            assert len(self.runs(root, "e")) == 2

    def test_a_database_without_its_files_is_told(
        self, tracker: MlflowTracker, root: Path, tmp_path: Path
    ) -> None:
        tracker.log_report({}, experiment="e", run_name="n")
        alone = tmp_path / "alone"
        alone.mkdir()
        shutil.copy(root / "mlflow.db", alone)
        with pytest.raises(StoreConflict, match="move them along"):
            self.new_tracker(alone).log_report({}, experiment="e", run_name="n")
        with pytest.raises(StoreConflict, match="move them along"):
            ui_command(f"sqlite:///{alone}/mlflow.db", alone / "artifacts")

    def test_an_experiment_that_somebody_put_elsewhere_is_left_there(
        self, tracker: MlflowTracker, root: Path
    ) -> None:
        client_of(root).create_experiment("theirs", artifact_location="s3://bucket/theirs")
        tracker.log_report({}, experiment="e", run_name="n")
        moved = root.rename(root.with_name("moved"))
        later = self.new_tracker(moved)
        later.log_report({}, experiment="e", run_name="n")
        with pytest.raises(StoreConflict, match="another name"):
            later.log_report({}, experiment="theirs", run_name="n")
        assert client_of(moved).get_experiment_by_name("theirs").artifact_location == (
            "s3://bucket/theirs"
        )

    @pytest.mark.parametrize("name", ["Default", "rankers", "0"])
    def test_no_name_of_a_test_is_taken(
        self, tracker: MlflowTracker, root: Path, tmp_path: Path, name: str
    ) -> None:
        tracker.promote(tracker.register_ranker(a_ranker(tmp_path / "r", "r")))
        run_id = tracker.log_report({"lift": 0.1}, experiment=name, run_name="n")
        files = self.read_run(root, name, run_id)["files"]
        assert json.loads(files["report.json"]) == {"lift": 0.1}
        assert tracker.champion() == 1
        assert len(tracker.history()) == 1

    @pytest.mark.parametrize("name", ["a%20b", "a?b=c&d#e", "100%, ünï . "])
    def test_odd_names_of_folders_are_only_names(
        self, root: Path, tmp_path: Path, name: str
    ) -> None:
        place = tmp_path / "odd" / name
        place.mkdir(parents=True)
        shutil.copy(root / "mlflow.db", place)
        tracker = self.new_tracker(place)
        run_id = tracker.log_report({"lift": 0.1}, experiment="e", run_name="n")
        tracker.promote(tracker.register_ranker(a_ranker(tmp_path / "r", "r")))
        again = self.new_tracker(place)
        assert contents(again.fetch_ranker("champion", tmp_path / "out")) == contents(
            tmp_path / "r"
        )
        assert (place / "artifacts" / "e" / run_id / "artifacts" / "report.json").exists()
        assert [p.name for p in place.parent.iterdir()] == [name]
        assert sorted(p.name for p in place.iterdir()) == ["artifacts", "mlflow.db"]

    def test_a_deleted_experiment_comes_back(self, tracker: MlflowTracker, root: Path) -> None:
        tracker.log_report({}, experiment="e", run_name="n")
        client = client_of(root)
        client.delete_experiment(client.get_experiment_by_name("e").experiment_id)
        tracker.log_report({}, experiment="e", run_name="n")
        assert len(self.runs(root, "e")) == 2

    def test_nothing_of_the_user_or_the_rows_is_kept(
        self, tracker: MlflowTracker, root: Path
    ) -> None:
        table = pd.DataFrame({"shopper": ["ann-of-green-gables"]})
        run_id = tracker.log_report({}, experiment="e", run_name="n", datasets={"t": table})
        run = client_of(root).get_run(run_id)
        assert set(run.data.tags) == {"mlflow.runName"}
        source = json.loads(run.inputs.dataset_inputs[0].dataset.source)
        assert source == {"tags": {"mlflow.source.name": "persona-img"}}
        assert b"green-gables" not in (root / "mlflow.db").read_bytes()

    def test_logging_tells_nothing(
        self, tracker: MlflowTracker, three: tuple[int, ...], capfd: pytest.CaptureFixture[str]
    ) -> None:
        tracker.promote(three[0])
        tracker.log_report(
            {}, experiment="e", run_name="n", metrics={"a": 1.0}, datasets={"feedback": TABLE}
        )
        assert capfd.readouterr() == ("", "")

    @pytest.mark.slow
    def test_the_pages_show_it(self, tracker: MlflowTracker, root: Path) -> None:
        run_id = tracker.log_report({"lift": 0.1}, experiment="e", run_name="n")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = ui_command(f"sqlite:///{root}/mlflow.db", root / "artifacts", port)
        server = subprocess.Popen(
            command.arguments,
            env=os.environ | dict(command.environment),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while server.poll() is None:
                try:
                    health = urllib.request.urlopen(f"{command.address}/health").read()
                    break
                except URLError:
                    time.sleep(0.2)
            assert health == b"OK"
            shown = f"{command.address}/get-artifact?path=report.json&run_uuid={run_id}"
            assert json.load(urllib.request.urlopen(shown)) == {"lift": 0.1}
        finally:
            server.terminate()
            server.wait()


def test_first_use_is_quiet_offline_and_writes_nowhere_else(first_use: FirstUse) -> None:
    assert first_use.errors == ""
    assert first_use.output.splitlines() == [
        "imported early False",
        "champion None",
        "telemetry None",
    ]
    assert first_use.elsewhere == []
    store = first_use.database.parent
    assert {f.name for f in store.rglob("*")} == {"mlflow.db", "artifacts"}


@pytest.mark.parametrize("uri", ["sqlite:///", "http://127.0.0.1:5000", "mlruns"])
def test_only_a_sqlite_file_will_do(tmp_path: Path, uri: str) -> None:
    with pytest.raises(InvalidInput, match="sqlite:///"):
        MlflowTracker(uri, tmp_path)


def test_the_pages_are_for_this_machine_only(tmp_path: Path) -> None:
    command = ui_command(f"sqlite:///{tmp_path}/a%20b/x.db", tmp_path, 5001)
    arguments = dict(zip(command.arguments[4::2], command.arguments[5::2], strict=True))
    assert arguments["--host"] == "127.0.0.1"
    assert arguments["--port"] == "5001"
    linked = Path(arguments["--backend-store-uri"].removeprefix("sqlite:///"))
    assert linked.resolve() == tmp_path / "a%20b" / "x.db"
    assert "%" not in str(linked)
    assert command.address == "http://127.0.0.1:5001"
    with pytest.raises(InvalidInput, match="port 0"):
        ui_command("sqlite:///x.db", tmp_path, 0)

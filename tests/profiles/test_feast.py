"""The Feast adapter keeps to its folder, and the definitions say what the port says."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

# First, because it keeps what `import feast` does to the environment out of the test session.
from persona_img.profiles.feast import FeastFeatureSource

# isort: split
from feast import FeatureService, FeatureView
from feast.infra.online_stores.redis import RedisOnlineStore
from feast.infra.registry.sql import SqlRegistryConfig
from feast.repo_config import load_repo_config
from feast.types import Array, Float32, Float64, String

import valkey
from contracts.feature_source_test import asked, events, profiles
from persona_img.domain.leaning import Floats
from persona_img.errors import InvalidInput, NotFound
from persona_img.profiles.base import (
    MOMENT_FEATURES,
    PRODUCT_FEATURES,
    RECENT_FEATURES,
    SERVING_FEATURES,
    SHOPPER_FEATURES,
)
from persona_img.profiles.definitions import load_definitions
from persona_img.serving.known import Known

REPO = Path(__file__).parents[2] / "feature_repo"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TYPES = {
    "number": Float64,
    "text": String,
    "numbers": Array(Float32),
    "texts": Array(String),
}


def defined(kind: type, repo: Path = REPO) -> dict[str, object]:
    values = [value for module in load_definitions(repo) for value in vars(module).values()]
    return {value.name: value for value in values if isinstance(value, kind)}


@pytest.mark.parametrize(
    ("name", "features"),
    [
        ("shopper_profile", SHOPPER_FEATURES),
        ("shopper_recent", RECENT_FEATURES),
        ("product_profile", PRODUCT_FEATURES),
    ],
)
def test_views_hold_the_features_of_the_port(name: str, features: dict[str, str]) -> None:
    view = defined(FeatureView)[name]
    assert isinstance(view, FeatureView)
    assert {f.name: f.dtype for f in view.features} == {n: TYPES[k] for n, k in features.items()}


def test_services_ask_for_what_the_port_promises() -> None:
    services = defined(FeatureService)
    assert set(services) == {"serving_v1", "ranking_v1"}
    for name, promised in (
        ("serving_v1", SERVING_FEATURES),
        ("ranking_v1", {**SERVING_FEATURES, **PRODUCT_FEATURES}),
    ):
        service = services[name]
        assert isinstance(service, FeatureService)
        asked_ = [f.name for view in service.feature_view_projections for f in view.features]
        assert sorted(asked_) == sorted(promised)
    assert set(MOMENT_FEATURES) <= set(SERVING_FEATURES)


PRODUCTION = "feature_store.production.yaml"


@pytest.fixture(scope="module")
def server() -> Iterator[valkey.ValkeyServer]:
    with valkey.running() as server:
        yield server


@pytest.fixture
def addressed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: valkey.ValkeyServer
) -> valkey.ValkeyServer:
    monkeypatch.setenv("PERSONA_IMG_REGISTRY", f"sqlite:///{tmp_path}/there.db")
    monkeypatch.setenv("PERSONA_IMG_REDIS", f"127.0.0.1:{server.port}")
    return server


def test_production_shares_the_project_and_takes_its_addresses_from_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERSONA_IMG_REGISTRY", "sqlite:///there.db")
    monkeypatch.setenv("PERSONA_IMG_REDIS", "redis.example:6379,socket_timeout=9")
    read = load_repo_config(tmp_path, REPO / PRODUCTION)
    local = load_repo_config(tmp_path, REPO / "feature_store.yaml")

    nodes, given = RedisOnlineStore._parse_connection_string(read.online_store.connection_string)
    assert nodes == [{"host": "redis.example", "port": "6379"}]
    assert given == {"socket_connect_timeout": 1, "socket_timeout": 9, "retry": None}
    assert read.project == local.project
    assert read.entity_key_serialization_version == local.entity_key_serialization_version
    assert read.offline_store.type == local.offline_store.type
    assert isinstance(read.registry, SqlRegistryConfig)
    assert read.registry.path == "sqlite:///there.db"


def test_production_says_which_variable_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERSONA_IMG_REGISTRY", "sqlite:///there.db")
    monkeypatch.delenv("PERSONA_IMG_REDIS", raising=False)
    with pytest.raises(InvalidInput, match=r"production\.yaml asks for PERSONA_IMG_REDIS; set it"):
        FeastFeatureSource(tmp_path / "work", REPO, PRODUCTION)
    assert not (tmp_path / "work").exists()


def test_machines_that_share_a_registry_apply_definitions_once(
    tmp_path: Path, addressed: valkey.ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = FeastFeatureSource(tmp_path / "work", REPO, PRODUCTION)
    monkeypatch.setattr(FeastFeatureSource, "_apply", lambda *_: pytest.fail("applied again"))
    reader = FeastFeatureSource(tmp_path / "elsewhere", REPO, PRODUCTION)
    writer.publish(profiles(("ann", NOON, 1.0)))
    writer.materialize(NOON)
    writer.push(events(("ann", "mug", "view", NOON)))

    assert reader.online(["ann"], now=NOON)["views"].to_list() == [1.0]
    assert reader.online(["ann"], now=NOON)["recent_product"].to_list() == ["mug"]
    assert not list((tmp_path / "work").glob("*.db"))


def test_a_server_that_hangs_or_goes_away_costs_the_wait_and_comes_back_by_itself(
    tmp_path: Path, addressed: valkey.ValkeyServer
) -> None:
    source = FeastFeatureSource(tmp_path / "work", REPO, PRODUCTION)
    source.publish(profiles(("ann", NOON, 1.0), ("bob", NOON, 2.0)))
    source.materialize(NOON)
    outcomes: Counter[str] = Counter()

    def read(shopper: str, *_: object) -> Floats | None:
        views = source.online([shopper], now=NOON)["views"].to_numpy()
        return None if np.isnan(views[0]) else views

    known = Known(read, seconds=0, wait=10, on_outcome=lambda what: outcomes.update([what]))

    def answered(shopper: str) -> float:
        deadline = time.monotonic() + 60
        while (found := known(shopper, ("views",), 0.0)) is None:
            assert time.monotonic() < deadline, outcomes
            time.sleep(0.05)
        return float(found[0])

    assert answered("ann") == 1.0
    outcomes.clear()
    addressed.hang()
    known._wait = 0.001
    for _ in range(44):  # products of a page
        assert known("bob", ("views",), 0.0) is None
    assert outcomes == {"late": 44}
    known._wait = 10
    assert known("bob", ("views",), 0.0) is None  # the client's own limit gave it up
    assert outcomes == {"late": 44, "failed": 1}
    addressed.go_on()
    assert answered("bob") == 2.0

    addressed.stop()
    outcomes.clear()
    for _ in range(44):
        assert known("ann", ("views",), 0.0) is None
    assert outcomes == {"failed": 44}
    addressed.start()
    source.materialize(NOON)  # it keeps nothing on disk here
    assert answered("ann") == 1.0
    known.close()


def test_definitions_leave_no_names_behind(tmp_path: Path) -> None:
    before = list(sys.path)
    sentinel = type(sys)("views")
    sys.modules["views"] = sentinel
    try:
        load_definitions(REPO)
        assert sys.modules["views"] is sentinel
    finally:
        del sys.modules["views"]
    assert sys.path == before
    assert not {"entities", "sources", "services", "on_demand"} & set(sys.modules)
    with pytest.raises(NotFound, match=r"no feature_store\.yaml"):
        load_definitions(tmp_path)
    with pytest.raises(NotFound, match=r"no feature_store\.yaml"):
        FeastFeatureSource(tmp_path / "work", tmp_path)
    assert not (tmp_path / "work").exists()


def test_a_broken_definition_leaves_no_names_behind(tmp_path: Path) -> None:
    repo = shutil.copytree(REPO, tmp_path / "repo")
    (repo / "views.py").write_text("import entities\nraise RuntimeError('broken')\n")
    with pytest.raises(RuntimeError, match="broken"):
        load_definitions(repo)
    assert str(repo) not in sys.path
    assert "entities" not in sys.modules


@pytest.mark.slow
def test_nothing_is_written_outside_the_folder(tmp_path: Path) -> None:
    """In a process of its own: home, current and temporary folders stay as they are."""
    repo = shutil.copytree(
        REPO, tmp_path / "repo", ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
    )
    before = sorted(path.name for path in repo.iterdir())
    for path in (repo, *repo.iterdir()):
        path.chmod(0o555 if path.is_dir() else 0o444)
    empty = [tmp_path / name for name in ("home", "current", "temporary")]
    for folder in empty:
        folder.mkdir()
    script = """
        import os, sys
        from datetime import UTC, datetime
        from pathlib import Path
        from persona_img.profiles.feast import FeastFeatureSource
        from contracts.feature_source_test import NOON, asked, events, profiles

        source = FeastFeatureSource(Path(sys.argv[1]), Path(sys.argv[2]))
        source.publish(profiles(("ann", NOON, 1.0)))
        source.push(events(("ann", "mug", "view", NOON)))
        source.materialize(NOON)
        assert source.historical(asked(("ann", NOON)))["views"].item() == 1.0
        assert source.online(["ann"], now=NOON)["views"].item() == 1.0
        left = [path for folder in sys.argv[3:] for path in Path(folder).rglob("*")]
        assert not left, left
        assert not [name for name in os.environ if name.startswith("PROMETHEUS_MULTIPROC")]
        import prometheus_client.values
        assert prometheus_client.values.ValueClass.__name__ == "MutexValue"
    """
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("PROMETHEUS_")},
        "HOME": str(empty[0]),
        "TMPDIR": str(empty[2]),
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path]),
        "PYTHONDONTWRITEBYTECODE": "",
    }
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), tmp_path / "work", repo, *empty],
        cwd=empty[1],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert not [path for folder in empty for path in folder.rglob("*")]
    assert sorted(path.name for path in repo.iterdir()) == before
    assert not list((tmp_path / "work").glob("*.part"))


def test_readers_do_not_wait_for_the_writer(tmp_path: Path) -> None:
    FeastFeatureSource(tmp_path, REPO)
    with sqlite3.connect(tmp_path / "online.db") as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    database.close()


def test_a_registry_cut_off_by_a_kill_is_made_anew(tmp_path: Path) -> None:
    source = FeastFeatureSource(tmp_path, REPO)
    source.publish(profiles(("ann", NOON, 1.0)))
    source.push(events(("ann", "mug", "view", NOON)))
    source.materialize(NOON)
    applied = (tmp_path / "applied").read_bytes()
    registry = tmp_path / "registry.db"

    def killed(*_: object, **__: object) -> None:
        registry.write_bytes(registry.read_bytes()[:100])
        raise KeyboardInterrupt

    source._store.materialize = killed
    with pytest.raises(KeyboardInterrupt):
        source.materialize(NOON)

    again = FeastFeatureSource(tmp_path, REPO)
    assert again.online(["ann"], now=NOON)["views"].to_list() == [1.0]
    assert again.online(["ann"], now=NOON)["recent_product"].to_list() == ["mug"]
    assert again.historical(asked(("ann", NOON)))["views"].to_list() == [1.0]
    assert (tmp_path / "applied").read_bytes() == applied


def test_opening_applies_only_what_changed(tmp_path: Path) -> None:
    repo = shutil.copytree(REPO, tmp_path / "assets" / "feature_repo")
    FeastFeatureSource(tmp_path / "work", repo)
    registry = tmp_path / "work" / "registry.db"
    before = registry.read_bytes()
    FeastFeatureSource(tmp_path / "work", repo)
    assert registry.read_bytes() == before
    text = (repo / "services.py").read_text()
    (repo / "services.py").write_text(text.replace("What a ranker learns from", "Changed"))
    changed = FeastFeatureSource(tmp_path / "work", repo)
    assert changed._store.get_feature_service("ranking_v1").description.startswith("Changed")


def test_more_shoppers_than_one_question_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persona_img.profiles.feast._LOOKUP", 2)
    source = FeastFeatureSource(tmp_path, REPO)
    names = ["ann", "bob", "cat", "dan", "eve"]
    source.publish(profiles(*((name, NOON, float(i)) for i, name in enumerate(names))))
    source.materialize(NOON)
    backwards = names[::-1]
    assert source.online(backwards, now=NOON)["views"].to_list() == [4.0, 3.0, 2.0, 1.0, 0.0]

"""Runs and rankers in MLflow: a SQLite database and a folder of artifacts, nothing else.

The only module that imports MLflow, and only at the first use, because that takes seconds.
Rankers are kept as plain files, without a pickle; beside them lies what MLflow needs to load them
as models of its own.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
import uuid
import warnings
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_img.errors import InvalidInput, NotFound, StoreConflict
from persona_img.tracking.base import NOTHING, Champions, RankerVersion, Role
from persona_img.tracking.checks import (
    check_metrics,
    check_run,
    check_words,
    report_text,
    table_digest,
)
from persona_img.tracking.files import (
    check_folder,
    copy_any,
    copy_checked,
    folder_digest,
    ranker_digest,
)
from persona_img.tracking.place import SQLITE, address_of, follow, local_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd

_RANKERS = "rankers"
_MODEL, _FILES = "model", "ranker"  # in a run: what MLflow loads, and in it the ranker's own files
_DIGEST = "persona_img.digest"
# Relative to the artifacts, so that rankers are still found where both were moved together.
_FOLDER = "persona_img.folder"
_CHAMPIONS = "persona_img.champions"
# MLflow refuses larger batches.
_BATCH = 100


class MlflowTracker:
    """A :class:`~persona_img.tracking.Tracker` on MLflow, without a server or a network.

    Everything is written to the database and below ``artifacts``. MLflow's usage reports are
    turned off for the whole process, and its notes about new databases are not shown. Champion
    and previous are MLflow's aliases of the same names; an alias ``champion`` that somebody sets
    in MLflow's pages counts as a promotion. For one writing process at a time. Database and
    artifacts may be moved or copied together, and go on where they are.
    """

    def __init__(
        self,
        uri: str,
        artifacts: Path,
        ranker_name: str = "persona-img-ranker",
        *,
        loader: str | None = None,
    ) -> None:
        """Nothing is read or written before the first call of a method.

        Args:
            uri: ``sqlite:///`` and the path of the database file.
            artifacts: Folder for files, made when needed.
            ranker_name: Name of the rankers in MLflow's model registry.
            loader: Module whose ``_load_pyfunc`` makes a model of a ranker's folder, so that
                ``mlflow.pyfunc.load_model("models:/persona-img-ranker@champion")`` predicts click
                rates of columns segment, product and style; None leaves rankers as files alone.

        Raises:
            InvalidInput: another kind of database.
        """
        if not uri.startswith(SQLITE) or not uri.removeprefix(SQLITE):
            raise InvalidInput(f"uri {uri!r}: give sqlite:/// and the path of a file")
        self._database = Path(uri.removeprefix(SQLITE)).resolve()
        self._artifacts = artifacts.resolve()
        self._name = ranker_name
        self._loader = loader

    def log_report(
        self,
        report: Mapping[str, Any],
        *,
        experiment: str,
        run_name: str,
        metrics: Mapping[str, float] = NOTHING,
        params: Mapping[str, object] = NOTHING,
        tags: Mapping[str, str] = NOTHING,
        datasets: Mapping[str, pd.DataFrame] = NOTHING,
        artifacts: Mapping[str, Path] = NOTHING,
    ) -> str:
        """See :meth:`persona_img.tracking.Tracker.log_report`."""
        check_run(experiment, run_name, metrics, params, tags, artifacts)
        text = report_text(report)
        with self._run(experiment, run_name, tags) as run_id:
            self._log_numbers(run_id, metrics, params)
            if datasets:
                inputs = [_dataset_input(name, table) for name, table in datasets.items()]
                self._client.log_inputs(run_id, inputs)
            # MLflow keeps a file's own name, so what shall have another is laid out first.
            with tempfile.TemporaryDirectory(dir=self._artifacts, prefix=".staged-") as staged:
                (Path(staged) / "report.json").write_text(text, encoding="utf-8")
                for name, path in artifacts.items():
                    copy_any(path, Path(staged) / name)
                self._client.log_artifacts(run_id, staged)
        return run_id

    def register_ranker(
        self,
        folder: Path,
        *,
        metrics: Mapping[str, float] = NOTHING,
        tags: Mapping[str, str] = NOTHING,
        example: pd.DataFrame | None = None,
    ) -> int:
        """See :meth:`persona_img.tracking.Tracker.register_ranker`."""
        check_metrics(metrics)
        check_words("tag", tags)
        digest = ranker_digest(folder)
        for known in reversed(self._versions()):
            if known.tags[_DIGEST] == digest and folder_digest(self._files(known)) == digest:
                self._log_numbers(known.run_id, metrics, NOTHING)
                for key, value in tags.items():
                    self._client.set_model_version_tag(self._name, known.version, key, value)
                return int(known.version)
        return self._add(folder, digest, metrics, tags, example)

    def promote(self, version: int) -> None:
        """See :meth:`persona_img.tracking.Tracker.promote`."""
        self._check(version)
        self._crown(self._champions().promoted(version))

    def rollback(self) -> int:
        """See :meth:`persona_img.tracking.Tracker.rollback`."""
        champions = self._champions().rolled_back()
        version = champions.resolve("champion")
        self._check(version)
        self._crown(champions)
        return version

    def champion(self) -> int | None:
        """See :meth:`persona_img.tracking.Tracker.champion`."""
        return self._champions().current

    def fetch_ranker(self, which: int | Role, target: Path) -> Path:
        """See :meth:`persona_img.tracking.Tracker.fetch_ranker`."""
        known = self._check(self._champions().resolve(which))
        return copy_checked(self._files(known), target, known.tags[_DIGEST])

    def history(self) -> tuple[RankerVersion, ...]:
        """See :meth:`persona_img.tracking.Tracker.history`."""
        champions = self._champions()
        return tuple(
            RankerVersion(
                version=int(known.version),
                digest=known.tags[_DIGEST],
                created_at=known.creation_timestamp / 1000,
                metrics=dict(self._client.get_run(known.run_id).data.metrics),
                tags={k: v for k, v in known.tags.items() if k not in (_DIGEST, _FOLDER)},
                role=champions.role(int(known.version)),
            )
            for known in self._versions()
        )

    def _add(
        self,
        folder: Path,
        digest: str,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        example: pd.DataFrame | None,
    ) -> int:
        with self._run(_RANKERS, f"ranker {digest[:12]}", tags) as run_id:
            self._log_numbers(run_id, metrics, NOTHING)
            self._client.log_artifacts(run_id, str(folder), f"{_MODEL}/{_FILES}")
            model = local_path(self._client.get_run(run_id).info.artifact_uri) / _MODEL
            if self._loader is not None:
                _describe(model, run_id, self._loader, example)
            relative = (model / _FILES).relative_to(self._artifacts).as_posix()
            check_folder(self._artifacts / relative, digest)
        # Only now, with all files in place, does a version come to be.
        self._ensure_registered()
        version = self._client.create_model_version(
            self._name,
            # Not models:/…, for which MLflow would open its default database beside this one.
            source=model.as_uri(),
            run_id=run_id,
            tags={**tags, _DIGEST: digest, _FOLDER: relative},
        )
        return int(version.version)

    def _check(self, version: int) -> Any:
        """MLflow's entry of a version whose files are those that were registered."""
        for known in self._versions():
            if int(known.version) == version:
                check_folder(self._files(known), known.tags[_DIGEST])
                return known
        raise NotFound(f"ranker version {version} is not registered; see history()")

    def _versions(self) -> list[Any]:
        found = self._client.search_model_versions(f"name = '{self._name}'")
        ours = [known for known in found if _DIGEST in known.tags]
        return sorted(ours, key=lambda known: int(known.version))

    def _files(self, known: Any) -> Path:
        return Path(self._artifacts, known.tags[_FOLDER])

    def _champions(self) -> Champions:
        """The order of champions, as far as it agrees with MLflow's alias."""
        found = self._client.search_registered_models(f"name = '{self._name}'")
        alias = found[0].aliases.get("champion") if found else None
        if alias is None:
            return Champions()
        versions = tuple(int(v) for v in found[0].tags.get(_CHAMPIONS, "").split(",") if v)
        # They differ after a crash between two writes, and after somebody set the alias by hand.
        while versions and int(alias) in versions and versions[-1] != int(alias):
            versions = versions[:-1]
        return Champions(versions).promoted(int(alias))

    def _crown(self, champions: Champions) -> None:
        """Write the order first: without the alias it has no effect."""
        order = ",".join(str(version) for version in champions.versions)
        self._client.set_registered_model_tag(self._name, _CHAMPIONS, order)
        for role, version in (("champion", champions.current), ("previous", champions.previous)):
            if version is not None:
                self._client.set_registered_model_alias(self._name, role, str(version))
            else:
                self._client.delete_registered_model_alias(self._name, role)

    @contextmanager
    def _run(self, experiment: str, run_name: str, tags: Mapping[str, str]) -> Iterator[str]:
        """A run that ends as finished, or as failed where the block does not get to its end."""
        run = self._client.create_run(self._experiment(experiment), run_name=run_name, tags=tags)
        run_id = str(run.info.run_id)
        try:
            yield run_id
        except BaseException:
            self._client.set_terminated(run_id, "FAILED")
            raise
        self._client.set_terminated(run_id, "FINISHED")

    def _experiment(self, name: str) -> str:
        place = self._artifacts.as_uri()
        known = self._client.get_experiment_by_name(name)
        if known is None:
            return str(self._client.create_experiment(name, artifact_location=f"{place}/{name}"))
        # MLflow's own "Default" and what its pages make have numbers for names of folders.
        if not known.artifact_location.startswith(f"{place}/"):
            raise StoreConflict(
                f"experiment {name} keeps its files at {known.artifact_location}, not in "
                f"{self._artifacts}; give the test another name, or start a new database"
            )
        if known.lifecycle_stage == "deleted":
            self._client.restore_experiment(known.experiment_id)
        return str(known.experiment_id)

    def _log_numbers(
        self, run_id: str, metrics: Mapping[str, float], params: Mapping[str, object]
    ) -> None:
        from mlflow.entities import Metric, Param

        now = int(time.time() * 1000)
        found = [Metric(key, float(value), now, 0) for key, value in metrics.items()]
        given = [Param(key, str(value)) for key, value in params.items()]
        for start in range(0, max(len(found), len(given)), _BATCH):
            part = slice(start, start + _BATCH)
            self._client.log_batch(run_id, metrics=found[part], params=given[part])

    def _ensure_registered(self) -> None:
        if not self._client.search_registered_models(f"name = '{self._name}'"):
            self._client.create_registered_model(self._name)

    @cached_property
    def _client(self) -> Any:
        # Read by MLflow when it is imported; asked again below, should it be imported already.
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        from mlflow import MlflowClient
        from mlflow.telemetry import set_telemetry_client

        with warnings.catch_warnings():
            # MLflow's own use of SQLAlchemy, which its users cannot change; told at this import.
            warnings.simplefilter("ignore", DeprecationWarning)
            import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
        set_telemetry_client()
        self._artifacts.mkdir(parents=True, exist_ok=True)
        if not self._database.exists():
            _make_database(self._database, self._artifacts)
        follow(self._database, self._artifacts)
        uri = address_of(self._database)
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _make_database(database: Path, artifacts: Path) -> None:
    """A new database, whole or not at all; MLflow builds one in many steps."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    database.parent.mkdir(parents=True, exist_ok=True)
    partial = database.with_name(f".{database.name}.{uuid.uuid4().hex}.part")
    noise = logging.getLogger("mlflow.store.db.utils")
    level = noise.level
    noise.setLevel(logging.WARNING)
    try:
        # Given the artifacts, it does not make ./mlruns the place of the experiment "Default".
        SqlAlchemyStore(address_of(partial), artifacts.as_uri()).engine.dispose()
        partial.rename(database)
    finally:
        noise.setLevel(level)
        partial.unlink(missing_ok=True)


def _dataset_input(name: str, table: pd.DataFrame) -> Any:
    import mlflow.data
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.entities import Dataset, DatasetInput

    # Without a source MLflow would note the user's name and the script's path.
    source = CodeDatasetSource(tags={"mlflow.source.name": "persona-img"})
    dataset = mlflow.data.from_pandas(table, source=source, name=name, digest=table_digest(table))
    with warnings.catch_warnings():
        # Advice about integer columns of models that are loaded by MLflow; ours are not.
        warnings.simplefilter("ignore", UserWarning)
        return DatasetInput(Dataset(**dataset.to_dict()))


def _describe(model: Path, run_id: str, loader: str, example: pd.DataFrame | None) -> None:
    """Write beside a ranker's files how MLflow loads and calls them."""
    import mlflow.pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, Schema

    columns = Schema([ColSpec("string", name) for name in ("segment", "product", "style")])
    signature = ModelSignature(columns, Schema([ColSpec("double")]))
    described = Model(artifact_path=_MODEL, run_id=run_id, signature=signature)
    mlflow.pyfunc.add_to_model(described, loader_module=loader, data=_FILES)
    if example is not None:
        file = "input_example.json"
        text = example.to_json(orient="split", index=False)
        (model / file).write_text(text, encoding="utf-8")
        described.saved_input_example_info = {
            "artifact_path": file,
            "type": "dataframe",
            "pandas_orient": "split",
        }
    described.save(str(model / "MLmodel"))

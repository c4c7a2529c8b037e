"""Runs and rankers in plain files: for tests, and for installs without a tracking server."""

from __future__ import annotations

import math
import shutil
import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from persona_img.errors import NotFound
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
    read_json,
    write_json,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd


class FolderTracker:
    """A :class:`~persona_img.tracking.Tracker` in one folder; starts in no time.

    ::

        runs/<experiment>/<run id>/run.json, report.json, artifacts
        rankers/<version>/version.json, files/…
        rankers/champions.json        champions in order; the last one is champion

    For one writing process at a time.
    """

    def __init__(self, root: Path) -> None:
        """Keep everything below ``root``, which is made at the first write."""
        self._root = root

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
        text, run_id = report_text(report), uuid.uuid4().hex
        target = self._root / "runs" / experiment / run_id
        partial = target.with_name(f".{run_id}.part")
        partial.mkdir(parents=True)
        try:
            (partial / "report.json").write_text(text, encoding="utf-8")
            for name, path in artifacts.items():
                copy_any(path, partial / "artifacts" / name)
            write_json(
                partial / "run.json",
                {
                    "run_name": run_name,
                    "logged_at": time.time(),
                    "metrics": _without_nan(metrics),
                    "params": {key: str(value) for key, value in params.items()},
                    "tags": dict(tags),
                    "datasets": {name: _described(table) for name, table in datasets.items()},
                },
            )
            partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return run_id

    def register_ranker(
        self, folder: Path, *, metrics: Mapping[str, float] = NOTHING,
        tags: Mapping[str, str] = NOTHING, example: pd.DataFrame | None = None,
    ) -> int:  # fmt: skip
        """See :meth:`persona_img.tracking.Tracker.register_ranker`; the example is not kept."""
        check_metrics(metrics)
        check_words("tag", tags)
        digest = ranker_digest(folder)
        for known in self.history():
            if known.digest == digest and self._intact(known):
                updated = replace(
                    known, metrics={**known.metrics, **metrics}, tags={**known.tags, **tags}
                )
                write_json(self._folder(known.version) / "version.json", _plain(updated))
                return known.version
        return self._add(folder, digest, metrics, tags)

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
        version = self._champions().resolve(which)
        return copy_checked(self._files(version), target, self._check(version))

    def history(self) -> tuple[RankerVersion, ...]:
        """See :meth:`persona_img.tracking.Tracker.history`."""
        champions, kept = self._champions(), []
        for number in self._numbers():
            values = read_json(self._folder(number) / "version.json")
            values["metrics"] = {
                key: math.nan if value is None else value
                for key, value in values["metrics"].items()
            }
            kept.append(RankerVersion(version=number, role=champions.role(number), **values))
        return tuple(kept)

    def _add(
        self, folder: Path, digest: str, metrics: Mapping[str, float], tags: Mapping[str, str]
    ) -> int:
        staged = self._rankers / f".{uuid.uuid4().hex}.part"
        version = RankerVersion(0, digest, time.time(), metrics, tags, None)
        try:
            copy_checked(folder, staged / "files", digest)
            write_json(staged / "version.json", _plain(version))
            number = max(self._numbers(), default=0) + 1
            staged.rename(self._folder(number))
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        return number

    def _check(self, version: int) -> str:
        """The version's digest, if its files still have it."""
        for known in self.history():
            if known.version == version:
                check_folder(self._files(version), known.digest)
                return known.digest
        raise NotFound(f"ranker version {version} is not registered; see history()")

    def _intact(self, known: RankerVersion) -> bool:
        files = self._files(known.version)
        return files.is_dir() and folder_digest(files) == known.digest

    def _champions(self) -> Champions:
        path = self._rankers / "champions.json"
        return Champions(tuple(read_json(path)) if path.exists() else ())

    def _crown(self, champions: Champions) -> None:
        write_json(self._rankers / "champions.json", champions.versions)

    def _numbers(self) -> list[int]:
        if not self._rankers.exists():
            return []
        return sorted(int(f.name) for f in self._rankers.iterdir() if f.name.isdecimal())

    @property
    def _rankers(self) -> Path:
        return self._root / "rankers"

    def _folder(self, version: int) -> Path:
        return self._rankers / str(version)

    def _files(self, version: int) -> Path:
        return self._folder(version) / "files"


def _plain(version: RankerVersion) -> dict[str, object]:
    """What is kept of a version; number and role are known from elsewhere."""
    return {
        "digest": version.digest,
        "created_at": version.created_at,
        "metrics": _without_nan(version.metrics),
        "tags": dict(version.tags),
    }


def _without_nan(metrics: Mapping[str, float]) -> dict[str, float | None]:
    return {key: None if math.isnan(value) else float(value) for key, value in metrics.items()}


def _described(table: pd.DataFrame) -> dict[str, object]:
    return {
        "digest": table_digest(table),
        "rows": len(table),
        "columns": [str(column) for column in table.columns],
    }

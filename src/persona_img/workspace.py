"""The folder that holds one shop's data: paths, and tables in and out, whole or not at all."""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections import ChainMap
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from persona_img.domain.decision import Candidate, DecisionTable, Ramp, Slate, plan_of
from persona_img.domain.style import ORIGINAL, Style
from persona_img.domain.table_file import as_personal, open_table, personal_dict, write_table
from persona_img.errors import InvalidInput, NotFound, StoreConflict, StoreFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    import pandas as pd

_LOG = logging.getLogger(__name__)
_STEPS = {"profile": "profile", "decisions": "prepare"}
"""What makes a file, by its name."""
_MARKER = ".persona-img"
_STOPPED = "-stopped"
_SERVING = ("decisions", "revoked", "ramp")
"""Files that say what is served."""
_FORMAT = 1
"""Of what says what is served; one that readers of before would misread has another."""
_EARLIER = 2
"""Files of tables that are kept besides those in use."""


@dataclass(frozen=True)
class RampStage:
    """What a ramp is at.

    Attributes:
        plan: Policy version that is shown to a part of the shoppers.
        ranker: Version of the registered ranker that planned it.
        share: The part, in (0, 1).
        since: When the stage began.
    """

    plan: str
    ranker: int
    share: float
    since: datetime


@dataclass(frozen=True)
class Workspace:
    """Paths below one folder; folders are made when something is first written.

    Attributes:
        root: The folder.
    """

    root: Path

    @classmethod
    def open(cls, root: str | Path) -> Workspace:
        """The workspace at ``root``, marked as ours so that a later run may write there again.

        Raises:
            InvalidInput: ``root`` is a file, cannot be written, holds somebody else's files, or
                lies in a folder whose name is a pattern.
        """
        root = Path(root)
        if "*" in str(root.absolute()):
            # Feast would read the features of every folder that the pattern fits.
            raise InvalidInput(
                f"{root.absolute()}: '*' stands for any name to a store; name a folder without it"
            )
        try:
            if root.exists() and not (root / _MARKER).exists() and any(root.iterdir()):
                raise InvalidInput(
                    f"{root}: this folder holds files that are not persona-img's; name an empty one"
                )
            root.mkdir(parents=True, exist_ok=True)
            (root / _MARKER).write_text("This folder belongs to persona-img.\n", encoding="utf-8")
        except (NotADirectoryError, FileExistsError, PermissionError, OSError) as error:
            raise InvalidInput(
                f"{root}: cannot be used as a folder ({error}); name another"
            ) from error
        return cls(root)

    @property
    def catalog(self) -> Path:
        """The product table; photos lie beside it."""
        return self.root / "catalog" / "products.csv"

    @property
    def interactions(self) -> Path:
        """What shoppers did."""
        return self.root / "interactions"

    @property
    def features(self) -> Path:
        """Feature store: definitions' registry, offline and online data."""
        return self.root / "features"

    @property
    def events(self) -> Path:
        """The event log."""
        return self.root / "events.sqlite"

    @property
    def archive(self) -> Path:
        """What came back, by day."""
        return self.root / "archive"

    @property
    def decision_key(self) -> Path:
        """The secret by which decisions are named."""
        return self.root / "decision.key"

    @property
    def keys(self) -> Path:
        """Hashes of the keys by which programs and pages are let in."""
        return self.root / "keys.json"

    @property
    def halts(self) -> Path:
        """Who halted what, and resumed it."""
        return self.root / "halts.json"

    @property
    def records(self) -> Path:
        """Records of A/B tests."""
        return self.root / "experiments"

    @property
    def variants(self) -> Path:
        """The variant store."""
        return self.root / "variants"

    @property
    def licences(self) -> Path:
        """Under which licences pictures' parts are used."""
        return self.root / "licences.toml"

    @property
    def brand(self) -> Path:
        """What the brand does not want to be seen."""
        return self.root / "brand.toml"

    @property
    def registry(self) -> Path:
        """Which pictures there are, and whose."""
        return self.root / "registry.sqlite"

    @property
    def mapped(self) -> Path:
        """Tables as they are served, made again from ``decisions`` where they are gone."""
        return self.root / "serving"

    @property
    def tracking(self) -> Path:
        """MLflow's database and artifacts."""
        return self.root / "mlflow"

    def table(self, name: str) -> pd.DataFrame:
        """A stored table.

        Raises:
            NotFound: the step that makes it has not run.
        """
        path = self._table_path(name)
        if not path.exists():
            raise NotFound(
                f"{path}: no {name} yet; run the step that makes it (persona-img --help)"
            )
        import pandas as pd  # what only needs paths opens fast

        return pd.read_parquet(path)

    def save_table(self, name: str, frame: pd.DataFrame) -> Path:
        """Store a table; readers see the old one or the new one."""
        path = self._table_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part")
        frame.to_parquet(partial)
        partial.replace(path)
        return path

    def has_table(self, name: str) -> bool:
        """Whether the table was stored."""
        return self._table_path(name).exists()

    def save_json(self, name: str, value: Any) -> Path:
        """Store plain values as readable JSON."""
        path = self.root / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part")
        partial.write_text(json.dumps(value, indent=1, allow_nan=True) + "\n", encoding="utf-8")
        partial.replace(path)
        return path

    def has_json(self, name: str) -> bool:
        """Whether plain values were stored under this name."""
        return (self.root / f"{name}.json").exists()

    def json(self, name: str) -> Any:
        """Plain values stored before.

        Raises:
            NotFound: the step that makes them has not run.
        """
        path = self.root / f"{name}.json"
        if not path.exists():
            raise NotFound(
                f"{path}: not there yet; run `persona-img {_STEPS.get(name, '--help')}` first"
            )
        return json.loads(path.read_text(encoding="utf-8"))

    def save_decision_table(
        self, table: DecisionTable, *, ranker: int | None = None, replacing: str | None = None
    ) -> Path:
        """Store what serving decides by; it is also kept under its version for evaluation.

        Tables are numbered as they are published here, so that the newest is known whatever they
        are called and whatever clients' clocks say. Of a revision only what differs from its plan
        is kept, for there may be one every hour.

        Args:
            table: To be served.
            ranker: Version of the registered ranker that planned it; None where nobody knows.
            replacing: Policy version that is served now, or nothing is stored; None for any.

        Raises:
            StoreConflict: another one is served than ``replacing``.
        """
        with self.publishing():
            if replacing is not None:
                self._check_served(replacing)
            return self._publish(table, ranker)

    def decision_table(self) -> DecisionTable:
        """What serving decides by, as stored last; looked up in its file, which is not read.

        Raises:
            NotFound: nothing was published yet.
            StoreConflict: a newer program published it; says which file.
        """
        served = _readable(self.root / "decisions.json", self.json("decisions"))
        version = served["policy_version"]
        # Of a home of before there were files it is all in there.
        return self._opened(version, lambda: self._recorded(version, served))

    def decision_tables(self, *, of: Collection[str] | None = None) -> list[DecisionTable]:
        """Plans and revisions that were stored, in the order in which they were published.

        Args:
            of: Only of the plans of these policy versions; None for all.
        """
        stored = self._tables()
        if of is not None:
            plans = {plan_of(version) for version in of}
            stored = [one for one in stored if plan_of(one["policy_version"]) in plans]
        return self._read(stored)

    def plan(self, policy_version: str) -> DecisionTable:
        """A plan, or the plan of a revision, as it was stored first.

        Raises:
            NotFound: no such plan was stored.
        """
        name = _file_of(plan_of(policy_version))
        return _table(_readable(self.root / f"{name}.json", self.json(name)))

    def served_ranker(self) -> int | None:
        """Version of the ranker that planned what is served; None where nobody knows."""
        return self._served().get("ranker")

    def go_back(self, ranker: int, *, instead_of: int) -> bool:
        """Serve again what one ranker planned last; what the other one showed is not kept.

        Args:
            ranker: Version of a registered ranker.
            instead_of: Version of the one that is rolled back.

        Returns:
            Whether there is such a table; where there is none, what is served stays.
        """
        with self.publishing():
            stored = self._tables()
            wrong = _plans_of(stored, instead_of)
            right = [one for one in stored if one.get("ranker") == ranker]
            # First, so that a table that comes back finds those it has to overrule.
            self.save_json("revoked", sorted((self.revoked() - _harmless(right, ranker)) | wrong))
            if right:
                newest = stored.index(right[-1])
                self._publish(self._read(stored)[newest], ranker)
            return bool(right)

    def allow(self, ranker: int) -> None:
        """What a ranker showed may be kept again, but for what was stopped: it is promoted anew."""
        with self.publishing():
            own = _harmless(self._tables(), ranker)
            if self.revoked() & own:
                self.save_json("revoked", sorted(self.revoked() - own))

    def revoked(self) -> frozenset[str]:
        """Plans that were rolled back."""
        return frozenset(self.json("revoked") if self.has_json("revoked") else ())

    def stop(self, served: DecisionTable, reason: str, *, ranker: int | None) -> None:
        """Give everybody the photo at once; what this plan or one before it showed is not kept.

        Args:
            served: The table that does harm.
            reason: Why.
            ranker: Version of the registered ranker that planned it; None where nobody knows.

        Raises:
            StoreConflict: another table is served by now.
        """
        photo = Slate((Candidate(ORIGINAL, None, 1.0),))
        stopped = replace(
            served,
            policy_version=f"{served.plan}{_STOPPED}",
            slates=dict.fromkeys(served.slates, photo),
            personal=None,
        )
        with self.publishing():
            self._check_served(served.policy_version)
            # First, so that the table that comes finds what it has to overrule.
            every = {plan_of(one["policy_version"]) for one in self._tables()}
            self.save_json("revoked", sorted(self.revoked() | every))
            self.save_json("stopped", {"ranker": ranker, "reason": reason})
            (self.root / "ramp.json").unlink(missing_ok=True)
            self._publish(stopped, ranker)

    def stopped(self) -> tuple[int | None, str] | None:
        """Whose test was stopped, and why; None where none was since the last :meth:`resume`."""
        if not self.has_json("stopped"):
            return None
        stored = self.json("stopped")
        return stored["ranker"], stored["reason"]

    def resume(self) -> None:
        """Forget that a test was stopped."""
        (self.root / "stopped.json").unlink(missing_ok=True)

    def begin_ramp(self, table: DecisionTable, *, ranker: int, share: float, now: datetime) -> None:
        """Give a new plan to a part of the arm's shoppers, beside what is served.

        Args:
            table: The plan.
            ranker: Version of the registered ranker that planned it.
            share: Of the arm's shoppers, in (0, 1).
            now: When the stage begins.

        Raises:
            StoreConflict: a ramp is under way.
        """
        with self.publishing():
            if self.has_json("ramp"):
                raise StoreConflict(f"{self.json('ramp')['plan']!r} is on a ramp; end that first")
            table = table.in_parts()
            self.save_json(_file_of(table.policy_version), self._stored(table, ranker))
            write_table(self._mapped_path(table.policy_version), table)
            self._save_stage(table.plan, ranker, share, now)

    def ramp(self) -> Ramp | None:
        """Who gets another table than the one that is served; None where nobody does."""
        stage = self.ramp_stage()
        if stage is None:
            return None
        plan = stage.plan
        return Ramp(self._opened(plan, lambda: self.plan(plan)), stage.share)

    def ramp_stage(self) -> RampStage | None:
        """What a ramp is at; None where there is none."""
        if not self.has_json("ramp"):
            return None
        stored = self.json("ramp")
        since = datetime.fromisoformat(stored["since"])
        return RampStage(stored["plan"], stored["ranker"], stored["share"], since)

    def widen_ramp(self, stage: RampStage, *, share: float, now: datetime) -> None:
        """Give the plan to more shoppers.

        Raises:
            StoreConflict: the ramp is at another stage by now.
        """
        with self.publishing():
            self._check_stage(stage)
            self._save_stage(stage.plan, stage.ranker, share, now)

    def finish_ramp(self, stage: RampStage) -> None:
        """Serve the plan to everybody; :meth:`end_ramp` follows. May be called again.

        Raises:
            StoreConflict: the ramp is at another stage by now.
        """
        with self.publishing():
            self._check_stage(stage)
            # A revision of it may be served by now: its name is not to be given twice.
            if plan_of(self._served().get("policy_version", "")) != stage.plan:
                self._publish(self.plan(stage.plan), stage.ranker)

    def end_ramp(self, stage: RampStage, *, keep: bool) -> None:
        """Nobody gets another table any more.

        Args:
            stage: Of the ramp.
            keep: Whether shoppers keep what it showed; else they are drawn for again.

        Raises:
            StoreConflict: the ramp is at another stage by now.
        """
        with self.publishing():
            self._check_stage(stage)
            if not keep:
                self.save_json("revoked", sorted(self.revoked() | {stage.plan}))
            (self.root / "ramp.json").unlink()

    def published(self) -> tuple[tuple[int, int, int], ...]:
        """Changes when something else may be served, or when a table's file was written over."""
        tables = sorted(self.mapped.glob("*.table"))
        return tuple(map(_stamp, (*(self.root / f"{name}.json" for name in _SERVING), *tables)))

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """Nobody else publishes within the ``with``, whichever process; others wait."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "publishing.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _check_served(self, policy_version: str) -> None:
        served = self._served().get("policy_version")
        if served != policy_version:
            raise StoreConflict(
                f"{policy_version!r} is not served any more, {served!r} is; begin again from that"
            )

    def _publish(self, table: DecisionTable, ranker: int | None) -> Path:
        table, version = table.in_parts(), table.policy_version
        kept = self._stored(table, ranker)
        about = {key: kept[key] for key in ("format", "published", "ranker", "policy_version")}
        if table.plan != version:
            plan = self.plan(table.plan).in_parts().slates  # as older homes have not kept it
            changed = {place: s for place, s in table.slates.items() if s != plan[place]}
            kept = about | {"revises": table.plan, "slates": _rows(changed)}
        self.save_json(_file_of(version), kept)
        write_table(self._mapped_path(version), table)
        told = self.save_json("decisions", about)
        self._sweep(version)
        return told

    def _stored(self, table: DecisionTable, ranker: int | None) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "published": int(self._served().get("published", 0)) + 1,
            "ranker": ranker,
            "policy_version": table.policy_version,
            "default_segment": table.default_segment,
            "segments": dict(table.segments),
            "slates": _rows(table.slates),
            **({} if table.personal is None else {"personal": personal_dict(table.personal)}),
        }

    def _opened(self, version: str, made: Callable[[], DecisionTable]) -> DecisionTable:
        """A table from its file, which is made where it is missing or damaged.

        Where it cannot be, as on a disk that is full, the table is served all the same.
        """
        path = self._mapped_path(version)
        with suppress(NotFound, StoreFailed):
            return open_table(path)
        try:
            with self.publishing():
                with suppress(NotFound, StoreFailed):
                    return open_table(path)  # of somebody who was sooner
                _LOG.warning("%s: missing or damaged; it is made again from its plan", path)
                write_table(path, made())
        except OSError as error:
            _LOG.warning("%s: cannot be made (%s); the table is served from memory", path, error)
            return made().in_parts()
        return open_table(path)

    def _recorded(self, version: str, served: Mapping[str, Any]) -> DecisionTable:
        """A table as it is kept for evaluation."""
        if "slates" in served:
            return _table(served)
        name = _file_of(version)
        kept = _readable(self.root / f"{name}.json", self.json(name))
        return _revision(kept, self.plan(version)) if "revises" in kept else _table(kept)

    def _mapped_path(self, version: str) -> Path:
        return self.mapped / f"{quote(version, safe='')}.table"

    def _sweep(self, version: str) -> None:
        """Delete files of tables that are not served; who has one mapped keeps it."""
        stage = self.ramp_stage()
        used = {self._mapped_path(one) for one in (version, stage.plan if stage else version)}
        found = set(self.mapped.glob("*.table")) - used
        # Whoever read the name a moment ago is to find it.
        for path in sorted(found, key=lambda one: one.stat().st_mtime_ns)[:-_EARLIER]:
            path.unlink(missing_ok=True)

    def _save_stage(self, plan: str, ranker: int, share: float, now: datetime) -> None:
        stage = {"plan": plan, "ranker": ranker, "share": share, "since": now.isoformat()}
        self.save_json("ramp", stage)

    def _check_stage(self, stage: RampStage) -> None:
        if self.ramp_stage() != stage:
            raise StoreConflict(f"the ramp of {stage.plan!r} moved on meanwhile; look again")

    def _served(self) -> Mapping[str, Any]:
        """What is served, as it is stored; empty where nothing is."""
        if not self.has_json("decisions"):
            return {}
        return _readable(self.root / "decisions.json", self.json("decisions"))

    def _tables(self) -> list[dict[str, Any]]:
        """As they are stored, in the order in which they were last published."""
        found = sorted((self.root / "decisions").glob("*.json"))
        stored = [
            dict(_readable(path, json.loads(path.read_text(encoding="utf-8")))) for path in found
        ]
        # Older ones have no number; the order of their names is what there is.
        return sorted(stored, key=lambda one: one.get("published", 0))

    def _read(self, stored: Sequence[Mapping[str, Any]]) -> list[DecisionTable]:
        plans = {one["policy_version"]: _table(one) for one in stored if "revises" not in one}
        return [
            _revision(one, plans[one["revises"]])
            if "revises" in one
            else plans[one["policy_version"]]
            for one in stored
        ]

    def _table_path(self, name: str) -> Path:
        return self.root / "tables" / f"{name}.parquet"


def _readable(path: Path, stored: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a file holds, unless a newer program wrote it."""
    found = stored.get("format", _FORMAT)
    if found != _FORMAT:
        raise StoreConflict(
            f"{path}: of format {found}, this program reads {_FORMAT}; run the version that "
            "published it, or publish again with this one"
        )
    return stored


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _file_of(policy_version: str) -> str:
    return f"decisions/{quote(policy_version, safe='')}"


def _plans_of(stored: Iterable[Mapping[str, Any]], ranker: int) -> set[str]:
    return {plan_of(one["policy_version"]) for one in stored if one.get("ranker") == ranker}


def _harmless(stored: Iterable[Mapping[str, Any]], ranker: int) -> set[str]:
    """Plans of a ranker that were never stopped."""
    plans = _plans_of(stored, ranker)
    return {plan for plan in plans if f"{plan}{_STOPPED}" not in plans}


def _rows(slates: Mapping[tuple[str, str], Slate]) -> list[dict[str, Any]]:
    return [
        {
            "segment": segment,
            "product": product,
            "candidates": [[c.style.key, c.digest, c.probability] for c in slate.candidates],
        }
        for (segment, product), slate in slates.items()
    ]


def _slates(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Slate]:
    return {
        (row["segment"], row["product"]): Slate(
            tuple(Candidate(Style(key), digest, p) for key, digest, p in row["candidates"])
        )
        for row in rows
    }


def _table(stored: Mapping[str, Any]) -> DecisionTable:
    return DecisionTable(
        policy_version=stored["policy_version"],
        slates=_slates(stored["slates"]),
        segments=stored["segments"],
        default_segment=stored["default_segment"],
        personal=as_personal(stored.get("personal")),
    )


def _revision(stored: Mapping[str, Any], plan: DecisionTable) -> DecisionTable:
    # What did not change is the plan's own, not a copy of it: there are many revisions.
    slates = ChainMap(_slates(stored["slates"]), cast("dict[tuple[str, str], Slate]", plan.slates))
    return replace(plan, policy_version=stored["policy_version"], slates=slates)


def writable_folder(path: str | Path) -> Path:
    """The folder, made if need be.

    Raises:
        InvalidInput: it is a file or may not be written.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(
            f"{path}: cannot be made ({error.strerror}); name another folder"
        ) from error
    if not os.access(path, os.W_OK):
        raise InvalidInput(f"{path}: may not be written; name another folder or change its mode")
    return path


def writable_file(path: str | Path, suffixes: Sequence[str] = ()) -> Path:
    """A file that can be written; its folder is made if need be.

    Args:
        path: The file.
        suffixes: Endings it may have, in lower case; none for any.

    Raises:
        InvalidInput: it is a folder, ends otherwise, or lies where nothing may be written.
    """
    path = Path(path)
    if suffixes and path.suffix.lower() not in suffixes:
        raise InvalidInput(f"{path}: ends in {path.suffix!r}; end it in {' or '.join(suffixes)}")
    if path.is_dir():
        raise InvalidInput(f"{path}: is a folder; name a file")
    writable_folder(path.parent)
    return path

"""Records of a shop's A/B tests in a folder: edited until a test starts, frozen from then on."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from persona_img.abtest.record import NAME, Record, digest_of
from persona_img.errors import InvalidInput, NotFound, StoreConflict, StoreFailed

if TYPE_CHECKING:
    from pathlib import Path

Reason = Literal["win", "harm", "futility", "horizon", "by hand"]
"""Why a test is stopped."""


@dataclass(frozen=True)
class Started:
    """A record as it was when its test started.

    Attributes:
        record: What counts, whatever the file says since.
        digest: Of the record and the moment.
        started_at: When, with a time zone.
        run: Id of the tracked run that holds it.
    """

    record: Record
    digest: str
    started_at: datetime
    run: str


@dataclass(frozen=True)
class Stopped:
    """How a test ended.

    Attributes:
        stopped_at: When, with a time zone; what was shown later does not count.
        reason: Why.
        note: What whoever stopped it said of it.
        verdict: Of the primary metric then; empty where nothing was shown.
        shoppers: Exposed by then, all arms together.
        run: Id of the tracked run of its last analysis.
    """

    stopped_at: datetime
    reason: Reason
    note: str
    verdict: str
    shoppers: int
    run: str


class Records:
    """Records in a folder.

    ::

        NAME.toml           as it is edited
        NAME.started.json   as it was when the test started; written once
        NAME.stopped.json   how it ended; written once

    Args:
        folder: Where they lie; made when a record is first written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        """Tests that have a record, by name."""
        if not self.folder.is_dir():
            return []
        ends = (".toml", ".started.json")
        found = {p.name.removesuffix(e) for e in ends for p in self.folder.glob(f"*{e}")}
        return sorted(found)

    def path(self, name: str) -> Path:
        """The file that is edited.

        Raises:
            InvalidInput: a name that no test has.
        """
        return self.folder / f"{_checked(name)}.toml"

    def load(self, name: str) -> Record:
        """The record as its file says now.

        Raises:
            NotFound: there is none.
            InvalidInput: it breaks a rule, or is of another test.
        """
        path = self.path(name)
        if not path.is_file():
            listed = ", ".join(self.names()) or "none yet"
            raise NotFound(
                f"test {name!r} has no record; there are {listed}: write one with "
                f"`persona-img test plan {name} --hypothesis … --lift …`"
            )
        record = Record.parse(_text(path), str(path))
        if record.name != name:
            raise InvalidInput(f"{path}: name={record.name!r}; the file's name says {name!r}")
        return record

    def save(self, record: Record) -> Path:
        """Write a record, over one that has not started.

        Raises:
            StoreConflict: the test has started.
        """
        started = self.started(record.name)
        if started is not None:
            raise StoreConflict(
                f"test {record.name}: it started {started.started_at:%Y-%m-%d %H:%M} UTC by record "
                f"{started.digest[:12]}, which stays; a new plan is a new test with another name"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.path(record.name)
        partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
        partial.write_text(record.toml, encoding="utf-8")
        return partial.replace(path)

    def started(self, name: str) -> Started | None:
        """The record as the test started; None where it has not.

        Raises:
            StoreFailed: the file is not what was written.
        """
        found = self._kept(name, "started")
        if found is None:
            return None
        path = self.folder / f"{name}.started.json"
        try:
            record = Record.of(found["record"], str(path))
            moment = datetime.fromisoformat(found["started_at"])
            kept = Started(record, found["digest"], moment, found["run"])
        except (KeyError, TypeError, ValueError) as error:
            raise StoreFailed(f"{path}: {error}; restore it from a backup") from error
        # Of what is written, for later versions may say more of a record than this one.
        if digest_of({"record": found["record"], "started_at": found["started_at"]}) != kept.digest:
            raise StoreFailed(
                f"{path}: the record is not the one that started ({kept.digest[:12]}); restore it "
                "from a backup, or from its tracked run"
            )
        return kept

    def start(self, record: Record, *, run: str, now: datetime) -> Started:
        """Freeze a record.

        Args:
            record: As it is.
            run: Id of the tracked run that holds it.
            now: The moment, with a time zone.

        Raises:
            InvalidInput: ``now`` has no time zone.
            StoreConflict: the test started before.
        """
        digest = start_digest(record, now)
        values = {
            "record": record.model_dump(mode="json"),
            "digest": digest,
            "started_at": now.isoformat(),
            "run": run,
        }
        self._keep(record.name, "started", values)
        return Started(record, digest, now, run)

    def stopped(self, name: str) -> Stopped | None:
        """How a test ended; None where it has not.

        Raises:
            StoreFailed: the file is not what was written.
        """
        found = self._kept(name, "stopped")
        if found is None:
            return None
        path = self.folder / f"{name}.stopped.json"
        if found.pop("digest", None) != digest_of(found):
            raise StoreFailed(
                f"{path}: not what was written when it was stopped; restore it from a backup, or "
                "from its tracked run"
            )
        try:
            return Stopped(**found | {"stopped_at": datetime.fromisoformat(found["stopped_at"])})
        except (KeyError, TypeError, ValueError) as error:
            raise StoreFailed(f"{path}: {error}; restore it from a backup") from error

    def stop(self, name: str, stopped: Stopped) -> None:
        """Keep how a test ended.

        Raises:
            StoreConflict: it was stopped before.
        """
        values = asdict(stopped) | {"stopped_at": stopped.stopped_at.isoformat()}
        self._keep(name, "stopped", values | {"digest": digest_of(values)})

    def changed(self, started: Started) -> tuple[str, ...]:
        """What the file says otherwise than the record that started, a line each."""
        name = started.record.name
        try:
            return started.record.changes(self.load(name))
        except NotFound:
            return (f"{self.path(name)} is gone",)
        except InvalidInput as error:
            return (str(error),)

    def _kept(self, name: str, what: str) -> dict[str, Any] | None:
        path = self.folder / f"{_checked(name)}.{what}.json"
        if not path.is_file():
            return None
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StoreFailed(f"{path}: cannot be read ({error}); restore a backup") from error
        if not isinstance(found, dict):
            raise StoreFailed(f"{path}: holds no record; restore it from a backup")
        return found

    def _keep(self, name: str, what: str, values: dict[str, Any]) -> None:
        """Whole and once: of two who come together one is told that the other was first."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{name}.{what}.json"
        partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
        try:
            with partial.open("x", encoding="utf-8") as file:
                file.write(json.dumps(values, indent=1) + "\n")
                file.flush()
                os.fsync(file.fileno())
            _placed(partial, path)
        except FileExistsError:
            raise StoreConflict(
                f"test {name}: it {what} before ({path}); `persona-img test show {name}` says when"
            ) from None
        finally:
            with contextlib.suppress(FileNotFoundError):
                partial.unlink()


def start_digest(record: Record, now: datetime) -> str:
    """SHA-256 of a record and the moment from which it counts, hex.

    Raises:
        InvalidInput: the moment has no time zone.
    """
    if now.tzinfo is None:
        raise InvalidInput(f"started at {now}: give it a time zone, as datetime.now(UTC) has")
    return digest_of({"record": record.model_dump(mode="json"), "started_at": now.isoformat()})


def _placed(partial: Path, path: Path) -> None:
    """Give a file its name, which nothing has yet: FileExistsError where something does."""
    try:
        os.link(partial, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links; the name is taken first, and once
        path.touch(exist_ok=False)
        partial.replace(path)


def _checked(name: str) -> str:
    if not re.fullmatch(NAME, name):
        raise InvalidInput(
            f"test {name!r}: letters, digits, '.', '_' and '-', at most 64, a letter or digit first"
        )
    return name


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: cannot be read ({error}); mend or remove it") from error

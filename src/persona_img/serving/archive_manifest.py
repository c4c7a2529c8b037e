"""Which files of the archive count, and up to which event of the log: one small file."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from persona_img.errors import StoreConflict, StoreFailed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NAME = "manifest.json"
_VERSION = 1


@dataclass(frozen=True)
class Kept:
    """A file that counts.

    Attributes:
        name: Below the archive's folder.
        rows: In it.
        bytes: Its size.
        sha256: Of what it holds.
    """

    name: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Day:
    """Files of the impressions that were shown on one day, UTC."""

    impressions: tuple[Kept, ...] = ()
    late: tuple[Kept, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """What counts.

    Attributes:
        through: Number of the log's last event that is in.
        mark: What tells that event from that of another log.
        run: Of the last run; every run has its own files.
        days: ISO date to its files.
    """

    through: int = 0
    mark: str = ""
    run: int = 0
    days: Mapping[str, Day] = field(default_factory=dict)

    @property
    def files(self) -> list[Kept]:
        """Every file that counts."""
        return [one for day in self.days.values() for one in (*day.impressions, *day.late)]

    @property
    def rows(self) -> int:
        """Impressions."""
        return sum(one.rows for day in self.days.values() for one in day.impressions)


def read_manifest(folder: Path) -> Manifest:
    """What counts now; nothing where there is no archive yet.

    Raises:
        StoreConflict: another version wrote it.
        StoreFailed: it cannot be read.
    """
    path = folder / NAME
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if told["version"] != _VERSION:
            raise StoreConflict(
                f"{path}: version {told['version']}, this program reads {_VERSION}; install the "
                "one that wrote it"
            )
        kinds = ("impressions", "late")
        days = {
            name: Day(*(tuple(Kept(**one) for one in day[kind]) for kind in kinds))
            for name, day in told["days"].items()
        }
        return Manifest(told["through"], told["mark"], told["run"], days)
    except FileNotFoundError:
        return Manifest()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreFailed(
            f"{path}: cannot be read ({error!r}); restore the archive from a backup", "corrupt"
        ) from error


def publish(folder: Path, manifest: Manifest) -> None:
    """Let these files count; they are on the disk. Readers see the manifest before, or this one."""
    told = {"version": _VERSION, **asdict(manifest)}
    partial = folder / (NAME + ".part")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(told, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / NAME)
    sync(folder)


def sync(folder: Path) -> None:
    """What was renamed or made in a folder is on the disk."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)

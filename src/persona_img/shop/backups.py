"""A shop in one file, and a shop from that file.

A backup is a zip of everything in the shop's folder, with a list of what is in it and each file's
digest as its last member. Databases are copied by SQLite itself, as they are at one moment, while
the shop is served; the order of copying keeps what refers behind what it refers to.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
import zipfile
import zlib
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Self

from persona_img import wiring
from persona_img.errors import InvalidInput, StoreFailed
from persona_img.shop.stores import Stores
from persona_img.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from persona_img.workspace import Workspace

_MANIFEST = "backup.json"
_VERSION = 1
_SQLITE = b"SQLite format 3\0"
_LEFT_OUT = (".lock", ".part", "-wal", "-shm", "-journal")
_PACKED = (".sqlite", ".db", ".json", ".csv", ".txt", ".toml", ".html")
"""What becomes smaller; pictures and Parquet are packed already."""
_PIECE = 1 << 20
_DAMAGED = (zipfile.BadZipFile, zlib.error, NotImplementedError)
"""What a zip that is none says, by where it is damaged."""


@dataclass(frozen=True)
class Copied:
    """A file of a backup.

    Attributes:
        bytes: Its size.
        sha256: Of what it holds.
        mode: Who may read it, as of ``chmod``.
    """

    bytes: int
    sha256: str
    mode: int


@dataclass(frozen=True)
class Backup:
    """What a backup holds.

    Attributes:
        made_at: When.
        by: Version of the program that made it.
        files: By name, below the shop's folder.
    """

    made_at: datetime
    by: str
    files: Mapping[str, Copied]

    @property
    def bytes(self) -> int:
        """Of all files, as they are in the shop."""
        return sum(one.bytes for one in self.files.values())


class Backups(Stores):
    """A shop's backup, and a shop from a backup."""

    def backup(self, path: str | Path) -> Backup:
        """Write the whole shop into one file, or nothing; it may be served meanwhile.

        The file holds the secret that signs decisions: only its owner may read it.

        Args:
            path: The file; what was there is replaced.

        Returns:
            What it holds, read back from it.

        Raises:
            InvalidInput: the file would lie in the shop's folder, or the log lies in a database.
            StoreFailed: a file of the shop cannot be read, or the backup does not read back.
            OSError: it cannot be written.
        """
        path, root = Path(path), self.workspace.root
        if self.settings.stores.events_url is not None:
            raise InvalidInput(
                "stores.events_url: the log lies in a database, which this file would lack; stop "
                f"`learn` and `archive`, copy {root}, then run pg_dump"
            )
        if path.resolve().is_relative_to(root.resolve()):
            raise InvalidInput(f"{path}: lies in the shop itself; name a file outside {root}")
        partial = path.with_name(path.name + ".part")
        try:
            opened = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(opened, "w+b") as file:
                with (
                    zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed,
                    tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as aside,
                    wiring.archive(self.workspace).reading(),  # nothing leaves log and archive
                ):
                    files = {}
                    for name, source in _members(self.workspace):
                        with suppress(FileNotFoundError):  # replaced or swept meanwhile
                            files[name] = _put(packed, name, source, Path(aside))
                    made = Backup(datetime.now(UTC), __version__, files)
                    packed.writestr(_MANIFEST, _told(made))
                file.flush()
                os.fsync(file.fileno())
            check_backup(partial)
            partial.replace(path)
        except sqlite3.Error as error:
            raise StoreFailed(
                f"{root}: a database cannot be copied ({error}); try again"
            ) from error
        finally:
            partial.unlink(missing_ok=True)
        return made

    @classmethod
    def from_backup(cls, path: str | Path, home: str | Path) -> Self:
        """Make a shop from a backup, whole or not at all, and open it.

        Args:
            path: A file of :meth:`backup`.
            home: The shop's folder: a new one, or one that is empty.

        Raises:
            InvalidInput: the folder holds something, or the file is no whole backup.
            OSError: it cannot be written.
        """
        home = Path(home)
        if home.exists() and (not home.is_dir() or any(home.iterdir())):
            raise InvalidInput(f"{home}: holds a shop or something else; name a new folder")
        made = check_backup(path)
        home.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=home.parent, prefix=f".{home.name}."))
        try:
            with zipfile.ZipFile(path) as packed:
                for name, one in made.files.items():
                    target = aside / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with packed.open(name) as source, target.open("wb") as file:
                        shutil.copyfileobj(source, file, _PIECE)
                        file.flush()
                        os.fsync(file.fileno())
                    target.chmod(one.mode)
            aside.chmod(0o755)
            aside.rename(home)  # takes the place of an empty folder
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return cls.open(home)


def check_backup(path: str | Path) -> Backup:
    """Read a backup to its end.

    Raises:
        InvalidInput: it is none, is cut off, or holds other bytes than were written; says which.
    """
    try:
        with zipfile.ZipFile(path) as packed:
            told = json.loads(packed.read(_MANIFEST))
            if told["version"] != _VERSION:
                raise InvalidInput(
                    f"{path}: a backup of version {told['version']}, this program reads "
                    f"{_VERSION}; restore it with the one that made it"
                )
            files = {name: Copied(**one) for name, one in told["files"].items()}
            names = packed.namelist()
            if sorted(names) != sorted([*files, _MANIFEST]):
                raise ValueError("its files are not those of its list")
            for name, one in files.items():
                if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                    raise ValueError(f"{name!r} lies outside the shop")
                with packed.open(name) as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() != one.sha256:  # type: ignore[arg-type]
                        raise ValueError(f"{name} holds other bytes than were written")
            return Backup(datetime.fromisoformat(told["made_at"]), told["by"], files)
    except FileNotFoundError as error:
        raise InvalidInput(f"{path}: is not there; name a file of `persona-img backup`") from error
    except InvalidInput:
        raise
    except (*_DAMAGED, OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise InvalidInput(
            f"{path}: no whole backup ({error}); take another one, nothing was restored"
        ) from error


def _members(workspace: Workspace) -> Iterator[tuple[str, Path]]:
    """Files of the shop by name; each is to be copied before the next one is asked for.

    The archive before the log, which has what it has not; the log before the tables that its events
    name, those before the pictures and rankers that they name.
    """
    root, seen = workspace.root, set[Path]()

    def found(*patterns: str) -> Iterator[tuple[str, Path]]:
        for path in sorted({path for pattern in patterns for path in root.glob(pattern)} - seen):
            seen.add(path)
            if path.is_file() and not path.is_symlink() and not path.name.endswith(_LEFT_OUT):
                yield path.relative_to(root).as_posix(), path

    yield from found("archive/manifest.json")
    yield from found("archive/*/*")
    yield from found("events.sqlite")
    with workspace.publishing():
        yield from found("*.json", "decisions/*")
    yield from found("**/*.sqlite", "**/*.db")
    yield from found("**/*")


def _put(packed: zipfile.ZipFile, name: str, source: Path, aside: Path) -> Copied:
    """Copy a file; a database by way of SQLite."""
    mode = source.stat().st_mode & 0o777
    with source.open("rb") as file:
        database = file.read(len(_SQLITE)) == _SQLITE
        file.seek(0)
        if not database:
            return _packed(packed, name, file, mode)
    copy = aside / "database"
    copy.unlink(missing_ok=True)
    with closing(sqlite3.connect(source, timeout=30)) as db, closing(sqlite3.connect(copy)) as into:
        db.backup(into)
    with copy.open("rb") as file:
        return _packed(packed, name, file, mode)


def _packed(packed: zipfile.ZipFile, name: str, file: IO[bytes], mode: int) -> Copied:
    about = zipfile.ZipInfo(name)
    about.external_attr = mode << 16
    pack = name.endswith(_PACKED)
    about.compress_type = zipfile.ZIP_DEFLATED if pack else zipfile.ZIP_STORED
    digest, size = hashlib.sha256(), 0
    with packed.open(about, "w", force_zip64=True) as into:
        while piece := file.read(_PIECE):
            digest.update(piece)
            size += len(piece)
            into.write(piece)
    return Copied(size, digest.hexdigest(), mode)


def _told(made: Backup) -> str:
    files = {name: asdict(one) for name, one in made.files.items()}
    told = {"version": _VERSION, "made_at": made.made_at.isoformat(), "by": made.by}
    return json.dumps(told | {"files": files}, indent=1)

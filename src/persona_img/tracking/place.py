"""Where an MLflow database lies: its address, and its files after it was moved.

MLflow writes down absolute addresses of files and has no call to change them; its own advice is to
update the tables (mlflow/mlflow#3144).
"""

from __future__ import annotations

import atexit
import re
import shutil
import sqlite3
import tempfile
from contextlib import closing
from functools import cache
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from persona_img.errors import InvalidInput, StoreConflict

SQLITE = "sqlite:///"
_ODD = re.compile(r"\?|%[0-9A-Fa-f]{2}")
_ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("logged_models", "artifact_location"),
)
_BUSY_SECONDS = 30.0


def address_of(database: Path) -> str:
    """What MLflow calls a database file, whatever its folders are called.

    SQLAlchemy takes ``?`` and ``%20`` in an address for its own, and MLflow makes the folders of an
    address as they are written, so that no quoting suits both. Such a folder is reached by a link
    in a temporary folder, which goes with this process.

    Raises:
        InvalidInput: the temporary folder has such a name too.
    """
    if _ODD.search(database.name):
        raise InvalidInput(f"{database}: give the database a name without '?' and '%'")
    if not _ODD.search(str(database)):
        return f"{SQLITE}{database}"
    return f"{SQLITE}{_link_to(database.parent) / database.name}"


@cache
def _link_to(folder: Path) -> Path:
    place = Path(tempfile.mkdtemp(prefix="persona-img-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    if _ODD.search(str(place)):
        raise InvalidInput(f"{place}: set TMPDIR to a folder without '?' and '%' in its name")
    link = place / "linked"
    link.symlink_to(folder, target_is_directory=True)
    return link


def local_path(address: str) -> Path:
    """The path of a ``file:`` address."""
    return Path(url2pathname(urlparse(address).path))


def follow(database: Path, artifacts: Path) -> None:
    """Let a database whose files were moved or copied with it find them where they are now.

    Where the files lay is read from the experiment that MLflow makes first. Addresses elsewhere,
    which somebody else wrote, are left alone.

    Args:
        database: An MLflow database in SQLite.
        artifacts: Folder of its files, absolute.

    Raises:
        StoreConflict: it has runs with files, and none of these is here.
    """
    with closing(sqlite3.connect(database, timeout=_BUSY_SECONDS, isolation_level=None)) as db:
        here = artifacts.as_uri()
        if _place_of(db) in (None, here):
            return
        db.execute("BEGIN IMMEDIATE")
        before = _place_of(db)  # asked again: another process may have been quicker
        if before not in (None, here):
            _check_moved(db, str(before), artifacts)
            known = {row[0] for row in db.execute("SELECT name FROM sqlite_master")}
            for table, column in _ADDRESSES:
                if table in known:
                    db.execute(
                        f"UPDATE {table} SET {column} = :here || substr({column}, :end)"
                        f" WHERE substr({column}, 1, :end) = :before || '/'",
                        {"here": here, "before": before, "end": len(str(before)) + 1},
                    )
        db.execute("COMMIT")


def _place_of(db: sqlite3.Connection) -> str | None:
    """The folder the database's files were in when it was used last, as an address."""
    query = "SELECT artifact_location FROM experiments WHERE experiment_id = 0"
    row = db.execute(query).fetchone()
    if row is None or not str(row[0]).startswith("file:"):
        return None
    return str(row[0]).rpartition("/")[0]


def _check_moved(db: sqlite3.Connection, before: str, artifacts: Path) -> None:
    query = "SELECT artifact_uri FROM runs WHERE lifecycle_stage = 'active' AND status = 'FINISHED'"
    runs = [str(row[0]) for row in db.execute(query) if str(row[0]).startswith(f"{before}/")]
    moved = (local_path(artifacts.as_uri() + run.removeprefix(before)) for run in runs)
    if runs and not any(path.exists() for path in moved):
        raise StoreConflict(
            f"the database's files were at {before} and are not in {artifacts}; "
            "move them along, or start a new database"
        )

"""The variants' SQLite file: its tables, how older ones are brought up to date, and writing."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from persona_img.errors import InvalidInput, StoreConflict, StoreFailed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIGRATED = "migrated"
"""Who decided what a store without a ledger held."""

_VERSION = 1
_BUSY_SECONDS = 30.0

_VARIANTS = """
CREATE TABLE {name} (
    digest TEXT PRIMARY KEY,
    recipe TEXT NOT NULL,
    style TEXT NOT NULL,
    certificate TEXT NOT NULL
) STRICT
"""
_REST = (
    "CREATE INDEX variants_by_recipe ON variants (recipe)",
    """
    CREATE TABLE IF NOT EXISTS shown (
        product TEXT NOT NULL,
        digest TEXT NOT NULL REFERENCES variants (digest),
        PRIMARY KEY (product, digest)
    ) STRICT
    """,
    # About a picture (digest and recipe), or about a style of a product.
    """
    CREATE TABLE ledger (
        entry INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL,
        who TEXT NOT NULL CHECK (trim(who) <> ''),
        action TEXT NOT NULL CHECK (action IN ('approve', 'withdraw', 'restore')),
        reason TEXT NOT NULL CHECK (action = 'approve' OR trim(reason) <> ''),
        digest TEXT,
        recipe TEXT CHECK ((recipe IS NULL) = (digest IS NULL)),
        product TEXT CHECK ((product IS NULL) <> (digest IS NULL)),
        style TEXT CHECK ((style IS NULL) = (product IS NULL))
    ) STRICT
    """,
    "CREATE INDEX ledger_by_digest ON ledger (digest, entry)",
    "CREATE INDEX ledger_by_recipe ON ledger (recipe, entry)",
    "CREATE INDEX ledger_by_style ON ledger (product, style, entry)",
    *(
        f"CREATE TRIGGER ledger_refuses_{what} BEFORE {what} ON ledger {when}"
        " BEGIN SELECT RAISE(ABORT, 'the ledger is only added to'); END"
        for what, when in (
            ("UPDATE", ""),
            ("DELETE", ""),
            # INSERT OR REPLACE deletes without asking the trigger above.
            ("INSERT", "WHEN EXISTS (SELECT 1 FROM ledger WHERE entry = NEW.entry)"),
        )
    ),
)
# What was not approved may have been withdrawn: nothing tells, so a person decides.
_MIGRATION = (
    _VARIANTS.format(name="variants_with_ledger"),
    "INSERT INTO variants_with_ledger SELECT digest, recipe, style, certificate FROM variants",
    "CREATE TEMP TABLE approval AS SELECT digest, recipe, approved FROM variants ORDER BY rowid",
    "DROP TABLE variants",
    "ALTER TABLE variants_with_ledger RENAME TO variants",
    *_REST,
    f"""
    INSERT INTO ledger (at, who, action, reason, digest, recipe)
    SELECT strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'), '{MIGRATED}',
        iif(approved, 'approve', 'withdraw'),
        iif(approved, 'was approved', 'was not approved, and nothing told why'), digest, recipe
    FROM approval ORDER BY rowid
    """,
    "DROP TABLE approval",
)


class Database:
    """Connections to the file; several threads and processes may use it at once.

    Args:
        path: The file; made if it is not there, in a folder that is.

    Raises:
        InvalidInput: no database can be kept here.
        StoreConflict: a newer version of persona-img wrote it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with closing(self.connect()) as db:
                if _version(db) != _VERSION:
                    db.execute("PRAGMA journal_mode=WAL")
                    with self.writing() as db:
                        _prepare(db, path)
        except sqlite3.Error as error:
            raise InvalidInput(
                f"{path}: no variant store can be kept here ({error}); choose another folder"
            ) from error

    def connect(self) -> sqlite3.Connection:
        """A connection of the calling thread's own."""
        return sqlite3.connect(self.path, timeout=_BUSY_SECONDS)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that is closed afterwards."""
        with closing(self.connect()) as db:
            yield db

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that takes the write lock at once, so that it never has to be redone.

        Raises:
            StoreFailed: nothing of it is on the disk; it may be repeated.
        """
        with closing(self.connect()) as db:
            db.isolation_level = None
            try:
                db.execute("PRAGMA synchronous=FULL")
                db.execute("BEGIN IMMEDIATE")
                try:
                    yield db
                except BaseException:
                    db.execute("ROLLBACK")
                    raise
                db.execute("COMMIT")
            except sqlite3.OperationalError as error:
                raise StoreFailed(
                    f"{self.path}: not stored ({error}); free the disk if it is full, try again"
                ) from error


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    """Tables in a file that has none, or a ledger in one that has none; runs in a transaction."""
    version = _version(db)
    if version == _VERSION:
        return  # another process was quicker
    if version > _VERSION:
        raise StoreConflict(
            f"{path}: store version {version}, this program reads {_VERSION}; install the newer one"
        )
    known = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'variants'").fetchone()
    for statement in _MIGRATION if known else (_VARIANTS.format(name="variants"), *_REST):
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {_VERSION}")

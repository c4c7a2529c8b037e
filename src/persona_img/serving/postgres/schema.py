"""The log's tables in PostgreSQL, and how a database is brought up to date.

An event is one row, by its showing and kind; what may be decided is written once and numbered. The
numbers of events grow in the order in which they are committed, which the archive relies on:
whoever writes holds :data:`WRITING` until the commit, so one transaction writes at a time, of many
calls.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Double,
    Identity,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    text,
)

from persona_img.errors import StoreConflict

if TYPE_CHECKING:
    from sqlalchemy import Connection

VERSION_TABLE = "persona_img_version"

WRITING = text("SELECT pg_advisory_xact_lock(5786221)")
"""Waits until no other transaction writes to a log of this database."""

_tables = MetaData()

TESTS = Table("tests", _tables, Column("test", Text, primary_key=True), Column("shares", JSON))

FACTS = ("test", "product", "segment", "arm", "style_key", "digest", "policy_version")
"""What tells choices apart; a photo's ``digest`` is empty."""

CHOICES = Table(
    "choices",
    _tables,
    Column("choice_id", BigInteger, Identity(always=True), primary_key=True),
    *(Column(name, Text) for name in FACTS),
)

DECISIONS = Table(
    "decisions",
    _tables,
    Column("shopper", Text, primary_key=True),
    Column("choice_id", BigInteger, primary_key=True),
    Column("decided_at", Double, primary_key=True),
    Column("propensity", Double),
)

LINKS = Table(
    "links",
    _tables,
    Column("name", Text, primary_key=True),
    Column("login", Text),
    Column("unit", Text),
    Column("linked_at", Double),
)
"""Names of one person, a login's own among them; other rows keep the names that they had."""

EVENTS = Table(
    "events",
    _tables,
    Column("n", BigInteger, Identity(always=True)),
    Column("showing", Text, primary_key=True),
    Column("kind", SmallInteger, primary_key=True),
    Column("event_id", Text),
    Column("shopper", Text),
    Column("choice_id", BigInteger),
    Column("propensity", Double),
    Column("decided_at", Double),
    Column("occurred_at", Double),
    Column("received_at", Double),
    Column("skew", Double),
    Column("position", Integer),
    Column("value", Double),
    Column("rating", SmallInteger),
)
"""``kind``: 1 impression, 2 click, 3 conversion, 4 dismiss, 5 survey. Times are Unix seconds."""


def migrate(db: Connection) -> None:
    """Run the steps that the database lacks, all or none; of several who do so, one does.

    A database that lacks none is only looked at: whoever writes there is not waited for.

    Raises:
        StoreConflict: a newer program has been here.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = db
    context = MigrationContext.configure(db, opts={"version_table": VERSION_TABLE})
    if set(context.get_current_heads()) == set(ScriptDirectory.from_config(config).get_heads()):
        return
    db.execute(WRITING)
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StoreConflict(
            f"the log's database is of another version ({error}); install the version that wrote "
            "it, or name another database"
        ) from error

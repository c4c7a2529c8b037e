"""What lies in the log's file, and how a file of before is brought up to date.

Names are written once and numbered; an event is a row of numbers beside the id of its showing. An
event carries all of its decision, so that no row needs another one to be understood: ``decisions``
is what was seen, by shopper and product, for whoever decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from persona_img.errors import InvalidInput, StoreConflict, StoreFailed

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

APPLICATION = 0x50494D47  # "PIMG": tells our files from other SQLite databases
VERSION = 2

_TESTS = """
CREATE TABLE tests (
    test TEXT PRIMARY KEY,
    shares TEXT NOT NULL
) STRICT, WITHOUT ROWID
"""
# Names of one person, a login's own among them. Rows of other tables keep the names that they had.
_LINKS = (
    """
    CREATE TABLE links (
        name TEXT PRIMARY KEY,
        login TEXT NOT NULL,
        unit TEXT NOT NULL,
        linked_at REAL NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX links_by_login ON links (login, unit)",
)
_SCHEMA = (
    *_LINKS,
    """
    CREATE TABLE shoppers (
        shopper_id INTEGER PRIMARY KEY,
        shopper TEXT NOT NULL UNIQUE
    ) STRICT
    """,
    """
    CREATE TABLE offers (
        offer_id INTEGER PRIMARY KEY,
        test TEXT NOT NULL,
        product TEXT NOT NULL,
        UNIQUE (test, product)
    ) STRICT
    """,
    # What may be decided, but for its chance: few rows, whatever the traffic.
    """
    CREATE TABLE choices (
        choice_id INTEGER PRIMARY KEY,
        offer_id INTEGER NOT NULL REFERENCES offers,
        segment TEXT NOT NULL,
        arm TEXT NOT NULL,
        style_key TEXT NOT NULL,
        digest TEXT,
        policy_version TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE UNIQUE INDEX choices_by_facts
    ON choices (offer_id, policy_version, style_key, segment, arm, ifnull(digest, ''))
    """,
    # Decisions of which an impression came.
    """
    CREATE TABLE decisions (
        shopper_id INTEGER NOT NULL REFERENCES shoppers,
        offer_id INTEGER NOT NULL REFERENCES offers,
        decided_at REAL NOT NULL,
        choice_id INTEGER NOT NULL REFERENCES choices,
        propensity REAL NOT NULL CHECK (propensity > 0 AND propensity <= 1),
        PRIMARY KEY (shopper_id, offer_id, decided_at, choice_id)
    ) STRICT, WITHOUT ROWID
    """,
    # In the order of their arrival. ``kind``: 1 impression, 2 click, 3 conversion, 4 dismiss,
    # 5 survey. ``showing``: 12 bytes; text is of before there were tokens.
    """
    CREATE TABLE events (
        n INTEGER PRIMARY KEY,
        showing ANY NOT NULL,
        kind INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 5),
        event_id TEXT NOT NULL,
        shopper_id INTEGER NOT NULL REFERENCES shoppers,
        choice_id INTEGER NOT NULL REFERENCES choices,
        propensity REAL NOT NULL CHECK (propensity > 0 AND propensity <= 1),
        decided_at REAL NOT NULL,
        occurred_at REAL NOT NULL,
        received_at REAL,
        skew REAL NOT NULL,
        position INTEGER NOT NULL CHECK (position >= 1),
        value REAL CHECK (value >= 0),
        rating INTEGER CHECK (rating BETWEEN 1 AND 5)
    ) STRICT
    """,
    "CREATE UNIQUE INDEX events_by_showing ON events (showing, kind)",
    # Decisions of before there were tokens, by the names that their events call them.
    """
    CREATE TABLE earlier (
        decision_id TEXT PRIMARY KEY,
        shopper_id INTEGER NOT NULL REFERENCES shoppers,
        choice_id INTEGER NOT NULL REFERENCES choices,
        propensity REAL NOT NULL,
        decided_at REAL NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
)

# Several clicks on one impression counted once, and still do: the one that counts gets the
# showing, the others one that no impression has.
_FROM_VERSION_1 = (
    "DROP TABLE latest",
    "ALTER TABLE events RENAME TO events_1",
    "ALTER TABLE decisions RENAME TO decisions_1",
    # Both are gone in the end; without this every decision would be looked for in all events.
    "CREATE INDEX events_1_by_decision ON events_1 (decision_id, kind)",
    *_SCHEMA,
    "INSERT INTO shoppers (shopper) SELECT DISTINCT shopper FROM decisions_1 ORDER BY shopper",
    "INSERT INTO offers (test, product) SELECT DISTINCT test, product FROM decisions_1",
    """
    INSERT INTO choices (offer_id, segment, arm, style_key, digest, policy_version)
    SELECT DISTINCT offer_id, segment, arm, style_key, digest, policy_version
    FROM decisions_1 JOIN offers USING (test, product)
    """,
    """
    INSERT INTO earlier
    SELECT d.decision_id, s.shopper_id, c.choice_id, d.propensity, d.decided_at
    FROM decisions_1 d
    JOIN shoppers s USING (shopper)
    JOIN offers o USING (test, product)
    JOIN choices c ON c.offer_id = o.offer_id AND c.policy_version = d.policy_version
        AND c.style_key = d.style_key AND c.segment = d.segment AND c.arm = d.arm
        AND c.digest IS d.digest
    """,
    """
    INSERT OR IGNORE INTO decisions
    SELECT e.shopper_id, c.offer_id, e.decided_at, e.choice_id, e.propensity
    FROM earlier e JOIN choices c USING (choice_id)
    WHERE EXISTS (SELECT 1 FROM events_1 i
        WHERE i.decision_id = e.decision_id AND i.kind = 'impression')
    """,
    """
    INSERT INTO events (showing, kind, event_id, shopper_id, choice_id, propensity, decided_at,
        occurred_at, received_at, skew, position)
    SELECT
        told.decision_id || char(31) || told.impression_id
            || iif(told.place = 1, '', char(31) || told.event_id),
        CASE told.kind WHEN 'impression' THEN 1 WHEN 'click' THEN 2 ELSE 3 END,
        told.event_id, d.shopper_id, d.choice_id, d.propensity, d.decided_at,
        told.occurred_at, NULL, 0.0, told.position
    FROM (
        SELECT e.*, row_number() OVER (
            PARTITION BY e.decision_id, e.impression_id, e.kind
            ORDER BY e.occurred_at < ifnull(i.occurred_at, 0), e.occurred_at, e.event_id
        ) AS place
        FROM events_1 e
        LEFT JOIN events_1 i ON i.event_id = e.impression_id AND i.kind = 'impression'
    ) told
    JOIN earlier d USING (decision_id)
    ORDER BY told.occurred_at, told.event_id
    """,
    "DROP TABLE events_1",
    "DROP TABLE decisions_1",
)


def prepare(db: sqlite3.Connection, path: Path) -> None:
    """Make the tables of a file that has none; bring those of before up to date, all or nothing.

    Raises:
        InvalidInput: another program's database.
        StoreConflict: a version that this program does not know.
        sqlite3.Error: it cannot be written; then it is as it was before.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        (owner,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if db.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
            statements: tuple[str, ...] = (_TESTS, *_SCHEMA)
        elif owner != APPLICATION:
            raise InvalidInput(f"{path}: a database of another program; name another file")
        elif version == 1:
            statements = _FROM_VERSION_1
        elif version == VERSION:
            # Files of before there were links lack their table; programs of then do not mind it.
            query = "SELECT 1 FROM sqlite_master WHERE name = 'links'"
            statements = () if db.execute(query).fetchone() else _LINKS
        else:
            raise StoreConflict(
                f"{path}: log version {version}, this program reads up to {VERSION}; name another "
                "file, or install the version that wrote it"
            )
        for statement in statements:
            db.execute(statement)
        if statements:
            db.execute(f"PRAGMA application_id = {APPLICATION}")
            db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def check(db: sqlite3.Connection) -> None:
    """Refuse what is no log of this version; reads the newest event, so the file's end."""
    (owner,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if (owner, version) != (APPLICATION, VERSION):
        raise StoreFailed("another program's database, or another version's", "corrupt")
    db.execute("SELECT * FROM events ORDER BY n DESC LIMIT 1").fetchone()

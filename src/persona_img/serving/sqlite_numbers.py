"""Numbers of names in the log's file: each name is written once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from persona_img.domain.decision import Decision

_MOST = 100_000  # choices remembered, some 50 MB of them
# As the index has it, so that it is used.
_CHOICE = """
SELECT choice_id FROM choices WHERE offer_id = ? AND policy_version = ? AND style_key = ?
AND segment = ? AND arm = ? AND ifnull(digest, '') = ifnull(?, '')
"""
_NEW_CHOICE = """
INSERT INTO choices (offer_id, policy_version, style_key, segment, arm, digest)
VALUES (?, ?, ?, ?, ?, ?)
"""
_OFFER = "SELECT offer_id FROM offers WHERE test = ? AND product = ?"
_NEW_OFFER = "INSERT INTO offers (test, product) VALUES (?, ?)"


def numbered(db: sqlite3.Connection, shoppers: set[str]) -> dict[str, int]:
    """The number of each shopper; those that had none get one."""
    names = [(name,) for name in sorted(shoppers)]
    db.executemany("INSERT OR IGNORE INTO shoppers (shopper) VALUES (?)", names)
    rows = db.execute(
        "SELECT shopper, shopper_id FROM shoppers "
        "WHERE shopper IN (SELECT value FROM json_each(?))",
        (json.dumps([*shoppers]),),
    )
    return dict(rows.fetchall())


class Choices:
    """Numbers of offers and choices, remembered from one transaction to the next.

    They are few, and never taken away. What a transaction wrote itself may be rolled back yet, so
    it is remembered only once a later one finds it. Used by the thread that writes.

    Args:
        commits: How many transactions were committed so far.
    """

    def __init__(self, commits: Callable[[], int]) -> None:
        self._commits = commits
        self._db: sqlite3.Connection | None = None
        self._known: dict[tuple[str | None, ...], tuple[int, int]] = {}
        self._wrote = -1  # commits before the transaction that wrote last

    def numbers(self, db: sqlite3.Connection, decision: Decision) -> tuple[int, int]:
        """The numbers of a decision's offer and choice; given here where there are none.

        Args:
            db: In a transaction. Another connection may be to another file: what is remembered is
                of one alone.
            decision: Any.
        """
        if db is not self._db:
            self._db, self._known = db, {}
        facts = (
            decision.test,
            decision.product,
            decision.policy_version,
            decision.style_key,
            decision.segment,
            decision.arm,
            decision.digest,
        )
        found = self._known.get(facts)
        if found is None:
            offer = self._number(_OFFER, _NEW_OFFER, facts[:2])
            found = offer, self._number(_CHOICE, _NEW_CHOICE, (offer, *facts[2:]))
            if self._wrote != self._commits():
                if len(self._known) >= _MOST:
                    self._known.clear()
                self._known[facts] = found
        return found

    def forget(self) -> None:
        """Ask the file again: it holds something else than before."""
        self._known = {}

    def _number(self, query: str, insert: str, values: tuple[Any, ...]) -> int:
        assert self._db is not None
        row = self._db.execute(query, values).fetchone()
        if row is not None:
            return int(row[0])
        self._wrote = self._commits()
        number = self._db.execute(insert, values).lastrowid
        assert number is not None
        return number

"""Who may be shown what: every approval and withdrawal of a variant, for good.

Entries are only added; triggers of the database refuse anything else. What may be served is read
from them:

- A *picture* is withdrawn where the last word on it, or on its recipe, is a withdrawal. So whatever
  the same photo, style, seed and renderer give again stays withdrawn, also where another machine's
  arithmetic gives other bytes. A new version of the renderer, or a new photo, makes another
  picture, which the gate judges anew.
- A *style of a product* is withdrawn until it is restored, whatever makes the picture.
- What is not withdrawn is approved once somebody approved or restored it: the gate, or a person.
  Until then it is proposed, and not served.

The gate never overrules a person: it approves only where no decision stands.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from persona_img.domain.style import Style
from persona_img.errors import InvalidInput, NotFound, StoreConflict, StoreFailed
from persona_img.variants.database import MIGRATED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from persona_img.variants.database import Database

GATE = "gate"
"""Who approves what passed the gate."""

Action = Literal["approve", "withdraw", "restore"]
_COLUMNS = "entry, at, who, action, reason, digest, product, style"
_LONGEST = 1000
_FAILED_SECONDS = 2.0  # a page that could not be read is told of for so long: others can be

_LAST_OF_RECIPE = "SELECT max(entry) FROM ledger WHERE recipe = variants.recipe"
_LAST_OF_DIGEST = "SELECT max(entry) FROM ledger WHERE digest = variants.digest"
_LAST_OF_STYLE = (
    "SELECT max(entry) FROM ledger WHERE product = shown.product AND style = variants.style"
)
STANDING = f"""
coalesce(
    (SELECT entry FROM ledger WHERE entry = ({_LAST_OF_RECIPE}) AND action = 'withdraw'),
    (SELECT entry FROM ledger WHERE entry = ({_LAST_OF_DIGEST}) AND action = 'withdraw'),
    (SELECT entry FROM ledger WHERE entry = ({_LAST_OF_STYLE}) AND action = 'withdraw'),
    (SELECT max(entry) FROM ledger WHERE digest = variants.digest AND action <> 'withdraw')
)
"""
"""Of a row of ``shown`` joined to ``variants``: the number of the entry that decides, or NULL."""

STATE = f"""
CASE (SELECT action FROM ledger WHERE entry = {STANDING})
    WHEN 'withdraw' THEN 'withdrawn' WHEN 'approve' THEN 'approved' WHEN 'restore' THEN 'approved'
    ELSE 'proposed' END
"""
"""Of the same row: ``approved``, ``withdrawn`` or ``proposed``."""

_ROWS = "FROM shown JOIN variants ON variants.digest = shown.digest"


@dataclass(frozen=True)
class Entry:
    """One line of the ledger: about a picture, or about a style of a product.

    Attributes:
        entry: Counts up in the order of writing; times may not, where a clock was set back.
        at: When, UTC.
        who: A person, ``gate``, or ``migrated`` for what a store without a ledger held.
        action: What was done.
        reason: Why; may be empty for an approval.
        digest: The picture; None where it is about a style.
        product: The product; None where it is about a picture.
        style: The product's style.
    """

    entry: int
    at: datetime
    who: str
    action: Action
    reason: str
    digest: str | None = None
    product: str | None = None
    style: Style | None = None

    def __str__(self) -> str:
        why = f": {self.reason}" if self.reason else ""
        done = {"approve": "approved", "withdraw": "withdrawn", "restore": "restored"}
        return f"{done[self.action]} by {self.who}, {self.at:%Y-%m-%d %H:%M} UTC{why}"


class Ledger:
    """Approvals and withdrawals in the variants' database.

    Args:
        database: Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._local = threading.local()
        self._failed = -_FAILED_SECONDS  # when the file could not be read last

    def propose(self, digest: str) -> None:
        """The gate's approval, where nobody decided on the picture yet; else nothing."""
        with self._database.writing() as db:
            recipe = _recipe(db, digest)
            known = db.execute(
                "SELECT 1 WHERE (SELECT action FROM ledger WHERE recipe = ? ORDER BY entry DESC"
                " LIMIT 1) = 'withdraw' OR EXISTS (SELECT 1 FROM ledger WHERE digest = ?)",
                (recipe, digest),
            ).fetchone()
            if known is None:
                _write(db, GATE, "approve", "passed the gate", (digest, recipe, None, None))

    def approve(self, digests: Iterable[str], *, by: str, reason: str = "") -> None:
        """Let pictures be served; all or none of them.

        Raises:
            NotFound: no such variant.
            StoreConflict: one is withdrawn; restore it, which asks for a reason.
            InvalidInput: nobody's name in ``by``.
        """
        by, reason = _person(by), _text("reason", reason)
        with self._database.writing() as db:
            for digest in digests:
                recipe = _recipe(db, digest)
                standing = _standing(db, digest)
                if standing is not None and standing.action == "withdraw":
                    raise StoreConflict(f"variant {digest[:12]}: {standing}; {_how(standing)}")
                _write(db, by, "approve", reason, (digest, recipe, None, None))

    def withdraw(self, digests: Iterable[str], *, by: str, reason: str) -> None:
        """Take pictures away from every shopper, until they are restored; all or none of them.

        Raises:
            NotFound: no such variant.
            InvalidInput: no reason, or nobody's name in ``by``.
        """
        by, reason = _person(by), _required(reason)
        with self._database.writing() as db:
            for digest in digests:
                _write(db, by, "withdraw", reason, (digest, _recipe(db, digest), None, None))

    def restore(self, digests: Iterable[str], *, by: str, reason: str) -> None:
        """Let withdrawn pictures be served again; all or none of them.

        Raises:
            NotFound: no such variant.
            StoreConflict: one is not withdrawn, or its product's style is.
            InvalidInput: no reason, or nobody's name in ``by``.
        """
        by, reason = _person(by), _required(reason)
        with self._database.writing() as db:
            for digest in digests:
                recipe = _recipe(db, digest)
                standing = _standing(db, digest)
                if standing is None or standing.action != "withdraw":
                    state = "proposed" if standing is None else str(standing)
                    raise StoreConflict(f"variant {digest[:12]}: {state}; nothing to restore")
                if standing.digest is None:
                    raise StoreConflict(f"variant {digest[:12]}: {standing}; {_how(standing)}")
                _write(db, by, "restore", reason, (digest, recipe, None, None))

    def withdraw_style(self, product: str, style: Style, *, by: str, reason: str) -> None:
        """Never show the product in this style, whatever makes the picture, until restored.

        Raises:
            InvalidInput: the original photo, no reason, or nobody's name in ``by``.
        """
        by, reason = _person(by), _required(reason)
        if style.is_original:
            raise InvalidInput("the original photo is always a candidate; retire the product")
        with self._database.writing() as db:
            _write(db, by, "withdraw", reason, (None, None, product, style.key))

    def restore_style(self, product: str, style: Style, *, by: str, reason: str) -> None:
        """Allow the product in this style again; what was approved before is approved.

        Raises:
            StoreConflict: it is not withdrawn.
            InvalidInput: no reason, or nobody's name in ``by``.
        """
        by, reason = _person(by), _required(reason)
        with self._database.writing() as db:
            if _withdrawn_style(db, product, style) is None:
                raise StoreConflict(f"{product} in {style} is not withdrawn; nothing to restore")
            _write(db, by, "restore", reason, (None, None, product, style.key))

    def is_servable(self, digest: str, product: str | None = None) -> bool:
        """Whether a variant is stored and approved at this moment.

        Args:
            digest: The variant.
            product: For this product; None asks whether for any.

        Raises:
            StoreFailed: it cannot be told.
        """
        mine = "" if product is None else " AND shown.product = ?"
        query = f"SELECT 1 {_ROWS} WHERE shown.digest = ?{mine} AND {STATE} = 'approved' LIMIT 1"
        asked = (digest,) if product is None else (digest, product)
        path = self._database.path
        try:
            found = self._connection().execute(query, asked).fetchone()
        except (OSError, sqlite3.Error) as error:
            self._local.opened = None
            self._failed = time.monotonic()
            raise StoreFailed(
                f"{path}: approvals cannot be read ({error}); put a backup in its place",
                "approvals",
            ) from error
        return found is not None

    @property
    def hindrance(self) -> str:
        """What keeps approvals from being read, for everybody to read; or empty."""
        with suppress(StoreFailed):
            self.is_servable("")
        if time.monotonic() >= self._failed + _FAILED_SECONDS:
            return ""
        return "approvals of variants cannot be read, photos are shown"

    def _connection(self) -> sqlite3.Connection:
        """Of this thread, to the file that lies there now.

        Asked at every decision: opening the database costs more than the answer. But a file that
        was put in its place is another one, which an open connection does not see.
        """
        found = self._database.path.stat()
        stamp = (found.st_dev, found.st_ino)
        opened: tuple[tuple[int, int], sqlite3.Connection] | None
        opened = getattr(self._local, "opened", None)
        if opened is None or opened[0] != stamp:
            opened = self._local.opened = (stamp, self._database.connect())
        return opened[1]

    def withdrawn_style(self, product: str, style: Style) -> Entry | None:
        """The entry by which the product is not shown in this style; None where it may be."""
        with self._database.reading() as db:
            return _withdrawn_style(db, product, style)

    def standing(self, digest: str, product: str | None = None) -> Entry | None:
        """The entry that decides on a variant now, for one of its products or for any.

        Returns:
            None for what is proposed.
        """
        with self._database.reading() as db:
            return _standing(db, digest, product)

    def history(self, digest: str) -> list[Entry]:
        """Every entry about a picture, its recipe, or the style of a product it shows, in order."""
        with self._database.reading() as db:
            return _entries(
                db,
                "recipe = (SELECT recipe FROM variants WHERE digest = :digest) OR EXISTS"
                f" (SELECT 1 {_ROWS} WHERE shown.digest = :digest"
                " AND shown.product = ledger.product AND variants.style = ledger.style)",
                {"digest": digest},
            )

    def entries(self) -> list[Entry]:
        """The whole ledger, in order."""
        with self._database.reading() as db:
            return _entries(db, "1", {})


def _recipe(db: sqlite3.Connection, digest: str) -> str:
    row = db.execute("SELECT recipe FROM variants WHERE digest = ?", (digest,)).fetchone()
    if row is None:
        raise NotFound(f"variant {digest!r} is not stored; see `persona-img variants list`")
    return str(row[0])


def _write(
    db: sqlite3.Connection,
    who: str,
    action: Action,
    reason: str,
    about: tuple[str | None, str | None, str | None, str | None],
) -> None:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    db.execute(
        "INSERT INTO ledger (at, who, action, reason, digest, recipe, product, style)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (now, who, action, reason, *about),
    )


def _standing(db: sqlite3.Connection, digest: str, product: str | None = None) -> Entry | None:
    """Of several products, what is decided for the one that may be shown most freely."""
    mine = "" if product is None else " AND shown.product = :product"
    where = f"{_ROWS} WHERE shown.digest = :digest{mine}"
    values = {"digest": digest, "product": product}
    found = _entries(db, f"entry IN (SELECT {STANDING} {where})", values)
    free = [entry for entry in found if entry.action != "withdraw"]
    if free:
        return free[-1]
    waits = db.execute(f"SELECT 1 {where} AND {STANDING} IS NULL", values).fetchone()
    return None if waits or not found else found[-1]


def _withdrawn_style(db: sqlite3.Connection, product: str, style: Style) -> Entry | None:
    found = _entries(
        db,
        "entry = (SELECT max(entry) FROM ledger WHERE product = :product AND style = :style)"
        " AND action = 'withdraw'",
        {"product": product, "style": style.key},
    )
    return found[0] if found else None


def _entries(db: sqlite3.Connection, where: str, values: dict[str, str | None]) -> list[Entry]:
    query = f"SELECT {_COLUMNS} FROM ledger WHERE {where} ORDER BY entry"
    return [
        Entry(
            number, datetime.fromisoformat(at), who, action, reason, digest, product,
            Style(style) if style else None,
        )
        for number, at, who, action, reason, digest, product, style in db.execute(query, values)
    ]  # fmt: skip


def _how(standing: Entry) -> str:
    """What to call for something that was withdrawn."""
    if standing.digest is not None:
        return "to show it again, `variants restore` it with a reason"
    return f"restore --product {standing.product} --style {standing.style} first"


def _person(by: str) -> str:
    name = _text("by", by)
    if not name or name in (GATE, MIGRATED):
        raise InvalidInput(f"by {by!r}: name who decides; {GATE} and {MIGRATED} are taken")
    return name


def _required(reason: str) -> str:
    text = _text("reason", reason)
    if not text:
        raise InvalidInput("no reason: say why, for whoever reads the ledger later")
    return text


def _text(name: str, value: str) -> str:
    text = value.strip()
    if len(text) > _LONGEST or not text.isprintable():
        raise InvalidInput(f"{name} {text[:40]!r}: one line of at most {_LONGEST} letters")
    return text

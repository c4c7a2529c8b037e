"""Which pictures there are, and whose: one row for each, only added to.

A picture is told by its digest, by what its watermark carries, and by its fingerprint. Somebody
else's near copy is not taken in.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from persona_img.errors import InvalidInput, StoreConflict, StoreFailed
from persona_img.provenance.fingerprint import (
    LEAST_QUALITY,
    NEAR,
    Fingerprint,
    chance,
    distances,
    fingerprint,
    turned,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

Kind = Literal["photo", "variant"]

_BUSY_SECONDS = 30.0
_SCHEMA = (
    """
    CREATE TABLE IF NOT EXISTS pictures (
        row INTEGER PRIMARY KEY AUTOINCREMENT,
        digest TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('photo', 'variant')),
        product TEXT NOT NULL,
        owner TEXT NOT NULL,
        licence TEXT NOT NULL,
        recipe TEXT,
        payload TEXT,
        bits BLOB,
        quality INTEGER,
        at TEXT NOT NULL,
        by TEXT NOT NULL CHECK (trim(by) <> ''),
        UNIQUE (digest, product, owner)
    ) STRICT
    """,
    "CREATE INDEX IF NOT EXISTS pictures_by_payload ON pictures (payload)",
    *(
        f"CREATE TRIGGER IF NOT EXISTS pictures_refuse_{what} BEFORE {what} ON pictures"
        " BEGIN SELECT RAISE(ABORT, 'the registry is only added to'); END"
        for what in ("UPDATE", "DELETE")
    ),
)
_COLUMNS = "digest, kind, product, owner, licence, recipe, payload, bits, quality, at, by"


@dataclass(frozen=True)
class Entry:
    """A picture, and whose it is.

    Attributes:
        digest: Of a variant's file, or of a photograph's pixels, hex.
        kind: ``photo`` or ``variant``.
        product: What it shows.
        owner: Whose it is; empty for the shop's own.
        licence: Under which it may be shown.
        at: When it was taken in, with a time zone.
        by: Who took it in; never empty.
        recipe: Digest of what made a variant, hex; None of a photograph.
        payload: What its watermark carries, hex; None where it has none.
        fingerprint: None where fingerprints are not installed.
    """

    digest: str
    kind: Kind
    product: str
    owner: str
    licence: str
    at: datetime
    by: str
    recipe: str | None = None
    payload: str | None = None
    fingerprint: Fingerprint | None = None


@dataclass(frozen=True)
class Near:
    """A picture that another one is near to.

    Attributes:
        entry: It.
        distance: Bits of 256 in which their fingerprints differ.
        chance: How probable such a distance, or a smaller one, is to any of the registry's where
            there is nothing to it; see :func:`.fingerprint.chance`.
    """

    entry: Entry
    distance: int
    chance: float


class Registry:
    """Pictures by digest, watermark and fingerprint, in a SQLite file.

    Several threads and processes may use it at once.

    Args:
        path: The file; made if it is not there, in a folder that is.

    Raises:
        InvalidInput: no database can be kept here.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with closing(self._connect()) as db, db:
                for statement in _SCHEMA:
                    db.execute(statement)
        except sqlite3.Error as error:
            raise InvalidInput(f"{path}: no registry can be kept here ({error})") from error

    def __len__(self) -> int:
        with closing(self._connect()) as db:
            return int(db.execute("SELECT count(*) FROM pictures").fetchone()[0])

    def add(self, entries: Iterable[Entry]) -> int:
        """Take pictures in; those that are there stay as they are.

        Returns:
            How many were new.

        Raises:
            StoreFailed: the disk did not take them.
        """
        rows = [_row(entry) for entry in entries]
        marks = ", ".join("?" * len(_COLUMNS.split(",")))
        try:
            with closing(self._connect()) as db, db:
                before = db.total_changes
                db.executemany(
                    f"INSERT INTO pictures ({_COLUMNS}) VALUES ({marks}) ON CONFLICT DO NOTHING",
                    rows,
                )
                return db.total_changes - before
        except sqlite3.OperationalError as error:
            raise StoreFailed(f"{self._path}: {error}; try again") from error

    def digests(self) -> frozenset[str]:
        """Digests of all pictures."""
        with closing(self._connect()) as db:
            return frozenset(row[0] for row in db.execute("SELECT DISTINCT digest FROM pictures"))

    def carrying(self, payload: str) -> list[Entry]:
        """Pictures whose watermark carries a payload, hex, the first that came first."""
        return self._entries("WHERE payload = ?", (payload,))

    def near(self, pixels: NDArray[np.uint8]) -> list[Near]:
        """Pictures that this one may be a copy of, the nearest first.

        Args:
            pixels: uint8 sRGB (H, W, 3), turned by quarters or mirrored or neither.

        Raises:
            ImportError: fingerprints are not installed.
        """
        if not fingerprint(pixels).tells:
            return []
        known = self._entries("WHERE quality >= ?", (LEAST_QUALITY,))
        told = [one.fingerprint.bits for one in known if one.fingerprint is not None]
        found = distances(turned(pixels), told)
        near = [
            Near(entry, int(far), chance(int(far), len(known)))
            for entry, far in zip(known, found, strict=True)
            if far <= NEAR
        ]
        return sorted(near, key=lambda one: one.distance)

    def check_own(self, pixels: NDArray[np.uint8], product: str, owner: str) -> None:
        """Refuse a picture that is a near copy of somebody else's.

        Args:
            pixels: uint8 sRGB (H, W, 3).
            product: What it is to show; a product's own pictures may change their owner.
            owner: Who says that it is theirs.

        Raises:
            StoreConflict: it is.
        """
        for one in self.near(pixels):
            theirs = one.entry
            if theirs.owner != owner and theirs.product != product:
                raise StoreConflict(
                    f"its picture differs in {one.distance} of 256 bits from {theirs.kind} "
                    f"{theirs.digest[:12]} of {theirs.product!r}, which is "
                    f"{theirs.owner or 'the shop'}'s (since {theirs.at:%Y-%m-%d}, by {theirs.by}; "
                    f"by chance: {one.chance:.1g}); name the same owner if it is theirs to give, "
                    "or take a picture of your own"
                )

    def _entries(self, where: str, values: Sequence[object]) -> list[Entry]:
        with closing(self._connect()) as db:
            found = db.execute(f"SELECT {_COLUMNS} FROM pictures {where} ORDER BY row", values)
            return [_entry(row) for row in found]

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=_BUSY_SECONDS)


def _row(entry: Entry) -> tuple[object, ...]:
    told = entry.fingerprint
    bits, quality = (None, None) if told is None else (told.bits, told.quality)
    return (
        entry.digest, entry.kind, entry.product, entry.owner, entry.licence, entry.recipe,
        entry.payload, bits, quality, entry.at.isoformat(), entry.by,
    )  # fmt: skip


def _entry(row: Sequence[object]) -> Entry:
    digest, kind, product, owner, licence, recipe, payload, bits, quality, at, by = row
    told = None
    if isinstance(bits, bytes) and isinstance(quality, int):
        told = Fingerprint(bits, quality)
    return Entry(
        digest=str(digest),
        kind="photo" if kind == "photo" else "variant",
        product=str(product),
        owner=str(owner),
        licence=str(licence),
        at=datetime.fromisoformat(str(at)),
        by=str(by),
        recipe=None if recipe is None else str(recipe),
        payload=None if payload is None else str(payload),
        fingerprint=told,
    )

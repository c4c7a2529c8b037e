"""Which photos a training never sees: whole contributors, chosen by their name alone."""

from __future__ import annotations

import csv
import hashlib
from typing import TYPE_CHECKING

from persona_img.errors import InvalidInput
from persona_img.imaging.folder import list_photos

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path


def held_out(group: str, share: float) -> bool:
    """Whether a contributor is kept from training; depends on the name alone."""
    digest = hashlib.sha256(f"held-out:{group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < share


def rows_of(table: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a CSV that has at least these columns.

    Raises:
        InvalidInput: it cannot be read, a column is missing, or a row is too short.
    """
    try:
        with table.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            rows = list(reader)
            missing = [c for c in columns if c not in (reader.fieldnames or ())]
    except (OSError, UnicodeError, csv.Error) as error:
        raise InvalidInput(f"{table}: cannot be read ({error}); give a CSV in UTF-8") from error
    if missing:
        raise InvalidInput(f"{table}: no column {', '.join(missing)}; name {', '.join(columns)}")
    for number, row in enumerate(rows, 1):
        if any(row[c] is None for c in columns):
            raise InvalidInput(
                f"{table}: row {number} has too few cells; give {', '.join(columns)}"
            )
    return rows


def split_photos(
    folder: Path, groups: Path | None, share: float, leave_out: Collection[str] = ()
) -> tuple[list[Path], list[Path]]:
    """Photos to train on and photos held out, each sorted by name.

    Args:
        folder: Its photos, as every command finds them: not those of folders below.
        groups: CSV with ``image`` (file stem) and ``sender_id``. None: every file is a group.
        share: Of groups that are held out, 0..1.
        leave_out: Stems of photos that neither list shall hold.

    Raises:
        BadPhoto: the folder holds no photo.
        InvalidInput: ``groups`` cannot be read.
    """
    paths = list_photos(folder)
    group = {p.stem: p.stem for p in paths}
    if groups is not None:
        group |= {r["image"]: r["sender_id"] for r in rows_of(groups, ("image", "sender_id"))}
    paths = [p for p in paths if p.stem not in leave_out]
    kept = [p for p in paths if not held_out(group[p.stem], share)]
    return kept, [p for p in paths if held_out(group[p.stem], share)]

"""Which photos a training never sees: whole contributors, chosen by their name alone."""

from __future__ import annotations

import csv
import hashlib
from typing import TYPE_CHECKING

from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

PICTURES = (".jpg", ".jpeg", ".png", ".webp")


def held_out(group: str, share: float) -> bool:
    """Whether a contributor is kept from training; depends on the name alone."""
    digest = hashlib.sha256(f"held-out:{group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < share


def split_photos(
    folder: Path, groups: Path | None, share: float, leave_out: Collection[str] = ()
) -> tuple[list[Path], list[Path]]:
    """Photos to train on and photos held out, each sorted by name.

    Args:
        folder: Its pictures, not those of folders below.
        groups: CSV with ``image`` (file stem) and ``sender_id``. None: every file is a group.
        share: Of groups that are held out, 0..1.
        leave_out: Stems of photos that neither list shall hold.

    Raises:
        InvalidInput: the folder holds no picture.
    """
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURES)
    if not paths:
        raise InvalidInput(f"{folder}: no picture ({', '.join(PICTURES)}); name a folder of photos")
    group = {p.stem: p.stem for p in paths}
    if groups is not None:
        with groups.open(newline="", encoding="utf-8") as lines:
            group |= {row["image"]: row["sender_id"] for row in csv.DictReader(lines)}
    paths = [p for p in paths if p.stem not in leave_out]
    kept = [p for p in paths if not held_out(group[p.stem], share)]
    return kept, [p for p in paths if held_out(group[p.stem], share)]

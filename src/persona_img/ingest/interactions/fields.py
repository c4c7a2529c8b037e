"""The fields of an interaction, and how a file's columns are named; loads nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

FIELDS = ("shopper", "product", "kind", "occurred_at", "event_id")
"""What a column can be mapped to; the first four make an interaction."""

REQUIRED = FIELDS[:4]
KINDS = ("view", "cart", "purchase")

SIMULATED = "simulated"
"""The source of interactions that nobody made."""


def split(path: str, names: Sequence[str]) -> tuple[str, list[str]]:
    """The column a path begins with, and the rest; a column's own dots win."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        if name in names:
            return name, parts[length:]
    raise KeyError(path)


def alike(wanted: str, names: Sequence[str]) -> str | None:
    """The one name that differs only in case and blanks around it; None for none or several."""
    key = wanted.strip().casefold()
    found = [name for name in names if name.strip().casefold() == key]
    return found[0] if len(found) == 1 else None

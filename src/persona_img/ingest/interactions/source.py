"""What the store remembers of each file, and what an import came to."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from persona_img.ingest.interactions.parts import Summary

_ALIKE = ("paths", "kinds", "kind", "timezone", "time_format")


@dataclass(frozen=True)
class Source:
    """A file, or a table of a program, that went in.

    Attributes:
        digest: SHA-256 of what it held.
        name: The file's name, or what the program called it.
        added_at: When it went in.
        rows: Interactions of it that are kept.
        kinds: How many of each kind.
        first: When the earliest occurred.
        last: When the latest occurred.
        shoppers: How many different ones.
        products: How many different ones.
        what: How it was written, in words.
        found: Field to the columns it was read from.
        times: How its times were read, in words.
        read: Its rows; one may hold several interactions, or none.
        rejected: Rows that were refused.
        reasons: How many for each reason.
        others: Rows of kinds that are none of ours, by what they are called.
        repeated: Interactions left out because their event was there before.
        lost_to: How many of those each earlier source holds, by digest.
        unnamed: Interactions without an identifier of their event, where others have one.
        columns: What was said of its columns.
        rejects: File of the refused rows, below the store's folder; empty for none.
    """

    digest: str
    name: str
    added_at: datetime
    rows: int
    kinds: Mapping[str, int]
    first: datetime | None
    last: datetime | None
    shoppers: int
    products: int
    what: str = ""
    found: Mapping[str, Sequence[str]] = field(default_factory=dict)
    times: str = ""
    read: int = 0
    rejected: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    others: Mapping[str, int] = field(default_factory=dict)
    shortened: Mapping[str, int] = field(default_factory=dict)
    repeated: int = 0
    lost_to: Mapping[str, int] = field(default_factory=dict)
    unnamed: int = 0
    columns: Mapping[str, Any] = field(default_factory=dict)
    rejects: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain = asdict(self)
        for name in ("added_at", "first", "last"):
            plain[name] = plain[name].isoformat() if plain[name] else None
        return plain

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`as_dict`; what it does not know is left out."""
        known = {one.name for one in fields(cls)}
        values = {name: value for name, value in stored.items() if name in known}
        for name in ("added_at", "first", "last"):
            values[name] = datetime.fromisoformat(values[name]) if values[name] else None
        return cls(**values)

    def meets(self, other: Source) -> bool:
        """Whether the two are, in part, of the same time."""
        if not (self.first and self.last and other.first and other.last):
            return False
        return self.first <= other.last and other.first <= self.last

    def read_alike(self, columns: Mapping[str, Any]) -> bool:
        """Whether it was read as ``columns`` say, as far as they change what is read."""
        return all(self.columns.get(name) == columns[name] for name in _ALIKE)


@dataclass
class Added:
    """What an import came to.

    Attributes:
        sources: Files that went in, in order.
        summaries: What lies in each, by digest; with the products the catalogue has not.
        already: Files that were counted before, with the source that has them.
        empty: Files in which nothing stands.
        skipped: Files of a folder that are no tables.
        failed: Files that could not be read, and why.
        overlaps: Pairs of names whose times overlap and whose events have no identifiers.
        dry: Whether it was only tried.
    """

    sources: list[Source] = field(default_factory=list)
    summaries: dict[str, Summary] = field(default_factory=dict)
    already: dict[Path, Source] = field(default_factory=dict)
    empty: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)
    overlaps: list[tuple[str, str]] = field(default_factory=list)
    dry: bool = False

    @property
    def rows(self) -> int:
        """Interactions that went in."""
        return sum(source.rows for source in self.sources)

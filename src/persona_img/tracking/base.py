"""What the loop remembers: runs with their reports, and the rankers it made."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol

from persona_img.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd

Role = Literal["champion", "previous"]

NOTHING: Mapping[str, Any] = MappingProxyType({})
"""The empty mapping, for arguments that are left out."""


@dataclass(frozen=True)
class RankerVersion:
    """One registered ranker.

    Attributes:
        version: Counts from 1 in the order of registration.
        digest: SHA-256 over the names and bytes of its files, hex.
        created_at: Unix seconds, UTC.
        metrics: As registered; NaN is undefined.
        tags: As registered.
        role: ``champion``, ``previous`` or None.
    """

    version: int
    digest: str
    created_at: float
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    role: Role | None


@dataclass(frozen=True)
class Champions:
    """Versions in the order they became champion; the last one is champion now."""

    versions: tuple[int, ...] = ()

    @property
    def current(self) -> int | None:
        """The champion; None before the first promotion."""
        return self.versions[-1] if self.versions else None

    @property
    def previous(self) -> int | None:
        """The champion before it, to which a rollback goes."""
        return self.versions[-2] if len(self.versions) > 1 else None

    def promoted(self, version: int) -> Champions:
        """With ``version`` as champion; promoting the champion again changes nothing."""
        return self if version == self.current else Champions((*self.versions, version))

    def rolled_back(self) -> Champions:
        """Without the champion of now.

        Raises:
            NotFound: there was none before.
        """
        if self.previous is None:
            raise NotFound("no earlier champion to return to; promote a version instead")
        return Champions(self.versions[:-1])

    def role(self, version: int) -> Role | None:
        """``champion``, ``previous`` or None."""
        if version == self.current:
            return "champion"
        return "previous" if version == self.previous else None

    def resolve(self, which: int | Role) -> int:
        """The version a number or a role stands for.

        Raises:
            NotFound: nobody has the role.
        """
        if isinstance(which, int):
            return which
        version = self.current if which == "champion" else self.previous
        if version is None:
            raise NotFound(f"no {which} yet; promote a version first")
        return version


class Tracker(Protocol):
    """Remembers runs and rankers. Every method may be called again after a crash."""

    def log_report(
        self,
        report: Mapping[str, Any],
        *,
        experiment: str,
        run_name: str,
        metrics: Mapping[str, float] = NOTHING,
        params: Mapping[str, object] = NOTHING,
        tags: Mapping[str, str] = NOTHING,
        datasets: Mapping[str, pd.DataFrame] = NOTHING,
        artifacts: Mapping[str, Path] = NOTHING,
    ) -> str:
        """Keep one run.

        Args:
            report: Plain values for JSON without NaN; kept as ``report.json``.
            experiment: Group of runs; letters, digits and ``. _ -``.
            run_name: What a reader sees; need not be unique.
            metrics: Finite or NaN (undefined).
            params: What the run was given; kept as text.
            tags: Words to find it by.
            datasets: Name to table. Only digest, size and columns are kept, no rows.
            artifacts: Name, e.g. ``pictures/sheet.png``, to a file or folder, which is copied.

        Returns:
            The run's id. A run that fails half-way is kept as failed or not at all.

        Raises:
            InvalidInput: a name or value that breaks a rule.
            NotFound: an artifact that is not there.
        """

    def register_ranker(
        self, folder: Path, *, metrics: Mapping[str, float] = NOTHING,
        tags: Mapping[str, str] = NOTHING, example: pd.DataFrame | None = None,
    ) -> int:  # fmt: skip
        """Keep a copy of a ranker's files as a new version.

        The same bytes registered again are the same version, with metrics and tags updated.

        Args:
            folder: Its files.
            metrics: Finite or NaN (undefined).
            tags: Words to find it by.
            example: Some rows that it can be asked about, columns segment, product and style; kept
                by a tracker that can load rankers as models, for whoever does.

        Raises:
            InvalidInput: an empty folder, a link, or a pickle, which would run code when loaded.
            NotFound: no such folder.
        """

    def promote(self, version: int) -> None:
        """Make it champion; the champion of before is ``previous``.

        Raises:
            NotFound: no such version.
            VerificationFailed: its stored files are not those that were registered.
        """

    def rollback(self) -> int:
        """Make the previous champion champion again; repeated, go further back.

        Returns:
            The champion of now.

        Raises:
            NotFound: there is no earlier champion.
            VerificationFailed: its stored files are not those that were registered.
        """

    def champion(self) -> int | None:
        """The champion's version; None before the first promotion."""

    def fetch_ranker(self, which: int | Role, target: Path) -> Path:
        """Copy a version's files to ``target``, whole or not at all.

        A ``target`` that holds them already is left as it is.

        Raises:
            NotFound: no such version, or nobody has the role.
            StoreConflict: ``target`` holds something else.
            VerificationFailed: its stored files are not those that were registered.
        """

    def history(self) -> tuple[RankerVersion, ...]:
        """All versions, oldest first."""

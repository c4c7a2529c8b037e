"""The folder that holds one shop's data: paths, and tables in and out, whole or not at all."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from persona_img.domain.decision import Candidate, DecisionTable, Slate
from persona_img.domain.style import Style
from persona_img.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

_STEPS = {"profile": "profile", "decisions": "prepare"}
"""What makes a file, by its name."""
_MARKER = ".persona-img"


@dataclass(frozen=True)
class Workspace:
    """Paths below one folder; folders are made when something is first written.

    Attributes:
        root: The folder.
    """

    root: Path

    @classmethod
    def open(cls, root: str | Path) -> Workspace:
        """The workspace at ``root``, marked as ours so that a later run may write there again.

        Raises:
            InvalidInput: ``root`` is a file, cannot be written, holds somebody else's files, or
                lies in a folder whose name is a pattern.
        """
        root = Path(root)
        if "*" in str(root.absolute()):
            # Feast would read the features of every folder that the pattern fits.
            raise InvalidInput(
                f"{root.absolute()}: '*' stands for any name to a store; name a folder without it"
            )
        try:
            if root.exists() and not (root / _MARKER).exists() and any(root.iterdir()):
                raise InvalidInput(
                    f"{root}: this folder holds files that are not persona-img's; name an empty one"
                )
            root.mkdir(parents=True, exist_ok=True)
            (root / _MARKER).write_text("This folder belongs to persona-img.\n", encoding="utf-8")
        except (NotADirectoryError, FileExistsError, PermissionError, OSError) as error:
            raise InvalidInput(
                f"{root}: cannot be used as a folder ({error}); name another"
            ) from error
        return cls(root)

    @property
    def catalog(self) -> Path:
        """The product table; photos lie beside it."""
        return self.root / "catalog" / "products.csv"

    @property
    def interactions(self) -> Path:
        """What shoppers did."""
        return self.root / "interactions"

    @property
    def features(self) -> Path:
        """Feature store: definitions' registry, offline and online data."""
        return self.root / "features"

    @property
    def events(self) -> Path:
        """The event log."""
        return self.root / "events.sqlite"

    @property
    def variants(self) -> Path:
        """The variant store."""
        return self.root / "variants"

    @property
    def tracking(self) -> Path:
        """MLflow's database and artifacts."""
        return self.root / "mlflow"

    def table(self, name: str) -> pd.DataFrame:
        """A stored table.

        Raises:
            NotFound: the step that makes it has not run.
        """
        path = self._table_path(name)
        if not path.exists():
            raise NotFound(
                f"{path}: no {name} yet; run the step that makes it (persona-img --help)"
            )
        import pandas as pd  # what only needs paths opens fast

        return pd.read_parquet(path)

    def save_table(self, name: str, frame: pd.DataFrame) -> Path:
        """Store a table; readers see the old one or the new one."""
        path = self._table_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part")
        frame.to_parquet(partial)
        partial.replace(path)
        return path

    def has_table(self, name: str) -> bool:
        """Whether the table was stored."""
        return self._table_path(name).exists()

    def save_json(self, name: str, value: Any) -> Path:
        """Store plain values as readable JSON."""
        path = self.root / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part")
        partial.write_text(json.dumps(value, indent=1, allow_nan=True) + "\n", encoding="utf-8")
        partial.replace(path)
        return path

    def has_json(self, name: str) -> bool:
        """Whether plain values were stored under this name."""
        return (self.root / f"{name}.json").exists()

    def json(self, name: str) -> Any:
        """Plain values stored before.

        Raises:
            NotFound: the step that makes them has not run.
        """
        path = self.root / f"{name}.json"
        if not path.exists():
            raise NotFound(
                f"{path}: not there yet; run `persona-img {_STEPS.get(name, '--help')}` first"
            )
        return json.loads(path.read_text(encoding="utf-8"))

    def save_decision_table(self, table: DecisionTable, *, ranker: int | None = None) -> Path:
        """Store what serving decides by; it is also kept under its version for evaluation.

        Tables are numbered as they are published here, so that the newest is known whatever they
        are called and whatever clients' clocks say.

        Args:
            table: To be served.
            ranker: Version of the registered ranker that planned it; None where nobody knows.
        """
        slates = [
            {
                "segment": segment,
                "product": product,
                "candidates": [[c.style.key, c.digest, c.probability] for c in slate.candidates],
            }
            for (segment, product), slate in table.slates.items()
        ]
        stored = {
            "published": self._published() + 1,
            "ranker": ranker,
            "policy_version": table.policy_version,
            "default_segment": table.default_segment,
            "segments": dict(table.segments),
            "slates": slates,
        }
        return self._publish(stored)

    def decision_table(self) -> DecisionTable:
        """What serving decides by, as stored last."""
        return _table(self.json("decisions"))

    def decision_tables(self) -> list[DecisionTable]:
        """Every table that was stored, in the order in which they were last published."""
        return [_table(one) for one in self._tables()]

    def served_ranker(self) -> int | None:
        """Version of the ranker that planned what is served; None where nobody knows."""
        return self.json("decisions").get("ranker") if self.has_json("decisions") else None

    def go_back(self, ranker: int, *, instead_of: int) -> bool:
        """Serve again what one ranker planned last; what the other one showed is not kept.

        Args:
            ranker: Version of a registered ranker.
            instead_of: Version of the one that is rolled back.

        Returns:
            Whether there is such a table; where there is none, what is served stays.
        """
        tables = self._tables()
        wrong = {one["policy_version"] for one in tables if one.get("ranker") == instead_of}
        right = [one for one in tables if one.get("ranker") == ranker]
        kept = self.revoked() - {one["policy_version"] for one in right}
        # First, so that a table that comes back finds those it has to overrule.
        self.save_json("revoked", sorted(kept | wrong))
        if right:
            self._publish({**right[-1], "published": self._published() + 1})
        return bool(right)

    def allow(self, ranker: int) -> None:
        """What a ranker showed may be kept again: it was promoted anew."""
        own = {one["policy_version"] for one in self._tables() if one.get("ranker") == ranker}
        if self.revoked() & own:
            self.save_json("revoked", sorted(self.revoked() - own))

    def revoked(self) -> frozenset[str]:
        """Policy versions that were rolled back."""
        return frozenset(self.json("revoked") if self.has_json("revoked") else ())

    def _publish(self, stored: dict[str, Any]) -> Path:
        self.save_json(f"decisions/{quote(stored['policy_version'], safe='')}", stored)
        return self.save_json("decisions", stored)

    def _tables(self) -> list[dict[str, Any]]:
        """As they are stored, in the order in which they were last published."""
        found = sorted((self.root / "decisions").glob("*.json"))
        stored = [json.loads(path.read_text(encoding="utf-8")) for path in found]
        # Older ones have no number; the order of their names is what there is.
        return sorted(stored, key=lambda one: one.get("published", 0))

    def _published(self) -> int:
        """How many tables were published so far."""
        last = self.json("decisions") if self.has_json("decisions") else {}
        return int(last.get("published", 0))

    def _table_path(self, name: str) -> Path:
        return self.root / "tables" / f"{name}.parquet"


def _table(stored: dict[str, Any]) -> DecisionTable:
    slates = {
        (row["segment"], row["product"]): Slate(
            tuple(Candidate(Style(key), digest, p) for key, digest, p in row["candidates"])
        )
        for row in stored["slates"]
    }
    return DecisionTable(
        policy_version=stored["policy_version"],
        slates=slates,
        segments=stored["segments"],
        default_segment=stored["default_segment"],
    )


def writable_folder(path: str | Path) -> Path:
    """The folder, made if need be.

    Raises:
        InvalidInput: it is a file or may not be written.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(
            f"{path}: cannot be made ({error.strerror}); name another folder"
        ) from error
    if not os.access(path, os.W_OK):
        raise InvalidInput(f"{path}: may not be written; name another folder or change its mode")
    return path


def writable_file(path: str | Path, suffixes: Sequence[str] = ()) -> Path:
    """A file that can be written; its folder is made if need be.

    Args:
        path: The file.
        suffixes: Endings it may have, in lower case; none for any.

    Raises:
        InvalidInput: it is a folder, ends otherwise, or lies where nothing may be written.
    """
    path = Path(path)
    if suffixes and path.suffix.lower() not in suffixes:
        raise InvalidInput(f"{path}: ends in {path.suffix!r}; end it in {' or '.join(suffixes)}")
    if path.is_dir():
        raise InvalidInput(f"{path}: is a folder; name a file")
    writable_folder(path.parent)
    return path

"""Halts: a test, a product or everything is answered by photos, at once, until it is resumed.

A halted decision is none: the photo is shown and not counted, in every arm alike, so nothing that
was measured is wrong because of it. What was seen before is kept, and stands again when it is
resumed. Halts are a file of their own, which a damaged table cannot keep from being heeded.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from persona_img.errors import CannotWrite, InvalidInput, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

_LOG = logging.getLogger(__name__)
_LOOK_SECONDS = 0.25
_LONGEST = 1000

Scope = Literal["all", "test", "product"]
Action = Literal["halt", "resume"]
Where = tuple[Scope, str]
"""What is halted, and its name; everything has none."""

EVERYTHING: Where = ("all", "")


@dataclass(frozen=True)
class Entry:
    """What somebody did.

    Attributes:
        action: ``halt`` or ``resume``.
        scope: Of what: ``all``, a ``test`` or a ``product``.
        name: Its name; empty for all.
        who: Did it.
        at: When, ISO 8601, UTC.
        reason: Why, one line.
    """

    action: Action
    scope: Scope
    name: str
    who: str
    at: str
    reason: str

    @property
    def where(self) -> Where:
        """What it was done to."""
        return self.scope, self.name


def standing(entries: Iterable[Entry]) -> dict[Where, Entry]:
    """The halts that nobody resumed, by what is halted; of each the first word.

    Example:
        >>> halt = Entry("halt", "product", "mug", "ann", "2026-03-02T12:00:00+00:00", "recall")
        >>> list(standing([halt])), list(standing([halt, Entry("resume", *halt.where, "", "", "")]))
        ([('product', 'mug')], [])
    """
    found: dict[Where, Entry] = {}
    for entry in entries:
        if entry.action == "halt":
            found.setdefault(entry.where, entry)
        else:
            found.pop(entry.where, None)
    return found


class HaltFile:
    """Who halted and resumed what, when and why; only added to.

    Args:
        path: The file; made with the first halt.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def halt(self, where: Where, *, who: str, reason: str) -> Entry:
        """Show photos; running services heed it within a second.

        Raises:
            InvalidInput: no reason, or one over 1,000 characters or lines.
            CannotWrite: it cannot be kept, and nothing is halted.
        """
        return self._add("halt", where, who, reason)

    def resume(self, where: Where, *, who: str, reason: str) -> Entry:
        """Decide again; running services heed it within a second.

        Raises:
            NotFound: that is not halted.
            InvalidInput: as for :meth:`halt`.
            CannotWrite: it cannot be kept, and nothing is resumed.
        """
        return self._add("resume", where, who, reason)

    def entries(self) -> list[Entry]:
        """All of them, the oldest first.

        Raises:
            InvalidInput: the file cannot be read, or holds something else.
        """
        try:
            return [Entry(**one) for one in json.loads(self.path.read_text(encoding="utf-8"))]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError) as error:
            raise InvalidInput(
                f"{self.path}: holds no halts ({error}); restore it, or remove it and halt anew"
            ) from error

    def _add(self, action: Action, where: Where, who: str, reason: str) -> Entry:
        if not (reason.strip() and reason.isprintable() and len(reason) <= _LONGEST):
            raise InvalidInput(
                f"reason {reason[:60]!r}: say why, in a line of up to {_LONGEST} characters"
            )
        now = datetime.now(UTC).isoformat(timespec="seconds")
        entry = Entry(action, *where, who, now, reason)
        try:
            with self.path.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                entries = self.entries()
                if action == "resume" and where not in standing(entries):
                    raise NotFound(
                        f"{_named(where)} is not halted; `persona-img halts` says what is"
                    )
                self._write([*entries, entry])
        except OSError as error:
            raise CannotWrite(
                f"{self.path}: cannot be written ({error.strerror}); nothing was changed"
            ) from error
        return entry

    def _write(self, entries: list[Entry]) -> None:
        partial = self.path.with_suffix(".part")
        with partial.open("w", encoding="utf-8") as out:
            out.write(json.dumps([asdict(one) for one in entries], indent=1) + "\n")
            out.flush()
            os.fsync(out.fileno())
        partial.replace(self.path)


class Halts:
    """What is halted now, as the file says; looked at four times a second, when it is asked.

    A file that is damaged or gone while the service runs changes nothing, and is told. One that is
    damaged when it starts halts everything, for nobody knows what it said.

    Args:
        file: Of the shop.
        clock: For tests.
    """

    def __init__(self, file: HaltFile, clock: Callable[[], float] = time.monotonic) -> None:
        self._file, self._clock = file, clock
        self._told = ""
        self._stamp = self._look()
        self._next = clock() + _LOOK_SECONDS
        self._halted = {EVERYTHING}
        if not self._read():
            self._stamp = None  # looked at again, for what hinders it may pass without a change

    def __call__(self, test: str, product: str) -> bool:
        """Whether a product of a test is to be answered by its photo."""
        self._refresh()
        halted = self._halted
        return bool(halted) and (
            EVERYTHING in halted or ("test", test) in halted or ("product", product) in halted
        )

    @property
    def hindrance(self) -> str:
        """What keeps it from reading the file, for everybody to read; or empty."""
        self._refresh()
        return "the halts cannot be read, they stand as they did before" if self._told else ""

    def _refresh(self) -> None:
        now = self._clock()
        if now < self._next:
            return
        self._next = now + _LOOK_SECONDS
        stamp = self._look()
        if stamp == self._stamp:
            self._told = ""
            return
        if stamp is None:
            self._tell("the file of halts is gone; they stand as they did before")
        elif self._read():
            self._stamp = stamp

    def _read(self) -> bool:
        try:
            self._halted = set(standing(self._file.entries()))
        except InvalidInput as error:
            self._tell(f"{_said(self._halted)} is halted: {error}")
            return False
        self._told = ""
        return True

    def _tell(self, what: str) -> None:
        """Once, not at every look."""
        if what != self._told:
            _LOG.warning("%s", what)
        self._told = what

    def _look(self) -> Any:
        try:
            found = self._file.path.stat()
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_size, found.st_ino)


def _named(where: Where) -> str:
    return " ".join(where).strip() if where != EVERYTHING else "everything"


def _said(halted: Iterable[Where]) -> str:
    return ", ".join(map(_named, sorted(halted))) or "nothing"

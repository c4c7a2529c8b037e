"""JSON Lines in pieces: an object a line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from persona_img.errors import InvalidInput
from persona_img.ingest.interactions.base import Reject
from persona_img.ingest.interactions.nested import JsonPiece

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from persona_img.ingest.interactions.contents import Contents

_LINES = 20_000
_BYTES = 16 << 20
_SHOWN = 200


def parse(line: str) -> Mapping[str, Any]:
    """One line.

    Raises:
        ValueError: it is no JSON object.
    """
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("no JSON") from None
    if not isinstance(found, dict):
        raise ValueError("no JSON object")
    return found


class JsonTable:
    """A file of lines that are objects; see :class:`~persona_img.ingest.interactions.base.Table`.

    Args:
        contents: The file.
        encoding: Of its text; None takes what was found.
        read: What makes a line an object; raises ValueError with a reason.
        what: In words.
    """

    def __init__(
        self,
        contents: Contents,
        encoding: str | None,
        read: Callable[[str], Mapping[str, Any]] = parse,
        what: str = "JSON Lines",
    ) -> None:
        self._contents, self._read, self.what = contents, read, what
        self._encoding = (encoding or contents.encoding).removesuffix("-sig")
        if self._encoding in ("utf-16", "utf-32"):
            raise InvalidInput(f"{contents.path}: {what} in {self._encoding}; save it as UTF-8")
        first = next(self._pieces(), None)
        names: dict[str, None] = {}
        for one in first.objects if first else ():
            names.update(dict.fromkeys(one))
        self.names = list(names)

    def pieces(self, paths: Sequence[str]) -> Iterator[JsonPiece]:
        """See :class:`~persona_img.ingest.interactions.base.Table`."""
        return self._pieces()

    def _pieces(self) -> Iterator[JsonPiece]:
        rows: list[int] = []
        objects: list[Mapping[str, Any]] = []
        bad: list[Reject] = []
        seen = read = 0

        def piece() -> JsonPiece:
            done = min(1.0, read / max(1, self._contents.size))
            return JsonPiece(np.array(rows, np.int64), objects, bad, done)

        with self._contents.open() as stream:
            for number, raw in enumerate(stream, start=1):
                seen += len(raw)
                read += len(raw)
                if number == 1:
                    raw = raw.removeprefix(b"\xef\xbb\xbf")
                if not raw.strip():
                    continue
                try:
                    objects.append(self._read(raw.decode(self._encoding).rstrip("\r\n")))
                    rows.append(number)
                except UnicodeDecodeError:
                    bad.append(Reject(number, f"not {self._encoding}", repr(raw[:_SHOWN])))
                except ValueError as error:
                    bad.append(Reject(number, str(error), raw[:_SHOWN].decode("utf-8", "replace")))
                if len(rows) + len(bad) >= _LINES or seen >= _BYTES:
                    yield piece()
                    rows, objects, bad, seen = [], [], [], 0
        if rows or bad:
            yield piece()

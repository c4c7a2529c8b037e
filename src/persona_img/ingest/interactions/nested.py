"""Dotted paths into nested values: ``items.item_id`` of structs, lists and JSON text."""

from __future__ import annotations

import fnmatch
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from persona_img.errors import InvalidInput
from persona_img.ingest.interactions.base import Reject, Rows, is_text, plain
from persona_img.ingest.interactions.fields import alike, split

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class ArrowPiece:
    """Rows of columns: CSV and Parquet; a :class:`~.base.Piece`."""

    def __init__(
        self, rows: Rows, columns: Mapping[str, pa.Array], bad: Sequence[Reject], done: float
    ) -> None:
        self.rows, self.bad, self.done = rows, bad, done
        self._columns = columns

    def values(self, path: str) -> tuple[Rows, pa.Array]:
        """See :class:`~persona_img.ingest.interactions.base.Piece`."""
        name, rest = split(path, list(self._columns))
        return _walk(plain(self._columns[name]), rest, np.arange(len(self.rows)), path)

    def take(self, places: Rows) -> ArrowPiece:
        """See :class:`~persona_img.ingest.interactions.base.Piece`."""
        columns = {name: values.take(pa.array(places)) for name, values in self._columns.items()}
        return ArrowPiece(self.rows[places], columns, (), self.done)


class JsonPiece:
    """Rows of JSON objects; see :class:`~persona_img.ingest.interactions.base.Piece`."""

    def __init__(
        self, rows: Rows, objects: Sequence[Mapping[str, Any]], bad: Sequence[Reject], done: float
    ) -> None:
        self.rows, self.bad, self.done = rows, bad, done
        self.objects = objects

    def values(self, path: str) -> tuple[Rows, pa.Array]:
        """See :class:`~persona_img.ingest.interactions.base.Piece`."""
        places: list[int] = []
        found: list[str | None] = []
        parts = path.split(".")
        for place, one in enumerate(self.objects):
            leaves = _leaves(one[path], ()) if path in one else _leaves(one, parts)
            places += [place] * len(leaves)
            found += map(_text, leaves)
        return np.array(places, np.int64), pa.array(found, pa.string())

    def take(self, places: Rows) -> JsonPiece:
        """See :class:`~persona_img.ingest.interactions.base.Piece`."""
        return JsonPiece(self.rows[places], [self.objects[i] for i in places], (), self.done)


def _walk(values: pa.Array, rest: list[str], places: Rows, path: str) -> tuple[Rows, pa.Array]:
    kind = values.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        parents = pc.list_parent_indices(values).to_numpy(zero_copy_only=False)
        return _walk(plain(pc.list_flatten(values)), rest, places[parents], path)
    if not rest:
        return places, values
    if pa.types.is_struct(kind):
        names = [field.name for field in kind]
        name = rest[0] if rest[0] in names else alike(rest[0], names)
        if name is None:
            raise InvalidInput(f"{path}: no {rest[0]} in it; there are {', '.join(names)}")
        return _walk(plain(pc.struct_field(values, name)), rest[1:], places, path)
    if is_text(kind):
        return _json_text(values, rest, places)
    raise InvalidInput(f"{path}: nothing lies inside a column of {kind}; name the column itself")


def _json_text(values: pa.Array, rest: list[str], places: Rows) -> tuple[Rows, pa.Array]:
    """Inside texts that hold JSON; text that does not holds nothing."""
    found_at: list[int] = []
    found: list[str | None] = []
    for place, text in zip(places.tolist(), values.to_pylist(), strict=True):
        try:
            leaves = list(_leaves(json.loads(text), rest)) if text else []
        except ValueError:
            leaves = []
        found_at += [place] * len(leaves)
        found += map(_text, leaves)
    return np.array(found_at, np.int64), pa.array(found, pa.string())


def _leaves(value: Any, parts: Sequence[str]) -> list[Any]:
    if isinstance(value, list):
        return [leaf for entry in value for leaf in _leaves(entry, parts)]
    if not parts:
        return [value]
    if isinstance(value, str) and value[:1] in "[{":
        try:
            return _leaves(json.loads(value), parts)
        except ValueError:
            return []
    if isinstance(value, dict):
        if "*" in parts[0]:
            names = fnmatch.filter(value, parts[0])
            return [leaf for name in names for leaf in _leaves(value[name], parts[1:])]
        return _leaves(value[parts[0]], parts[1:]) if parts[0] in value else []
    return []


def _text(value: Any) -> str | None:
    """A JSON value as text; what is no text and no number is nothing."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return repr(value)

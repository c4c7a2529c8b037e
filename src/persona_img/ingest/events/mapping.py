"""Where an export says what happened, to which picture, and when: a TOML file."""

from __future__ import annotations

import contextlib
import fnmatch
import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from persona_img.assets import ASSETS
from persona_img.domain.feedback import EventKind  # noqa: TC001 - pydantic looks it up
from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Field = Literal["kind", "token", "event_id", "occurred_at", "position", "value", "rating"]

_SHIPPED = ASSETS / "events"
_REQUIRED = ("kind", "token")


class EventMap(BaseModel):
    """How an export tells events.

    A path is dotted, ``properties.promotion_id``; ``*`` in a name stands for any end of it. One
    that begins with a dot begins at an entry of ``each``. A list of keys and values is looked up by
    the key, and text that holds JSON is looked into. Several paths joined by ``+`` are one text in
    pieces; of several texts the first that is there counts.

    Attributes:
        each: Path of a list whose every entry is an event; empty where a row is one.
        timezone: Where clocks stood that told times without a zone.
        time_format: ``unix-s``, ``unix-ms``, ``unix-us``, ``unix-ns`` or a pattern of
            ``datetime.strptime``; None for ISO 8601, and Unix times by their size.
        fields: Field to its paths; ``kind`` and ``token`` have to be there.
        kinds: Kind to what the export calls it; rows of others are passed by.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    each: str = ""
    timezone: str | None = None
    time_format: str | None = None
    fields: dict[Field, list[str]]
    kinds: dict[EventKind, list[str]]

    @field_validator("fields")
    @classmethod
    def _enough(cls, fields: dict[Field, list[str]]) -> dict[Field, list[str]]:
        lacking = [name for name in _REQUIRED if not fields.get(name)]  # type: ignore[call-overload]
        if lacking:
            raise ValueError(f"no path for {' and '.join(lacking)}; name the column that has it")
        return fields

    @classmethod
    def load(cls, name: str) -> EventMap:
        """A shipped mapping by its name, or a file.

        Raises:
            InvalidInput: there is none, or it breaks a rule.
        """
        path = Path(name)
        if name in maps():
            path = _SHIPPED / f"{name}.toml"
        elif not path.is_file():
            raise InvalidInput(f"map {name!r}: no such file; name one, or {', '.join(maps())}")
        try:
            return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InvalidInput(f"{path}: not valid TOML ({error})") from error
        except ValidationError as error:
            told = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise InvalidInput(f"{path}: {'; '.join(told)}") from error

    def kind_of(self, called: str) -> EventKind | None:
        """The kind that the export calls so; None for another."""
        name = called.strip().casefold()
        for kind, names in self.kinds.items():
            if name in (one.casefold() for one in names):
                return kind
        return None

    def entries(self, row: Mapping[str, Any]) -> list[Any]:
        """What each event of a row has of its own."""
        if not self.each:
            return [{}]
        found = [one for one in found_at(row, self.each.split(".")) if one is not None]
        return [entry for one in found for entry in (one if isinstance(one, list) else [one])]

    def text(self, field: Field, row: Mapping[str, Any], entry: Any) -> str:
        """What stands there, as text; empty for nothing."""
        for path in self.fields.get(field, ()):
            pieces = []
            for one in path.split("+"):
                parts = one.strip().split(".")
                start = (entry, parts[1:]) if parts[0] == "" else (row, parts)
                pieces.append(next(filter(None, map(_text, found_at(*start))), ""))
            if joined := "".join(pieces):
                return joined
        return ""


def maps() -> list[str]:
    """Names of the shipped mappings."""
    return sorted(path.stem for path in _SHIPPED.glob("*.toml"))


def found_at(value: Any, parts: list[str]) -> Iterator[Any]:
    """What stands at a path; several things where it has a star, or a list lies on it."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        with contextlib.suppress(ValueError):
            value = json.loads(value)
    if not parts:
        yield value
    elif isinstance(value, dict):
        for name in fnmatch.filter(value, parts[0]):
            yield from found_at(value[name], parts[1:])
    elif isinstance(value, list):
        for one in value:
            if not isinstance(one, dict):
                continue
            if one.keys() == {"key", "value"}:
                if one["key"] == parts[0]:
                    # Analytics has a place for each type, of which one is filled.
                    held = one["value"] if isinstance(one["value"], dict) else {"": one["value"]}
                    yield from (v for v in held.values() if v is not None)
            else:
                yield from found_at(one, parts)


def _text(value: Any) -> str:
    """A value as text; what is neither text nor number nor time is nothing."""
    if isinstance(value, str):
        return value.strip()
    if value is None or isinstance(value, bool | list | dict):
        return ""
    return value.isoformat() if hasattr(value, "isoformat") else str(value)

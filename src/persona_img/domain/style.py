"""Styles and the space they come from."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from persona_img.errors import UnknownStyle

_ORIGINAL_KEY = "original"


@dataclass(frozen=True, order=True)
class Style:
    """One combination of attributes; the empty one is the original photograph.

    Attributes:
        key: Canonical text, ``attribute=value`` pairs sorted by attribute and joined by commas;
            ``original`` for the photograph itself. Equal styles have equal keys.

    Example:
        >>> Style.of({"surface": "linen", "light": "soft"}).key
        'light=soft,surface=linen'
        >>> Style.of({}).is_original
        True
    """

    key: str

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Style:
        """The style with these attribute values; no values is the original."""
        if not values:
            return ORIGINAL
        return cls(",".join(f"{name}={values[name]}" for name in sorted(values)))

    @classmethod
    def read(cls, text: str) -> Style:
        """Style of ``surface=linen,light=soft`` as written, in any order, of any style space.

        Raises:
            UnknownStyle: not ``attribute=value`` pairs, or an attribute twice.
        """
        text = text.strip()
        if text == _ORIGINAL_KEY:
            return ORIGINAL
        pairs = [tuple(p.strip() for p in pair.partition("=")) for pair in text.split(",")]
        values = {name: value for name, _, value in pairs}
        if len(values) < len(pairs) or not all(name and value for name, _, value in pairs):
            raise UnknownStyle(f"style {text!r}: write attribute=value,…, each attribute once")
        return cls.of(values)

    @property
    def is_original(self) -> bool:
        """Whether this is the unchanged photograph."""
        return self.key == _ORIGINAL_KEY

    @cached_property
    def values(self) -> Mapping[str, str]:
        """Attribute to value; empty for the original."""
        if self.is_original:
            return {}
        return dict(pair.split("=", 1) for pair in self.key.split(","))

    def __str__(self) -> str:
        return self.key


ORIGINAL = Style(_ORIGINAL_KEY)
"""The photograph as the merchant took it: always a candidate."""


@dataclass(frozen=True)
class StyleSpace:
    """The attributes, their values, and which combinations a brand does not want.

    Attributes:
        attributes: Name to allowed values, in the order they are written.
        forbidden: Partial styles; a style that contains one of them is not in the space.

    Example:
        >>> space = StyleSpace(
        ...     {"surface": ("linen", "marble"), "light": ("soft", "side")},
        ...     forbidden=({"surface": "marble", "light": "side"},),
        ... )
        >>> space.styles()[0].is_original, len(space.styles())
        (True, 4)
    """

    attributes: Mapping[str, tuple[str, ...]]
    forbidden: tuple[Mapping[str, str], ...] = field(default=())

    def __post_init__(self) -> None:
        for name, values in self.attributes.items():
            if not values or len(set(values)) != len(values):
                raise UnknownStyle(
                    f"attribute {name}: values {values}; give at least one, each once"
                )
            for text in (name, *values):
                if not text or set(text) & set(",= \t\n"):
                    raise UnknownStyle(f"{text!r}: names and values hold no space, comma or '='")
        for rule in self.forbidden:
            self._check_known(rule)

    @classmethod
    def load(cls, path: str | Path) -> StyleSpace:
        """Space of a TOML file.

        ``[attributes]`` maps names to lists of values; each ``[[forbidden]]`` table maps
        attributes to a value or a list of values that must not meet.

        Raises:
            UnknownStyle: the file breaks a rule; the message names it.
        """
        path = Path(path)
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise UnknownStyle(f"{path}: no such file; name a styles.toml") from error
        except tomllib.TOMLDecodeError as error:
            raise UnknownStyle(f"{path}: not TOML: {error}") from error
        return cls.from_document(document, source=str(path))

    @classmethod
    def from_document(cls, document: Mapping[str, Any], *, source: str = "styles") -> StyleSpace:
        """Space of an already parsed TOML document."""
        table = document.get("attributes")
        if not isinstance(table, Mapping) or not table:
            raise UnknownStyle(f"{source}: no [attributes] table; list attributes and their values")
        rules: list[Mapping[str, str]] = []
        for rule in document.get("forbidden", []):
            choices = [
                [(k, x) for x in ([v] if isinstance(v, str) else v)] for k, v in rule.items()
            ]
            rules += [dict(pairs) for pairs in itertools.product(*choices)]
        return cls({str(k): tuple(map(str, v)) for k, v in table.items()}, tuple(rules))

    def styles(self) -> list[Style]:
        """Every allowed style, the original first, then in the order of the attributes."""
        combinations = itertools.product(*self.attributes.values())
        made = (dict(zip(self.attributes, values, strict=True)) for values in combinations)
        return [ORIGINAL, *(Style.of(values) for values in made if self._allowed(values))]

    def parse(self, text: str) -> Style:
        """Style of ``surface=linen,light=soft``; attributes left out take their first value.

        Where the first value would be forbidden beside what is asked, the next allowed one is
        taken.

        Raises:
            UnknownStyle: not ``attribute=value``, not in the space, or a forbidden combination.
        """
        text = text.strip()
        if text == _ORIGINAL_KEY:
            return ORIGINAL
        asked: dict[str, str] = {}
        for pair in text.split(","):
            name, sign, value = (part.strip() for part in pair.partition("="))
            if not (name and sign and value):
                raise UnknownStyle(f"style {pair!r}: write attribute=value, e.g. {self._example()}")
            if name in asked:
                raise UnknownStyle(f"style {text!r}: {name} is given twice; give it once")
            asked[name] = value
        self._check_known(asked)
        open_ = [[asked[n]] if n in asked else list(v) for n, v in self.attributes.items()]
        for values in itertools.product(*open_):
            made = dict(zip(self.attributes, values, strict=True))
            if self._allowed(made):
                return Style.of(made)
        raise UnknownStyle(f"style {text!r}: this combination is forbidden by the style space")

    def check(self, style: Style) -> Style:
        """The same style if it is in the space.

        Raises:
            UnknownStyle: an unknown attribute or value, a missing attribute, or forbidden.
        """
        if style.is_original:
            return style
        self._check_known(style.values)
        missing = set(self.attributes) - set(style.values)
        if missing:
            raise UnknownStyle(
                f"style {style}: lacks {', '.join(sorted(missing))}; give every attribute"
            )
        if not self._allowed(style.values):
            raise UnknownStyle(f"style {style}: this combination is forbidden by the style space")
        return style

    def _allowed(self, values: Mapping[str, str]) -> bool:
        return not any(rule.items() <= values.items() for rule in self.forbidden)

    def _check_known(self, values: Mapping[str, str]) -> None:
        for name, value in values.items():
            if name not in self.attributes:
                known = ", ".join(self.attributes)
                raise UnknownStyle(f"attribute {name!r} is unknown; choose from {known}")
            if value not in self.attributes[name]:
                known = ", ".join(self.attributes[name])
                raise UnknownStyle(f"{name}={value!r} is unknown; choose from {known}")

    def _example(self) -> str:
        name, values = next(iter(self.attributes.items()))
        return f"{name}={values[0]}"

"""What a brand does not want to be seen: palettes, styles, words; kept in ``brand.toml``.

::

    palettes = ["neutral", "sage"]        # no others; left out: all of the style space
    forbidden_words = ["cheap"]           # in prompts and titles

    [[forbidden_styles]]                  # a style that has all of these
    surface = "oak"
    light = "side"
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from persona_img.errors import InvalidInput, UnknownStyle

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from persona_img.domain.style import Style, StyleSpace

_KEYS = {"palettes", "forbidden_words", "forbidden_styles"}


@dataclass(frozen=True)
class Brand:
    """A brand's rules.

    Attributes:
        palettes: The only ones that may be seen; empty for all.
        forbidden_styles: Partial styles; a style that contains one is not rendered.
        forbidden_words: In no prompt and no title, in any case of letters.
    """

    palettes: tuple[str, ...] = ()
    forbidden_styles: tuple[Mapping[str, str], ...] = ()
    forbidden_words: tuple[str, ...] = ()

    @classmethod
    def load(cls, path: Path) -> Brand:
        """The rules of a file; none where there is no such file.

        Raises:
            InvalidInput: it is no TOML, or says something else.
        """
        try:
            told = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InvalidInput(f"{path}: not valid TOML ({error}); mend it") from error
        unknown = set(told) - _KEYS
        if unknown:
            raise InvalidInput(f"{path}: {sorted(unknown)}; there are {', '.join(sorted(_KEYS))}")
        styles = told.get("forbidden_styles", [])
        palettes, words = told.get("palettes", []), told.get("forbidden_words", [])
        if not all(isinstance(one, list) for one in (styles, palettes, words)):
            raise InvalidInput(
                f"{path}: say a list of each, and [[forbidden_styles]] in two brackets"
            )
        if not all(isinstance(rule, dict) and rule for rule in styles):
            raise InvalidInput(f"{path}: an empty forbidden style forbids every one; say of which")
        texts = [*palettes, *words, *(value for rule in styles for value in rule.values())]
        if not all(isinstance(text, str) and text.strip() for text in texts):
            raise InvalidInput(f"{path}: say every palette, word and value as a text")
        return cls(tuple(palettes), tuple(dict(rule) for rule in styles), tuple(words))

    def narrowed(self, space: StyleSpace) -> StyleSpace:
        """The styles of a space that the brand wants.

        Raises:
            UnknownStyle: a rule names what is not in the space.
        """
        known = space.attributes.get("palette", ())
        unknown = [palette for palette in self.palettes if palette not in known]
        if unknown:
            raise UnknownStyle(
                f"brand.toml: palettes {unknown} are not in the style space; there are "
                f"{', '.join(known) or 'none'}"
            )
        others = [{"palette": one} for one in known if self.palettes and one not in self.palettes]
        if not others and not self.forbidden_styles:
            return space
        return replace(space, forbidden=(*space.forbidden, *self.forbidden_styles, *others))

    def check(self, style: Style) -> None:
        """Refuse a style by the rule that forbids it.

        Raises:
            UnknownStyle: one does.
        """
        palette = style.values.get("palette")
        if self.palettes and palette is not None and palette not in self.palettes:
            raise UnknownStyle(
                f"style {style}: brand.toml wants no palette {palette!r}, only "
                f"{', '.join(self.palettes)}"
            )
        for rule in self.forbidden_styles:
            if rule.items() <= style.values.items():
                named = ",".join(f"{name}={value}" for name, value in rule.items())
                raise UnknownStyle(f"style {style}: brand.toml forbids {named}")

    def word_in(self, text: str) -> str | None:
        """The first forbidden word in a text; None where there is none.

        Example:
            >>> Brand(forbidden_words=("cheap",)).word_in("A CHEAP mug"), Brand().word_in("cheap")
            ('cheap', None)
        """
        found = (w for w in self.forbidden_words if re.search(rf"\b{re.escape(w)}\b", text, re.I))
        return next(found, None)

"""A style in words: what a pretrained model is asked for, and what it is asked to leave out."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from persona_img.errors import UnknownStyle
from persona_img.imaging.colour import lab_of

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

_USUAL = {"scene": "flat-lay", "palette": "neutral", "light": "soft"}


def prompt_of(
    style: Mapping[str, str],
    *,
    product: str = "",
    extra: str = "",
    form: str = "describe",
    materials: Container[str] = (),
) -> str:
    """What a style is called in words.

    Args:
        style: Attribute to value. Without a scene it is a flat lay; a ``colour`` takes the
            palette's place and is called by the nearest colour that has a name.
        product: The product's own words, as in ``ceramic mug``.
        extra: Free text that is added.
        form: ``describe`` or ``edit``; see :class:`.family.Family`.
        materials: Surfaces that are called by their name where they have no other words: a shop's.

    Raises:
        UnknownStyle: a scene, season, surface, palette or light without words.

    Example:
        >>> prompt_of({"surface": "oak", "scene": "shelf"}, product="mug")[:52]
        'photograph of a mug standing on a wall shelf of oak '
    """
    table, called = words(), product.strip() or "product"
    colour = style.get("colour")
    palette = _word(style, "palette") if colour is None else f"{nearest_name(colour)} tones"
    season = f", {_word(style, 'season')}" if style.get("season", "none") != "none" else ""
    own = style.get("surface", "")
    named = own in materials and own not in table["surface"]
    surface = own.replace("-", " ") if named else _word(style, "surface")
    scene = _word(style, "scene").format(product=called, surface=surface)
    added = f", {extra.strip()}" if extra.strip() else ""
    return str(table[form]).format(
        product=called,
        scene=scene,
        palette=palette,
        light=_word(style, "light"),
        season=season,
        extra=added,
    )


def unwanted(extra: str = "") -> str:
    """What is not wanted in any picture, and free text that is added."""
    always = str(words()["negative"])
    return f"{always}, {extra.strip()}" if extra.strip() else always


def lab_of_surface(surface: str) -> tuple[float, float, float] | None:
    """Mean Lab of a surface that has words; None where only its material knows."""
    found = words()["lab"].get(surface)
    return None if found is None else (float(found[0]), float(found[1]), float(found[2]))


def nearest_name(colour: str) -> str:
    """What ``#rrggbb`` is called: the nearest named colour in Lab.

    Raises:
        UnknownStyle: the colour is written otherwise.
    """
    asked = lab_of(colour)

    def apart(name: str) -> float:
        other = lab_of(words()["colour"][name])
        return sum((a - b) ** 2 for a, b in zip(asked, other, strict=True))

    return str(min(words()["colour"], key=apart))


@lru_cache(maxsize=1)
def words() -> dict[str, Any]:
    """The table of words, ``assets/prompts.toml``."""
    text = (files("persona_img") / "assets" / "prompts.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _word(style: Mapping[str, str], attribute: str) -> str:
    value = style.get(attribute, _USUAL.get(attribute))
    known = words()[attribute]
    if value not in known:
        raise UnknownStyle(f"{attribute}={value}: there are words for {', '.join(known)}")
    return str(known[value])

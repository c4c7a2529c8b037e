"""Which styles a photo is rendered in: those that were asked for, or different ones that fit it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from persona_img.domain.style import Style
from persona_img.errors import InvalidInput, UnknownStyle
from persona_img.scenery.scenes import fits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from persona_img.domain.style import StyleSpace

_TRIES = 40  # draws for each style wanted, before a space is taken to have no more


def asked_for(space: StyleSpace, text: str, pose: str) -> Style:
    """The style of ``surface=oak,light=side`` for a product; a scene left out is one that fits.

    Args:
        space: Says what there is.
        text: Attributes with values.
        pose: How the product is photographed.

    Raises:
        UnknownStyle: see ``StyleSpace.parse``.
        InvalidInput: the original, which is the photo itself.
    """
    style = space.parse(text)
    if style.is_original:
        raise InvalidInput("style original: that is the photo itself; ask for another style")
    if "scene" in style.values and "scene" not in Style.read(text).values:
        for scene in space.attributes["scene"]:
            if not fits(scene, pose):
                continue
            try:
                style = space.parse(f"{text},scene={scene}")
            except UnknownStyle:  # forbidden beside what was asked
                continue
            break
    return _shown(style)


def chosen_for(space: StyleSpace, count: int, pose: str, seeds: Sequence[int]) -> list[Style]:
    """Different styles that fit a product, as unlike each other as the space allows.

    Each attribute walks through its values in an order of its own, so that the first few styles
    share as little as can be. No season: whoever wants one asks for it.

    Args:
        space: Says what there is.
        count: How many are wanted; fewer where fewer fit.
        pose: How the product is photographed.
        seeds: Of the orders.
    """
    rng = np.random.default_rng(list(seeds))
    orders = {}
    for name, values in space.attributes.items():
        possible = [v for v in values if name != "scene" or fits(v, pose)]
        if name == "season":
            possible = [v for v in values if v == "none"] or possible
        if not possible:
            return []
        orders[name] = [possible[i] for i in rng.permutation(len(possible))]
    found: dict[Style, None] = {}
    for turn in range(_TRIES * count):
        # A whole turn through an attribute shifts it against the others.
        drawn = {
            name: order[(turn + turn // len(order)) % len(order)] for name, order in orders.items()
        }
        try:
            found[_shown(space.check(Style.of(drawn)))] = None
        except UnknownStyle:
            continue
        if len(found) == count:
            break
    return list(found)


def _shown(style: Style) -> Style:
    """Without the season that is none."""
    return Style.of({n: v for n, v in style.values.items() if (n, v) != ("season", "none")})

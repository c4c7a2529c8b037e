"""Who paints plates, by name, and the renderer that asks them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from persona_img.errors import InvalidInput
from persona_img.wiring.maskers import masker
from persona_img.wiring.registry import named

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from persona_img.rendering.base import BackdropSource
    from persona_img.rendering.renderer import BackdropRenderer
    from persona_img.settings import Settings


def _diffusion(settings: Settings) -> BackdropSource:
    from persona_img.rendering.sources.diffusion import DiffusionBackdrops

    chosen = settings.render
    return DiffusionBackdrops(
        chosen.checkpoint,
        steps=chosen.steps,
        guidance=chosen.guidance,
        strength=chosen.strength,
        adapter=chosen.adapter,
    )


def _library(_: Settings) -> BackdropSource:
    from persona_img.rendering.sources.tiles import LibraryBackdrops

    return LibraryBackdrops()


def _gaussian(_: Settings) -> BackdropSource:
    from persona_img.rendering.sources.tiles import GaussianBackdrops

    return GaussianBackdrops()


def _plain(_: Settings) -> BackdropSource:
    from persona_img.rendering.sources.plain import PlainBackdrops

    return PlainBackdrops()


def _pretrained(settings: Settings) -> BackdropSource:
    chosen = settings.render
    if chosen.model is None:
        raise InvalidInput("backdrops pretrained: say which model: --backdrop-model ID-OR-FOLDER")
    try:
        from persona_img.rendering.sources.pretrained import PretrainedBackdrops
    except ImportError as error:
        raise InvalidInput(
            f"backdrops pretrained: {error}; pip install 'persona-img[pretrained]'"
        ) from error
    return PretrainedBackdrops(
        chosen.model,
        mode=chosen.mode,
        steps=chosen.steps,
        guidance=chosen.guidance,
        strength=chosen.strength,
        lora=chosen.lora,
        controlnet=chosen.controlnet,
    )


LEARNED: Mapping[str, Callable[[Settings], BackdropSource]] = {
    "diffusion": _diffusion,
    "pretrained": _pretrained,
}
"""``diffusion`` begins with a real tile; ``pretrained`` is any pipeline of diffusers. A tile of the
library stands in where the gate refuses what they paint."""
WEIGHTLESS: Mapping[str, Callable[[Settings], BackdropSource]] = {
    "library": _library,
    "gaussian": _gaussian,
    "plain": _plain,
}
"""``library`` lays real tiles, ``gaussian`` their noise; ``plain`` is an even studio sweep. Nothing
stands in for these: a tile instead of what was refused would be another source's."""
BACKDROPS = {**LEARNED, **WEIGHTLESS}
COMPARED = ("diffusion", "diffusion-over-gaussian", *WEIGHTLESS)
"""What ``eval-render`` measures where nobody names a source: all that come with the package."""


def check_backdrops(name: str) -> None:
    """Refuse a name, or one over another, that nobody has.

    Raises:
        InvalidInput: see above.
    """
    for part in name.split("-over-", 1):
        named(BACKDROPS, part, "render.backdrops")


def backdrops(settings: Settings) -> BackdropSource:
    """The source of the settings, alone or over another that it begins with.

    Raises:
        InvalidInput: no such source, or what it needs is missing.
    """
    painter, _, ground = settings.render.backdrops.partition("-over-")
    check_backdrops(settings.render.backdrops)
    source = BACKDROPS[painter](settings)
    if not ground:
        return source
    from persona_img.rendering.sources.tiles import Over

    return Over(source, BACKDROPS[ground](settings))


def renderer(settings: Settings) -> BackdropRenderer:
    """Photographs to variants.

    Example:
        >>> from persona_img.settings import Settings
        >>> renderer(Settings(render={"backdrops": "library"})).backdrops.name
        'library'
    """
    from persona_img.rendering.base import RenderSettings
    from persona_img.rendering.framing import Layout
    from persona_img.rendering.proof.adherence import StyleJudge
    from persona_img.rendering.proof.gate import OWN_RULES, RULES
    from persona_img.rendering.renderer import BackdropRenderer

    chosen = settings.render
    rendering = RenderSettings(
        candidates=chosen.candidates,
        tries=chosen.tries,
        layout=Layout(chosen.format, chosen.text),
        relight=chosen.relight,
        light_wrap=chosen.light_wrap,
        rules=RULES if chosen.adapter is None else OWN_RULES,
    )
    # No tile of ours stands in for a shop's own backdrop.
    alone = chosen.backdrops in WEIGHTLESS or chosen.adapter is not None
    return BackdropRenderer(
        backdrops(settings),
        rendering,
        masker(settings),
        StyleJudge(),
        fallback=None if alone else _library(settings),
    )

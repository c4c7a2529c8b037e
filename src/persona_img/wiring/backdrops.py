"""Who paints plates, by name, and the renderer that asks them."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from persona_img.errors import InvalidInput
from persona_img.wiring.maskers import masker
from persona_img.wiring.registry import named

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from persona_img.rendering.base import BackdropSource, PictureJudge, Renderer
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
        materials=chosen.materials,
    )


def _library(settings: Settings) -> BackdropSource:
    from persona_img.rendering.sources.tiles import LibraryBackdrops

    return LibraryBackdrops(materials=settings.render.materials)


def _plain(_: Settings) -> BackdropSource:
    from persona_img.rendering.sources.plain import PlainBackdrops

    return PlainBackdrops()


def _pretrained(settings: Settings) -> BackdropSource:
    chosen = settings.pretrained
    if chosen.model is None:
        raise InvalidInput("backdrops pretrained: say which model: --backdrop-model ID-OR-FOLDER")
    if find_spec("transformers") is None:
        raise InvalidInput(
            "backdrops pretrained: transformers is missing; pip install 'persona-img[pretrained]'"
        )
    from persona_img.rendering.sources.pretrained import PretrainedBackdrops, PretrainedSettings

    how = PretrainedSettings(**chosen.model_dump(exclude={"model"}))
    return PretrainedBackdrops(chosen.model, how, settings.render.materials)


LEARNED: Mapping[str, Callable[[Settings], BackdropSource]] = {
    "diffusion": _diffusion,
    "pretrained": _pretrained,
}
"""``diffusion`` begins with a set; ``pretrained`` is any pipeline of diffusers. The set itself
stands in where the gate refuses what they paint."""
WEIGHTLESS: Mapping[str, Callable[[Settings], BackdropSource]] = {
    "library": _library,
    "plain": _plain,
}
"""``library`` builds sets of real materials; ``plain`` builds them of even paper. Nothing stands in
for these: a set instead of what was refused would be another source's."""
BACKDROPS = {**LEARNED, **WEIGHTLESS}
COMPARED = ("diffusion", *WEIGHTLESS)
"""What ``eval-render`` measures where nobody names a source: all that come with the package."""


def check_backdrops(name: str) -> None:
    """Refuse a name that nobody has.

    Raises:
        InvalidInput: see above.
    """
    named(BACKDROPS, name, "render.backdrops")


def backdrops(settings: Settings) -> BackdropSource:
    """The source of the settings.

    Raises:
        InvalidInput: no such source, or what it needs is missing.
    """
    return named(BACKDROPS, settings.render.backdrops, "render.backdrops")(settings)


def renderer(settings: Settings) -> BackdropRenderer:
    """Photographs to variants.

    Example:
        >>> from persona_img.settings import Settings
        >>> renderer(Settings(render={"backdrops": "library"})).backdrops.name
        'library'
    """
    from persona_img.provenance.watermark import Watermark
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
        relight_from=chosen.relight_from,
        light_wrap=chosen.light_wrap,
        materials=chosen.materials,
        rules=RULES if chosen.adapter is None else OWN_RULES,
    )
    key = settings.provenance.watermark_key
    # No set of ours stands in for a shop's own backdrop.
    alone = chosen.backdrops in WEIGHTLESS or chosen.adapter is not None
    return BackdropRenderer(
        backdrops(settings),
        rendering,
        masker(settings),
        StyleJudge(),
        fallback=None if alone else _library(settings),
        chooser=None if chosen.chooser is None else picture_judge(chosen.chooser),
        mark=None if key is None else Watermark(key.get_secret_value().encode()),
    )


def rendering(settings: Settings, local: BackdropRenderer) -> AbstractContextManager[Renderer]:
    """What renders many products: the renderer itself, or processes that render as it does.

    Args:
        settings: Say in how many processes.
        local: The renderer of these settings.

    Example:
        >>> from persona_img.settings import Settings
        >>> settings = Settings(render={"backdrops": "library"})
        >>> with rendering(settings, renderer(settings)) as alike:
        ...     alike.fingerprint() == renderer(settings).fingerprint()
        True
    """
    if settings.render.processes == 1:
        return nullcontext(local)
    from persona_img.rendering.processes import ProcessRenderer

    return ProcessRenderer(local, partial(renderer, settings), settings.render.processes)


def picture_judge(path: Path) -> PictureJudge:
    """The judge of pictures in a file of ``train-chooser``.

    Raises:
        NotFound: there is no such file.
        InvalidInput: it holds something else.
    """
    from persona_img.ranking.picture_reward import PictureReward

    return PictureReward.load(path)

"""Settings to adapters: the one place that knows which vendor is used.

A registry per port, each a dictionary in a file of its own: whoever adds an adapter adds its line
there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from persona_img.domain.decision import Arms
from persona_img.domain.holdout import Holdout
from persona_img.domain.style import StyleSpace
from persona_img.wiring.backdrops import (
    COMPARED,
    backdrops,
    check_backdrops,
    renderer,
    rendering,
)
from persona_img.wiring.marking import check_keys, marking
from persona_img.wiring.maskers import MASKERS, masker, onnx_masker, transformers_masker
from persona_img.wiring.policies import POLICIES, policy
from persona_img.wiring.rankers import RANKERS, cold_ranker, load_ranker, new_ranker
from persona_img.wiring.registry import named
from persona_img.wiring.stores import (
    FEATURES,
    TRACKERS,
    archive,
    event_log,
    feature_source,
    history,
    previews,
    registry,
    signer,
    tracker,
    tracking_uri,
    variant_store,
)
from persona_img.wiring.traces import spans

if TYPE_CHECKING:
    from persona_img.abtest.analysis import ABTest
    from persona_img.abtest.record import Record
    from persona_img.settings import Settings

__all__ = [
    "COMPARED",
    "ab_test",
    "archive",
    "arms",
    "backdrops",
    "check",
    "check_keys",
    "cold_ranker",
    "event_log",
    "feature_source",
    "fitting_space",
    "history",
    "holdout",
    "load_ranker",
    "marking",
    "masker",
    "new_ranker",
    "onnx_masker",
    "policy",
    "previews",
    "registry",
    "render_space",
    "renderer",
    "rendering",
    "signer",
    "spans",
    "style_space",
    "tracker",
    "tracking_uri",
    "transformers_masker",
    "variant_store",
]


_PAINTED = 0.45  # of a palette's colour: what takes less is shown in its own hues


def check(settings: Settings) -> None:
    """Refuse names that nobody has, before anything is begun with them.

    Raises:
        InvalidInput: the first such name, and the ones there are.
    """
    check_backdrops(settings.render.backdrops)
    named(MASKERS, settings.mask.masker, "mask.masker")
    named(RANKERS, settings.learn.ranker, "learn.ranker")
    named(POLICIES, settings.learn.policy, "learn.policy")
    named(FEATURES, settings.stores.features, "stores.features")
    named(TRACKERS, settings.stores.tracker, "stores.tracker")


def style_space(settings: Settings) -> StyleSpace:
    """The style space."""
    return StyleSpace.load(settings.styles)


def render_space(settings: Settings) -> StyleSpace:
    """Every style that can be rendered; the shop's own style space where it has one.

    A season is one of the looks of ``scenery.seasons``, or ``none``.
    """
    from persona_img.settings import Settings

    if settings.styles != Settings.model_fields["styles"].default:
        return style_space(settings)
    from persona_img.imaging.light import LIGHTS
    from persona_img.rendering.framing import FRAMINGS
    from persona_img.scenery.materials import materials_of, palettes
    from persona_img.scenery.scenes import SCENES
    from persona_img.scenery.seasons import SEASONS

    surfaces = materials_of(settings.render.materials).surfaces
    # Wood is stained and stone polished, not painted; what stands needs room around it.
    stained = [s.name for s in surfaces.values() if s.dye < _PAINTED]
    forbidden: list[dict[str, str]] = [
        {"surface": name, "palette": palette}
        for name in stained
        for palette in ("cool", "blush", "sage")
    ]
    forbidden += [
        {"scene": scene.name, "framing": "close"}
        for scene in SCENES.values()
        if "standing" in scene.poses
    ]
    return StyleSpace(
        {
            "scene": tuple(SCENES),
            "surface": tuple(surfaces),
            "palette": tuple(palettes()),
            "light": tuple(LIGHTS),
            "framing": FRAMINGS,
            "season": ("none", *SEASONS),
        },
        tuple(forbidden),
    )


def fitting_space(settings: Settings) -> StyleSpace:
    """What is rendered where nobody names a style: no table of sand, no podium of cloth.

    Of :func:`render_space` what its materials are for; a shop's own style space as it is.
    """
    from persona_img.scenery.materials import materials_of
    from persona_img.scenery.scenes import SCENES
    from persona_img.settings import Settings

    space = render_space(settings)
    if settings.styles != Settings.model_fields["styles"].default:
        return space
    unlikely = [
        {"surface": surface.name, "scene": scene}
        for surface in materials_of(settings.render.materials).surfaces.values()
        for scene in SCENES
        if surface.scenes and scene not in surface.scenes
    ]
    return StyleSpace(space.attributes, (*space.forbidden, *unlikely))


def arms(settings: Settings, record: Record | None = None) -> Arms:
    """The A/B test's arms: the original photo against the personalized variants.

    Args:
        settings: Of the shop.
        record: By which the test runs; its arms win.
    """
    share = settings.test.personalized_share
    if record is not None:
        share = record.arms["personalized"]
    return Arms(settings.test.name, {"control": 1.0 - share, "personalized": share})


def holdout(settings: Settings) -> Holdout | None:
    """Who is never personalised; None for nobody."""
    share = settings.test.holdout_share
    return Holdout(settings.test.holdout_name, share) if share else None


def ab_test(settings: Settings, record: Record | None = None) -> ABTest:
    """How the A/B test's feedback is to be read: as its record says, else as the settings do."""
    from persona_img.abtest.analysis import ABTest

    if record is not None:
        return record.ab_test(holdout(settings))
    return ABTest(
        settings.test.name,
        arms=dict(arms(settings).shares),
        planned_shoppers=settings.test.planned_shoppers,
        always_valid=settings.test.always_valid,
        holdout=holdout(settings),
    )

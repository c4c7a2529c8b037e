"""Shows each shopper segment the product picture that works for it, and proves that it works.

The names below are the public ones. They are loaded when first used, so that importing
persona_img loads no model library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from persona_img.version import __version__ as __version__

if TYPE_CHECKING:
    from persona_img.abtest.analysis import ABTest
    from persona_img.abtest.report import ABReport
    from persona_img.domain.catalog import Catalog, Product
    from persona_img.domain.decision import (
        Arms,
        Choice,
        Context,
        Decision,
        DecisionTable,
        Ranking,
    )
    from persona_img.domain.feedback import Event
    from persona_img.domain.holdout import Holdout
    from persona_img.domain.style import Style, StyleSpace
    from persona_img.domain.variant import Certificate
    from persona_img.errors import PersonaImgError
    from persona_img.imaging.photo import Photo, load_photo
    from persona_img.ranking.base import RankingFeatures
    from persona_img.ranking.bayes import BayesRanker
    from persona_img.ranking.lightgbm import LightGBMRanker
    from persona_img.ranking.policy import ThompsonPolicy
    from persona_img.ranking.popularity import PopularityRanker
    from persona_img.rendering.proof.certificate import verify
    from persona_img.rendering.renderer import BackdropRenderer
    from persona_img.settings import Settings
    from persona_img.shop import Shop
    from persona_img.wiring import renderer

_HOMES = {
    "ABReport": "abtest.report",
    "ABTest": "abtest.analysis",
    "Arms": "domain.decision",
    "BackdropRenderer": "rendering.renderer",
    "BayesRanker": "ranking.bayes",
    "Catalog": "domain.catalog",
    "Certificate": "domain.variant",
    "Choice": "domain.decision",
    "Context": "domain.decision",
    "Decision": "domain.decision",
    "DecisionTable": "domain.decision",
    "Event": "domain.feedback",
    "Holdout": "domain.holdout",
    "LightGBMRanker": "ranking.lightgbm",
    "PersonaImgError": "errors",
    "Photo": "imaging.photo",
    "PopularityRanker": "ranking.popularity",
    "Product": "domain.catalog",
    "Ranking": "domain.decision",
    "RankingFeatures": "ranking.base",
    "Settings": "settings",
    "Shop": "shop",
    "Style": "domain.style",
    "StyleSpace": "domain.style",
    "ThompsonPolicy": "ranking.policy",
    "load_photo": "imaging.photo",
    "renderer": "wiring",
    "verify": "rendering.proof.certificate",
}

__all__ = [
    "ABReport",
    "ABTest",
    "Arms",
    "BackdropRenderer",
    "BayesRanker",
    "Catalog",
    "Certificate",
    "Choice",
    "Context",
    "Decision",
    "DecisionTable",
    "Event",
    "Holdout",
    "LightGBMRanker",
    "PersonaImgError",
    "Photo",
    "PopularityRanker",
    "Product",
    "Ranking",
    "RankingFeatures",
    "Settings",
    "Shop",
    "Style",
    "StyleSpace",
    "ThompsonPolicy",
    "load_photo",
    "renderer",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__

"""Rankers by name: how one is made, and how a saved one is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from persona_img.errors import NotFound
from persona_img.wiring.registry import named

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from persona_img.ranking.base import Ranker
    from persona_img.settings import Settings


def _lightgbm(settings: Settings) -> Ranker:
    from persona_img.ranking.lightgbm import LightGBMRanker

    return LightGBMRanker(seed=settings.seed)


def _bayes(settings: Settings) -> Ranker:
    from persona_img.ranking.bayes import BayesRanker

    return BayesRanker(half_life=settings.learn.half_life)


def _boosted(settings: Settings) -> Ranker:
    from persona_img.ranking.boosted import BoostedRanker

    return BoostedRanker(half_life=settings.learn.half_life, seed=settings.seed)


def _popularity(_: Settings) -> Ranker:
    from persona_img.ranking.popularity import PopularityRanker

    return PopularityRanker()


RANKERS: Mapping[str, Callable[[Settings], Ranker]] = {
    "boosted": _boosted,
    "bayes": _bayes,
    "lightgbm": _lightgbm,
    "popularity": _popularity,
}
"""Name to a function that makes an unfitted ranker; its class reads saved ones, the first that can:
what holds another's files beside its own comes before it."""

_COLD = "popularity"


def cold_ranker(settings: Settings) -> Ranker:
    """What ranks before there is any feedback: it knows nothing, so everything is explored."""
    return RANKERS[_COLD](settings)


def new_ranker(settings: Settings) -> Ranker:
    """An unfitted ranker of the kind that is trained on feedback.

    Raises:
        InvalidInput: no such kind.
    """
    return named(RANKERS, settings.learn.ranker, "learn.ranker")(settings)


def load_ranker(folder: Path, settings: Settings) -> Ranker:
    """A saved ranker of whatever kind.

    Raises:
        NotFound: the folder holds none.
    """
    for make in RANKERS.values():
        try:
            return make(settings).load(folder)
        except NotFound:
            continue
    raise NotFound(f"{folder}: holds no ranker; run `persona-img retrain` or `persona-img prepare`")

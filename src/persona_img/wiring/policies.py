"""Policies by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from persona_img.wiring.registry import named

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from persona_img.ranking.base import Policy
    from persona_img.settings import Settings

_EXPLORED = 0.1
"""Most of a slate's chance that its floors may take."""


def _thompson(settings: Settings) -> Policy:
    from persona_img.ranking.policy import ThompsonPolicy

    # What is shown for the log's sake alone must not cost much, however many styles there are.
    floor = min(settings.learn.floor, _EXPLORED / (settings.learn.slate + 1))
    return ThompsonPolicy(floor=floor, assurance=settings.learn.assurance)


def _squarecb(settings: Settings) -> Policy:
    from persona_img.ranking.policy import SquareCBPolicy

    return SquareCBPolicy(floor=min(settings.learn.floor, _EXPLORED / (settings.learn.slate + 1)))


def _epsilon_greedy(settings: Settings) -> Policy:
    from persona_img.ranking.policy import EpsilonGreedyPolicy

    # Epsilon is shared by the whole slate: so each candidate keeps the floor.
    return EpsilonGreedyPolicy(epsilon=settings.learn.floor * (settings.learn.slate + 1))


def _uniform(_: Settings) -> Policy:
    from persona_img.ranking.policy import UniformPolicy

    return UniformPolicy()


POLICIES: Mapping[str, Callable[[Settings], Policy]] = {
    "thompson": _thompson,
    "squarecb": _squarecb,
    "epsilon-greedy": _epsilon_greedy,
    "uniform": _uniform,
}
"""Thompson sampling, and inverse gap weighting, with a floor; the best style and some of each;
every style alike."""


def policy(settings: Settings, name: str | None = None) -> Policy:
    """The policy of this name, or the settings'.

    Raises:
        InvalidInput: no such policy.
    """
    if name is not None:
        return named(POLICIES, name, "policy")(settings)
    return named(POLICIES, settings.learn.policy, "learn.policy")(settings)

"""Chances of many slates at once, by what a ranker predicts and a policy makes of it.

A catalogue of 10,000 products for 100 segments has a million slates. Asked one by one, a ranker and
a policy spend most of the time on being asked; those that take many at once are given many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

import numpy as np

from persona_img.domain.decision import Context
from persona_img.errors import EmptySlate
from persona_img.ranking.base import Evidence, Predicted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from persona_img.domain.style import Style
    from persona_img.ranking.base import Floats, Policy, Ranker

Place = tuple[str, str]
"""Segment and product."""

Counted = dict[str, tuple[float, float]]
"""Style key to impressions, as if all were at position 1, and clicks."""

Weighed: TypeAlias = "tuple[tuple[Style, ...], list[float]]"
"""Styles, best first, and the chance of each."""

_AT_ONCE = 20_000
"""Slates in hand at the same time."""

_DIGITS = 12
"""As of :func:`~persona_img.domain.decision.ranking_of`: what differs by rounding is a tie."""


@runtime_checkable
class Predicting(Protocol):
    """A ranker that predicts many slates at once."""

    def predicted(
        self, contexts: Sequence[Context], styles: Sequence[Sequence[Style]]
    ) -> Predicted:
        """What ``rank`` says of N slates of S styles each, in the order given, not rounded."""


@runtime_checkable
class Weighing(Protocol):
    """A policy that weighs many slates at once."""

    def chances(
        self,
        predicted: Predicted,
        photo: NDArray[np.int64],
        shown: Floats | None = None,
        clicks: Floats | None = None,
    ) -> Floats:
        """What ``probabilities`` says of N slates of S styles each.

        Args:
            predicted: Of the slates.
            photo: (N,) which of the styles is the original.
            shown: (N, S) impressions counted since; None is none.
            clicks: (N, S) clicks of them.

        Returns:
            float64 (N, S), in the order of ``predicted``.
        """


def weighed(
    ranker: Ranker,
    policy: Policy,
    slates: Mapping[Place, Sequence[Style]],
    counted: Mapping[Place, Counted] | None = None,
) -> Iterator[tuple[Place, Weighed]]:
    """Styles in the order of the ranker's ranking, with the policy's chances; slate by slate.

    Args:
        ranker: Predicts click rates.
        policy: Turns them into chances.
        slates: Segment and product to styles, the original among them.
        counted: What was counted since the ranker was fitted, for some of the slates.

    Raises:
        EmptySlate: a slate without the original.
    """
    counted = counted or {}
    places = list(slates)
    many = (
        isinstance(ranker, Predicting)
        and isinstance(policy, Weighing)
        and takes_many(ranker, "predicted", "rank")
        and takes_many(policy, "chances", "probabilities")
    )
    for start in range(0, len(places), _AT_ONCE):
        some = places[start : start + _AT_ONCE]
        found: dict[Place, Weighed] = {}
        if not many:
            found.update(_one_by_one(ranker, policy, some, slates, counted))
        else:
            by_size: dict[int, list[Place]] = {}
            for place in some:
                by_size.setdefault(len(slates[place]), []).append(place)
            for alike in by_size.values():
                found.update(_together(ranker, policy, alike, slates, counted))
        yield from ((place, found[place]) for place in some)


def takes_many(asked: object, many: str, single: str) -> bool:
    """Whether a method for many says the same as the one for a single slate.

    Not where a class has changed the latter alone: then it is asked one by one.

    Example:
        >>> class Ranker:
        ...     def rank(self): ...
        ...     def predicted(self): ...
        >>> class Changed(Ranker):
        ...     def rank(self): ...
        >>> takes_many(Ranker(), "predicted", "rank"), takes_many(Changed(), "predicted", "rank")
        (True, False)
    """
    for kind in type(asked).__mro__:
        if many in vars(kind):
            return True
        if single in vars(kind):
            return False
    return False


def _one_by_one(
    ranker: Ranker,
    policy: Policy,
    places: Iterable[Place],
    slates: Mapping[Place, Sequence[Style]],
    counted: Mapping[Place, Counted],
) -> Iterator[tuple[Place, Weighed]]:
    for place in places:
        ranking = ranker.rank(Context(*place), slates[place])
        evidence = None
        if place in counted:
            seen = np.array([counted[place].get(s.key, (0.0, 0.0)) for s in ranking.styles])
            evidence = Evidence(seen[:, 0], seen[:, 1])
        yield place, (ranking.styles, policy.probabilities(ranking, evidence).tolist())


def _together(
    ranker: Ranker,
    policy: Policy,
    places: Sequence[Place],
    slates: Mapping[Place, Sequence[Style]],
    counted: Mapping[Place, Counted],
) -> Iterator[tuple[Place, Weighed]]:
    """Of slates that are equally long."""
    assert isinstance(ranker, Predicting)
    assert isinstance(policy, Weighing)
    # Ties go by key, as in a ranking: chances depend on the set of styles, not on their order.
    styles = [sorted(slates[place], key=lambda style: style.key) for place in places]
    photo = np.array([_photo(p, some) for p, some in zip(places, styles, strict=True)])
    found = ranker.predicted([Context(*place) for place in places], styles)
    scores = found.scores.round(_DIGITS)
    order = np.argsort(-scores, axis=1, kind="stable")
    predicted = Predicted(
        np.take_along_axis(scores, order, axis=1),
        None if found.spreads is None else np.take_along_axis(found.spreads, order, axis=1),
    )
    seen: tuple[Floats, ...] = ()
    if counted:
        nothing: Counted = {}
        seen = tuple(
            np.take_along_axis(
                np.array(
                    [
                        [counted.get(p, nothing).get(s.key, (0.0, 0.0))[column] for s in some]
                        for p, some in zip(places, styles, strict=True)
                    ]
                ),
                order,
                axis=1,
            )
            for column in (0, 1)
        )
    chances = policy.chances(predicted, np.argmax(order == photo[:, None], axis=1), *seen)
    for place, mine, turn, row in zip(
        places, styles, order.tolist(), chances.tolist(), strict=True
    ):
        yield place, (tuple(mine[i] for i in turn), row)


def _photo(place: Place, styles: Sequence[Style]) -> int:
    for number, style in enumerate(styles):
        if style.is_original:
            return number
    raise EmptySlate(f"{Context(*place)}: no original among {len(styles)} styles; it is always one")

"""Which few styles of the space are rendered for a segment and product, and with what chance.

Rendering costs; so each product gets a small pool of styles that its segments share, and each
segment's slate is taken from the pool. One part of both is what the ranker believes to be best, the
other explores: styles whose attribute values were planned least so far, over the whole catalogue.
Without knowledge (all scores equal) everything explores, which spreads the values evenly, so that
the first round can learn them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from persona_img.domain.decision import Candidate, Context, DecisionTable, Slate, uniform
from persona_img.domain.style import ORIGINAL, Style, StyleSpace
from persona_img.errors import InvalidInput
from persona_img.ranking.chances import takes_many, weighed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_img.ranking.base import Floats, Policy, Ranker

Slates = Mapping[tuple[str, str], tuple[Style, ...]]
"""(segment, product) to styles, the original first."""


@runtime_checkable
class Drawable(Protocol):
    """A ranker that knows its uncertainty."""

    def drawn(self, rng: np.random.Generator) -> Ranker:
        """A ranker as it may truly be."""


@runtime_checkable
class Scoring(Protocol):
    """A ranker that predicts many at once."""

    def scores(
        self, segments: Sequence[str], products: Sequence[str], styles: Sequence[Style]
    ) -> Floats:
        """(K, P, S) click rates at position 1 of everything with everything."""


_MARGINAL = (0.5, 0.25, 0.25)
"""What a style adds beyond a segment's best, second and third, which count 1, 1/2 and 1/4."""

_DRAWS = 64
"""Rankers drawn for one plan; each product explores what one of them would do."""

_AT_ONCE = 1 << 21
"""Most predictions held at the same time: 16 MB."""

_HELD = 1 << 23
"""Predictions of products that are planned together, as often as one explores and once more: 64 MB
each time. The more there are, the fewer times a drawn ranker is asked."""

_DIGITS = 12


def plan_slates(
    ranker: Ranker,
    space: StyleSpace,
    segments: Sequence[str],
    products: Sequence[str],
    *,
    size: int = 5,
    pool: int = 8,
    explore: float = 0.25,
    seed: int,
    fits: Callable[[str, Style], bool] | None = None,
) -> dict[tuple[str, str], tuple[Style, ...]]:
    """A slate for every segment and product; their order, and that of the styles, plays no part.

    Args:
        ranker: Its predictions decide what is best.
        space: Styles there are; a space smaller than the pool is shown whole.
        segments: Each gets its own slate of every product.
        products: Identifiers.
        size: Styles of a slate besides the original.
        pool: Distinct styles of a product over all segments: what has to be rendered.
        explore: Share of pool and slate, in [0, 1], that explores once the ranker has knowledge;
            rounded, at least one where it is above 0 and the size above 1.
        seed: Of ties.
        fits: Whether a product can be shown in a style; None where every product can in each.

    Returns:
        (segment, product) to ``size`` + 1 styles, the original first; fewer where fewer fit.

    Raises:
        InvalidInput: a size below 1, a pool below the size, or a share outside [0, 1].
    """
    if not 1 <= size <= pool:
        raise InvalidInput(
            f"size {size}, pool {pool}: a slate has at least 1 style, a pool as many"
        )
    if not 0.0 <= explore <= 1.0:
        raise InvalidInput(f"explore {explore}: give a share in [0, 1]")
    styles = sorted(space.styles()[1:])
    spread = _Spread(styles, seed)
    everybody, goods = sorted(set(segments)), sorted(set(products))
    wished = _Wishes(ranker, everybody, styles, seed)
    pools, picks = {}, {}
    everything = np.arange(len(styles))
    some = max(1, _HELD // (len(everybody) * len(styles)))
    for start in range(0, len(goods), some):
        mine = goods[start : start + some]
        scored = dict(zip(mine, _scored(ranker, everybody, mine, styles), strict=True))
        fitting = {
            product: everything
            if fits is None
            else np.array([i for i, style in enumerate(styles) if fits(product, style)], np.int64)
            for product in mine
        }
        # Where all scores are equal nothing is known, and everything explores.
        exploring = {
            product: _share(explore, min(pool, len(fitting[product])))
            for product, scores in scored.items()
            if np.ptp(scores) > 0
        }
        wishes = wished.of(exploring)
        for product, scores in scored.items():
            possible, informed = fitting[product], product in exploring
            most = min(pool, len(possible))
            own = min(size, most)
            known = most - exploring[product] if informed else 0
            wanted = wishes.get(product, ())
            chosen = _pooled(scores, spread, most, known, product, possible, wanted)
            luck = spread.shuffled((len(everybody), most), product)
            surest = own - _share(explore, own) if informed else 0
            pools[product] = [styles[t] for t in chosen]
            picks[product] = _picked(scores[:, chosen], luck, own, surest)
    place = {segment: number for number, segment in enumerate(everybody)}
    return {
        (segment, product): (
            ORIGINAL,
            *(pools[product][i] for i in picks[product][place[segment]].tolist()),
        )
        for product in products
        for segment in segments
    }


def decision_table(
    ranker: Ranker,
    policy: Policy,
    slates: Slates,
    *,
    segments: Mapping[str, str],
    default_segment: str,
    policy_version: str,
    digests: Mapping[tuple[str, str], str] | None = None,
) -> DecisionTable:
    """Slates with the probabilities that the policy gives their styles.

    Args:
        ranker: Predicts the click rates.
        policy: Turns them into probabilities.
        slates: (segment, product) to styles, the original among them.
        segments: Shopper to segment.
        default_segment: For shoppers that are not in ``segments``.
        policy_version: Names the table in every decision.
        digests: (product, style key) to the variant that shows it; None where no variant is
            needed, as in simulations without pictures.

    Raises:
        InvalidInput: a style without a variant; leave it out of the slates.
    """
    made = {
        place: Slate(
            tuple(
                Candidate(style, _digest(digests, place[1], style), chance)
                for style, chance in zip(styles, chances, strict=True)
            )
        )
        for place, (styles, chances) in weighed(ranker, policy, slates)
    }
    return DecisionTable(policy_version, made, dict(segments), default_segment)


class _Spread:
    """What was planned so far, so that the next style can be the one that is missed most."""

    def __init__(self, styles: Sequence[Style], seed: int) -> None:
        values = sorted({pair for style in styles for pair in style.values.items()})
        have = [set(style.values.items()) for style in styles]
        self._onehot = np.array([[float(v in mine) for v in values] for mine in have])
        # A value of an attribute with few values is planned more often without being overdone.
        names = [name for name, _ in values]
        self._weight = np.array([names.count(name) for name in names], dtype=np.float64)
        self._planned = np.zeros(len(values))
        self._times = np.zeros(len(styles))
        self._seed = seed

    def least(self, among: NDArray[np.int64], salt: str) -> int:
        """The style of ``among`` with the least planned values; it counts as planned."""
        burden = (self._onehot[among] @ (self._weight * self._planned)).round(6)
        order = np.lexsort(
            (self.shuffled(len(self._times), salt)[among], self._times[among], burden)
        )
        style = int(among[order[0]])
        self._planned += self._onehot[style]
        self._times[style] += 1
        return style

    def shuffled(self, shape: int | tuple[int, int], salt: str) -> Floats:
        """Numbers in [0, 1) that depend on seed and salt alone."""
        return np.random.default_rng(int(uniform(str(self._seed), salt) * 2**53)).random(shape)


class _Wishes:
    """What rankers drawn from one that knows its uncertainty would like to show.

    A fixed number is drawn for the whole plan, and every product is dealt some of them: a draw
    costs as much as everything that was learned, a product needs little of it.
    """

    def __init__(
        self, ranker: Ranker, segments: Sequence[str], styles: Sequence[Style], seed: int
    ) -> None:
        self._ranker, self._segments, self._styles, self._seed = ranker, segments, styles, seed
        self._drawn: dict[int, Ranker] = {}

    def of(self, counts: Mapping[str, int]) -> dict[str, list[Floats]]:
        """Some (K, T) predictions for each product, as many as said; none of a sure ranker."""
        if not isinstance(self._ranker, Drawable):
            return {}
        # Each drawn ranker is asked once for all that it was dealt to: being asked takes longest.
        dealt: dict[int, dict[str, list[int]]] = {}
        for product, count in counts.items():
            for number in range(count):
                drawn = int(uniform(str(self._seed), "dealt", product, str(number)) * _DRAWS)
                dealt.setdefault(drawn, {}).setdefault(product, []).append(number)
        found: dict[tuple[str, int], Floats] = {}
        for number, places in dealt.items():
            goods = list(places)
            told = _scored(self._draw(number), self._segments, goods, self._styles)
            for product, predicted in zip(goods, told, strict=True):
                found |= {(product, place): predicted for place in places[product]}
        return {product: [found[product, n] for n in range(k)] for product, k in counts.items()}

    def _draw(self, number: int) -> Ranker:
        if number not in self._drawn:
            assert isinstance(self._ranker, Drawable)
            luck = int(uniform(str(self._seed), "drawn", str(number)) * 2**53)
            self._drawn[number] = self._ranker.drawn(np.random.default_rng(luck))
        return self._drawn[number]


def _scored(
    ranker: Ranker, segments: Sequence[str], products: Sequence[str], styles: Sequence[Style]
) -> Iterator[Floats]:
    """(K, T) predictions of each product, rounded so that what differs by rounding is a tie."""
    if not (isinstance(ranker, Scoring) and takes_many(ranker, "scores", "rank")):
        for product in products:
            yield np.array([_ranked(ranker, Context(s, product), styles) for s in segments])
        return
    some = max(1, _AT_ONCE // (len(segments) * len(styles)))
    for start in range(0, len(products), some):
        found = ranker.scores(segments, products[start : start + some], styles)
        yield from found.round(_DIGITS).transpose(1, 0, 2)


def _ranked(ranker: Ranker, context: Context, styles: Sequence[Style]) -> Floats:
    """(T,) predictions in the order of ``styles``."""
    ranking = ranker.rank(context, styles)
    found = {s.key: score for s, score in zip(ranking.styles, ranking.scores, strict=True)}
    return np.array([found[style.key] for style in styles])


def _share(explore: float, size: int) -> int:
    if explore == 0.0 or size <= 1:
        return round(explore * size)
    return max(1, round(explore * size))


def _pooled(
    scores: Floats,
    spread: _Spread,
    size: int,
    known: int,
    salt: str,
    possible: NDArray[np.int64],
    wished: Sequence[Floats],
) -> list[int]:
    """Styles of one product: those the segments' (K, T) scores favour, then what is explored.

    Explored is what may be best: wished for by (K, T) scores drawn from what is known. A ranker
    that cannot be drawn from explores what was missed.
    """
    chosen: list[int] = []
    for _ in range(known):
        chosen.append(_most_wanted(scores, chosen, possible))
    for drawn in wished:
        chosen.append(_most_wanted(drawn, chosen, possible))
    if len(chosen) < size:
        # What explores is taken from the better half: most of the rest is known to be worse.
        better = possible[np.argsort(-scores[:, possible].mean(axis=0), kind="stable")]
        open_styles = better[: max(len(better) // 2, size)] if known else better
        while len(chosen) < size:
            chosen.append(spread.least(np.setdiff1d(open_styles, chosen), f"{salt} {len(chosen)}"))
    return chosen


def _most_wanted(scores: Floats, chosen: list[int], possible: NDArray[np.int64]) -> int:
    """The style that adds most to the segments' best three, which count 1, 1/2 and 1/4."""
    # Of the segments' best so far, best first; where there are fewer than three, nothing.
    having = -np.sort(-scores[:, chosen], axis=1)[:, : len(_MARGINAL)]
    worth = np.zeros(len(possible))
    offered = scores if len(possible) == scores.shape[1] else scores[:, possible]
    more = np.empty_like(offered)
    for place, share in enumerate(_MARGINAL):
        before = having[:, place, None] if place < having.shape[1] else 0.0
        np.maximum(np.subtract(offered, before, out=more), 0.0, out=more)
        worth += share * more.sum(axis=0)
    worth[np.searchsorted(possible, chosen)] = -np.inf
    return int(possible[worth.argmax()])


def _picked(scores: Floats, luck: Floats, size: int, known: int) -> NDArray[np.int64]:
    """(K, size) of the pool: each segment's best by (K, pool) scores, the rest by its luck."""
    ranked = np.argsort(-scores, axis=1, kind="stable")
    rest = np.take_along_axis(luck, ranked[:, known:], axis=1).argsort(axis=1)
    drawn = np.take_along_axis(ranked[:, known:], rest[:, : size - known], axis=1)
    return np.concatenate([ranked[:, :known], drawn], axis=1)


def _digest(
    digests: Mapping[tuple[str, str], str] | None, product: str, style: Style
) -> str | None:
    if digests is None or style.is_original:
        return None
    try:
        return digests[product, style.key]
    except KeyError:
        raise InvalidInput(f"{product}: no variant in {style}; render it or leave it out") from None

"""Which few styles of the whole space are rendered for a segment and a product.

Rendering costs; so each product gets a small pool of styles that its segments share, and each
segment's slate is taken from the pool. One part of both is what the ranker believes to be best, the
other explores: the styles whose attribute values were planned least so far, over the whole
catalogue. Without knowledge (all scores equal) everything explores, which spreads all values
evenly; so the first round can learn them all.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from persona_img.domain.decision import (
    Candidate,
    Context,
    DecisionTable,
    Ranking,
    Slate,
    uniform,
)
from persona_img.domain.style import ORIGINAL, Style, StyleSpace
from persona_img.errors import InvalidInput
from persona_img.ranking.base import Floats, Policy, Ranker

Slates = Mapping[tuple[str, str], tuple[Style, ...]]
"""(segment, product) to styles, the original first."""


def plan_slates(
    ranker: Ranker,
    space: StyleSpace,
    segments: Sequence[str],
    products: Sequence[str],
    *,
    size: int = 5,
    explore: int = 1,
    pool: int = 8,
    pool_explore: int = 2,
    seed: int,
) -> dict[tuple[str, str], tuple[Style, ...]]:
    styles = space.styles()[1:]
    pool = min(pool, len(styles)); size = min(size, pool)
    spread = _Spread(styles, seed)
    slates = {}
    for product in products:
        scores = np.array([_scores(ranker, Context(segment, product), styles) for segment in segments])
        chosen = _pool(scores, spread, pool, pool_explore, product)
        for row, segment in enumerate(segments):
            picked = _slate(scores[row], chosen, spread, size, explore, f"{segment} {product}")
            slates[segment, product] = (ORIGINAL, *(styles[i] for i in picked))
    return slates


def _scores(ranker: Ranker, context: Context, styles: Sequence[Style]) -> Floats:
    ranking = ranker.rank(context, [*styles, ORIGINAL])
    found = dict(zip(ranking.styles, ranking.scores, strict=True))
    return np.array([found[s] for s in styles])


class _Spread:
    def __init__(self, styles: Sequence[Style], seed: int) -> None:
        values = sorted({pair for s in styles for pair in s.values.items()})
        self.onehot = np.array([[float(s.values.get(a) == v) for a, v in values] for s in styles])
        self.counts = np.zeros(len(values))
        self.shown = np.zeros(len(styles))
        self.keys = [s.key for s in styles]
        self.seed = seed

    def least(self, among: Sequence[int], salt: str) -> int:
        def burden(i: int) -> tuple[float, float, float]:
            return (float(self.onehot[i] @ (self.counts / max(self.counts.sum(), 1.0) * len(self.counts))).__round__(9), self.shown[i], uniform(str(self.seed), salt, self.keys[i]))
        return min(among, key=burden)

    def note(self, i: int) -> None:
        self.counts += self.onehot[i]
        self.shown[i] += 1


def _informed(scores: Floats) -> bool:
    return bool(np.ptp(scores) > 0)


def _pool(scores: Floats, spread: _Spread, size: int, explore: int, product: str) -> list[int]:
    known = size - explore if _informed(scores) else 0
    chosen: list[int] = []
    best = np.zeros(len(scores))
    depth = 3
    # greedy: each segment's mean over its top `depth` picks in pool
    for _ in range(known):
        left = [i for i in range(scores.shape[1]) if i not in chosen]
        def gain(i: int) -> float:
            sel = scores[:, [*chosen, i]]
            return float(-np.sort(-sel, axis=1)[:, :depth].sum())
        i = max(left, key=gain)
        chosen.append(i)
    half = np.argsort(-scores.mean(axis=0), kind="stable")[: scores.shape[1] // 2] if known else np.arange(scores.shape[1])
    while len(chosen) < size:
        i = spread.least([i for i in half if i not in chosen], product)
        chosen.append(int(i)); spread.note(int(i))
    return chosen


def _slate(scores: Floats, chosen: list[int], spread: _Spread, size: int, explore: int, salt: str) -> list[int]:
    informed = _informed(scores)
    ranked = sorted(chosen, key=lambda i: -scores[i])
    picked = ranked[: size - explore] if informed else []
    left = [i for i in chosen if i not in picked]
    order = sorted(left, key=lambda i: uniform(str(spread.seed), salt, spread.keys[i]))
    return picked + order[: size - len(picked)]


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
    made = {}
    for (segment, product), styles in slates.items():
        ranking = ranker.rank(Context(segment, product), styles)
        chances = policy.probabilities(ranking)
        made[segment, product] = Slate(tuple(Candidate(s, None, float(p)) for s, p in zip(ranking.styles, chances, strict=True)))
    return DecisionTable(policy_version, made, segments, default_segment)

"""Which styles, not rendered yet, are worth a picture: expected, unsure, and never tried.

A style is worth what it may bring beyond the best of what a product shows a segment today, by what
the ranker knows and how well it knows it: the expected improvement. A style that is expected to be
a little worse but that nothing is known of may be worth more than one that is known to be as good.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logit, ndtr

from persona_img.domain.decision import Context
from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from persona_img.domain.style import Style
    from persona_img.ranking.base import Floats, Ranker

_LEAST_RATE = 1e-6


@dataclass(frozen=True)
class Proposal:
    """A style that a segment has not been shown of some products.

    Attributes:
        segment: For whom.
        style: Which.
        products: Of how many products it was not rendered yet, though it fits them.
        rate: Mean of the click rates, 0..1, expected of it there at position 1.
        unsure: Mean of how unsure the ranker is of that, standard deviation of the log-odds.
        worth: Mean of what it is expected to add to the log-odds of the best picture there; where
            it turns out worse than that, the best stays and nothing is lost.
    """

    segment: str
    style: Style
    products: int
    rate: float
    unsure: float
    worth: float


def proposals(
    ranker: Ranker,
    segments: Sequence[str],
    products: Sequence[str],
    styles: Sequence[Style],
    shown: Mapping[str, AbstractSet[Style]],
    *,
    fits: Callable[[str, Style], bool] = lambda _, __: True,
) -> list[Proposal]:
    """Styles worth rendering, by segment, the most worth first.

    Args:
        ranker: One that knows how unsure it is.
        segments: For whom.
        products: Of what.
        styles: All that can be rendered; the original is one of them.
        shown: By product the styles that it was rendered in; the original counts as shown.
        fits: Whether a product can be shown in a style.

    Raises:
        InvalidInput: the ranker cannot tell how unsure it is.

    References:
        Jones, Schonlau and Welch 1998, J. Global Optimization 13: expected improvement.
    """
    found = []
    for segment in segments:
        sums: dict[Style, Floats] = {}
        for product in products:
            possible = [s for s in styles if s.is_original or fits(product, s)]
            ranking = ranker.rank(Context(segment, product), possible)
            if ranking.spreads is None:
                raise InvalidInput(
                    f"ranker {ranker.name!r} does not say how unsure it is, so nothing can be "
                    "proposed; set [learn] ranker = 'bayes', retrain and promote it"
                )
            seen = shown.get(product, frozenset())
            known = np.array([s.is_original or s in seen for s in ranking.styles])
            rate = np.array(ranking.scores)
            mean = logit(np.clip(rate, _LEAST_RATE, 1 - _LEAST_RATE))
            spread = np.array(ranking.spreads)
            worth = expected_improvement(mean, spread, float(mean[known].max()))
            for i in np.flatnonzero(~known):
                row = np.array([1.0, rate[i], spread[i], worth[i]])
                sums[ranking.styles[i]] = sums.get(ranking.styles[i], np.zeros(4)) + row
        some = [
            Proposal(segment, style, int(row[0]), *(row[1:] / row[0]).tolist())
            for style, row in sums.items()
        ]
        found += sorted(some, key=lambda p: (-round(p.worth, 12), p.style.key))
    return found


def expected_improvement(mean: Floats, spread: Floats, best: float) -> Floats:
    """Expected value of max(0, x - best) for normal x.

    Args:
        mean: (S,).
        spread: (S,), standard deviations, > 0.
        best: What is to be improved on.

    Returns:
        float64 (S,), >= 0.
    """
    ahead = (mean - best) / spread
    density = np.exp(-(ahead**2) / 2.0) / np.sqrt(2.0 * np.pi)
    return np.asarray(np.maximum(spread * (density + ahead * ndtr(ahead)), 0.0), dtype=np.float64)

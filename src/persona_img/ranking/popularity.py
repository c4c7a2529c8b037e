"""A ranker that counts: smoothed click rates by style attribute. It knows when it knows nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from persona_img.domain.decision import Context, Ranking, ranking_of
from persona_img.domain.feedback_table import weighed_cells, weighed_feedback
from persona_img.domain.style import Style
from persona_img.errors import InvalidInput, NotFound
from persona_img.ranking.base import Predicted, RankingFeatures, check_styles

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from persona_img.ranking.base import Floats

_FILE = "popularity.json"
_EVERYBODY = ""
_ORIGINAL = "original"

Counts = dict[str, dict[str, tuple[float, float]]]


class PopularityRanker:
    """Click rates of attribute values, shrunk from segment to everybody to no effect.

    A style's predicted rate is the base rate times one factor per attribute value: the value's rate
    over the base rate, each rate smoothed by ``strength`` impressions of what is expected without
    it. The original has a factor of its own. Without feedback every style has the prior rate.

    Args:
        prior_rate: Click rate expected before any impression, in (0, 1).
        strength: Impressions that the expectation is worth.

    Example:
        >>> from persona_img.domain.decision import Context
        >>> from persona_img.domain.style import ORIGINAL
        >>> PopularityRanker(prior_rate=0.03).rank(Context("home-cooks", "mug"), [ORIGINAL]).scores
        (0.03,)
    """

    name = "popularity"

    def __init__(self, *, prior_rate: float = 0.03, strength: float = 2000.0) -> None:
        if not 0.0 < prior_rate < 1.0 or not strength > 0:
            raise InvalidInput(
                f"prior_rate {prior_rate}, strength {strength}: a rate in (0, 1), impressions > 0"
            )
        self.prior_rate = prior_rate
        self.strength = strength
        self._counts: Counts = {}

    def fit(self, feedback: pd.DataFrame, features: RankingFeatures) -> Self:
        """Count; no feedback at all is the cold start. Features are not used."""
        feedback = weighed_feedback(feedback)
        cells = weighed_cells(feedback, ["segment", "style_key"])
        counts: Counts = {}
        for (segment, key), (shown, clicked) in zip(
            cells.index, cells.to_numpy(dtype=np.float64), strict=True
        ):
            for owner in (_EVERYBODY, str(segment)):
                mine = counts.setdefault(owner, {})
                for value in ("", *_factors(Style(str(key)))):
                    before = mine.get(value, (0.0, 0.0))
                    mine[value] = (before[0] + shown, before[1] + clicked)
        self._counts = counts
        return self

    def rank(self, context: Context, styles: Sequence[Style]) -> Ranking:
        """The styles by predicted rate; before any feedback all have the prior rate."""
        check_styles(context, styles)
        return ranking_of(context, styles, [self._rate(context.segment, s) for s in styles])

    def scores(
        self, segments: Sequence[str], products: Sequence[str], styles: Sequence[Style]
    ) -> Floats:
        """Predicted rates of everything with everything, as :meth:`rank` says.

        Returns:
            float64 (K, P, S), for K segments, P products and S styles, in the order given.
        """
        found = np.array([[self._rate(segment, style) for style in styles] for segment in segments])
        return np.repeat(found.reshape(len(segments), 1, len(styles)), len(products), axis=1)

    def predicted(
        self, contexts: Sequence[Context], styles: Sequence[Sequence[Style]]
    ) -> Predicted:
        """What :meth:`rank` says of N slates of S styles each, in the order given, not rounded."""
        rates: dict[tuple[str, str], float] = {}
        for context, some in zip(contexts, styles, strict=True):
            for style in some:
                # Of a segment's styles each is met with many products.
                if (context.segment, style.key) not in rates:
                    rates[context.segment, style.key] = self._rate(context.segment, style)
        found = [
            [rates[context.segment, style.key] for style in some]
            for context, some in zip(contexts, styles, strict=True)
        ]
        return Predicted(
            np.array(found, dtype=np.float64).reshape(
                len(contexts), len(styles[0]) if styles else 0
            )
        )

    def save(self, folder: str | Path) -> None:
        """Write ``popularity.json``."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        document = {
            "prior_rate": self.prior_rate,
            "strength": self.strength,
            "counts": {s: {k: list(v) for k, v in c.items()} for s, c in self._counts.items()},
        }
        text = json.dumps(document, indent=1, sort_keys=True)
        (folder / _FILE).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """The inverse of :meth:`save`."""
        path = Path(folder) / _FILE
        if not path.exists():
            raise NotFound(f"{path}: no popularity ranker; save one there first")
        document = json.loads(path.read_text(encoding="utf-8"))
        ranker = cls(prior_rate=document["prior_rate"], strength=document["strength"])
        ranker._counts = {
            segment: {value: (shown, clicked) for value, (shown, clicked) in counts.items()}
            for segment, counts in document["counts"].items()
        }
        return ranker

    def _rate(self, segment: str, style: Style) -> float:
        everybody = self._counts.get(_EVERYBODY, {})
        own = self._counts.get(segment, {})
        base = self._smoothed(everybody, "", self.prior_rate)
        own_base = self._smoothed(own, "", base)
        rate = own_base
        for value in _factors(style):
            lift = self._smoothed(everybody, value, base) / base
            rate *= self._smoothed(own, value, own_base * lift) / own_base
        return float(min(rate, 1.0))

    def _smoothed(
        self, counts: dict[str, tuple[float, float]], value: str, expected: float
    ) -> float:
        shown, clicked = counts.get(value, (0.0, 0.0))
        return (clicked + self.strength * expected) / (shown + self.strength)


def _factors(style: Style) -> list[str]:
    if style.is_original:
        return [_ORIGINAL]
    return [f"{attribute}={value}" for attribute, value in style.values.items()]

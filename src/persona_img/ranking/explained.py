"""What a ranker learned, effect by effect, for people to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from persona_img.ranking.columns import PHOTO, effects

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_img.ranking.columns import Effect, Names
    from persona_img.ranking.effects import Effects

COLUMNS = ("kind", "whose", "what", "effect", "spread", "gain")
"""Of what :meth:`Explained.effects` returns."""

TREES = "trees"
"""The kind of what trees split by."""


@runtime_checkable
class Explained(Protocol):
    """A ranker that can say what it learned."""

    def effects(self) -> pd.DataFrame:
        """What moves clicks, as far as it knows; the surest first within a kind.

        Returns:
            ``COLUMNS``, a row an effect:

            - ``kind``: Of effect, as in :data:`~persona_img.ranking.bayes.SPREADS`, or ``trees``.
            - ``whose``: A segment, a product, ``category=dress``, or empty for everybody.
            - ``what``: ``surface=walnut``, two of these, ``photo``, ``position``, or empty for how
              often its pictures are clicked at all; of trees also ``segment:`` and ``product:``
              before the name of a number.
            - ``effect``: On the log-odds of a click, beyond the kinds before it: what a segment
              likes is its own effect *and* everybody's. By a number (``price x value``) it is of a
              product one spread above the middle; one as far below has the opposite. NaN for trees.
            - ``spread``: Its posterior standard deviation; NaN for trees.
            - ``gain``: Share, 0..1, of what trees gained by splitting here; NaN for effects.

        Raises:
            NotEnoughData: it was never fitted.
        """


def effects_table(known: Effects) -> pd.DataFrame:
    """What :meth:`Explained.effects` returns, of effects alone."""
    posterior = known.posterior
    variance = np.concatenate([np.diag(posterior.joint), posterior.rest])
    parts = []
    for kind, effect in zip(known.kinds, effects(known.names), strict=True):
        own = slice(kind.start, kind.start + len(kind.ids))
        whose, what = _told(known.names, effect, kind.ids)
        spread = np.sqrt(variance[own])
        part = pd.DataFrame(
            {
                "kind": effect.named,
                "whose": whose,
                "what": what,
                "effect": posterior.mean[own],
                "spread": spread,
                "gain": np.nan,
            }
        )
        order = np.argsort(-np.abs(posterior.mean[own]) / spread, kind="stable")
        parts.append(part.iloc[order])
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)]


def trees_table(names: list[str], gain: NDArray[np.float64]) -> pd.DataFrame:
    """What :meth:`Explained.effects` returns, of trees: columns they split by, the best first."""
    share = gain / max(float(gain.sum()), 1e-300)
    order = [i for i in np.argsort(-share, kind="stable") if share[i] > 0]
    return pd.DataFrame(
        {
            "kind": TREES,
            "whose": "",
            "what": [names[i] for i in order],
            "effect": np.nan,
            "spread": np.nan,
            "gain": share[order],
        }
    )


def _told(names: Names, effect: Effect, ids: NDArray[np.int64]) -> tuple[list[str], list[str]]:
    """Names of owners and of what an effect's columns are about."""
    values = [f"{attribute}={value}" for attribute, value in names.values]
    parts = {
        "one": [""],
        "place": ["position"],
        "value": values,
        PHOTO: [PHOTO],
        "pair": [f"{values[i]}, {values[j]}" for i, j in names.pairs],
    }[effect.what]
    texts = [f"{effect.of}={value}" for value in names.kinds.get(effect.of, ())]
    owners = {
        "all": [""],
        "segment": list(names.segments),
        "product": list(names.products),
        "text": texts,
        "segment x text": [f"{segment}, {text}" for segment in names.segments for text in texts],
        "number": [""],
        "segment x number": list(names.segments),
    }[effect.owner]
    owner, part = np.divmod(ids, max(1, len(parts)))
    return [owners[i] for i in owner], [parts[i] for i in part]

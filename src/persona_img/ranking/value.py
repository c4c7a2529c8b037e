"""What a ranker and a policy would have earned on what was logged: replay, IPS and SNIPS."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from persona_img.domain.decision import Context
from persona_img.domain.feedback_table import as_feedback
from persona_img.errors import InvalidInput, NotEnoughData
from persona_img.offpolicy.estimators import ips, replay, snips
from persona_img.offpolicy.intervals import Estimate, summarised
from persona_img.offpolicy.logged import Logged, effective_size
from persona_img.ranking.heldout import judged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pandas as pd

    from persona_img.domain.decision import DecisionTable
    from persona_img.ranking.base import Floats, Policy, Ranker
    from persona_img.ranking.heldout import ServedSlates

_LEAST_EFFECTIVE = 0.1
_LEAST_COVERAGE = 0.8
_TOLERANCE = 4.0


@dataclass(frozen=True)
class OffPolicyValue:
    """Click rates outside control, by estimator.

    Attributes:
        ranker: What ranked.
        policy: What turned its rankings into chances.
        seen: Of what was shown.
        ips: Inverse propensity scoring: right on average where the propensities are.
        snips: The same self-normalised: steadier, and the one to read.
        replay: Where a draw of the target agrees with the log; None where that is not defined.
        replay_reason: Why it is not; empty where it is.
        effective: Effective sample size of the weights, as share of the impressions.
        max_weight: Largest weight of an impression.
        mean_weight: Their mean; 1 but for chance where the propensities are right.
        coverage: Share of the impressions whose whole slate is known; the others are left out.
        warnings: What to know before believing it.
    """

    ranker: str
    policy: str
    seen: Estimate
    ips: Estimate
    snips: Estimate
    replay: Estimate | None
    replay_reason: str
    effective: float
    max_weight: float
    mean_weight: float
    coverage: float
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def table(self) -> str:
        """Readable text."""
        rows = [("seen", self.seen), ("IPS", self.ips), ("SNIPS", self.snips)]
        rows += [("replay", self.replay)] if self.replay else []
        lines = [
            f"ranker {self.ranker}, policy {self.policy}: click rate outside control",
            f"{'':8}{'rate':>8}  {f'{self.seen.confidence:.0%} interval':16}",
            *(
                f"{name:8}{value.value:>8.2%}  [{value.low:.2%}, {value.high:.2%}]"
                for name, value in rows
            ),
            *([f"replay  {self.replay_reason}"] if self.replay_reason else []),
            f"{self.seen.impressions:,} impressions of {self.seen.shoppers:,} shoppers, "
            f"{self.coverage:.0%} of what was logged, worth {self.effective:.0%} of their number; "
            f"weights up to {self.max_weight:.1f}, {self.mean_weight:.2f} on average",
            *(f"warning: {warning}" for warning in self.warnings),
        ]
        return "\n".join(lines)


def value_of(
    feedback: pd.DataFrame,
    ranker: Ranker,
    policy: Policy,
    *,
    tables: Iterable[DecisionTable] = (),
    name: str | None = None,
    seed: int,
    confidence: float = 0.95,
) -> OffPolicyValue:
    """What ``policy`` on ``ranker`` would have earned on the slates that were served.

    Impressions of ``control`` are not judged: there was nothing to choose. The ranker must not have
    learned from these impressions, or it looks better than it is:
    :func:`persona_img.ranking.promotion.compare` weighs one that has.

    Args:
        feedback: Of one or more policies, with propensities.
        ranker: A fitted one.
        policy: How its rankings become chances.
        tables: What was served; see :func:`persona_img.ranking.promotion.compare`.
        name: What the report calls the ranker; its own name if left out.
        seed: Of replay's draws.
        confidence: Of the intervals, which are by shopper.

    Raises:
        InvalidInput: feedback that is none, or a confidence outside (0, 1).
        NotEnoughData: nothing to judge on, or fewer than two shoppers.
    """
    rows, slates, coverage = judged(as_feedback(feedback), tables)
    logged = Logged(
        rows["shopper"].to_numpy(dtype=object),
        rows["clicked"].to_numpy(dtype=np.float64),
        rows["propensity"].to_numpy(dtype=np.float64),
        _target(rows, ranker, policy, slates),
    )
    replayed, reason = _replayed(logged, seed, confidence)
    mean = summarised(logged.weight, logged.shopper, confidence)
    effective = effective_size(logged.weight) / len(logged.weight)
    return OffPolicyValue(
        ranker=name or ranker.name,
        policy=policy.name,
        seen=summarised(logged.reward, logged.shopper, confidence),
        ips=ips(logged, confidence=confidence),
        snips=snips(logged, confidence=confidence),
        replay=replayed,
        replay_reason=reason,
        effective=effective,
        max_weight=float(logged.weight.max()),
        mean_weight=mean.value,
        coverage=coverage,
        warnings=tuple(_warnings(mean, effective, coverage)),
    )


def _target(rows: pd.DataFrame, ranker: Ranker, policy: Policy, slates: ServedSlates) -> Floats:
    """(n,) the target's chance of what was shown, slate by slate."""
    columns = ["policy_version", "segment", "product", "style_key"]
    places = rows[columns].itertuples(index=False, name=None)
    chances: dict[tuple[str, str, str], dict[str, float]] = {}
    found = []
    for version, segment, product, key in places:
        place = (version, segment, product)
        if place not in chances:
            ranking = ranker.rank(Context(segment, product), slates[place])
            shown = policy.probabilities(ranking)
            chances[place] = {
                style.key: float(p) for style, p in zip(ranking.styles, shown, strict=True)
            }
        found.append(chances[place].get(key, 0.0))
    return np.array(found, dtype=np.float64)


def _replayed(logged: Logged, seed: int, confidence: float) -> tuple[Estimate | None, str]:
    try:
        return replay(logged, seed=seed, confidence=confidence), ""
    except (InvalidInput, NotEnoughData) as error:
        return None, str(error)


def _warnings(mean: Estimate, effective: float, coverage: float) -> Iterator[str]:
    if abs(mean.value - 1.0) > _TOLERANCE * mean.standard_error + 1e-9:
        yield f"weights average {mean.value:.2f}, not 1: the logged propensities look wrong"
    if coverage < _LEAST_COVERAGE:
        yield f"only {coverage:.0%} of the impressions have a slate that is known whole"
    if effective < _LEAST_EFFECTIVE:
        yield f"the log is worth only {effective:.0%} of its size for this target"

"""What a policy would have earned, estimated from what another one logged.

Each estimator turns n logged impressions into n contributions whose mean is the estimate, so that
two policies can be compared impression by impression, and every standard error is clustered by
shopper: shoppers are what was randomised, and their impressions are alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from persona_img.domain.feedback_table import as_feedback
from persona_img.errors import InvalidInput, NotEnoughData

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from persona_img.domain.decision import DecisionTable
    from persona_img.ranking.base import Floats


@dataclass(frozen=True)
class Logged:
    """n logged impressions and how a target policy sees them.

    Attributes:
        shopper: (n,) names: clusters.
        reward: float64 (n,), e.g. 0/1 clicks.
        propensity: float64 (n,) in (0, 1]: chance with which the shown style was chosen.
        target: float64 (n,) in [0, 1]: the target policy's chance of that style.
    """

    shopper: NDArray[np.object_]
    reward: Floats
    propensity: Floats
    target: Floats

    def __post_init__(self) -> None:
        lengths = {len(self.shopper), len(self.reward), len(self.propensity), len(self.target)}
        if len(lengths) != 1:
            raise InvalidInput(f"columns of {sorted(lengths)} rows; give one value per impression")
        if not len(self.reward):
            raise NotEnoughData("no logged impression; an estimate would be undefined")
        if not np.all((self.propensity > 0) & (self.propensity <= 1)):
            raise InvalidInput("a propensity outside (0, 1]; log the probability of each choice")
        if not np.all((self.target >= 0) & (self.target <= 1)):
            raise InvalidInput("a target probability outside [0, 1]")

    @property
    def weight(self) -> Floats:
        """(n,) target over propensity; 1 on average where the log supports the target."""
        return self.target / self.propensity


@dataclass(frozen=True)
class Estimate:
    """A mean per impression with its uncertainty.

    Attributes:
        value: The estimate.
        standard_error: Clustered by shopper.
        low: Lower end of the two-sided interval.
        high: Upper end.
        confidence: Of the interval.
        impressions: Rows used.
        shoppers: Clusters.
    """

    value: float
    standard_error: float
    low: float
    high: float
    confidence: float
    impressions: int
    shoppers: int


def logged_under(
    feedback: pd.DataFrame, table: DecisionTable, *, reward: str = "clicked"
) -> Logged:
    """Feedback as a target table sees it: the chance it gives each shown style.

    Styles that are not in the table's slate have the chance 0. Styles of the table that the log
    could not have shown go unnoticed; compare tables of the same slates.

    Args:
        feedback: Impressions; of any types that ``as_feedback`` takes.
        table: The target.
        reward: ``clicked`` or ``converted``.
    """
    feedback = as_feedback(
        feedback, ("shopper", "segment", "product", "style_key", "propensity", reward)
    )
    target = []
    for segment, product, key in zip(
        feedback["segment"], feedback["product"], feedback["style_key"], strict=True
    ):
        slate = table.slates.get((segment, product))
        known = (
            {c.style.key: c.probability for c in slate.candidates} if slate else {"original": 1.0}
        )
        target.append(known.get(key, 0.0))
    return Logged(
        feedback["shopper"].to_numpy(dtype=object),
        feedback[reward].to_numpy(dtype=np.float64),
        feedback["propensity"].to_numpy(dtype=np.float64),
        np.array(target, dtype=np.float64),
    )


def summarised(contributions: Floats, shopper: NDArray[np.object_], confidence: float) -> Estimate:
    """Mean of contributions, with a t interval of as many degrees of freedom as shoppers less one.

    Raises:
        NotEnoughData: fewer than two shoppers.
    """
    if not 0.0 < confidence < 1.0:
        raise InvalidInput(f"confidence {confidence}: give a probability between 0 and 1")
    names, code = np.unique(shopper.astype(str), return_inverse=True)
    if len(names) < 2:
        raise NotEnoughData(f"{len(names)} shopper; a standard error needs at least 2")
    value = _mean(contributions)
    # Sums in one order: the order of the log must not move a last digit.
    order = np.lexsort((contributions, code))
    sums = np.bincount(code[order], weights=contributions[order] - value)
    spread = float((sums**2).sum()) * len(names) / (len(names) - 1)
    error = float(np.sqrt(spread)) / len(contributions)
    reach = float(stats.t.ppf((1 + confidence) / 2, len(names) - 1)) * error
    return Estimate(
        value, error, value - reach, value + reach, confidence, len(contributions), len(names)
    )


def ips_contributions(logged: Logged) -> Floats:
    """(n,) weighted rewards: inverse propensity scoring (Horvitz and Thompson 1952)."""
    return logged.weight * logged.reward


def snips_contributions(logged: Logged) -> Floats:
    """(n,) self-normalised: the value plus each row's first-order influence on it.

    References:
        Swaminathan and Joachims 2015, "The Self-Normalized Estimator for Counterfactual
        Learning", NeurIPS.
    """
    mean = _mean(logged.weight)
    if mean == 0.0:
        raise NotEnoughData(
            "the target shows nothing that was logged; compare policies of one slate"
        )
    value = _mean(logged.weight * logged.reward) / mean
    return value + logged.weight * (logged.reward - value) / mean


def dr_contributions(logged: Logged, shown: Floats, expected: Floats) -> Floats:
    """(n,) doubly robust: a reward model, corrected by what it missed.

    Args:
        logged: Impressions.
        shown: (n,) predicted reward of the shown style, by a model that did not see the shopper.
        expected: (n,) the same model's mean over the target policy's styles.

    References:
        Dudík, Langford and Li 2011, "Doubly Robust Policy Evaluation and Learning", ICML.
    """
    return expected + logged.weight * (logged.reward - shown)


def ips(logged: Logged, *, confidence: float = 0.95) -> Estimate:
    """Inverse propensity scoring."""
    return summarised(ips_contributions(logged), logged.shopper, confidence)


def snips(logged: Logged, *, confidence: float = 0.95) -> Estimate:
    """Self-normalised inverse propensity scoring."""
    return summarised(snips_contributions(logged), logged.shopper, confidence)


def doubly_robust(
    logged: Logged, shown: Floats, expected: Floats, *, confidence: float = 0.95
) -> Estimate:
    """Doubly robust estimate; see :func:`dr_contributions`."""
    return summarised(dr_contributions(logged, shown, expected), logged.shopper, confidence)


def replay(logged: Logged, *, seed: int, confidence: float = 0.95) -> Estimate:
    """Mean reward where a draw of the target happens to be what was shown.

    Raises:
        InvalidInput: the log was not uniform; use :func:`snips` then.
        NotEnoughData: no draw agreed with the log.

    References:
        Li et al. 2011, "Unbiased Offline Evaluation of Contextual-bandit-based News Article
        Recommendation Algorithms", WSDM.
    """
    if np.ptp(logged.propensity) > 1e-9:
        raise InvalidInput("propensities differ; replay needs a uniform log: use snips instead")
    # The draws are dealt in an order of their own: that of the log must not move the answer.
    order = np.lexsort((logged.reward, logged.target, logged.shopper.astype(str)))
    agrees = np.empty(len(order), dtype=bool)
    agrees[order] = np.random.default_rng(seed).random(len(order)) < logged.target[order]
    if not agrees.any():
        raise NotEnoughData("no draw of the target agrees with the log")
    value = _mean(logged.reward[agrees])
    influence = agrees * (logged.reward - value) / agrees.mean()
    return summarised(value + influence, logged.shopper, confidence)


def effective_size(weight: Floats) -> float:
    """How many unweighted impressions the weighted ones are worth: (sum w)^2 / sum w^2.

    References:
        Kish 1965, "Survey Sampling".
    """
    squares = math.fsum(weight**2)
    return math.fsum(weight) ** 2 / squares if squares > 0 else 0.0


def _mean(values: Floats) -> float:
    """The mean, exact to the last digit: the same in any order."""
    return math.fsum(values) / len(values)

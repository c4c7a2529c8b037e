"""What a policy would have earned, estimated from what another one logged.

Each estimator turns n logged impressions into n contributions whose mean is the estimate, so that
two policies can be compared impression by impression, and :mod:`.intervals` says how sure any of
them is. They differ in what they believe: the propensities (IPS), a reward model (DM), either (DR),
or as much of either as the weights allow (switch-DR, DRos).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from persona_img.errors import InvalidInput, NotEnoughData
from persona_img.offpolicy.intervals import Estimate, summarised
from persona_img.offpolicy.logged import Logged, mean_of

if TYPE_CHECKING:
    from persona_img.offpolicy.logged import Floats, Predicted

_STEPS = 30
"""Thresholds and shrinkages that are tried."""

_REACH = 2.0
"""Standard errors to either side within which estimates are taken for the same."""


def ips_contributions(logged: Logged) -> Floats:
    """(n,) weighted rewards: inverse propensity scoring (Horvitz and Thompson 1952)."""
    return logged.weight * logged.reward


def clipped_contributions(logged: Logged, most: float) -> Floats:
    """(n,) weighted rewards, no weight above ``most``: steadier; too low where rewards are >= 0.

    References:
        Ionides 2008, "Truncated Importance Sampling", JCGS 17.
    """
    return np.minimum(logged.weight, _positive("most", most)) * logged.reward


def snips_contributions(logged: Logged) -> Floats:
    """(n,) self-normalised: the value plus each row's first-order influence on it.

    References:
        Swaminathan and Joachims 2015, "The Self-Normalized Estimator for Counterfactual
        Learning", NeurIPS.
    """
    return _normalised(logged.weight, logged.reward)


def dm_contributions(predicted: Predicted) -> Floats:
    """(n,) what the reward model expects: the direct method, as right as the model is."""
    return predicted.expected.copy()


def dr_contributions(logged: Logged, predicted: Predicted) -> Floats:
    """(n,) doubly robust: a reward model, corrected by what it missed.

    References:
        Dudík, Langford and Li 2011, "Doubly Robust Policy Evaluation and Learning", ICML.
    """
    return predicted.expected + logged.weight * (logged.reward - predicted.shown)


def sndr_contributions(logged: Logged, predicted: Predicted) -> Floats:
    """(n,) doubly robust, weights summing to their number; the value and first-order influence.

    References:
        Thomas and Brunskill 2016, "Data-Efficient Off-Policy Policy Evaluation for Reinforcement
        Learning", ICML.
    """
    return predicted.expected + _normalised(logged.weight, logged.reward - predicted.shown)


def switch_dr_contributions(logged: Logged, predicted: Predicted, threshold: float) -> Floats:
    """(n,) doubly robust where weights are at most ``threshold``, the model alone elsewhere.

    References:
        Wang, Agarwal and Dudík 2017, "Optimal and Adaptive Off-policy Evaluation in Contextual
        Bandits", ICML.
    """
    weight = np.where(logged.weight <= _positive("threshold", threshold), logged.weight, 0.0)
    return predicted.expected + weight * (logged.reward - predicted.shown)


def dros_contributions(logged: Logged, predicted: Predicted, shrinkage: float) -> Floats:
    """(n,) doubly robust with weights w shrunk to ``shrinkage * w / (w^2 + shrinkage)``.

    References:
        Su, Dimakopoulou, Krishnamurthy and Dudík 2020, "Doubly Robust Off-policy Evaluation with
        Shrinkage", ICML.
    """
    weight = _shrunk(logged.weight, _positive("shrinkage", shrinkage))
    return predicted.expected + weight * (logged.reward - predicted.shown)


def best_threshold(logged: Logged, predicted: Predicted) -> float:
    """Of switch-DR, for as small an error as can be told; see :func:`_slope`."""
    heavy = np.unique(logged.weight[logged.weight > 0])
    if not len(heavy):
        raise _nothing_shown()
    tried = np.unique(np.quantile(heavy, np.linspace(0.0, 1.0, _STEPS)))[::-1]
    made = [switch_dr_contributions(logged, predicted, float(t)) for t in tried]
    return float(tried[_slope(made)])


def best_shrinkage(logged: Logged, predicted: Predicted) -> float:
    """Of DRos, for as small an error as can be told; see :func:`_slope`."""
    largest = float(logged.weight.max())
    if largest == 0.0:
        raise _nothing_shown()
    tried = np.geomspace(1e4 * largest**2, 1e-2 * largest, _STEPS)
    made = [dros_contributions(logged, predicted, float(shrinkage)) for shrinkage in tried]
    return float(tried[_slope(made)])


def ips(logged: Logged, *, confidence: float = 0.95) -> Estimate:
    """Inverse propensity scoring."""
    return summarised(ips_contributions(logged), logged.shopper, confidence)


def snips(logged: Logged, *, confidence: float = 0.95) -> Estimate:
    """Self-normalised inverse propensity scoring."""
    return summarised(snips_contributions(logged), logged.shopper, confidence)


def replay_contributions(logged: Logged, *, seed: int) -> Floats:
    """(n,) mean reward where a draw of the target happens to be what was shown, with influences.

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
    value = mean_of(logged.reward[agrees])
    away = np.where(agrees, logged.reward - value, 0.0)
    return np.asarray(value + away / agrees.mean(), dtype=np.float64)


def replay(logged: Logged, *, seed: int, confidence: float = 0.95) -> Estimate:
    """See :func:`replay_contributions`."""
    return summarised(replay_contributions(logged, seed=seed), logged.shopper, confidence)


def _normalised(weight: Floats, worth: Floats) -> Floats:
    """(n,) a weighted mean plus each row's first-order influence on it."""
    mean = mean_of(weight)
    if mean == 0.0:
        raise _nothing_shown()
    value = mean_of(weight * worth) / mean
    return value + weight * (worth - value) / mean


def _shrunk(weight: Floats, shrinkage: float) -> Floats:
    return shrinkage * weight / (weight**2 + shrinkage)


def _slope(made: list[Floats]) -> int:
    """Which of several estimates is nearest the truth, without knowing how biased each is.

    They go from the least biased to the least noisy. As long as their intervals have a point in
    common no bias can be seen, and the last of these is taken (Lepski's principle).

    References:
        Su, Srinath and Krishnamurthy 2020, "Adaptive Estimator Selection for Off-Policy
        Evaluation", ICML.
    """
    low, high, chosen = -np.inf, np.inf, 0
    for number, contributions in enumerate(made):
        value = mean_of(contributions)
        reach = _REACH * float(contributions.std()) / float(np.sqrt(len(contributions)))
        low, high = max(low, value - reach), min(high, value + reach)
        if low > high:
            break
        chosen = number
    return chosen


def _positive(name: str, value: float) -> float:
    if not value > 0.0 or not np.isfinite(value):
        raise InvalidInput(f"{name} {value}: give a finite number above 0")
    return value


def _nothing_shown() -> NotEnoughData:
    return NotEnoughData("the target shows nothing that was logged; compare policies of one slate")

"""What a target policy would have earned on anybody's log, and whether that can be told at all."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from persona_img.errors import InvalidInput, NotEnoughData
from persona_img.offpolicy import estimators as by
from persona_img.offpolicy.intervals import Estimate, bootstrapped, summarised
from persona_img.offpolicy.logged import Logged, effective_size, mean_of
from persona_img.offpolicy.reward_model import predicted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from persona_img.offpolicy.log import BanditLog
    from persona_img.offpolicy.logged import Floats

_LEAST_SHOPPERS = 20
_LEAST_EFFECTIVE = 30.0
"""Shoppers that weighted ones must be worth: fewer are a handful of lucky ones."""

_LEAST_TELLING = 5.0
"""Rewards under heavy weights that noise must rest on: of fewer no interval is what it says."""

_HEAVIEST = 0.2
"""Most of all weight that one shopper may have."""

_UNSUPPORTED = 0.01
"""Most of the target's choices that the log can never have made."""

_MILD = 10.0
"""Weights up to here leave DR's noise small."""

_CLIP = 10.0
_LEANING = ("DM", "switch-DR", "DRos")
_TOLERANCE = 3.0
"""Standard errors that the mean weight may be away from 1."""


@dataclass(frozen=True)
class Overlap:
    """How well a log supports a target.

    Attributes:
        impressions: Rows.
        shoppers: Of them.
        effective: How many shoppers the weighted ones are worth (Kish).
        mean_weight: 1 but for chance where the propensities are right.
        mean_weight_error: Its standard error.
        largest_weight: Of an impression.
        telling: How many rewards the noise rests on: (sum w^2)^2 / sum w^4 impressions, times how
            many of these are rewarded where rewards are rare (the inverse of their kurtosis).
        heaviest: Share of all weight that one shopper has.
        unsupported: Share of the target's choices that are of actions nobody ever saw.
    """

    impressions: int
    shoppers: int
    effective: float
    mean_weight: float
    mean_weight_error: float
    largest_weight: float
    telling: float
    heaviest: float
    unsupported: float

    def refusals(self) -> list[str]:
        """Why nothing can be said; empty where something can."""
        found = []
        if self.shoppers < _LEAST_SHOPPERS:
            found.append(f"{self.shoppers} shoppers; {_LEAST_SHOPPERS} are the fewest")
        if self.unsupported > _UNSUPPORTED:
            found.append(
                f"{self.unsupported:.1%} of the target's choices are of actions the log never "
                "showed; at most 1 % may be"
            )
        if self.effective < _LEAST_EFFECTIVE:
            found.append(
                f"the log is worth {self.effective:.1f} shoppers for this target; "
                f"{_LEAST_EFFECTIVE:.0f} are the fewest"
            )
        elif self.telling < _LEAST_TELLING:
            found.append(
                f"the noise rests on {self.telling:.1f} rewards under the heaviest weights; "
                f"{_LEAST_TELLING:.0f} are the fewest"
            )
        elif self.heaviest > _HEAVIEST:
            found.append(
                f"one shopper carries {self.heaviest:.0%} of all weight; at most "
                f"{_HEAVIEST:.0%} may be"
            )
        if abs(self.mean_weight - 1.0) > _TOLERANCE * self.mean_weight_error + 1e-9:
            found.append(
                f"weights average {self.mean_weight:.2f}, not 1 within "
                f"{_TOLERANCE:.0f} x {self.mean_weight_error:.3f}: the logged propensities are "
                "wrong, or the target's rare choices never came up"
            )
        return found


@dataclass(frozen=True)
class Evaluation:
    """Mean rewards per impression by estimator; none where the overlap is too thin.

    Attributes:
        target: Its name.
        logged: What the log itself earned.
        overlap: How well it supports the target.
        estimates: By name of estimator.
        chosen: Name of the one to read; empty where refused.
        reason: Why that one.
        gain: The chosen estimate less what was logged, by impression; None where refused.
        refused: Why nothing can be said.
        undefined: Estimators that do not exist here, each with its reason.
        warnings: What to know before believing it.
    """

    target: str
    logged: Estimate
    overlap: Overlap
    estimates: Mapping[str, Estimate]
    chosen: str
    reason: str
    gain: Estimate | None
    refused: tuple[str, ...] = ()
    undefined: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def table(self) -> str:
        """Readable text."""
        seen = self.overlap
        lines = [
            f"{seen.impressions:,} impressions of {seen.shoppers:,} shoppers earned "
            f"{_told(self.logged)} each",
            f"for {self.target} they are worth {seen.effective:,.0f} shoppers; weights average "
            f"{seen.mean_weight:.3f} and reach {seen.largest_weight:.1f}, the heaviest shopper has "
            f"{seen.heaviest:.1%} of them",
        ]
        if self.refused:
            lines += [f"refused: {reason}" for reason in self.refused]
        if self.refused and self.estimates:
            lines.append("not to be believed:")
        if self.estimates:
            lines += [
                f"{'* ' if name == self.chosen else '  '}{name:10} {_told(value)}"
                for name, value in self.estimates.items()
            ]
            lines += [f"  {name:10} {reason}" for name, reason in self.undefined.items()]
            lines += [f"* {self.reason}"] if self.chosen else []
            leaning = [name for name in _LEANING if name in self.estimates]
            if leaning:
                lines.append(
                    f"  {', '.join(leaning)} lean on a model; their intervals do not know its error"
                )
            if self.gain is not None:
                lines.append(f"gain over the log: {_told(self.gain, sign='+')}")
        return "\n".join([*lines, *(f"warning: {warning}" for warning in self.warnings)])


def evaluate(
    log: BanditLog,
    chances: Floats,
    *,
    target: str,
    seed: int,
    confidence: float = 0.95,
    anyway: bool = False,
) -> Evaluation:
    """Every estimator that exists, the one to read, and why; or the reason why there is none.

    Args:
        log: With propensities.
        chances: float64 (P, A), the target's of each action in each place; rows sum to 1.
        target: Its name.
        seed: Of folds, resamples and replay's draws.
        confidence: Of the intervals.
        anyway: Whether what is refused is estimated none the less, to be studied: none is chosen.

    Raises:
        InvalidInput: a log without propensities, chances of another shape, or a confidence outside
            (0, 1).
        NotEnoughData: fewer than two shoppers.
    """
    if log.propensity is None:
        raise InvalidInput("the log holds no propensity; log the chance of every choice")
    if chances.shape != log.allowed.shape:
        raise InvalidInput(f"chances of shape {chances.shape}; the log has {log.allowed.shape}")
    logged = Logged(log.shopper, log.reward, log.propensity, chances[log.place, log.action])
    overlap = _overlap(log, logged, chances, confidence)
    warnings = []
    if not log.unit:
        warnings.append(
            "no column says who the shoppers are: each impression counts as one of its own, and "
            "intervals are too narrow where shoppers came back"
        )
    refused = tuple(overlap.refusals())
    seen = summarised(logged.reward, logged.shopper, confidence)
    if refused and not anyway:
        return Evaluation(
            target, seen, overlap, {}, "", "", None, refused, warnings=tuple(warnings)
        )
    made, undefined, chosen, reason = _contributions(log, logged, chances, overlap, seed)
    estimates = {}
    for name, contributions in made.items():
        try:
            estimates[name] = _estimated(contributions, logged, confidence, seed)
        except NotEnoughData as error:
            undefined[name] = str(error)
    if refused:
        return Evaluation(
            target, seen, overlap, estimates, "", "", None, refused, undefined, tuple(warnings)
        )
    if chosen not in estimates:
        return Evaluation(
            target, seen, overlap, {}, "", "", None,
            (f"{chosen}: {undefined[chosen]}",), warnings=tuple(warnings),
        )  # fmt: skip
    try:
        gain = _estimated(made[chosen] - logged.reward, logged, confidence, seed)
    except NotEnoughData:
        gain = None
        warnings.append("the target chooses as the log did; a gain has no interval")
    return Evaluation(
        target, seen, overlap, estimates, chosen, reason, gain,
        undefined=undefined, warnings=tuple(warnings),
    )  # fmt: skip


def _estimated(contributions: Floats, logged: Logged, confidence: float, seed: int) -> Estimate:
    found = bootstrapped(contributions, logged.shopper, confidence, seed=seed)
    if found.standard_error == 0.0:  # it would look as sure as can be
        raise NotEnoughData("every contribution is the same; no interval can be told")
    return found


def _contributions(
    log: BanditLog, logged: Logged, chances: Floats, overlap: Overlap, seed: int
) -> tuple[dict[str, Floats], dict[str, str], str, str]:
    """Contributions by estimator, why some do not exist, and the one to read with the reason."""
    model = predicted(log, chances, seed=seed)
    threshold, shrinkage = by.best_threshold(logged, model), by.best_shrinkage(logged, model)
    ways: dict[str, Callable[[], Floats]] = {
        "replay": lambda: by.replay_contributions(logged, seed=seed),
        "IPS": lambda: by.ips_contributions(logged),
        "clipped": lambda: by.clipped_contributions(logged, _CLIP),
        "SNIPS": lambda: by.snips_contributions(logged),
        "DM": lambda: by.dm_contributions(model),
        "DR": lambda: by.dr_contributions(logged, model),
        "SNDR": lambda: by.sndr_contributions(logged, model),
        "switch-DR": lambda: by.switch_dr_contributions(logged, model, threshold),
        "DRos": lambda: by.dros_contributions(logged, model, shrinkage),
    }
    made, undefined = {}, {}
    for name, way in ways.items():
        try:
            made[name] = way()
        except (InvalidInput, NotEnoughData) as error:
            undefined[name] = str(error)
    if overlap.largest_weight <= _MILD:
        return made, undefined, "DR", (
            f"DR: weights stay below {_MILD:.0f}, so its noise is small, and it is right where the "
            "propensities are, whatever the reward model"
        )  # fmt: skip
    return made, undefined, "SNDR", (
        f"SNDR: weights reach {overlap.largest_weight:.0f}; made to average 1 they say less about "
        "which shoppers happened to come, and it is still right where the propensities are"
    )  # fmt: skip


def _overlap(log: BanditLog, logged: Logged, chances: Floats, confidence: float) -> Overlap:
    weight = logged.weight
    _, code = np.unique(logged.shopper.astype(str), return_inverse=True)
    order = np.lexsort((weight, code))  # sums in one order, whatever the log's
    own = np.bincount(code[order], weights=weight[order]).astype(np.float64)
    total = float(own.sum())
    mean = summarised(weight, logged.shopper, confidence)
    met = np.bincount(log.action, minlength=len(log.actions)) > 0
    never = float((chances[:, ~met].sum(axis=1))[log.place].mean())
    return Overlap(
        impressions=len(log),
        shoppers=len(own),
        effective=effective_size(own),
        mean_weight=mean.value,
        mean_weight_error=mean.standard_error,
        largest_weight=float(weight.max()),
        telling=_telling(weight, logged.reward),
        heaviest=float(own.max()) / total if total > 0 else 1.0,
        unsupported=never,
    )


def _telling(weight: Floats, reward: Floats) -> float:
    """A mean is as normal as the fourth moment of its terms is small beside the second's square."""
    away = (reward - mean_of(reward)) ** 2
    fourth = math.fsum(weight**4) * mean_of(away**2)
    return (math.fsum(weight**2) * mean_of(away)) ** 2 / fourth if fourth > 0 else 0.0


def _told(value: Estimate, sign: str = "") -> str:
    spec = f"{sign}.5g"
    return f"{value.value:{spec}}  [{value.low:{spec}}, {value.high:{spec}}]"

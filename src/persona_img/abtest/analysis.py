"""From feedback to the answer of an A/B test, by shopper."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from persona_img.abtest import verdicts
from persona_img.abtest.report import ABReport, ArmSummary, Comparison
from persona_img.abtest.sequential import EARLIEST, always_valid_interval
from persona_img.abtest.shoppers import per_shopper
from persona_img.abtest.statistics import Estimate, Sample, compare
from persona_img.domain.decision import Arms
from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd

CONTROL = "control"


@dataclass(frozen=True)
class _Metric:
    """A ratio of two columns of the table of shoppers; without ``by``, a mean per shopper."""

    name: str
    of: str
    by: str | None
    event: str

    def sample(self, shoppers: pd.DataFrame, arm: str) -> Sample:
        rows = shoppers[shoppers["arm"] == arm]
        numerator = rows[self.of].to_numpy()
        ones = np.ones_like(numerator)
        return Sample(arm, numerator, rows[self.by].to_numpy() if self.by else ones)


_CTR = _Metric("CTR", "clicks", "impressions", "click")
_CLICKS = _Metric("clicks per shopper", "clicks", None, "click")
# Impressions are a guardrail because CTR means little where the arm changed its denominator.
_GUARDRAILS = (
    _Metric("conversion rate", "conversions", "impressions", "conversion"),
    _Metric("impressions per shopper", "impressions", None, "impression"),
)


@dataclass(frozen=True)
class ABTest:
    """An A/B test: who was compared, and how its feedback is to be read.

    Attributes:
        name: The test's name; feedback of other tests is left out.
        arms: Arm to planned share, > 0, together 1; ``control`` is among them.
        unit: What was randomised; analysis is by the same.
        planned_shoppers: Exposed shoppers, all arms together, at which the test is to be read.
            Before that, only the interval that holds at every look can give a verdict.
        confidence: Level of the intervals; with several arms, of all CTR comparisons together.
        guardrail_margin: Relative loss that a guardrail tolerates.
    """

    name: str
    arms: Mapping[str, float] = field(default_factory=lambda: {CONTROL: 0.5, "personalized": 0.5})
    unit: Literal["shopper"] = "shopper"
    planned_shoppers: int | None = None
    confidence: float = 0.95
    guardrail_margin: float = 0.1

    def __post_init__(self) -> None:
        Arms(self.name, self.arms)
        if len(self.arms) < 2:
            raise InvalidInput(f"arms {list(self.arms)}: nothing to compare control with; add one")
        if self.unit != "shopper":
            raise InvalidInput(f"unit {self.unit!r}: arms are drawn by shopper; analyse by shopper")
        if self.planned_shoppers is not None and self.planned_shoppers < 1:
            raise InvalidInput(f"planned_shoppers {self.planned_shoppers}: plan at least one")
        for name in ("confidence", "guardrail_margin"):
            if not 0 < getattr(self, name) < 1:
                raise InvalidInput(f"{name} {getattr(self, name)}: choose between 0 and 1")

    def analyze(
        self, feedback: pd.DataFrame, *, simulated: bool | None = None, by_segment: bool = False
    ) -> ABReport:
        """The report of this test.

        Only exposed shoppers count: feedback has a row per impression, so a shopper who was
        assigned and saw nothing is in no arm here. Where an arm changes who gets an impression at
        all, that shows as a failing sample ratio. Conversions come late: analyse when the last
        impressions are old enough to have led to one.

        Args:
            feedback: Columns of :data:`persona_img.domain.feedback.FEEDBACK_COLUMNS`, of which
                ``test``, ``shopper``, ``arm``, ``segment``, ``shown_at``, ``clicked`` and
                ``converted`` are read; rows in any order.
            simulated: Whether the shoppers were simulated; printed in every rendering.
            by_segment: Also compare CTR within each segment. A shopper counts for the segment of
                the first impression, which the arm cannot have changed.

        Returns:
            The report. Undefined numbers are NaN with a reason.

        Raises:
            InvalidInput: a missing column, an arm this test has not, a shopper in two arms, a
                missing name, or ``clicked``/``converted`` other than 0 and 1.
            NotEnoughData: no impression of this test.
        """
        shoppers = per_shopper(feedback, self.name, tuple(self.arms))
        arms = tuple(self._summaries(shoppers))
        ratio = verdicts.sample_ratio(arms)
        trusted = ratio.ok is not False
        return ABReport(
            test=self.name,
            unit=self.unit,
            simulated=simulated,
            confidence=self.confidence,
            planned_shoppers=self.planned_shoppers,
            arms=arms,
            comparisons=tuple(self._by_ctr(shoppers, trusted)),
            secondary=tuple(self._by_clicks(shoppers, trusted)),
            guardrails=tuple(self._guarded(shoppers, trusted)),
            by_segment=tuple(self._by_segment(shoppers, trusted)) if by_segment else (),
            sample_ratio=ratio,
            warnings=verdicts.warnings(arms, ratio, self.planned_shoppers),
        )

    @property
    def _others(self) -> tuple[str, ...]:
        return tuple(arm for arm in self.arms if arm != CONTROL)

    def _summaries(self, shoppers: pd.DataFrame) -> Iterator[ArmSummary]:
        for arm in (CONTROL, *self._others):
            rows = shoppers[shoppers["arm"] == arm]
            impressions, clicks = int(rows["impressions"].sum()), int(rows["clicks"].sum())
            yield ArmSummary(
                arm=arm,
                share=self.arms[arm],
                shoppers=len(rows),
                impressions=impressions,
                clicks=clicks,
                conversions=int(rows["conversions"].sum()),
                ctr=clicks / impressions if impressions else math.nan,
            )

    def _by_ctr(self, shoppers: pd.DataFrame, trusted: bool) -> Iterator[Comparison]:
        # Bonferroni, for p and intervals alike: a verdict then agrees with the interval shown.
        arms = len(self._others)
        alpha = (1 - self.confidence) / arms
        for arm in self._others:
            estimate = self._estimate(_CTR, shoppers, arm, 1 - alpha)
            # In this order min keeps NaN: an undefined p must not become 1.
            found = _comparison(_CTR, arm, replace(estimate, p=min(arms * estimate.p, 1.0)))
            if self.planned_shoppers is not None:
                planned = self.planned_shoppers * (self.arms[CONTROL] + self.arms[arm])
                found = _watched(found, estimate.log_error, shoppers, planned, alpha)
            yield self._judged(found, shoppers, trusted)

    def _by_clicks(self, shoppers: pd.DataFrame, trusted: bool) -> Iterator[Comparison]:
        for arm in self._others:
            estimate = self._estimate(_CLICKS, shoppers, arm, self.confidence)
            yield self._judged(_comparison(_CLICKS, arm, estimate), shoppers, trusted)

    def _judged(self, found: Comparison, shoppers: pd.DataFrame, trusted: bool) -> Comparison:
        early = self.planned_shoppers is not None and len(shoppers) < self.planned_shoppers
        verdict = verdicts.of_lift(found, 1 - self.confidence, trusted=trusted, early=early)
        return replace(found, verdict=verdict)

    def _guarded(self, shoppers: pd.DataFrame, trusted: bool) -> Iterator[Comparison]:
        for metric in _GUARDRAILS:
            for arm in self._others:
                found = _comparison(
                    metric, arm, self._estimate(metric, shoppers, arm, self.confidence)
                )
                verdict = verdicts.of_guardrail(found, self.guardrail_margin, trusted=trusted)
                yield replace(found, verdict=verdict)

    def _by_segment(self, shoppers: pd.DataFrame, trusted: bool) -> Iterator[Comparison]:
        for segment, rows in shoppers.groupby("segment", sort=True):
            for arm in self._others:
                found = _comparison(_CTR, arm, self._estimate(_CTR, rows, arm, self.confidence))
                verdict = verdicts.of_segment(found, trusted=trusted)
                yield replace(found, segment=str(segment), verdict=verdict)

    def _estimate(
        self, metric: _Metric, shoppers: pd.DataFrame, arm: str, confidence: float
    ) -> Estimate:
        control, treatment = metric.sample(shoppers, CONTROL), metric.sample(shoppers, arm)
        return compare(control, treatment, confidence, metric.event)


def _comparison(metric: _Metric, arm: str, estimate: Estimate) -> Comparison:
    return Comparison(
        metric=metric.name,
        arm=arm,
        control=estimate.control,
        treatment=estimate.treatment,
        lift=estimate.lift,
        low=estimate.low,
        high=estimate.high,
        p=estimate.p,
        verdict="undefined",
        reason=estimate.reason,
    )


def _watched(
    found: Comparison, log_error: float, shoppers: pd.DataFrame, planned: float, alpha: float
) -> Comparison:
    """The comparison with the interval that holds at every look, once there are enough shoppers."""
    counts = [int((shoppers["arm"] == arm).sum()) for arm in (CONTROL, found.arm)]
    if min(counts) < EARLIEST:
        return found
    low, high = always_valid_interval(
        found.lift, log_error, sum(counts), planned=planned, alpha=alpha
    )
    return replace(found, always_low=low, always_high=high)

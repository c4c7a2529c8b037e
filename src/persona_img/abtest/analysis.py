"""From feedback to the answer of an A/B test, by shopper."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from persona_img.abtest import verdicts
from persona_img.abtest.metrics import CLICKS, CONVERSIONS, CTR, IMPRESSIONS, SHOPPER, Metric
from persona_img.abtest.report import ABReport, ArmSummary, Comparison
from persona_img.abtest.robust import (
    CAP_OF_MEAN,
    CAP_OF_RATIO,
    cap_of,
    capped_moments,
    far_beyond,
    quantile_of,
)
from persona_img.abtest.sequential import EARLIEST, UNPLANNED, always_valid_interval
from persona_img.abtest.shoppers import columns_of, per_shopper
from persona_img.abtest.statistics import Estimate, compare_moments
from persona_img.domain.decision import Arms
from persona_img.domain.feedback_table import as_feedback
from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    import pandas as pd

    from persona_img.abtest.moments import Moments
    from persona_img.abtest.robust import Cap
    from persona_img.abtest.shoppers import Exposed
    from persona_img.domain.holdout import Holdout

CONTROL = "control"
_KNOWN = {one.name.casefold(): one for one in (CTR, CLICKS, CONVERSIONS, IMPRESSIONS)}


@dataclass(frozen=True, eq=False)
class Kept:
    """Shoppers who are compared, and for how much each counts at most.

    Attributes:
        table: As of :class:`~persona_img.abtest.shoppers.Exposed`, without who is no shopper.
        bots: How many those were.
        limits: Column to the value beyond which they were.
        caps: Metric to its cap.
    """

    table: pd.DataFrame
    bots: int
    limits: Mapping[str, float]
    caps: Mapping[Metric, Cap]

    def moments(self, metric: Metric, arm: str, segment: object = None) -> Moments:
        """Of one arm, in one segment or in all."""
        rows = self.table[self.table["arm"] == arm]
        if segment is not None:
            rows = rows[rows["segment"] == segment]
        return capped_moments(arm, metric, columns_of(rows), self.caps[metric])

    def shoppers(self, arm: str) -> int:
        """How many an arm has."""
        return int((self.table["arm"] == arm).sum())


@dataclass(frozen=True)
class ABTest:
    """An A/B test: who was compared, and how its feedback is to be read.

    Attributes:
        name: The test's name; feedback of other tests is left out.
        arms: Arm to planned share, > 0, together 1; ``control`` is among them.
        unit: What was randomised; analysis is by the same.
        planned_shoppers: Exposed shoppers, all arms together, at which the interval that holds at
            every look is narrowest, or at which the test is read once.
        always_valid: Verdicts are of that interval, for who looks as often as they like and stops
            when they like. Otherwise they are of one look: of the impressions up to the moment when
            the planned shoppers had come, so that nothing later changes them; none is given
            before, and without a plan there is no such moment. Choose before the first look.
        confidence: Level of the intervals; with several arms, of all CTR comparisons together.
        guardrail_margin: Relative loss that a guardrail tolerates.
        primary: The metric that decides, of columns :data:`persona_img.abtest.metrics.SHOPPER`.
        guardrails: Metrics that must not be lost. Impressions are one because CTR means little
            where the arm changed what it divides by.
        cap_of_ratio: Quantile, over all arms, of what a ratio divides by, for which a shopper
            counts at most, in (0, 1]; 1 for no cap.
        cap_of_mean: Likewise of a value whose mean is taken.
        bot_filter: Leave out who is far beyond everybody, and count them.
        holdout: Who is in no test; what they did is told beside the arms. None for nobody.
        joined: Shoppers who came under several names before it was known that they are one.

    Example:
        >>> ABTest("hero-image", planned_shoppers=20_000).arms
        {'control': 0.5, 'personalized': 0.5}
    """

    name: str
    arms: Mapping[str, float] = field(default_factory=lambda: {CONTROL: 0.5, "personalized": 0.5})
    unit: Literal["shopper"] = "shopper"
    planned_shoppers: int | None = None
    always_valid: bool = True
    confidence: float = 0.95
    guardrail_margin: float = 0.1
    holdout: Holdout | None = None
    joined: Collection[str] = field(default=(), repr=False)
    primary: Metric = CTR
    guardrails: tuple[Metric, ...] = (CONVERSIONS, IMPRESSIONS)
    cap_of_ratio: float = CAP_OF_RATIO
    cap_of_mean: float = CAP_OF_MEAN
    bot_filter: bool = True

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
        for name in ("cap_of_ratio", "cap_of_mean"):
            if not 0 < getattr(self, name) <= 1:
                raise InvalidInput(f"{name} {getattr(self, name)}: above 0, and 1 for no cap")
        names = [metric.name for metric in (self.primary, *self.guardrails)]
        if len(set(names)) < len(names):
            raise InvalidInput(f"metrics {', '.join(names)}: each needs a name of its own")
        for metric in (self.primary, *self.guardrails):
            strange = [column for column in metric.columns if column not in SHOPPER]
            if strange:
                raise InvalidInput(
                    f"metric {metric}: no column {strange[0]!r}; there are {', '.join(SHOPPER)}"
                )
            mine = _KNOWN.get(metric.name.casefold(), metric)
            if mine.columns != metric.columns:
                raise InvalidInput(f"metric {metric}: {mine.name} is {mine}; give it another name")

    def analyze(
        self, feedback: pd.DataFrame, *, simulated: bool | None = None, by_segment: bool = False
    ) -> ABReport:
        """The report of this test.

        Only exposed shoppers count: feedback has a row per impression, so a shopper who was
        assigned and saw nothing is in no arm here. Where an arm changes who gets an impression at
        all, that shows as a failing sample ratio. A shopper seen in several arms is left out and
        counted; one of ``joined`` counts for the arm that is served since. Conversions come late:
        analyse when the last impressions are old enough to have led to one.

        Impressions of the holdout, where there are some in the feedback, are summed up, until the
        moment to which the test is read; no verdict is of them. Whoever was in the test too was not
        held out all the time, and is left out; of the test too whoever of ``joined`` is held out
        since.

        Args:
            feedback: Columns of :data:`persona_img.domain.feedback.FEEDBACK_COLUMNS`, of which
                ``test``, ``shopper``, ``arm``, ``segment``, ``shown_at``, ``clicked`` and
                ``converted`` are read; rows in any order, types as
                :func:`~persona_img.domain.feedback_table.as_feedback` takes them.
            simulated: Whether the shoppers were simulated; printed in every rendering.
            by_segment: Also compare CTR within each segment. A shopper counts for the segment of
                the first impression, which the arm cannot have changed.

        Returns:
            The report. Undefined numbers are NaN with a reason.

        Raises:
            InvalidInput: a missing column, an arm this test has not, a missing name, or
                ``clicked``/``converted`` other than 0 and 1.
            NotEnoughData: no impression of this test.
        """
        arms = Arms(self.name, self.arms)
        strays = self._strays(feedback)
        if strays:
            of_strays = (feedback["test"] == self.name) & feedback["shopper"].isin(strays)
            feedback = feedback[~of_strays.to_numpy()]
        exposed = per_shopper(
            feedback,
            self.name,
            tuple(self.arms),
            first=None if self._any_look else self.planned_shoppers,
            joined={unit: arms.assign(unit) for unit in self.joined},
        )
        kept = self.kept(exposed.table)
        shoppers = kept.table
        summaries = tuple(self._summaries(shoppers))
        held, both = self._held_out(feedback, exposed, kept.limits, strays)
        linked = both.intersection(self.joined) | strays
        ratio = verdicts.sample_ratio(summaries)
        trusted = ratio.ok is not False
        # Without a plan nobody can say that it is the end: what is not shown may come yet.
        planned = self.planned_shoppers
        early = planned is None or len(exposed.table) + len(exposed.crossed) < planned
        return ABReport(
            test=self.name,
            unit=self.unit,
            simulated=simulated,
            confidence=self.confidence,
            planned_shoppers=self.planned_shoppers,
            arms=summaries,
            comparisons=tuple(self._decided(kept, trusted, early)),
            secondary=tuple(self._beside(kept, trusted, early)),
            guardrails=tuple(self._guarded(kept, trusted)),
            by_segment=tuple(self._by_segment(kept, trusted)) if by_segment else (),
            sample_ratio=ratio,
            warnings=(
                *verdicts.warnings(
                    summaries,
                    ratio,
                    self.planned_shoppers if early else None,
                    len(exposed.crossed),
                ),
                *verdicts.bot_warnings(kept.bots, kept.limits),
                *verdicts.joined_warnings(len(exposed.mixed), len(shoppers)),
                *verdicts.holdout_warnings(len(both - linked), len(linked)),
            ),
            crossed=len(exposed.crossed),
            mixed=len(exposed.mixed),
            holdout=held,
            bots=kept.bots,
            caps={metric.name: cap for metric, cap in kept.caps.items()},
        )

    @property
    def _any_look(self) -> bool:
        """Without a plan nobody can say when the one look is."""
        return self.always_valid or self.planned_shoppers is None

    @property
    def _others(self) -> tuple[str, ...]:
        return tuple(arm for arm in self.arms if arm != CONTROL)

    def _summaries(self, shoppers: pd.DataFrame) -> Iterator[ArmSummary]:
        for arm in (CONTROL, *self._others):
            yield _summary(arm, self.arms[arm], shoppers[shoppers["arm"] == arm])

    def _strays(self, feedback: pd.DataFrame) -> frozenset[str]:
        """Who is held out, and was in the test by another name before the names were linked."""
        if self.holdout is None or not self.joined:
            return frozenset()
        held = {unit for unit in self.joined if self.holdout.includes(unit)}
        rows = feedback[(feedback["test"] == self.name) & feedback["shopper"].isin(held)]
        return frozenset(rows["shopper"].unique())

    def _held_out(
        self,
        feedback: pd.DataFrame,
        tested: Exposed,
        limits: Mapping[str, float],
        strays: Collection[str],
    ) -> tuple[ArmSummary | None, frozenset[str]]:
        """The holdout, and who of it was left out for having been tested.

        Who is no shopper in the arms is none here.
        """
        import pandas as pd

        if self.holdout is None:
            return None, frozenset()
        rows = feedback[feedback["test"] == self.holdout.name]
        if tested.until is not None:  # beside what the arms did until then
            shown = as_feedback(rows, ("shown_at",))["shown_at"]
            rows = rows[(shown <= tested.until).to_numpy()]
        if rows.empty:
            return None, frozenset()
        held = per_shopper(rows, self.holdout.name, (CONTROL,)).table
        both = held.index.isin([*tested.table.index, *tested.crossed, *strays])
        beyond = (held[[*limits]] > pd.Series(limits, dtype="float64")).any(axis=1).to_numpy()
        left = frozenset(held.index[both])
        return _summary("holdout", self.holdout.share, held[~both & ~beyond]), left

    def kept(self, table: pd.DataFrame) -> Kept:
        """Who is compared, of everybody exposed.

        Args:
            table: As of :class:`~persona_img.abtest.shoppers.Exposed`.
        """
        metrics = (self.primary, *self._secondary, *self.guardrails)
        of_ratios = {c for metric in metrics if metric.by is not None for c in metric.columns}
        limits: dict[str, float] = {}
        bots = 0
        if self.bot_filter and of_ratios:
            columns = columns_of(table)
            beyond, limits = far_beyond({name: columns[name] for name in sorted(of_ratios)})
            table, bots = table[~beyond], int(beyond.sum())
        columns = columns_of(table)
        caps = {
            metric: cap_of(
                metric, columns, quantile_of(metric, self.cap_of_ratio, self.cap_of_mean)
            )
            for metric in metrics
        }
        return Kept(table, bots, limits, caps)

    @property
    def _secondary(self) -> tuple[Metric, ...]:
        """What is told beside the metric that decides."""
        taken = {metric.columns for metric in (self.primary, *self.guardrails)}
        return tuple(metric for metric in (CTR, CLICKS) if metric.columns not in taken)

    def _decided(self, kept: Kept, trusted: bool, early: bool) -> Iterator[Comparison]:
        # Bonferroni, for p and intervals alike: a verdict then agrees with the interval shown.
        arms = len(self._others)
        alpha = (1 - self.confidence) / arms
        for arm in self._others:
            estimate = self._estimate(self.primary, kept, arm, 1 - alpha)
            # In this order min keeps NaN: an undefined p must not become 1.
            estimate = replace(estimate, p=min(arms * estimate.p, 1.0))
            found = self._watched(self.primary, arm, estimate, kept, alpha)
            yield self._judged(found, trusted, early)

    def _beside(self, kept: Kept, trusted: bool, early: bool) -> Iterator[Comparison]:
        for metric in self._secondary:
            for arm in self._others:
                estimate = self._estimate(metric, kept, arm, self.confidence)
                found = self._watched(metric, arm, estimate, kept, 1 - self.confidence)
                yield self._judged(found, trusted, early)

    def _watched(
        self, metric: Metric, arm: str, estimate: Estimate, kept: Kept, alpha: float
    ) -> Comparison:
        """With the interval that holds at every look, once there are enough shoppers."""
        found = _comparison(metric, arm, estimate)
        counts = [kept.shoppers(one) for one in (CONTROL, arm)]
        if min(counts) < EARLIEST or math.isnan(found.lift):
            return found
        share = self.arms[CONTROL] + self.arms[arm]
        planned = (self.planned_shoppers or UNPLANNED) * share
        low, high = always_valid_interval(
            found.lift, estimate.log_error, sum(counts), planned=max(planned, 1.0), alpha=alpha
        )
        return replace(found, always_low=low, always_high=high)

    def _judged(self, found: Comparison, trusted: bool, early: bool) -> Comparison:
        verdict = verdicts.of_lift(
            found,
            1 - self.confidence,
            trusted=trusted,
            early=early,
            any_look=self._any_look,
        )
        by: Literal["one look", "any look", ""] = ""
        if verdict not in ("undefined", "do not read"):
            by = "any look" if self._any_look else "one look"
        return replace(found, verdict=verdict, judged_by=by)

    def _guarded(self, kept: Kept, trusted: bool) -> Iterator[Comparison]:
        for metric in self.guardrails:
            for arm in self._others:
                estimate = self._estimate(metric, kept, arm, self.confidence)
                found = self._watched(metric, arm, estimate, kept, 1 - self.confidence)
                verdict = verdicts.of_guardrail(
                    found, self.guardrail_margin, trusted=trusted, any_look=self._any_look
                )
                yield replace(found, verdict=verdict)

    def _by_segment(self, kept: Kept, trusted: bool) -> Iterator[Comparison]:
        segments = sorted(kept.table["segment"].unique())
        # All of them miss the truth together no more often than one may (Bonferroni).
        alpha = (1 - self.confidence) / max(len(segments) * len(self._others), 1)
        for segment in segments:
            for arm in self._others:
                estimate = self._estimate(self.primary, kept, arm, 1 - alpha, segment)
                found = _comparison(self.primary, arm, estimate)
                verdict = verdicts.of_segment(found, trusted=trusted)
                yield replace(found, segment=str(segment), verdict=verdict)

    def _estimate(
        self, metric: Metric, kept: Kept, arm: str, confidence: float, segment: object = None
    ) -> Estimate:
        control, treatment = (kept.moments(metric, one, segment) for one in (CONTROL, arm))
        below = None if metric.by is None else "denominator"
        event = metric.of.removesuffix("s")
        return compare_moments(control, treatment, ("numerator", below), confidence, event)


def _summary(arm: str, share: float, rows: pd.DataFrame) -> ArmSummary:
    impressions, clicks = int(rows["impressions"].sum()), int(rows["clicks"].sum())
    return ArmSummary(
        arm=arm,
        share=share,
        shoppers=len(rows),
        impressions=impressions,
        clicks=clicks,
        conversions=int(rows["conversions"].sum()),
        ctr=clicks / impressions if impressions else math.nan,
    )


def _comparison(metric: Metric, arm: str, estimate: Estimate) -> Comparison:
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

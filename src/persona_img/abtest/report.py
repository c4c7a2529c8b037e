"""The answer of an A/B test, as values, text and JSON."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from persona_img.abtest.robust import Cap

Verdict = Literal[
    "better", "worse", "no difference shown", "too early", "undefined", "do not read",
    "holds", "harmed", "unclear", "exploratory",
]  # fmt: skip
"""``undefined`` and ``do not read`` may stand anywhere. Else comparisons say one of the first
four, guardrails ``holds``, ``harmed`` or ``unclear``, and segments, and all of one policy among
several of a record's test, ``exploratory``."""


@dataclass(frozen=True)
class ArmSummary:
    """What one arm's exposed shoppers did.

    Attributes:
        arm: Its name.
        share: Planned share of the shoppers.
        shoppers: Shoppers with at least one impression.
        impressions: Their impressions.
        clicks: Their clicks.
        conversions: Their conversions.
        ctr: clicks / impressions; NaN without impressions.
    """

    arm: str
    share: float
    shoppers: int
    impressions: int
    clicks: int
    conversions: int
    ctr: float


@dataclass(frozen=True)
class Comparison:
    """One arm against control, for one metric.

    Attributes:
        metric: ``CTR``, ``clicks per shopper``, ``conversion rate``, ``impressions per shopper``,
            or what a test's record calls its own.
        arm: The arm that is compared.
        control: The metric in control, capped as the report says.
        treatment: The metric in the arm.
        lift: treatment / control - 1.
        low: Lower end of the lift's interval.
        high: Upper end.
        p: Two-sided p-value.
        always_low: Lower end of the interval that holds at every look; NaN where not computed, as
            with few shoppers.
        always_high: Its upper end.
        verdict: What it means.
        judged_by: ``one look`` where the verdict is that of ``low``, ``high`` and ``p``, which
            hold for a single look, ``any look`` where it is that of the other interval, and empty
            where numbers have no say.
        reason: Why values are NaN; empty where they are not.
        segment: Segment it is restricted to; None is everybody.
    """

    metric: str
    arm: str
    control: float
    treatment: float
    lift: float
    low: float
    high: float
    p: float
    verdict: Verdict
    reason: str = ""
    always_low: float = math.nan
    always_high: float = math.nan
    judged_by: Literal["one look", "any look", ""] = ""
    segment: str | None = None


@dataclass(frozen=True)
class SampleRatio:
    """Whether the arms got the shoppers they should.

    Attributes:
        p: P-value of one chi-square test over all arms; NaN where so few shoppers could not fail
            it.
        ok: False below 0.001; None where p is NaN.
        reason: Why p is NaN; empty where it is not.
        method: ``chi-square``, or ``simulated`` where an arm expects fewer than five shoppers and
            p is the share of simulated splits that are as uneven; empty where p is NaN.
    """

    p: float
    ok: bool | None
    reason: str = ""
    method: Literal["chi-square", "simulated", ""] = ""


@dataclass(frozen=True)
class RecordNote:
    """By which record a test was read.

    Attributes:
        digest: Of the record as it was when the test started.
        says: What it asks, in a line.
        started_at: When, ISO 8601 with a time zone; what was shown before does not count.
        stopped: When and why it ended; empty while it runs.
        changed: What its file says otherwise since the start; none of it is in force.
        overruled: Settings that say otherwise; they are not in force either.
    """

    digest: str
    says: str
    started_at: str
    stopped: str = ""
    changed: tuple[str, ...] = ()
    overruled: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """As text; changes stand beside the verdict."""
        return [
            f"record {self.digest[:12]}, started {self.started_at}: {self.says}",
            *([f"stopped {self.stopped}"] if self.stopped else []),
            *(f"changed after the start, and not in force: {one}" for one in self.changed),
            *(f"not in force, for the record says otherwise: {one}" for one in self.overruled),
        ]


@dataclass(frozen=True)
class ABReport:
    """The answer of an A/B test.

    Attributes:
        test: Its name.
        unit: What was randomised and is analysed.
        simulated: Whether the shoppers were simulated; None where nobody said.
        confidence: Level of the intervals, all arms of a metric's comparison together.
        planned_shoppers: Exposed shoppers the test was planned for; None without a plan.
        arms: One summary per arm, control first.
        comparisons: The metric that decides, CTR unless a test says otherwise, one per arm beside
            control.
        secondary: CTR and clicks per shopper where they do not decide; not corrected for arms.
        guardrails: What must not be lost; not corrected for arms.
        by_segment: The metric that decides by segment, exploratory; empty unless asked for.
        sample_ratio: Whether the arms got the shoppers they should.
        warnings: What to know before acting on it.
        crossed: Shoppers seen in several arms; they are left out of everything else.
        mixed: Shoppers whose names were linked after they had seen several arms; each counts for
            the arm that is served since.
        holdout: Shoppers who are in no test, as the arm ``holdout``; its share is of all shoppers.
            None where none of them was seen.
        bots: Left out as no shoppers, for being far beyond everybody.
        caps: Metric to what a shopper counts for at most in it. Arms' totals are not capped.
        record: By which record it was read; None where the settings say how.
    """

    test: str
    unit: str
    simulated: bool | None
    confidence: float
    planned_shoppers: int | None
    arms: tuple[ArmSummary, ...]
    comparisons: tuple[Comparison, ...]
    secondary: tuple[Comparison, ...]
    guardrails: tuple[Comparison, ...]
    by_segment: tuple[Comparison, ...]
    sample_ratio: SampleRatio
    warnings: tuple[str, ...]
    crossed: int = 0
    holdout: ArmSummary | None = None
    mixed: int = 0
    bots: int = 0
    caps: Mapping[str, Cap] = field(default_factory=dict)
    record: RecordNote | None = None

    @property
    def shoppers_are(self) -> str:
        """``simulated``, ``real`` or ``of unstated origin``."""
        return {True: "simulated", False: "real", None: "of unstated origin"}[self.simulated]

    def exploratory(self, why: str) -> ABReport:
        """The same numbers without a verdict.

        Args:
            why: What they are of, as a warning.
        """

        def marked(found: tuple[Comparison, ...]) -> tuple[Comparison, ...]:
            return tuple(
                one if one.verdict in ("undefined", "do not read")
                else replace(one, verdict="exploratory", judged_by="")
                for one in found
            )  # fmt: skip

        return replace(
            self,
            comparisons=marked(self.comparisons),
            secondary=marked(self.secondary),
            guardrails=marked(self.guardrails),
            warnings=(f"EXPLORATORY: {why}", *self.warnings),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; undefined numbers are None."""
        plain = without_nan(asdict(self))
        assert isinstance(plain, dict)
        return plain | {"shoppers_are": self.shoppers_are}

    def metrics(self) -> dict[str, float]:
        """Flat numbers for a tracker, e.g. ``lift/personalized``; undefined ones are NaN.

        A holdout's are ``ctr/holdout`` and so on.
        """
        flat = {"sample_ratio_p": self.sample_ratio.p, "crossed": float(self.crossed)}
        flat |= {"mixed": float(self.mixed)}
        for a in self._groups:
            flat |= {f"shoppers/{a.arm}": float(a.shoppers), f"ctr/{a.arm}": a.ctr}
            flat |= {f"impressions/{a.arm}": float(a.impressions)}
            flat |= {f"clicks/{a.arm}": float(a.clicks)}
        for c in self.comparisons:
            flat |= {f"lift/{c.arm}": c.lift, f"p/{c.arm}": c.p}
            flat |= {f"lift_low/{c.arm}": c.low, f"lift_high/{c.arm}": c.high}
            flat |= {f"always_low/{c.arm}": c.always_low, f"always_high/{c.arm}": c.always_high}
        return flat

    def table(self) -> str:
        """Readable text, the same as ``str(report)``."""
        return "\n\n".join(self._sections()) + "\n"

    def __str__(self) -> str:
        return self.table()

    @property
    def _groups(self) -> tuple[ArmSummary, ...]:
        return self.arms if self.holdout is None else (*self.arms, self.holdout)

    def _sections(self) -> Iterable[str]:
        yield (
            f"A/B test {self.test}: shoppers are {self.shoppers_are.upper()}\n"
            f"analysed by {self.unit}; only exposed shoppers count (at least one impression)"
        )
        yield as_columns(
            ["arm", "shoppers", "impressions", "clicks", "CTR"],
            [
                [a.arm, f"{a.shoppers:,}", f"{a.impressions:,}", f"{a.clicks:,}", _rate(a.ctr)]
                for a in self._groups
            ],
        )
        if self.holdout is not None:
            yield (
                f"holdout: {self.holdout.share:.1%} of all shoppers, who see photos over all tests "
                "and are in none; no verdict is of them"
            )
        yield self._compared("against control", self.comparisons + self.secondary)
        yield self.judging
        if self.record is not None:
            yield "\n".join(self.record.lines())
        yield self._compared("guardrail", self.guardrails)
        if self.by_segment:
            yield self._compared("EXPLORATORY, by segment", self.by_segment)
        yield "sample ratio: " + (self.sample_ratio.reason or _ratio(self.sample_ratio))
        cuts = [told_cap(name, cap) for name, cap in self.caps.items() if cap.units]
        if cuts:
            yield "\n".join(f"cap: {cut}" for cut in cuts)
        if self.warnings:
            yield "\n".join(f"warning: {w}" for w in self.warnings)

    @property
    def judging(self) -> str:
        """Which of the two intervals the verdicts above are of."""
        looks = {c.judged_by for c in self.comparisons} - {""}
        usual = f"the {self.confidence:.0%} interval and p, which hold for one look, at the end"
        always = "the interval at any look, which holds however often one looks"
        if not looks:
            return f"verdicts on lifts are of {usual}; none is given here"
        return f"verdicts on lifts are of {always if looks == {'any look'} else usual}"

    def _compared(self, title: str, comparisons: Sequence[Comparison]) -> str:
        watched = any(not math.isnan(c.always_low) for c in comparisons)
        head = [title, "metric", "lift", f"{self.confidence:.0%} interval", "p"]
        rows = [
            [
                c.arm if c.segment is None else f"{c.arm} · {c.segment}",
                c.metric,
                as_percent(c.lift),
                as_interval(c.low, c.high),
                as_p(c.p),
                *([as_interval(c.always_low, c.always_high)] if watched else []),
                c.verdict + (f": {c.reason}" if c.reason else ""),
            ]
            for c in comparisons
        ]
        return as_columns([*head, *(["at any look"] if watched else []), "verdict"], rows)


def without_nan(value: object) -> object:
    """Plain values, with None where a number is undefined."""
    if isinstance(value, dict):
        return {k: without_nan(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_columns(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Text in columns, a head over them."""
    lines = [head, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _rate(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2%}"


def as_percent(value: float) -> str:
    """A lift as text; a dash where undefined."""
    return "–" if math.isnan(value) else f"{value:+.1%}"


def as_interval(low: float, high: float) -> str:
    """An interval of lifts as text; a dash where undefined."""
    return "–" if math.isnan(low) or math.isnan(high) else f"[{low:+.1%}, {high:+.1%}]"


def as_p(value: float) -> str:
    """A p-value as text; a dash where undefined."""
    return "–" if math.isnan(value) else f"{value:.3g}" if value >= 1e-6 else "< 1e-6"


def told_cap(metric: str, cap: Cap) -> str:
    """For how much a unit counts at most, in a line."""
    if math.isinf(cap.most):
        return f"{metric}: none; nobody has more {cap.column} than others"
    were = "unit has" if cap.units == 1 else "units have"
    return (
        f"{metric}: at most {cap.most:,.6g} {cap.column} of a unit (quantile {cap.quantile:g}); "
        f"{cap.units:,} {were} more"
    )


def _ratio(check: SampleRatio) -> str:
    method = {
        "simulated": ", against simulated splits: an arm expects too few for chi-square",
        "chi-square": ", chi-square over all arms",
    }.get(check.method, "")
    return f"p {as_p(check.p)}, " + ("as planned" if check.ok else "NOT as planned") + method

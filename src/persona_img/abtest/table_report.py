"""The answer for anybody's table, as values, JSON and text."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from persona_img.abtest.report import (
    as_columns,
    as_interval,
    as_p,
    as_percent,
    told_cap,
    without_nan,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from persona_img.abtest.report import Verdict
    from persona_img.abtest.robust import Cap

SCHEMA = "persona-img/analysis/1"
"""Version of the JSON; the number rises when a field changes its meaning or goes."""

Read = Literal["any look", "at the plan"]


@dataclass(frozen=True)
class Compared:
    """One arm against control, in one metric.

    Attributes:
        metric: Its name.
        arm: The arm that is compared.
        control: The metric in control, capped as the report says.
        treatment: The metric in the arm.
        lift: treatment / control - 1.
        low: Lower end of the lift's interval that the verdict is of; NaN where none is given.
        high: Upper end.
        p: P-value of the same kind; NaN where none is given.
        verdict: What it means.
        reason: Why there is no interval, or why it must not be read.
        segment: Segment it is restricted to; None is everybody.
        p_at_one_look: Two-sided, of one comparison at one look: to compare with other tools. No
            verdict is of it while the test is watched.
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
    segment: str | None = None
    p_at_one_look: float = float("nan")


@dataclass(frozen=True)
class Health:
    """Whether the numbers may be read.

    Attributes:
        ok: False where a check failed: no verdict is given then.
        reason: Which one, and what to do; empty where all passed.
        split_p: P-value of the split over all arms, at this look; NaN where it is not checked.
        split_p_any_look: The same, however often one looks.
        crossed: Units in several arms; left out.
        bots: Units left out because a column is far beyond everybody's.
        limits: Column to the value beyond which a unit is left out.
    """

    ok: bool
    reason: str
    split_p: float
    split_p_any_look: float
    crossed: int
    bots: int
    limits: dict[str, float]


@dataclass(frozen=True)
class TableReport:
    """What a table says of an A/B test.

    Attributes:
        table: The file.
        control: The arm that others are compared with.
        units: Arm to units compared.
        shares: Arm to planned share.
        read: Whether verdicts hold at any look, or are of the one look that was planned.
        plan: Units, all arms together, at which it is narrowest, or read; None without a plan.
        read_until: The moment of the one look, as text; empty where there is none.
        confidence: Level of the intervals: of all arms of the first metric together, of all other
            metrics together, and of all segments together.
        caps: Metric to what a unit counts for at most in it; empty for totals of arms.
        policy: Version that is reported; None without versions, ``all`` where they are pooled.
        other_policies: Versions that are not in it.
        comparisons: The first metric decides; others follow in the order given.
        by_segment: The first metric by segment, by Holm's rule; empty without segments.
        health: Whether the numbers may be read.
        warnings: What to know before acting on it.
    """

    table: str
    control: str
    units: dict[str, int]
    shares: dict[str, float]
    read: Read
    plan: int | None
    read_until: str
    confidence: float
    caps: dict[str, Cap]
    policy: str | None
    other_policies: tuple[str, ...]
    comparisons: tuple[Compared, ...]
    by_segment: tuple[Compared, ...]
    health: Health
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON under :data:`SCHEMA`; undefined numbers are None."""
        plain = without_nan(asdict(self))
        assert isinstance(plain, dict)
        return {"schema": SCHEMA} | plain

    def __str__(self) -> str:
        """Readable text."""
        return "\n\n".join(self._sections()) + "\n"

    def _sections(self) -> Iterator[str]:
        version = "" if self.policy is None else f", policy {self.policy}"
        yield f"{self.table}{version}: against {self.control}"
        yield as_columns(
            ["arm", "units", "planned share"],
            [[arm, f"{n:,}", f"{self.shares[arm]:.1%}"] for arm, n in self.units.items()],
        )
        yield _table(self.comparisons, self.confidence)
        looks = {
            "any look": "the interval holds however often one looks, also after the plan",
            "at the plan": "read once, at the plan, and frozen: what came later is not in it",
        }
        until = f" (up to {self.read_until})" if self.read_until else ""
        yield f"verdicts: {looks[self.read]}{until}"
        if self.by_segment:
            yield _table(self.by_segment, self.confidence, "segment, by Holm's rule")
        if self.caps:
            yield "\n".join(f"cap: {told_cap(name, cap)}" for name, cap in self.caps.items())
        health = self.health
        split = (
            "not checked"
            if math.isnan(health.split_p_any_look)
            else f"p {as_p(health.split_p)} at this look, {as_p(health.split_p_any_look)} at any"
        )
        yield (
            f"split: {split}; left out: {health.crossed:,} in several arms, {health.bots:,} far "
            "beyond others"
        )
        if self.warnings:
            yield "\n".join(f"warning: {one}" for one in self.warnings)


def _table(rows: tuple[Compared, ...], confidence: float, title: str = "metric") -> str:
    return as_columns(
        [
            title,
            "arm",
            "control",
            "treatment",
            "lift",
            f"{confidence:.0%} interval",
            "p",
            "verdict",
        ],
        [
            [
                c.metric if c.segment is None else c.segment,
                c.arm,
                f"{c.control:.4g}",
                f"{c.treatment:.4g}",
                as_percent(c.lift),
                as_interval(c.low, c.high),
                as_p(c.p),
                c.verdict + (f": {c.reason}" if c.reason else ""),
            ]
            for c in rows
        ],
    )

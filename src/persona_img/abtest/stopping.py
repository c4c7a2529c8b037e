"""Which of a record's rules for ending a test is met."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from persona_img.abtest.harm import protected

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from persona_img.abtest.records import Reason, Started
    from persona_img.abtest.report import ABReport, Comparison


def ends_at(started: Started) -> datetime:
    """The horizon's moment."""
    return started.started_at + timedelta(days=started.record.horizon_days)


def rules_met(started: Started, report: ABReport | None, now: datetime) -> dict[Reason, str]:
    """Reasons to stop now, harm first, each with what says so.

    Harm is told by intervals that hold at every look, whatever the verdict is of. Win and futility
    are told by the interval that the verdict is of, so with one look at the plan and not before.
    Where the split fails, the numbers say nothing, and only the horizon ends a test.

    Args:
        started: The record.
        report: What was found; None where nothing was shown yet.
        now: The moment.
    """
    record = started.record
    met: dict[Reason, str] = {}
    if report is not None and report.sample_ratio.ok is not False:
        for rule, told in _by_numbers(record.minimal_effect, record.guardrail_margin, report):
            if rule in record.stop_for:
                met.setdefault(rule, told)
    if now >= ends_at(started):
        met["horizon"] = f"{record.horizon_days} days are over"
    elif record.verdict == "one look" and report is not None and _read(report):
        met["horizon"] = "the planned look was taken"
    return met


def _by_numbers(effect: float, margin: float, report: ABReport) -> Iterator[tuple[Reason, str]]:
    for found, tolerated in protected(report, margin):
        if found.always_high < -tolerated:  # NaN is below nothing
            yield "harm", f"{_lift(found)}, at most {found.always_high:+.1%} at any look"
    for found in report.comparisons:
        if found.verdict == "better":
            yield "win", f"{_lift(found)} is better"
    # Of several arms one may still do it.
    highs = [_high(found) for found in report.comparisons]
    if highs and all(high < effect for high in highs):
        told = ", ".join(map(_lift, report.comparisons))
        yield "futility", f"{told}: {effect:+.1%} is excluded, at most {max(highs):+.1%}"


def _high(found: Comparison) -> float:
    """The upper end of what the verdict is of; none while it is too early to say."""
    if found.judged_by == "any look":
        return found.always_high if found.always_high == found.always_high else float("inf")
    if found.judged_by == "one look" and found.verdict != "too early":
        return found.high
    return float("inf")


def _read(report: ABReport) -> bool:
    return all(c.judged_by == "one look" and c.verdict != "too early" for c in report.comparisons)


def _lift(found: Comparison) -> str:
    return f"{found.metric} of {found.arm} {found.lift:+.1%}"

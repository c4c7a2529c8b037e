"""From anybody's table to the answer of an A/B test."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from persona_img.abtest.moments import Moments
from persona_img.abtest.robust import quantile_of
from persona_img.abtest.split import check_split, split_at_any_look
from persona_img.abtest.table_report import Health, TableReport
from persona_img.abtest.table_rules import Rules, nobody
from persona_img.abtest.tables import Counted, Table
from persona_img.errors import InvalidInput, NotEnoughData

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from persona_img.abtest.metrics import Metric
    from persona_img.abtest.table_report import Compared

_SPLIT, _SPLIT_ANY_LOOK = 0.001, 0.01
_HEAVY = 0.01
# So many times an equal share, where an arm is so small that everybody has a hundredth.
_UNEQUAL = 5.0
_MANY_CROSSED = 0.01


def analyze_table(
    path: Path,
    roles: Mapping[str, str],
    metrics: Sequence[Metric],
    *,
    control: str = "control",
    shares: Mapping[str, float] | None = None,
    plan: int | None = None,
    once: bool = False,
    policy: str | None = None,
    confidence: float = 0.95,
    cap: float | None = None,
    counts: bool = False,
) -> TableReport:
    """The answer of an A/B test whose rows stand in a file.

    A verdict is of the interval that holds at every look, or, where ``once`` chose it before the
    first look, of one look when the planned units had come: rows up to that moment, whatever came
    later. It is never of anything else. It is refused where the split fails, where too many units
    are in several arms, and where an arm's units are worth too few.

    Args:
        path: Parquet, CSV or JSON Lines; a row per impression or per unit.
        roles: Role to column; see :data:`persona_img.abtest.metrics.ROLES`.
        metrics: The first decides.
        control: The arm that others are compared with.
        shares: Arm to planned share; None for equal ones of those that are in the table.
        plan: Units, all arms together, at which the test is read, or its interval narrowest.
        once: Take the verdict from one look at the plan; needs ``plan`` and a time.
        policy: Version to report; None for the newest, ``all`` for all pooled.
        confidence: Level of the intervals, in (0, 1).
        cap: Quantile that a unit counts for at most, in (0, 1]; None for those of
            :mod:`persona_img.abtest.robust`.
        counts: A row for an arm, or several; each trial is a unit. The role ``unit`` is then a
            column of how many units there were, by which the split is checked.

    Raises:
        NotFound: no such file.
        InvalidInput: what :class:`~persona_img.abtest.tables.Table` refuses; one arm, or an arm
            that has no share; ``once`` without plan or time.
        NotEnoughData: no row.
    """
    _check(roles, metrics, plan, once, confidence, cap, counts)
    dealt: Mapping[str, int] | None = None
    segments: dict[str, dict[str, Moments]] = {}
    with Table(path, roles, metrics, policy=policy, counts=counts) as table:
        if counts:
            groups, counted = _totals(table, metrics)
            dealt = table.dealt()
            uncapped, caps = groups, []
        else:
            counted = table.fold(plan if once else None)
            if not counted.units:
                raise NotEnoughData(
                    f"{path}: nobody is left to compare: {counted.crossed:,} units are in several "
                    f"arms and {counted.bots:,} far beyond others; look whether unit and arm are "
                    "the right columns"
                )
            caps = [table.cap(one, quantile_of(one) if cap is None else cap) for one in metrics]
            pairs = list(zip(metrics, caps, strict=True))
            groups = [table.moments(one, most)[""] for one, most in pairs]
            uncapped = [table.moments(one)[""] for one in metrics]
            if "segment" in roles:
                segments = table.moments(metrics[0], caps[0], by="segment")
        planned = _shares(path, counted.units, control, shares)
        units = dealt if counts else counted.units
        health = _health(counted, units, planned, once=once)
        unit = "trial" if counts else "unit"
        done = plan is not None and sum(counted.units.values()) + counted.crossed >= plan
        if once:
            done = bool(counted.until)
        rules = Rules(
            "at the plan" if once else "any look", plan, planned, control, done,
            "" if health.ok else health.reason, unit,
        )  # fmt: skip
        alpha = 1 - confidence
        others = [arm for arm in planned if arm != control]
        comparisons: list[Compared] = []
        for number, (metric, arms) in enumerate(zip(metrics, groups, strict=True)):
            # The first decides alone; all others share what may go wrong.
            level = alpha / (len(others) * (1 if number == 0 else len(metrics) - 1))
            for arm in others:
                reference, other = (arms.get(a) or nobody(a, arms) for a in (control, arm))
                comparisons.append(rules.compared(metric, reference, other, level, level))
        return TableReport(
            table=str(path),
            control=control,
            units={arm: counted.units.get(arm, 0) for arm in planned},
            shares=planned,
            read=rules.read,
            plan=plan,
            read_until=counted.until,
            confidence=confidence,
            caps={one.name: most for one, most in zip(metrics, caps, strict=False)},
            policy=table.policy,
            other_policies=table.other_policies,
            comparisons=tuple(comparisons),
            by_segment=rules.by_segment(metrics[0], segments, others, alpha) if segments else (),
            health=health,
            warnings=tuple(_warnings(table, counted, metrics, uncapped, plan, counts, confidence)),
        )


def _check(
    roles: Mapping[str, str],
    metrics: Sequence[Metric],
    plan: int | None,
    once: bool,
    confidence: float,
    cap: float | None,
    counts: bool,
) -> None:
    if not metrics:
        raise InvalidInput("no metric: give one, as --metric ctr=clicks/impressions")
    names = [metric.name for metric in metrics]
    if len(set(names)) < len(names):
        raise InvalidInput(f"metrics {', '.join(names)}: each needs a name of its own")
    if plan is not None and plan < 1:
        raise InvalidInput(f"plan {plan}: plan at least one unit")
    if once and (plan is None or "time" not in roles or counts):
        raise InvalidInput(
            "one look at the plan: give --plan and --map time=…, so that what came later can be "
            "left out; totals of arms cannot be read so"
        )
    for name, value in (("confidence", confidence), ("cap", cap)):
        if value is not None and not (0 < value < 1 or (name == "cap" and value == 1)):
            raise InvalidInput(f"{name} {value}: choose between 0 and 1")
    if counts:
        if any(metric.by is None for metric in metrics):
            raise InvalidInput("totals of arms: give ratios, as --metric ctr=clicks/impressions")
        unused = [role for role in ("segment", "before") if role in roles]
        if unused or cap is not None:
            told = [f"--map {role}=…" for role in unused] + ["--cap"] * (cap is not None)
            raise InvalidInput(
                f"totals of arms: {', '.join(told)} need a row per unit; leave out, or --counts"
            )


def _totals(table: Table, metrics: Sequence[Metric]) -> tuple[list[dict[str, Moments]], Counted]:
    groups = []
    table.check_totals(metrics[0])
    for metric in metrics:
        found = {}
        for arm, (events, trials) in table.totals(metric).items():
            if not (float(events).is_integer() and float(trials).is_integer()):
                raise InvalidInput(f"arm {arm}: {events:g} of {trials:g}; totals are whole numbers")
            found[arm] = Moments.of_counts(arm, int(events), int(trials))
        groups.append(found)
    units = {arm: one.units for arm, one in groups[0].items()}
    return groups, Counted(table.rows, units, 0, 0, {})


def _shares(
    path: Path, units: Mapping[str, int], control: str, shares: Mapping[str, float] | None
) -> dict[str, float]:
    """Arm to planned share, control first."""
    listed = ", ".join(units) or "none"
    planned = dict(shares) if shares is not None else dict.fromkeys(units, 1 / max(len(units), 1))
    if control not in planned:
        raise InvalidInput(
            f"{path}: no arm {control!r}; there are {listed}: say which is control, --control …"
        )
    if len(planned) < 2:
        raise InvalidInput(f"{path}: one arm ({listed}); nothing to compare it with")
    strange = [arm for arm in units if arm not in planned]
    if strange:
        raise InvalidInput(
            f"{path}: arm {strange[0]!r} has no weight; those with one: {', '.join(planned)}"
        )
    return {control: planned[control]} | planned


def _health(
    counted: Counted, units: Mapping[str, int] | None, shares: Mapping[str, float], *, once: bool
) -> Health:
    """Whether the numbers may be read; ``units`` is None where nobody knows how many were dealt."""
    if units is None:
        return Health(True, "", math.nan, math.nan, counted.crossed, counted.bots, counted.limits)
    seen = [units.get(arm, 0) for arm in shares]
    split = check_split(seen, list(shares.values()), _SPLIT)
    at_any_look = split_at_any_look(seen, list(shares.values()))
    reason = ""
    # Who watches would find a split of one in a thousand some day.
    if split.p < _SPLIT if once else at_any_look < _SPLIT_ANY_LOOK:
        expected = ", ".join(
            f"{arm} {n:,} of {e:,.0f}"
            for arm, n, e in zip(shares, seen, split.expected, strict=True)
        )
        reason = f"the split is not as planned ({expected}): units are missing from an arm"
    crossed = counted.crossed / max(counted.crossed + sum(seen), 1)
    if not reason and crossed > _MANY_CROSSED:
        reason = (
            f"{counted.crossed:,} units ({crossed:.1%}) are in several arms: the assignment is "
            "broken, and who is left is not a random part"
        )
    return Health(
        ok=not reason,
        reason=reason,
        split_p=split.p,
        split_p_any_look=at_any_look,
        crossed=counted.crossed,
        bots=counted.bots,
        limits=counted.limits,
    )


def _warnings(
    table: Table,
    counted: Counted,
    metrics: Sequence[Metric],
    groups: Sequence[Mapping[str, Moments]],
    plan: int | None,
    counts: bool,
    confidence: float,
) -> Iterator[str]:
    for metric, arms in zip(metrics, groups, strict=True):
        for arm, moments in arms.items():
            most = max(moments.largest[: 1 + ("denominator" in moments.columns)], default=0.0)
            if most > max(_HEAVY, _UNEQUAL / max(moments.units, 1)):
                yield (
                    f"{metric.name}: one unit holds {most:.1%} of arm {arm} before the cap; look "
                    "whether that is a shopper"
                )
    if counted.bots:
        limits = ", ".join(f"{name} over {limit:,.0f}" for name, limit in counted.limits.items())
        yield f"{counted.bots:,} units were left out as no shopper does that: {limits}"
    if counted.crossed:
        yield f"{counted.crossed:,} units were seen in several arms and left out"
    if table.other_policies:
        number = 1 + len(table.other_policies)
        yield (
            f"only policy {table.policy}; {', '.join(table.other_policies)} are not in it: each "
            f"version is a test of its own (--policy), with a chance of error of its own: "
            f"{1 - confidence:.0%} each, and of any of {number} up to "
            f"{1 - confidence**number:.0%}"
        )
    if counts and "unit" not in table.roles:
        yield (
            "the split is not checked: trials are not what was dealt to the arms; say in which "
            "column the number of units is, --map unit=…"
        )
    if counts:
        yield (
            "each trial is taken as a unit of its own: where shoppers have several, the interval "
            "is too narrow; give a row per impression with its shopper"
        )
    if plan is None:
        yield (
            "no plan: the interval is narrowest at 10,000 units; give --plan before the first look"
        )

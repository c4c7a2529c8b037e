"""A/B tests from plan to end: their records, what they wait for, and why they stop."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Self

from persona_img import wiring
from persona_img.errors import (
    InvalidInput,
    NotEnoughData,
    NotFound,
    PersonaImgError,
    StoreConflict,
    StoreFailed,
)
from persona_img.shop.readings import Readings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from persona_img.abtest.arrivals import Arrivals
    from persona_img.abtest.before import Before
    from persona_img.abtest.design import Baseline
    from persona_img.abtest.record import Record
    from persona_img.abtest.records import Reason, Started, Stopped
    from persona_img.abtest.report import ABReport

_WEEK = 7
_DAY = 86_400.0
_LEAST, _MOST = 0.01, 1e10
"""New shoppers a day."""
_LONGEST = 3650


@dataclass(frozen=True)
class Standing:
    """Where a test stands.

    Attributes:
        name: Its name.
        state: ``planned``, ``running``, ``stopped``, or ``broken``: its record cannot be read.
        record: As it started, or as its file says; None where broken.
        started: None before.
        stopped: None before.
        report: What its impressions say, of all policies; None where nothing was shown, and of
            tests that do not run.
        days_left: To the horizon, 0 when it is over; None where it does not run.
        met: Rules to stop that are met, harm first, each with what says so.
        health: Whether it may be read, in a word or two.
    """

    name: str
    state: Literal["planned", "running", "stopped", "broken"]
    record: Record | None = None
    started: Started | None = None
    stopped: Stopped | None = None
    report: ABReport | None = None
    days_left: float | None = None
    met: Mapping[Reason, str] = field(default_factory=dict)
    health: str = ""

    @property
    def shoppers(self) -> int:
        """Exposed, all arms together; of a stopped test those it ended with."""
        if self.stopped is not None:
            return self.stopped.shoppers
        return 0 if self.report is None else sum(arm.shoppers for arm in self.report.arms)

    @property
    def verdict(self) -> str:
        """On the primary metric; empty where nothing was shown."""
        if self.stopped is not None:
            return self.stopped.verdict
        return "" if self.report is None else self.report.comparisons[0].verdict


class Testing(Readings):
    """Records of A/B tests."""

    def baseline(self) -> Baseline:
        """CTR in control over the whole log, clustered by shopper.

        Raises:
            NotFound: nothing was served from this home yet.
            NotEnoughData: fewer than two shoppers of control, or no click.
        """
        from persona_img.abtest.design import Baseline

        return Baseline.measured(self.feedback(), self.settings.test.name)

    def arrivals(self) -> Arrivals:
        """When shoppers came to the shop's test.

        Raises:
            NotFound: nothing was served from this home yet.
            NotEnoughData: less than a day of it.
        """
        from persona_img.abtest.arrivals import Arrivals

        return Arrivals.of(self.feedback(), self.settings.test.name)

    def plan_test(
        self,
        name: str,
        hypothesis: str,
        *,
        lift: float | None = None,
        shoppers: int | None = None,
        days: float | None = None,
        baseline: Baseline | None = None,
        shoppers_per_day: float | None = None,
        power: float = 0.8,
        horizon_days: int | None = None,
        history: str | None = None,
        **said: Any,
    ) -> Record:
        """Write a test's record, with its size and how long that takes.

        What is not given is measured in the shop's own feedback. A record that has not started is
        written anew.

        Args:
            name: Of the test.
            hypothesis: What is expected, and why.
            lift: The smallest relative lift that matters; or ``shoppers``; or ``days``.
            shoppers: Instead, how many there will be, all arms together.
            days: Instead, how long there is.
            baseline: The primary metric in control; None for what was measured.
            shoppers_per_day: New shoppers a day, all arms together; None for how they came.
            power: Chance to find the lift.
            horizon_days: When it ends at the latest; None for whole weeks, two at least.
            history: Test whose feedback is measured; None for the shop's.
            **said: What else a :class:`~persona_img.abtest.record.Record` says.

        Raises:
            InvalidInput: a value breaks a rule; not just one of lift, shoppers and days.
            NotFound: nothing was served yet, and a number is missing.
            NotEnoughData: the feedback does not tell a number that is missing.
            StoreConflict: the test has started.
        """
        from persona_img.abtest.record import Record, Size

        if shoppers_per_day is not None and not _LEAST <= shoppers_per_day <= _MOST:
            raise InvalidInput(
                f"shoppers_per_day {shoppers_per_day}: give a number from {_LEAST:g} to {_MOST:g}"
            )
        if days is not None and not 1 <= days <= _LONGEST:
            raise InvalidInput(f"days {days}: give a number from 1 to {_LONGEST}")
        if sum(one is not None for one in (lift, shoppers, days)) != 1:
            raise InvalidInput(
                "give one of the lift to be found, the shoppers there will be, and the days there "
                "are"
            )
        share = self.settings.test.personalized_share
        values = {
            "name": name,
            "hypothesis": hypothesis,
            "arms": {"control": 1 - share, "personalized": share},
            "verdict": "any look" if self.settings.test.always_valid else "one look",
            "attribution_days": self.settings.test.attribution_days,
        } | {key: value for key, value in said.items() if value is not None}
        draft = Record.of(values | {"minimal_effect": 0.01 if lift is None else lift}, "plan")
        told = self if history is None else self._asked_about(history)
        log = None if baseline is not None else told._before(draft)
        come = told._came() if shoppers_per_day is None else None

        def days_for(many: int) -> int:
            return come.days_for(many) if come is not None else _days(many, shoppers_per_day)

        if days is not None:
            shoppers = (
                come.shoppers_in(days) if come is not None else int(days * (shoppers_per_day or 0))
            )
        try:
            if log is None:
                assert baseline is not None
                before, basis = baseline, "given"
            elif shoppers is not None:
                before, basis = log.over(draft, days_for(shoppers))
            else:
                before, basis = log.to_find(draft, power, days_for)
        except NotEnoughData as error:
            raise _no_history(draft.primary, error) from error
        if lift is None:
            assert shoppers is not None
            lift = draft.finds(before, shoppers, power)
        else:
            shoppers = draft.needed(before, power)
        takes = days_for(shoppers)
        weeks = max(2, -(-takes // _WEEK))  # whole ones: days of the week differ
        plan = Size(
            baseline=before.ctr,
            variance=before.variance,
            rate=before.rate,
            power=power,
            shoppers=shoppers,
            smallest_effect=draft.finds(before, shoppers, power),
            days=takes,
            basis=basis
            + ("; shoppers a day as given" if come is None else "; shoppers as they came then"),
            metric=draft.primary,
            cap_of_ratio=draft.cap_of_ratio,
            cap_of_mean=draft.cap_of_mean,
            bot_filter=draft.bot_filter,
            attribution_days=draft.attribution_days,
        )
        whole = values | {
            "minimal_effect": lift,
            "horizon_days": weeks * _WEEK if horizon_days is None else horizon_days,
            "plan": plan.model_dump(),
        }
        record = Record.of(whole, "plan")
        record.check_start()
        self.records.save(record)
        return record

    def start_test(self, name: str | None = None) -> Started:
        """Freeze a test's record, and keep it in the tracker with its digest.

        What is shown from this moment on counts, and is read as the record says.

        Args:
            name: The test; None for the shop's.

        Raises:
            InvalidInput: it has no plan that fits, or the shop serves another test or other shares.
            NotFound: it has no record.
            StoreConflict: it started before.
        """
        from persona_img.abtest.records import start_digest

        name = self.settings.test.name if name is None else name
        record = self.records.load(name)
        if self.records.started(name) is not None:
            self.records.save(record)  # refused, and says why
        record.check_start()
        serves = self.settings.test
        if name != serves.name:
            raise InvalidInput(
                f"test {name!r}: the shop serves {serves.name!r}; set [test] name = {name!r} in "
                "its persona-img.toml, and start the service again"
            )
        dealt = wiring.arms(self.settings).shares
        if {arm: round(s, 9) for arm, s in record.arms.items()} != {
            arm: round(s, 9) for arm, s in dealt.items()
        }:
            raise InvalidInput(
                f"test {name}: arms {record.arms}, and the shop deals {dict(dealt)}; set [test] "
                "personalized_share, or plan with what is dealt"
            )
        now = datetime.now(UTC)
        digest, moment = start_digest(record, now), {"started_at": now.isoformat()}
        run = self.tracker.log_report(
            record.model_dump(mode="json") | {"digest": digest} | moment,
            experiment=name,
            run_name="start",
            params=record.flat() | moment,
            tags={"record": digest},
            artifacts={f"{name}.toml": self.records.path(name)},
        )
        return self.records.start(record, run=run, now=now)

    def stop_test(
        self,
        name: str | None = None,
        *,
        because: Reason | None = None,
        note: str = "",
        now: datetime | None = None,
    ) -> Stopped:
        """End a test, and keep why.

        What is shown later does not count. Pictures are served on: see ``persona-img halt``.

        Args:
            name: The test; None for the shop's.
            because: Why; None for the first of the record's rules that is met.
            note: What to remember of it; needed ``by hand``.
            now: The moment, with a time zone; None for now.

        Raises:
            InvalidInput: a reason that is not met, or none of them and no note.
            NotFound: it has no record, or has not started.
            StoreConflict: it was stopped before.
            StoreFailed: its record cannot be read.
        """
        from persona_img.abtest.records import Stopped

        name = self.settings.test.name if name is None else name
        moment = now or datetime.now(UTC)
        found = self.standing(name, now=moment)
        if found.state == "broken":
            raise StoreFailed(found.health)
        if found.started is None:
            raise NotFound(f"test {name}: it has not started; `persona-img test start {name}`")
        if found.stopped is not None:
            raise StoreConflict(
                f"test {name}: it was stopped {found.stopped.stopped_at:%F %R} UTC "
                f"({found.stopped.reason})"
            )
        met = "; ".join(f"{why}: {told}" for why, told in found.met.items()) or "none is met"
        reasons: list[Reason] = [*found.met, "by hand"]
        reason: Reason = reasons[0] if because is None else because
        if reason == "by hand":
            if not note.strip():
                raise InvalidInput(
                    f"test {name}: of its rules to stop {met}; to stop it by hand say why, --note …"
                )
        elif reason not in found.met:
            raise InvalidInput(
                f"test {name}: {reason} is not met ({met}); stop it --because 'by hand' with a "
                "--note, or go on"
            )
        report = found.report
        run = self.tracker.log_report(
            {} if report is None else report.to_dict(),
            metrics={} if report is None else report.metrics(),
            experiment=name,
            run_name=f"stop: {reason}",
            params={"reason": reason, "note": note, "met": met, "stopped_at": moment.isoformat()},
            tags={"record": found.started.digest},
        )
        stopped = Stopped(moment, reason, note, found.verdict, found.shoppers, run)
        self.records.stop(name, stopped)
        return stopped

    def standings(self, *, now: datetime | None = None) -> list[Standing]:
        """Where every test stands that has a record, running ones first, then by name."""
        order = ("running", "planned", "broken", "stopped")
        found = [self.standing(name, now=now) for name in self.records.names()]
        return sorted(found, key=lambda one: (order.index(one.state), one.name))

    def standing(self, name: str | None = None, *, now: datetime | None = None) -> Standing:
        """Where a test stands.

        Args:
            name: The test; None for the shop's.
            now: The moment, with a time zone; None for now.

        Raises:
            InvalidInput: ``now`` has no time zone.
            NotFound: it has no record.
        """
        from persona_img.abtest.stopping import ends_at, rules_met

        name = self.settings.test.name if name is None else name
        moment = now or datetime.now(UTC)
        if moment.tzinfo is None:
            raise InvalidInput(f"now {moment}: give it a time zone, as datetime.now(UTC) has")
        try:
            started, stopped = self.records.started(name), self.records.stopped(name)
            record = self.records.load(name) if started is None else started.record
        except NotFound:
            raise
        except PersonaImgError as error:
            return Standing(name, "broken", health=str(error))
        if started is None:
            return Standing(name, "planned", record, health="not started")
        if stopped is not None:
            return Standing(name, "stopped", record, started, stopped, health=stopped.reason)
        report, health = self._asked_about(name)._read_now()
        left = max((ends_at(started) - moment).total_seconds() / _DAY, 0.0)
        met = rules_met(started, report, moment)
        return Standing(name, "running", record, started, None, report, left, met, health)

    def _read_now(self) -> tuple[ABReport | None, str]:
        """What the test says, and whether that may be read."""
        try:
            report, _, _ = self.read()
        except (NotFound, NotEnoughData):
            return None, "nothing shown yet"
        if report.sample_ratio.ok is False:
            return report, "the split fails"
        if report.record is not None and report.record.changed:
            return report, "record changed after the start"
        return report, "ok"

    def _asked_about(self, name: str) -> Self:
        """The same shop, asked about another test of its own."""
        if name == self.settings.test.name:
            return self
        test = self.settings.test.model_copy(update={"name": name})
        return type(self)(self.settings.model_copy(update={"test": test}), self.workspace)

    def _before(self, draft: Record) -> Before:
        from persona_img.abtest.before import Before

        counted = self._counted | {"within": draft.attribution_days * _DAY}
        try:
            return Before(self._history().frame(**counted), self.settings.test.name)
        except NotFound as error:
            raise _no_history(draft.primary, error) from error

    def _came(self) -> Arrivals:
        try:
            return self.arrivals()
        except NotFound as error:
            raise NotFound(f"{error}; or say how many shoppers come: --shoppers-per-day") from error


def _no_history(primary: str, error: PersonaImgError) -> PersonaImgError:
    return type(error)(
        f"no history to plan {primary.partition('=')[0]} from ({error}); give the numbers: "
        "--baseline, --impressions and --design-effect, or --variance, and --shoppers-per-day"
    )


def _days(shoppers: int, a_day: float | None) -> int:
    assert a_day is not None  # or it is known how they came
    return max(1, math.ceil(shoppers / a_day))

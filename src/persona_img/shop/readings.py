"""What the A/B test's feedback says, by the test's record where it has one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from persona_img import loop
from persona_img.errors import InvalidInput, NotEnoughData
from persona_img.shop.feedback import Feedback

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    import pandas as pd

    from persona_img.abtest.analysis import ABTest
    from persona_img.abtest.records import Started
    from persona_img.abtest.report import ABReport, RecordNote


class Readings(Feedback):
    """The analysis of the A/B test."""

    def read(
        self,
        *,
        policy: str | None = None,
        since: datetime | None = None,
        planned: int | None = None,
        always_valid: bool | None = None,
        by_segment: bool = False,
    ) -> tuple[ABReport, ABTest, pd.DataFrame]:
        """What the A/B test's feedback says; nothing is logged.

        Where the test runs by a record, that says what decides and how it is read, and what was
        shown before it started, after it was stopped or beyond its horizon does not count. Its
        verdict is of all policies together, for a test has one chance of error however many were
        served; of one among several everything is exploratory.

        Args:
            policy: As for :meth:`feedback`.
            since: As for :meth:`feedback`; not where a record says it.
            planned: Exposed shoppers at which the test is to be read; None for the settings'.
            always_valid: Verdicts by the interval that holds at every look; None for the settings'.
            by_segment: Also compare within each segment.

        Returns:
            The report, how it was read, and of what.

        Raises:
            InvalidInput: ``since``, ``planned`` or ``always_valid`` where a record has said it.
            NotFound: nothing was served from this home yet.
            NotEnoughData: no impression of this test.
        """
        import pandas as pd

        started, test, until = self.record, self.ab_test, None
        others: list[str] = []
        if started is None:
            test = replace(
                test,
                planned_shoppers=test.planned_shoppers if planned is None else planned,
                always_valid=test.always_valid if always_valid is None else always_valid,
            )
        else:
            if any(said is not None for said in (since, planned, always_valid)):
                raise InvalidInput(
                    f"test {test.name}: it runs by record {started.digest[:12]}, which says how it "
                    f"is read (since {started.started_at:%F %R} UTC, plan "
                    f"{test.planned_shoppers:,}, {started.record.verdict}); leave since, plan and "
                    "look out"
                )
            since, until = self.window
            if policy is not None:
                plan = self.plan_named(policy)
                others = [one for one in self.seen_policies(since, until) if one != plan]
        feedback = self.feedback(policy=policy, since=since, until=until)
        if test.holdout is not None:
            held = self.holdout_feedback(policy=policy, since=since, until=until)
            feedback = pd.concat([feedback, held], ignore_index=True) if len(held) else feedback
        if started is not None and feedback.empty:
            raise NotEnoughData(
                f"test {test.name}: no impression between its start, {started.started_at:%F %R} "
                "UTC, and its end"
            )
        test = replace(test, joined=self._joined())
        report = test.analyze(feedback, simulated=self.simulated, by_segment=by_segment)
        if started is not None:
            report = replace(report, record=self._noted(started))
        if others:
            report = report.exploratory(
                f"only policy {policy} of a test that served {', '.join(others)} too: its verdict "
                "is of all of them together (`persona-img analyze`)"
            )
        return report, test, feedback

    @property
    def window(self) -> tuple[datetime | None, datetime | None]:
        """The moments between which impressions count: where a record says it, else all do."""
        from persona_img.abtest.stopping import ends_at

        started = self.record
        if started is None:
            return None, None
        ended = self.records.stopped(started.record.name)
        last = ends_at(started)
        return started.started_at, last if ended is None else min(last, ended.stopped_at)

    def analyse(
        self,
        *,
        policy: str | None = None,
        since: datetime | None = None,
        run_name: str | None = None,
        artifacts: Mapping[str, Path] | None = None,
        planned: int | None = None,
        always_valid: bool | None = None,
        by_segment: bool = False,
    ) -> tuple[ABReport, str]:
        """The A/B test by shopper, logged as a run.

        Args:
            policy: As for :meth:`feedback`.
            since: As for :meth:`feedback`.
            run_name: What a reader of the runs sees.
            artifacts: Files kept with the run, by name.
            planned: As for :meth:`read`.
            always_valid: As for :meth:`read`.
            by_segment: Also compare within each segment.

        Returns:
            The report and the run's id.

        Raises:
            InvalidInput: As for :meth:`read`.
            NotFound: As for :meth:`read`.
            NotEnoughData: As for :meth:`read`.
        """
        report, test, feedback = self.read(
            policy=policy, since=since, planned=planned, always_valid=always_valid,
            by_segment=by_segment,
        )  # fmt: skip
        run = loop.log_analysis(
            report,
            test,
            feedback,
            self.tracker,
            run_name=run_name or f"analyze {policy or 'all'}",
            artifacts=artifacts,
        )
        return report, run

    def _noted(self, started: Started) -> RecordNote:
        from persona_img.abtest.report import RecordNote

        record, chosen = started.record, self.settings.test
        plan = record.plan
        assert plan is not None  # or it had not started
        says = (
            f"{record.primary.split('=')[0]} decides, by {record.verdict}; "
            f"{plan.shoppers:,} shoppers planned, {record.minimal_effect:+.1%} matters"
        )
        settings = {
            "planned_shoppers": (chosen.planned_shoppers, plan.shoppers),
            "always_valid": (chosen.always_valid, record.verdict == "any look"),
            "personalized_share": (chosen.personalized_share, record.arms["personalized"]),
            "attribution_days": (chosen.attribution_days, record.attribution_days),
        }
        ended = self.records.stopped(record.name)
        stopped = ""
        if ended is not None:
            stopped = f"{ended.stopped_at:%F %R} UTC: {ended.reason}" + (
                f", {ended.note}" if ended.note else ""
            )
        return RecordNote(
            digest=started.digest,
            says=says,
            started_at=started.started_at.isoformat(timespec="seconds"),
            stopped=stopped,
            changed=self.records.changed(started),
            overruled=tuple(
                f"[test] {name} = {said}"
                for name, (said, counts) in settings.items()
                if said is not None and said != counts and name in chosen.model_fields_set
            ),
        )

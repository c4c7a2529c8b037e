"""What came back, and what people look at."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from persona_img import loop, wiring
from persona_img.domain.decision import plan_of
from persona_img.errors import NotEnoughData, NotFound
from persona_img.shop.stores import Stores

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    import pyarrow as pa

    from persona_img.abtest.design import Baseline
    from persona_img.abtest.report import ABReport
    from persona_img.ranking.base import Ranker
    from persona_img.reports.rounds import Round
    from persona_img.serving.archive import Archived
    from persona_img.serving.history import History


class Results(Stores):
    """Feedback, the analysis of the A/B test, pages."""

    def feedback(self, *, policy: str | None = None, since: datetime | None = None) -> pd.DataFrame:
        """Counted impressions of the A/B test.

        Args:
            policy: Only those decided by this plan or a revision of it; ``last`` for the one that
                is served.
            since: Only those shown from this moment on.

        Returns:
            Columns of :data:`persona_img.domain.feedback.FEEDBACK_COLUMNS`.

        Raises:
            NotFound: nothing was served from this home yet.
        """
        return self._history().frame(plan=self._plan(policy), since=since, **self._counted)

    def holdout_feedback(
        self, *, policy: str | None = None, since: datetime | None = None
    ) -> pd.DataFrame:
        """Counted impressions of the holdout: photos, of shoppers who are in no test.

        They are in no other feedback, so nothing is learned from them.

        Args:
            policy: As for :meth:`feedback`: what was served to others then.
            since: As for :meth:`feedback`.

        Raises:
            NotFound: nothing was served from this home yet.
        """
        counted = self._counted | {"test": self.settings.test.holdout_name}
        return self._history().frame(plan=self._plan(policy), since=since, **counted)

    def feedback_batches(
        self,
        *,
        policy: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """The same in pieces, for what does not fit: memory does not grow with the impressions.

        Days come in order; within a day, rows in that of arrival.

        Args:
            policy: As for :meth:`feedback`.
            since: As for :meth:`feedback`.
            until: Only those shown up to this moment.

        Yields:
            Columns of :data:`persona_img.domain.feedback.FEEDBACK_COLUMNS`; names are dictionaries.

        Raises:
            NotFound: nothing was served from this home yet.
        """
        plan = self._plan(policy)
        return self._history().batches(plan=plan, since=since, until=until, **self._counted)

    def archive(self, *, now: datetime | None = None) -> Archived:
        """Bring what came back into the archive by day, and take what is old out of the log.

        Safe to call at any time, from several processes. Nothing that is read of feedback changes;
        it is only read faster.

        Args:
            now: Moment that ``[keep] raw_days`` are counted back from, with a time zone; None for
                now.

        Raises:
            NotFound: nothing was served from this home yet.
            StoreConflict: the archive is of another log.
            StoreFailed: the archive or the log cannot be read.
        """
        days = self.settings.keep.raw_days
        forget = (now or datetime.now(UTC)) - timedelta(days=days) if days else None
        return self._history().archive(forget=forget)

    def check_archive(self) -> tuple[int, int]:
        """Read every file of the archive to its end.

        Returns:
            Files and impressions.

        Raises:
            NotFound: nothing was served from this home yet.
            StoreFailed: a file is not what was written.
        """
        manifest = self._history().verified()
        return len(manifest.files), manifest.rows

    def _history(self) -> History:
        url = self.settings.stores.events_url
        if url is None and not self.workspace.events.exists():
            raise NotFound(f"{self.workspace.events}: no events yet; run `persona-img serve`")
        wiring.event_log(self.workspace, url).close()  # brought up to date, where it is older
        return wiring.history(self.workspace, url)

    @property
    def _counted(self) -> dict[str, Any]:
        """Which impressions, and which clicks of them."""
        test = self.settings.test
        return {"test": test.name, "within": test.attribution_days * 86400}

    def _plan(self, policy: str | None) -> str | None:
        """Whose impressions are meant; None for all."""
        if policy is None:
            return None
        # The table that is served says which is newest; clients' clocks do not.
        return plan_of(self.table.policy_version if policy == "last" else policy)

    def mature_feedback(self, now: datetime | None = None) -> pd.DataFrame:
        """Counted impressions that are old enough to be learned from.

        An impression that was shown just now has no click because there was no time for one.

        Args:
            now: Moment that ``[learn] maturity_minutes`` are counted back from; None for now.

        Raises:
            NotFound: nothing was served from this home yet.
        """
        waiting = timedelta(minutes=self.settings.learn.maturity_minutes)
        until = (now or datetime.now(UTC)) - waiting
        return self._history().frame(until=until, **self._counted)

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
            planned: Exposed shoppers at which the test is to be read; None for the settings'.
            always_valid: Verdicts by the interval that holds at every look; None for the settings'.
            by_segment: Also compare within each segment.

        Returns:
            The report and the run's id.
        """
        chosen = self.settings.test
        import pandas as pd

        feedback = self.feedback(policy=policy, since=since)
        held_out = wiring.holdout(self.settings)
        if held_out is not None:
            held = self.holdout_feedback(policy=policy, since=since)
            feedback = pd.concat([feedback, held], ignore_index=True) if len(held) else feedback
        return loop.analyse(
            feedback,
            wiring.arms(self.settings),
            self.tracker,
            simulated=self.simulated,
            run_name=run_name or f"analyze {policy or 'all'}",
            artifacts=artifacts,
            planned=chosen.planned_shoppers if planned is None else planned,
            always_valid=chosen.always_valid if always_valid is None else always_valid,
            by_segment=by_segment,
            holdout=held_out,
        )

    def seen_policies(self) -> list[str]:
        """Plans of which an impression came back, in the order in which they were published.

        Raises:
            NotFound: nothing was served from this home yet.
        """
        seen: set[str] = set()
        for batch in self.feedback_batches():
            seen.update(map(plan_of, batch["policy_version"].unique().to_pylist()))
        known = [plan for plan in self.policies if plan in seen]
        return sorted(seen.difference(known)) + known

    def baseline(self) -> Baseline:
        """CTR of the test's control, as measured: what a next test is planned from.

        Raises:
            NotFound: nothing was served from this home yet.
            NotEnoughData: fewer than two shoppers of control, or no click.
        """
        from persona_img.abtest.design import Baseline

        return Baseline.measured(self.feedback(), self.settings.test.name)

    def sheet(self, path: Path | None = None, *, liked_by: Ranker | None = None) -> Path:
        """Each product's photo beside the variant each segment sees most, as one picture.

        Args:
            path: Where to; ``sheet.jpg`` in the shop's folder if left out.
            liked_by: Shows what this ranker likes best for each segment instead, of the variants
                that are served; it need not have been promoted.
        """
        from persona_img.reports.rounds import write_sheet

        path = path or self.workspace.root / "sheet.jpg"
        table, store = self.table, self.variants
        return write_sheet(path, self.catalog, self.profiled, table, store, liked_by)

    def report(self, path: Path | None = None, rounds: Sequence[Round] | None = None) -> Path:
        """One self-contained page: outcome, evidence, pictures.

        Args:
            path: Where to; ``report.html`` in the shop's folder if left out.
            rounds: What is shown; None for one round per policy version that has impressions.

        Raises:
            NotEnoughData: no impression came back yet.
        """
        from persona_img.reports.rounds import Promotion, write_report

        refused = self.workspace.json("refused") if self.workspace.has_json("refused") else []
        promotion = None
        if self.workspace.has_json("promotion"):
            last = self.workspace.json("promotion")
            promotion = Promotion(last["promote"], last["reason"])
        return write_report(
            path or self.workspace.root / "report.html",
            self._rounds() if rounds is None else rounds,
            promotion,
            [tuple(row) for row in refused],
            self.catalog,
            self.variants,
            self.workspace.root,
        )

    def _rounds(self) -> list[Round]:
        from persona_img.reports.rounds import Round

        served = self.seen_policies()
        rounds: list[Round] = []
        for table in self.workspace.decision_tables():
            if table.policy_version in served:  # of a plan its first table, not every revision
                version = table.policy_version
                report, run = self.analyse(policy=version, run_name=f"report {version}")
                feedback = self.feedback(policy=version)
                rounds.append(Round(len(rounds) + 1, version, report, run, {}, table, feedback))
        if not rounds:
            raise NotEnoughData("no impression came back yet; a report has nothing to tell")
        return rounds

"""What came back: impressions with their clicks, of the log and the archive as one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from persona_img import wiring
from persona_img.domain.decision import plan_of
from persona_img.errors import NotFound
from persona_img.shop.stores import Stores

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    import pandas as pd
    import pyarrow as pa

    from persona_img.serving.archive import Archived
    from persona_img.serving.history import History


class Feedback(Stores):
    """Impressions and what became of them."""

    def feedback(
        self,
        *,
        policy: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> pd.DataFrame:
        """Counted impressions of the A/B test.

        Args:
            policy: Only those decided by this plan or a revision of it; ``last`` for the one that
                is served.
            since: Only those shown from this moment on.
            until: Only those shown up to this moment.

        Returns:
            Columns of :data:`persona_img.domain.feedback.FEEDBACK_COLUMNS`.

        Raises:
            NotFound: nothing was served from this home yet.
        """
        plan = self._plan(policy)
        return self._history().frame(plan=plan, since=since, until=until, **self._counted)

    def holdout_feedback(
        self,
        *,
        policy: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> pd.DataFrame:
        """Counted impressions of the holdout: photos, of shoppers who are in no test.

        They are in no other feedback, so nothing is learned from them.

        Args:
            policy: As for :meth:`feedback`: what was served to others then.
            since: As for :meth:`feedback`.
            until: As for :meth:`feedback`.

        Raises:
            NotFound: nothing was served from this home yet.
        """
        counted = self._counted | {"test": self.settings.test.holdout_name}
        plan = self._plan(policy)
        return self._history().frame(plan=plan, since=since, until=until, **counted)

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

    def seen_policies(
        self, since: datetime | None = None, until: datetime | None = None
    ) -> list[str]:
        """Plans of which an impression came back, in the order in which they were published.

        Args:
            since: As for :meth:`feedback`.
            until: As for :meth:`feedback`.

        Raises:
            NotFound: nothing was served from this home yet.
        """
        seen: set[str] = set()
        for batch in self.feedback_batches(since=since, until=until):
            seen.update(map(plan_of, batch["policy_version"].unique().to_pylist()))
        known = [plan for plan in self.policies if plan in seen]
        return sorted(seen.difference(known)) + known

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

    def _joined(self, since: datetime | None = None) -> frozenset[str]:
        """Shoppers, as feedback names them, who came under several names.

        Args:
            since: Only those of whom a name was linked from then on; None for all.
        """
        from persona_img.serving.joining import joined_units

        return joined_units(self._history().links(), since=since)

    def _by_profile(self, feedback: pd.DataFrame, known: Container[str]) -> pd.DataFrame:
        """Feedback under the names by which the feature store knows shoppers.

        Args:
            feedback: Of this shop.
            known: Whose profile there is.
        """
        from persona_img.domain.people import Person
        from persona_img.serving.joining import logins_of

        logins = logins_of(self._history().links())
        if not logins:
            return feedback
        name = {
            unit: Person(unit, login, (unit, login)).profile(known)
            for unit, login in logins.items()
        }
        renamed = [name.get(shopper, shopper) for shopper in feedback["shopper"]]
        return feedback.assign(shopper=renamed)

    def _history(self) -> History:
        url = self.settings.stores.events_url
        if url is None and not self.workspace.events.exists():
            raise NotFound(f"{self.workspace.events}: no events yet; run `persona-img serve`")
        wiring.event_log(self.workspace, url).close()  # brought up to date, where it is older
        return wiring.history(self.workspace, url)

    @property
    def _counted(self) -> dict[str, Any]:
        """Which impressions, and which clicks of them."""
        test, started = self.settings.test, self.record
        said = test if started is None else started.record
        return {"test": test.name, "within": said.attribution_days * 86400}

    def plan_named(self, policy: str) -> str:
        """The plan that a name stands for: ``last`` is the one that is served.

        Raises:
            NotFound: nothing was prepared yet.
        """
        # The table that is served says which is newest; clients' clocks do not.
        return plan_of(self.table.policy_version if policy == "last" else policy)

    def _plan(self, policy: str | None) -> str | None:
        """Whose impressions are meant; None for all."""
        return None if policy is None else self.plan_named(policy)

"""Between two trainings: chances follow the evidence, challengers are tried, harm is ended."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from persona_img import loop, wiring
from persona_img.abtest.ramp import STAGES, RampVerdict, judge
from persona_img.domain.decision import Ramp
from persona_img.domain.feedback_table import rewarded
from persona_img.errors import NotFound, StoreConflict
from persona_img.shop.learning import Learning, version_name

if TYPE_CHECKING:
    from collections.abc import Callable

LEARN = "learn"
"""Who withdraws pictures that do harm."""

_TRIES = 5


@dataclass(frozen=True)
class Learnt:
    """What :meth:`Adapting.learn` did.

    Attributes:
        version: Policy version that is served now.
        impressions: Counted since the ranker was fitted, all arms together.
        moved: Slates whose chances changed.
        withdrawn: Product, style and reason of each picture that was withdrawn.
        stopped: Why the test was stopped; empty where it goes on.
        ramp: What became of a challenger on a ramp; empty where none is.
    """

    version: str
    impressions: int
    moved: int
    withdrawn: tuple[tuple[str, str, str], ...] = ()
    stopped: str = ""
    ramp: str = ""


class Adapting(Learning):
    """Chances that follow the evidence."""

    def learn(self, *, now: datetime | None = None) -> Learnt:
        """Move chances by what came back since the ranker was fitted, and take off what does harm.

        The same pictures are shown to whoever has seen one; who comes new is drawn for with the new
        chances. An arm that is worse than the photo for certain stops the test: everybody gets the
        photo at once, whatever the change budget. A picture that is, is withdrawn by ``learn``.

        Safe to call at any time, from several processes: it begins at the ranker's fit, and where
        somebody published meanwhile it begins again from that.

        Args:
            now: Moment of the call, with a time zone; None for now. Impressions that are younger
                than ``[learn] maturity_minutes`` before it wait: their clicks may be under way.

        Raises:
            NotFound: nothing was prepared or served yet.
            StoreConflict: others publish all the time.
        """
        feedback = self.mature_feedback(now)
        tables = self.workspace.decision_tables(of=feedback["policy_version"].unique())
        test = replace(self.ab_test, joined=self._joined())
        for _ in range(_TRIES):
            served, ranker = self.table, self.served_ranker
            if self.stopped:
                return Learnt(served.policy_version, 0, 0, stopped=self.stopped)
            fitted, _ = self.champion() if ranker is None else self._ranker(ranker)
            found = loop.learn(
                self.workspace.plan(served.policy_version),
                served,
                fitted,
                wiring.policy(self.settings),
                feedback,
                test,
                tables=tables,
                since=self._learned_until(ranker),
                revoked=self.workspace.revoked(),
                reward=self.settings.learn.reward,
            )
            try:
                if found.stop:
                    self.workspace.stop(served, found.stop, ranker=ranker)
                elif found.moved:
                    self.workspace.save_decision_table(
                        found.table, ranker=ranker, replacing=served.policy_version
                    )
            except StoreConflict as conflict:
                last = conflict
                continue
            withdrawn = self._withdrawn(found)
            verdict = self.judge_ramp(now=now)
            return Learnt(
                self.table.policy_version,
                found.impressions,
                found.moved,
                withdrawn,
                found.stop,
                "" if verdict is None else f"{verdict.action}: {verdict.reason}",
            )
        raise last

    def ramp(
        self,
        version: int,
        *,
        share: float = STAGES[0],
        now: datetime | None = None,
        anyway: bool = False,
        on_planned: Callable[[int], None] = lambda _: None,
        on_done: Callable[[loop.Rendered], None] = lambda _: None,
    ) -> loop.Prepared:
        """Plan with a registered ranker, and show that to a part of the personalized arm.

        The others go on with what is served. :meth:`learn` and :meth:`judge_ramp` widen the ramp,
        promote the ranker with its table, or halt it.

        Args:
            version: Of the challenger.
            share: Of the arm's shoppers; from the last stage on it is read at the planned end.
            now: Moment the stage begins, with a time zone; None for now.
            anyway: Also where the evidence of its training speaks against it.
            on_planned: As for :meth:`prepare`.
            on_done: As for :meth:`prepare`.

        Raises:
            NotFound: no such version, or nothing is served yet.
            StoreConflict: it is champion, another ramp is under way, or it was not admitted.
        """
        _ = self.table
        if version == self.tracker.champion():
            raise StoreConflict(f"version {version} is champion already; `prepare` plans with it")
        if self.workspace.ramp_stage() is not None:
            raise StoreConflict("a challenger is on a ramp already; let it end, or halt it")
        last = self.workspace.json("promotion") if self.workspace.has_json("promotion") else {}
        if last.get("version") == version and not last.get("admit", True) and not anyway:
            raise StoreConflict(f"version {version} was not admitted: {last['reason']}")
        ranker, name = self._ranker(version)
        named = version_name(f"{name}-ramp")
        prepared = self._planned(ranker, self._leaning(version), named, on_planned, on_done)
        self.workspace.begin_ramp(
            prepared.table, ranker=version, share=share, now=now or datetime.now(UTC)
        )
        return prepared

    def judge_ramp(self, *, now: datetime | None = None) -> RampVerdict | None:
        """What became of the challenger on the ramp, and what follows: done at once.

        Args:
            now: As for :meth:`learn`.

        Returns:
            The verdict; None where there is no ramp.

        Raises:
            StoreConflict: somebody else moved the ramp meanwhile.
        """
        stage = self.workspace.ramp_stage()
        if stage is None:
            return None
        if self.table.plan == stage.plan:
            # Stopped between two steps of a promotion: it goes on.
            verdict = RampVerdict("promote", "its table is served already")
        else:
            feedback = rewarded(self.mature_feedback(now), self.settings.learn.reward)
            verdict = judge(
                feedback[feedback["shown_at"] >= stage.since],
                Ramp(self.workspace.plan(stage.plan), stage.share),
                self.settings.test.name,
                planned=self.settings.test.ramp_impressions,
                joined=self._joined(stage.since),
            )
        if verdict.action == "widen":
            share = next(wider for wider in STAGES if wider > stage.share)
            self.workspace.widen_ramp(stage, share=share, now=now or datetime.now(UTC))
        elif verdict.action == "promote":
            # The table first: stopped in between, the same call goes on from there.
            self.workspace.finish_ramp(stage)
            self.promote(stage.ranker)
            self._told(stage.ranker, verdict.reason, promote=True, admit=True)
            self.workspace.end_ramp(stage, keep=True)
        elif verdict.action == "halt":
            self._told(stage.ranker, verdict.reason, promote=False, admit=False)
            self.workspace.end_ramp(stage, keep=False)
        if verdict.action != "wait":
            self._logged(stage.ranker, stage.share, verdict)
        return verdict

    def halt_ramp(self) -> int:
        """End the ramp: its pictures are not kept, and everybody gets what is served.

        Returns:
            The challenger's version, which stays registered.

        Raises:
            NotFound: there is no ramp.
        """
        stage = self.workspace.ramp_stage()
        if stage is None:
            raise NotFound("no challenger is on a ramp; `persona-img ramp VERSION` begins one")
        self.workspace.end_ramp(stage, keep=False)
        return stage.ranker

    def _logged(self, version: int, share: float, verdict: RampVerdict) -> None:
        said = {"action": verdict.action, "reason": verdict.reason}
        self.tracker.log_report(
            {"version": version, "share": share} | said,
            experiment=self.settings.test.name,
            run_name=f"ramp of version {version} at {share:.0%}: {verdict.action}",
            metrics={"lift": verdict.lift, "lift_low": verdict.low, "lift_high": verdict.high},
            params={"version": version, "share": share},
            tags={"ramp": verdict.action},
        )

    def _withdrawn(self, found: loop.Learned) -> tuple[tuple[str, str, str], ...]:
        done = []
        for one in found.harmful:
            try:
                servable = self.variants.ledger.is_servable(one.digest, one.product)
            except NotFound:  # the log outlives pictures
                continue
            if servable:
                self.variants.ledger.withdraw([one.digest], by=LEARN, reason=str(one))
                done.append((one.product, one.style_key, str(one)))
        return tuple(done)

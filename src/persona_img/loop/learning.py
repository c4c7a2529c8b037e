"""From feedback to what is known: analyse, retrain, learn, and what single shoppers like."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from persona_img.abtest.harm import harm_of_arm, harmful_pictures
from persona_img.domain.decision import DecisionTable, plan_of
from persona_img.domain.feedback_table import as_feedback, rewarded
from persona_img.profiles.traits import trait_names, trait_table
from persona_img.ranking.evidence import revised_slates
from persona_img.ranking.leaning import MOST, Leant, fit_leaning
from persona_img.ranking.own_chances import counted_for_segments
from persona_img.ranking.promotion import PromotionReport, compare
from persona_img.serving.base import PARTIAL
from persona_img.serving.feedback import of_policy

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from pathlib import Path

    import pandas as pd

    from persona_img.abtest.analysis import ABTest
    from persona_img.abtest.harm import Harmful
    from persona_img.abtest.report import ABReport
    from persona_img.loop.profiling import Profiled
    from persona_img.profiles.base import FeatureSource
    from persona_img.ranking.base import Policy, Ranker
    from persona_img.tracking.base import Tracker


def lean(feedback: pd.DataFrame, source: FeatureSource, ranker: Ranker) -> Leant:
    """What single shoppers' traits add to a ranker's predictions.

    Read is what the feature store knew just before each picture was shown: a click, which is dated
    by its impression, is not among what foretells it.

    Args:
        feedback: Counted impressions.
        source: Knows what was known of shoppers.
        ranker: Fitted on the feedback.
    """
    newest = as_feedback(feedback).sort_values("shown_at", kind="stable").tail(MOST)
    newest = newest.reset_index(drop=True)
    before = newest["shown_at"] - timedelta(microseconds=1)
    known = source.historical(newest[["shopper"]].astype(object).assign(event_timestamp=before))
    moments = (before.dt.as_unit("us").astype("int64") / 1e6).tolist()
    return fit_leaning(newest, trait_table(known, trait_names(known), moments), ranker)


def fresh_events(feedback: pd.DataFrame) -> pd.DataFrame:
    """Clicks and purchases of feedback as interactions: shopper, product, kind, occurred_at."""
    acted = feedback[(feedback["clicked"] == 1) | (feedback["converted"] == 1)]
    return acted.assign(
        kind=acted["converted"].map({0: "view", 1: "purchase"}), occurred_at=acted["shown_at"]
    )[["shopper", "product", "kind", "occurred_at"]].reset_index(drop=True)


def log_analysis(
    report: ABReport,
    test: ABTest,
    feedback: pd.DataFrame,
    tracker: Tracker,
    *,
    run_name: str,
    artifacts: Mapping[str, Path] | None = None,
) -> str:
    """Keep what a test's feedback said as a run.

    Args:
        report: What it said.
        test: How it was read.
        feedback: What was read; only its digest is kept.
        tracker: Where the run is kept.
        run_name: What a reader of the runs sees.
        artifacts: Files kept with the run, by name.

    Returns:
        The run's id.
    """
    record = "" if report.record is None else report.record.digest
    return tracker.log_report(
        report.to_dict(),
        metrics=report.metrics(),
        experiment=test.name,
        run_name=run_name,
        params={
            "arms": str(dict(test.arms)),
            "unit": report.unit,
            "primary": str(test.primary),
            "planned_shoppers": test.planned_shoppers,
            "always_valid": test.always_valid,
        },
        tags={"shoppers": report.shoppers_are} | ({"record": record} if record else {}),
        datasets={"feedback": feedback},
        artifacts=artifacts or {},
    )


def retrain(
    feedback: pd.DataFrame,
    profiled: Profiled,
    champion: Ranker,
    make_challenger: Callable[[], Ranker],
    policy: Policy,
    *,
    tables: Iterable[DecisionTable] = (),
    since: datetime | None = None,
    seed: int,
) -> tuple[Ranker, PromotionReport]:
    """A challenger fitted on feedback, and what the evidence says of it.

    The evidence is off-policy and honest: both are judged on what was shown ``since`` the champion
    was fitted, the challenger on shoppers whose impressions of that time it did not see; the one
    that is returned has learned from all of them. ``tables`` are those that were served: they tell
    what could have been shown, and what impressions that were drawn by shoppers' own chances count
    as.
    """
    tables = list(tables)
    report = compare(
        feedback, profiled.features, champion, make_challenger, policy,
        tables=tables, since=since, seed=seed,
    )  # fmt: skip
    counted = counted_for_segments(feedback, tables)
    return make_challenger().fit(counted, profiled.features), report


@dataclass(frozen=True)
class Learned:
    """What came back since the ranker was fitted, and what follows.

    Attributes:
        table: What is to be served from now on; the same where nothing moves.
        impressions: Counted, all arms together.
        moved: Slates whose chances change.
        harmful: Pictures to withdraw.
        stop: Why the test has to stop; empty where it goes on.
    """

    table: DecisionTable
    impressions: int
    moved: int
    harmful: tuple[Harmful, ...] = ()
    stop: str = ""


def learn(
    plan: DecisionTable,
    served: DecisionTable,
    ranker: Ranker,
    policy: Policy,
    feedback: pd.DataFrame,
    test: ABTest,
    *,
    tables: Iterable[DecisionTable] = (),
    since: datetime | None = None,
    revoked: Collection[str] = (),
    reward: str = "click",
) -> Learned:
    """New chances for what is served, from what came back since the ranker was fitted.

    First of all, do no harm: an arm that is worse than the photo for certain stops the test, and a
    picture that is worse than its product's photo is to be withdrawn. Both by intervals that hold
    however often this is called.

    Args:
        plan: What is served, before any revision.
        served: The plan or the revision of it that is served.
        ranker: What planned it, as it was fitted.
        policy: Makes chances of it.
        feedback: Of the test, old enough that clicks have come.
        test: The test.
        tables: What was served: what impressions that were drawn by shoppers' own chances count as.
        since: When the last impression was shown that the ranker was fitted on; None for none.
        revoked: Plans that were rolled back, stopped or halted: what they did is not this plan's.
        reward: What chances follow; harm of a picture is told by clicks, and of the
            arm by clicks and by all that the test decides by and guards.
    """
    feedback = as_feedback(feedback)
    later = feedback if since is None else feedback[feedback["shown_at"] > since]
    stop = harm_of_arm(test, _while_served(feedback, plan.policy_version, revoked))
    if stop:
        return Learned(served, len(later), 0, stop=stop)
    tables = list(tables)
    counted = counted_for_segments(rewarded(later, reward), tables)
    changed = revised_slates(plan, served, ranker, policy, counted)
    table = served.revised(changed) if changed else served
    harmful = harmful_pictures(counted_for_segments(_comparable(feedback, tables), tables))
    return Learned(table, len(later), len(changed), tuple(harmful))


def _comparable(feedback: pd.DataFrame, tables: Iterable[DecisionTable]) -> pd.DataFrame:
    """Impressions of which it is known how often their segment would have seen them.

    Of a slate that a variant was withdrawn from, shoppers' own chances came to the photo from
    there: in part, and by traits.
    """
    own = {f"{table.policy_version}{PARTIAL}" for table in tables if table.personal is not None}
    return feedback[~feedback["policy_version"].isin(own)]


def _while_served(feedback: pd.DataFrame, version: str, revoked: Collection[str]) -> pd.DataFrame:
    """Everybody's impressions since a plan began, whichever picture they kept.

    Who keeps an older picture is not like others. Where a plan came back after a rollback, it
    begins again behind the last impression of the one that was rolled back.
    """
    own = of_policy(feedback, version)["shown_at"].min()
    gone = {v for v in feedback["policy_version"].unique() if plan_of(v) in revoked}
    shown = feedback["shown_at"]
    last = shown[feedback["policy_version"].isin(gone)].max()
    since: pd.DataFrame = feedback[(shown >= own) & ~(shown <= last)]
    return since

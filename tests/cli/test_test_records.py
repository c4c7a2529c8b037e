"""A test from plan to end through the command line, on a small log."""

from __future__ import annotations

import json
import math
import shutil
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from typer.testing import CliRunner

import persona_img as pi
from cli.test_abtest import NOON, SHOPPERS, SOFT, run, shop
from examples import a_showing, happened
from persona_img import wiring
from persona_img.abtest import Baseline
from persona_img.abtest.records import Reason, Started
from persona_img.cli import app
from persona_img.cli.abtest import Because
from persona_img.domain.decision import Candidate, Decision, DecisionTable, Slate
from persona_img.domain.style import ORIGINAL
from persona_img.errors import InvalidInput, NotEnoughData, NotFound, StoreConflict, StoreFailed

served = shop
"""The shop of the other file: twelve hundred shoppers, who came within twenty minutes."""

PLAN = ("--hypothesis", "scenes sell mugs", "--lift", 0.3)
GIVEN = ("--baseline", 0.2, "--shoppers-per-day", 400)


@pytest.fixture
def mine(served: pi.Shop, tmp_path: Path) -> pi.Shop:
    """A copy, in which a test may start and stop."""
    shutil.copytree(served.settings.home, tmp_path / "mine")
    settings = served.settings.model_copy(update={"home": tmp_path / "mine"})
    settings.save()
    return pi.Shop.open(tmp_path / "mine")


def of(shop: pi.Shop, *arguments: object) -> str:
    return run(*arguments, "--home", shop.settings.home)


def begin(shop: pi.Shop, at: datetime) -> Started:
    """Start the test in the past, where its impressions are."""
    return shop.records.start(shop.records.load("hero-image"), run="r", now=at)


def serve_more(shop: pi.Shop, policy: str, at: datetime, shoppers: int, rate: float) -> None:
    """Another policy, of which the pictures are clicked at a rate of their own."""
    slate = Slate((Candidate(ORIGINAL, None, 0.5), Candidate(SOFT, "ab" * 32, 0.5)))
    shop.workspace.save_decision_table(DecisionTable(policy, {("all", "mug"): slate}, {}, "all"))
    arms = shop.arms
    rng = np.random.default_rng(7)
    with closing(wiring.event_log(shop.workspace)) as log:
        events = []
        for number in range(shoppers):
            name = f"{policy}-{number}"
            arm = arms.assign(name)
            style = ORIGINAL if arm == "control" else SOFT
            decision = Decision(
                "hero-image", name, "mug", "all", arm, style.key,
                None if style.is_original else "ab" * 32, 1.0 if arm == "control" else 0.5, policy,
                at.timestamp(),
            )  # fmt: skip
            showing, moment = a_showing(decision), at.timestamp() + number
            events.append(happened(showing, "impression", moment))
            if rng.random() < (0.2 if style.is_original else rate):
                events.append(happened(showing, "click", moment + 1))
        assert log.record_events(events).rejected == 0


DASHBOARD = str(Path(__file__).parents[2] / "dashboards" / "results.py")
LATER = NOON + timedelta(hours=2)


def test_the_one_look_is_of_all_policies_and_of_nothing_that_is_chosen(mine: pi.Shop) -> None:
    of(mine, "test", "plan", "hero-image", *PLAN, *GIVEN, "--one-look")
    begin(mine, NOON)
    alone, _, _ = mine.read(policy="v1")
    assert alone.comparisons == mine.read()[0].comparisons  # the only one that was served
    planned = alone.planned_shoppers
    assert planned is not None
    assert planned > SHOPPERS
    serve_more(mine, "v2", LATER, planned, 0.6)
    pooled, _, _ = mine.read()
    assert pooled.comparisons[0].judged_by == "one look"
    for policy in ("v1", "v2"):
        one, _, _ = mine.read(policy=policy)
        assert {c.verdict for c in (*one.comparisons, *one.guardrails)} <= {
            "exploratory", "undefined"
        }  # fmt: skip
        assert one.comparisons[0].judged_by == ""
        assert "EXPLORATORY" in one.warnings[0]
    with pytest.raises(InvalidInput, match="leave since"):
        mine.read(since=NOON + timedelta(seconds=20))
    said = json.loads(of(mine, "analyze", "--json"))
    assert (said["policy"], said["comparisons"][0]["verdict"]) == (
        "all", pooled.comparisons[0].verdict
    )  # fmt: skip
    (standing,) = mine.standings(now=LATER)
    assert standing.verdict == pooled.comparisons[0].verdict
    assert standing.met["horizon"] == "the planned look was taken"


def test_a_challenger_on_a_ramp_hides_nothing_from_the_list(mine: pi.Shop) -> None:
    of(mine, "test", "plan", "hero-image", *PLAN, *GIVEN)
    begin(mine, NOON)
    (before,) = mine.standings(now=LATER)
    serve_more(mine, "v2", LATER, 20, 0.4)
    (after,) = mine.standings(now=LATER)
    assert (before.shoppers, after.shoppers) == (SHOPPERS, SHOPPERS + 20)


def test_the_page_of_a_shop_with_history_is_of_the_test_alone(mine: pi.Shop) -> None:
    of(mine, "test", "plan", "hero-image", *PLAN, *GIVEN)
    serve_more(mine, "v2", LATER, 300, 0.4)
    begin(mine, LATER + timedelta(seconds=100))
    (only,) = mine._rounds()
    assert (only.version, len(only.feedback)) == ("v2", 200)
    assert only.report.comparisons[0].verdict != "exploratory"


def test_the_dashboard_reads_by_the_record(mine: pi.Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    testing = pytest.importorskip("streamlit.testing.v1")
    of(mine, "test", "plan", "hero-image", *PLAN, *GIVEN)
    serve_more(mine, "v2", LATER, 600, 0.4)
    started = begin(mine, LATER + timedelta(seconds=100))
    mine.stop_test(because="by hand", note="a trial", now=LATER + timedelta(seconds=499))
    monkeypatch.setenv("PERSONA_IMG_HOME", str(mine.settings.home))
    page = testing.AppTest.from_file(DASHBOARD, default_timeout=60).run()
    assert not page.exception
    assert list(page.selectbox[0].options) == ["v2"]
    assert [sum(a.shoppers for a in mine.read()[0].arms)] == [400]
    told = [one.value for one in page.caption]
    assert any(f"record {started.digest[:12]}" in line for line in told)
    assert any("by hand, a trial" in line for line in told)
    assert page.dataframe[0].value["shoppers"].sum() == 400
    assert page.metric[2].label == "Lift of CTR"


def test_beyond_the_horizon_nothing_counts(mine: pi.Shop) -> None:
    of(mine, "test", "plan", "hero-image", *PLAN, *GIVEN, "--horizon", 30)
    begin(mine, NOON)
    serve_more(mine, "v2", NOON + timedelta(days=31), 20, 0.4)
    assert sum(arm.shoppers for arm in mine.read()[0].arms) == SHOPPERS


def test_a_plan_is_a_file_with_its_size_days_and_smallest_effect(mine: pi.Shop) -> None:
    said = of(mine, "test", "plan", "hero-image", *PLAN, *GIVEN)
    record = mine.records.load("hero-image")
    assert record.plan is not None
    assert f"{record.plan.shoppers:,} shoppers" in said
    assert f"{record.plan.days} days, to find +30.00%" in said
    assert "the smallest effect they find is +30" in said
    assert record.plan.days == -(-record.plan.shoppers // 400)
    assert record.horizon_days % 7 == 0
    assert "planned" in of(mine, "test", "list")


def test_it_plans_from_the_shops_own_history_and_asks_for_what_that_lacks(
    mine: pi.Shop, tmp_path: Path
) -> None:
    with pytest.raises(NotEnoughData, match="say --shoppers-per-day"):
        of(mine, "test", "plan", "next", *PLAN)
    said = json.loads(of(mine, "test", "plan", "next", *PLAN, "--shoppers-per-day", 400, "--json"))
    measured = mine.baseline()
    assert said["plan"]["baseline"] == pytest.approx(measured.ctr)
    assert said["plan"]["variance"] == pytest.approx(measured.variance)
    basis = said["plan"]["basis"]
    assert "measured in control of hero-image, clustered by shopper, over all 0.0 days" in basis
    assert "the log does not tell how shoppers vary over so long" in basis
    bought = ("--primary", "seen=impressions/clicks", "--shoppers-per-day", 400)
    assert "measured" in of(mine, "test", "plan", "other", *PLAN, *bought)
    assert mine.records.load("other").plan.metric == "seen=impressions/clicks"
    with pytest.raises(NotFound, match="give the numbers: --baseline"):
        run("test", "plan", "next", *PLAN, "--home", tmp_path / "new")


def test_days_there_are_say_what_is_found(mine: pi.Shop) -> None:
    of(mine, "test", "plan", "next", "--hypothesis", "x", "--days", 14, *GIVEN)
    record = mine.records.load("next")
    assert record.plan is not None
    assert (record.plan.shoppers, record.plan.days) == (5_600, 14)
    assert record.minimal_effect == pytest.approx(record.plan.smallest_effect)


def test_without_a_plan_it_does_not_start(mine: pi.Shop) -> None:
    with pytest.raises(NotFound, match="has no record"):
        of(mine, "test", "start")
    of(mine, "test", "plan", "hero-image", *PLAN, *GIVEN)
    path = mine.records.path("hero-image")
    path.write_text(path.read_text().partition("[plan]")[0])
    with pytest.raises(InvalidInput, match="has no plan, and cannot start"):
        of(mine, "test", "start")


def test_it_starts_only_as_it_is_served(mine: pi.Shop) -> None:
    of(mine, "test", "plan", "other", *PLAN, *GIVEN)
    with pytest.raises(InvalidInput, match=r"set \[test\] name"):
        of(mine, "test", "start", "other")
    of(mine, "test", "plan", "hero-image", *PLAN, *GIVEN, "--share", 0.3)
    with pytest.raises(InvalidInput, match="personalized_share"):
        of(mine, "test", "start")


def test_a_record_that_started_decides_and_what_is_changed_later_is_told(mine: pi.Shop) -> None:
    of(mine, "test", "plan", "hero-image", *PLAN, *GIVEN, "--primary", "bought=conversions",
       "--variance", 0.2, "--guardrail", "CTR=clicks/impressions")  # fmt: skip
    before = json.loads(of(mine, "analyze", "--json"))
    assert before["record"] is None
    assert before["comparisons"][0]["metric"] == "CTR"
    started = begin(mine, NOON)
    found = json.loads(of(mine, "analyze", "--json"))
    assert found["record"]["digest"] == started.digest
    assert found["comparisons"][0]["metric"] == "bought"
    assert [one["metric"] for one in found["guardrails"]] == ["CTR"]
    assert started.record.plan is not None
    assert found["planned_shoppers"] == started.record.plan.shoppers
    assert found["record"]["changed"] == []
    for option in (("--planned", 10), ("--one-look",)):
        with pytest.raises(InvalidInput, match="runs by record"):
            of(mine, "analyze", *option)
    path = mine.records.path("hero-image")
    path.write_text(path.read_text().replace("minimal_effect = 0.3", "minimal_effect = 0.05"))
    text = of(mine, "analyze")
    assert "changed after the start, and not in force: minimal_effect: 0.3 -> 0.05" in text
    assert "minimal_effect: 0.3 -> 0.05" in of(mine, "test", "show")
    assert "record changed after the start" in of(mine, "test", "list")
    with pytest.raises(StoreConflict, match="another name"):
        of(mine, "test", "plan", "hero-image", *PLAN, *GIVEN)
    with pytest.raises(StoreConflict, match="another name"):
        of(mine, "test", "start")


def test_the_record_wins_over_the_settings_and_says_so(mine: pi.Shop) -> None:
    of(mine, "test", "plan", "hero-image", *PLAN, *GIVEN)
    begin(mine, NOON)
    changed = pi.Shop.open(
        mine.settings.home,
        test={"planned_shoppers": 77, "always_valid": False, "personalized_share": 0.2},
    )
    report, _ = changed.analyse()
    assert report.record is not None
    assert report.planned_shoppers != 77
    assert report.comparisons[0].judged_by == "any look"
    assert changed.arms.shares == {"control": 0.5, "personalized": 0.5}
    assert report.record.overruled == (
        "[test] planned_shoppers = 77",
        "[test] always_valid = False",
        "[test] personalized_share = 0.2",
    )
    assert "not in force, for the record says otherwise: [test] planned_shoppers = 77" in str(
        report
    )


def test_the_start_is_kept_in_the_tracker_with_its_digest(mine: pi.Shop) -> None:
    of(mine, "test", "plan", "hero-image", *PLAN, *GIVEN)
    said = json.loads(of(mine, "test", "start", "--json"))
    (kept,) = (mine.settings.home).rglob(f"runs/hero-image/{said['run']}/run.json")
    values = json.loads(kept.read_text())
    assert values["tags"]["record"] == said["digest"] == mine.record.digest  # type: ignore[union-attr]
    assert values["params"]["started_at"] == said["started_at"]
    assert values["params"]["minimal_effect"] == "0.3"
    assert values["params"]["plan.shoppers"] != ""
    assert (kept.parent / "artifacts" / "hero-image.toml").read_text() == (
        mine.records.path("hero-image").read_text()
    )


def test_only_what_is_shown_between_start_and_stop_counts(mine: pi.Shop) -> None:
    of(mine, "test", "plan", "hero-image", *PLAN, *GIVEN)
    begin(mine, NOON + timedelta(seconds=300))
    report, _ = mine.analyse()
    assert sum(arm.shoppers for arm in report.arms) == SHOPPERS - 300
    mine.stop_test(because="by hand", note="a trial", now=NOON + timedelta(seconds=1_000))
    after, _ = mine.analyse()
    assert sum(arm.shoppers for arm in after.arms) == 701
    assert after.record is not None
    assert "by hand, a trial" in after.record.stopped


def test_it_stops_for_a_rule_that_is_met_or_by_hand_with_a_note(mine: pi.Shop) -> None:
    of(mine, "test", "plan", "hero-image", *PLAN, *GIVEN)
    with pytest.raises(NotFound, match="has not started"):
        of(mine, "test", "stop")
    begin(mine, datetime.now(UTC) - timedelta(days=1))
    with pytest.raises(NotEnoughData, match="no impression between its start"):
        of(mine, "analyze")
    for options, said in (
        ((), "none is met"),
        (("--because", "win"), "win is not met"),
        (("--because", "by hand"), "say why"),
    ):
        with pytest.raises(InvalidInput, match=said):
            of(mine, "test", "stop", *options)
    assert "stopped: by hand, no budget" in of(mine, "test", "stop", "--note", "no budget")
    with pytest.raises(StoreConflict, match="was stopped"):
        of(mine, "test", "stop", "--note", "again")
    row = of(mine, "test", "list").splitlines()[1]
    assert row.split()[:2] == ["hero-image", "stopped"]


def test_the_horizon_ends_it_and_the_list_says_what_is_left(mine: pi.Shop) -> None:
    of(mine, "test", "plan", "hero-image", *PLAN, *GIVEN, "--horizon", 30)
    begin(mine, NOON)
    (early,) = mine.standings(now=NOON + timedelta(days=10))
    assert (early.state, early.days_left, early.health) == ("running", 20.0, "ok")
    assert "horizon" not in early.met
    with pytest.raises(InvalidInput, match="time zone"):
        mine.standing(now=datetime(2026, 3, 9))
    (late,) = mine.standings(now=NOON + timedelta(days=31))
    assert late.days_left == 0.0
    assert late.met["horizon"] == "30 days are over"
    stopped = mine.stop_test(now=NOON + timedelta(days=31))
    assert list(late.met) == ["win", "horizon"]
    assert stopped.reason == "win"
    assert stopped.shoppers == SHOPPERS


def test_a_record_that_cannot_be_read_is_a_line_of_the_list(mine: pi.Shop) -> None:
    assert "no test has a record yet" in of(mine, "test", "list")
    of(mine, "test", "plan", "hero-image", *PLAN, *GIVEN)
    mine.records.path("hero-image").write_text("no TOML")
    assert "broken" in of(mine, "test", "list")
    with pytest.raises(InvalidInput, match="no valid TOML"):
        of(mine, "test", "show")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--lift", 0.1, "--hypothesis", "x"), "name the test"),
        (("hero", "--lift", 0.1), "--hypothesis is missing"),
        (("hero", "--hypothesis", "x"), "give one of the lift"),
        (("hero", "--hypothesis", "x", "--lift", 0.1, "--days", 9, *GIVEN), "give one of"),
        (("hero", *PLAN, *GIVEN, "--horizon", 1), "horizon_days 1"),
        (("hero", *PLAN, *GIVEN, "--variance", 1, "--primary", "views"), "no column 'views'"),
        (("hero", *PLAN, *GIVEN, "--primary", "bought=conversions"), "no rate of impressions"),
        (("hero", *PLAN, "--variance", 1), "--variance is of --baseline"),
        (("hero", *PLAN, "--impressions", 3), "are of --baseline"),
        (("he/ro", *PLAN, *GIVEN), "name='he/ro'"),
    ],
)
def test_a_record_that_cannot_be_is_refused(
    options: tuple[object, ...], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=message):
        run("test", "plan", *options, "--home", tmp_path / "new")
    assert not (tmp_path / "new" / "experiments").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lift": 0.3, "shoppers_per_day": math.nan}, "shoppers_per_day nan"),
        ({"lift": 0.3, "shoppers_per_day": math.inf}, "shoppers_per_day inf"),
        ({"lift": 0.3, "shoppers_per_day": 1e-320}, "shoppers_per_day 1e-320"),
        ({"days": math.nan, "shoppers_per_day": 400}, "days nan"),
        ({"days": math.inf, "shoppers_per_day": 400}, "days inf"),
    ],
)
def test_numbers_of_a_plan_that_are_none_are_refused(
    mine: pi.Shop, given: dict[str, float], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        mine.plan_test("next", "x", baseline=Baseline.assumed(0.2, 1), **given)  # type: ignore[arg-type]


def test_reasons_are_the_five() -> None:
    done = CliRunner().invoke(app, ["test", "stop", "--because", "boredom"], terminal_width=200)
    assert done.exit_code == 2
    for reason in ("boredom", "win", "harm", "futility", "horizon", "by hand"):
        assert f"'{reason}'" in done.output
    assert get_args(Because) == get_args(Reason)


def test_how_long_clicks_count_is_what_the_record_said(mine: pi.Shop) -> None:
    of(mine, "test", "plan", "hero-image", *PLAN, *GIVEN)
    begin(mine, NOON)
    clicks = mine.feedback()["clicked"].sum()
    later = pi.Shop.open(mine.settings.home, test={"attribution_days": 1e-6})
    assert later.feedback()["clicked"].sum() == clicks > 0
    note = later.read()[0].record
    assert note is not None
    assert note.overruled == ("[test] attribution_days = 1e-06",)


def test_a_setting_that_says_its_default_is_told_where_the_record_says_otherwise(
    mine: pi.Shop,
) -> None:
    of(mine, "test", "plan", "hero-image", *PLAN, *GIVEN, "--one-look")
    begin(mine, NOON)
    same = pi.Shop.open(mine.settings.home, test={"always_valid": True})
    for opened, told in ((mine, ()), (same, ("[test] always_valid = True",))):
        note = opened.read()[0].record
        assert note is not None
        assert note.overruled == told


def test_a_start_that_is_damaged_is_told_by_whoever_stops_it(mine: pi.Shop) -> None:
    of(mine, "test", "plan", "hero-image", *PLAN, *GIVEN)
    begin(mine, NOON)
    (mine.records.folder / "hero-image.started.json").write_text("{")
    with pytest.raises(StoreFailed, match="restore a backup"):
        mine.stop_test(note="why not")

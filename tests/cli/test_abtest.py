"""Planning, reading and weighing an A/B test through the command line, on a small log."""

from __future__ import annotations

import json
import re
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import persona_img as pi
from examples import a_showing, happened
from persona_img import loop, wiring
from persona_img.abtest import ABTest
from persona_img.cli import app
from persona_img.domain.decision import Candidate, Decision, DecisionTable, Slate
from persona_img.domain.style import ORIGINAL, Style
from persona_img.errors import InvalidInput, NotFound
from persona_img.ranking.base import RankingFeatures

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SOFT = Style("light=soft")
SHOPPERS = 1_200


def run(*arguments: object) -> str:
    done = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> pi.Shop:
    """A shop whose table shows both pictures alike; the soft one is clicked twice as often."""
    settings = pi.Settings(
        home=tmp_path_factory.mktemp("shops") / "mine",
        stores={"features": "frame", "tracker": "folder"},
    )
    shop = pi.Shop.begin(settings)
    features = RankingFeatures(
        segments=pd.DataFrame({"size": [1.0]}, index=["all"]),
        products=pd.DataFrame({"category": ["mugs"]}, index=["mug"]),
    )
    loop.Profiled(NOON, {}, "all", features, pd.DataFrame({"n": [1]}, index=["all"])).save(
        shop.workspace
    )
    slate = Slate((Candidate(ORIGINAL, None, 0.5), Candidate(SOFT, "ab" * 32, 0.5)))
    shop.workspace.save_decision_table(DecisionTable("v1", {("all", "mug"): slate}, {}, "all"))
    rng = np.random.default_rng(1)
    arms = wiring.arms(settings)
    with closing(wiring.event_log(shop.workspace)) as log:
        log.open_test(arms)
        events = []
        for number in range(SHOPPERS):
            name = f"s{number}"
            arm = arms.assign(name)
            style = SOFT if arm != "control" and rng.random() < 0.5 else ORIGINAL
            decision = Decision(
                "hero-image", name, "mug", "all", arm, style.key,
                None if style.is_original else "ab" * 32, 1.0 if arm == "control" else 0.5, "v1",
                NOON.timestamp(),
            )  # fmt: skip
            showing, at = a_showing(decision), NOON.timestamp() + number
            events.append(happened(showing, "impression", at))
            if rng.random() < (0.2 if style.is_original else 0.4):
                events.append(happened(showing, "click", at + 1))
        assert log.record_events(events).rejected == 0
    return shop


def test_a_plan_says_shoppers_by_arm_and_days() -> None:
    said = run("test", "plan", "--baseline", 0.05, "--lift", 0.05, "--shoppers-per-day", 4000)
    asked = next(line for line in said.splitlines() if "asked" in line)
    assert asked.split() == [
        "+5.00%",
        "5.250%",
        "467,698",
        "233,849",
        "233,849",
        "117",
        "<-",
        "asked",
    ]
    assert [line.split()[0] for line in said.splitlines()[2:5]] == ["+2.50%", "+5.00%", "+10.00%"]
    assert "analyze --planned 467698" in said
    assert "by one look, at the plan it would be 244,241 shoppers" in said
    once = run("test", "plan", "--baseline", 0.05, "--lift", 0.05, "--one-look", "--json")
    assert json.loads(once)["shoppers"] == 244_241


def test_lifts_that_cannot_be_are_not_shown_beside() -> None:
    said = run("test", "plan", "--baseline", 0.5, "--lift", 0.7)
    assert [line.split()[0] for line in said.splitlines()[2:-2]] == ["+35.00%", "+70.00%"]


def test_a_plan_is_json_and_its_own_inverse() -> None:
    options = ("--baseline", 0.03, "--impressions", 6, "--design-effect", 2, "--share", 0.2)
    wanted = json.loads(run("test", "plan", *options, "--lift", 0.1, "--power", 0.9, "--json"))
    assert wanted["by_arm"]["personalized"] == pytest.approx(wanted["shoppers"] * 0.2, abs=1)
    assert wanted["days"] is None
    there = ("--shoppers", wanted["shoppers"], "--power", 0.9, "--json")
    assert json.loads(run("test", "plan", *options, *there))["lift"] == pytest.approx(0.1, rel=0.01)
    strict = run("test", "plan", *options, "--lift", 0.1, "--power", 0.9, "--alpha", 0.01, "--json")
    assert json.loads(strict)["shoppers"] > wanted["shoppers"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--baseline", 5, "--lift", 0.1), "click rate between 0 and 1"),
        (("--baseline", 0.05), "either the lift"),
        (("--baseline", 0.05, "--lift", 0.1, "--shoppers", 100), "either the lift"),
        (("--baseline", 0.05, "--lift", 0), "lift 0"),
        (("--baseline", 0.05, "--lift", 0.1, "--power", 1), "power 1"),
        (("--baseline", 0.05, "--lift", 0.1, "--alpha", 0), "confidence 1"),
        (("--baseline", 0.05, "--lift", 0.1, "--share", 1), "each > 0"),
        (("--baseline", 0.05, "--shoppers", 3), "plan more"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(options: tuple[object, ...], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        run("test", "plan", *options)


def test_shoppers_a_day_are_more_than_none() -> None:
    options = ["--baseline", "0.05", "--lift", "0.1", "--shoppers-per-day", "0"]
    done = CliRunner().invoke(app, ["test", "plan", *options])
    assert done.exit_code == 2
    assert "'--shoppers-per-day': 0" in done.output


def test_what_is_no_number_is_refused_by_name() -> None:
    for value in ("nan", "inf"):
        done = CliRunner().invoke(app, ["test", "plan", "--baseline", "0.05", "--lift", value])
        assert done.exit_code == 2
        assert f"'--lift': {value}" in done.output


def test_a_plan_from_what_this_shop_measured(shop: pi.Shop) -> None:
    planned = json.loads(run("test", "plan", "--lift", 0.1, "--home", shop.settings.home, "--json"))
    feedback = shop.feedback()
    control = feedback[feedback["arm"] == "control"]
    assert planned["baseline"] == pytest.approx(control["clicked"].mean())
    assert planned["baseline"] == shop.baseline().ctr


def test_planning_from_a_shop_without_events_says_so_and_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no events yet"):
        run("test", "plan", "--lift", 0.1, "--home", tmp_path / "new")


def test_planned_shoppers_reach_the_verdict(shop: pi.Shop) -> None:
    home = ("--home", shop.settings.home, "--json")
    plain = json.loads(run("analyze", *home))
    (found,) = plain["comparisons"]
    assert (found["judged_by"], plain["planned_shoppers"]) == ("any look", None)
    early = json.loads(run("analyze", "--planned", 50_000, *home))
    assert early["planned_shoppers"] == 50_000
    assert early["comparisons"][0]["judged_by"] == "any look"
    assert any(f"{SHOPPERS} of 50000 planned" in w for w in early["warnings"])
    assert early["comparisons"][0]["low"] == found["low"]
    once = json.loads(run("analyze", "--one-look", "--plan", SHOPPERS, *home))
    assert once["comparisons"][0]["judged_by"] == "one look"
    assert found["always_low"] < found["low"] == once["comparisons"][0]["low"]
    segments = json.loads(run("analyze", "--by-segment", *home))["by_segment"]
    assert [c["segment"] for c in segments] == ["all"]


def test_the_text_of_a_report_shows_both_intervals_and_which_is_judged(shop: pi.Shop) -> None:
    said = run("analyze", "--home", shop.settings.home)
    assert "at any look" in said
    assert "holds however often one looks" in said
    other = run("analyze", "--one-look", "--plan", SHOPPERS, "--home", shop.settings.home)
    assert "95% interval and p, which hold for one look" in other


def test_what_the_settings_plan_holds_until_an_option_says_otherwise(shop: pi.Shop) -> None:
    chosen = shop.settings.model_copy(
        update={
            "test": shop.settings.test.model_copy(
                update={"planned_shoppers": 9_000, "always_valid": True}
            )
        }
    )
    planned = pi.Shop(chosen, shop.workspace)
    report, _ = planned.analyse()
    assert report.planned_shoppers == 9_000
    other, _ = planned.analyse(planned=SHOPPERS, always_valid=False)
    assert other.comparisons[0].judged_by == "one look"
    expected = ABTest("hero-image", planned_shoppers=9_000, always_valid=True)
    assert report == expected.analyze(shop.feedback(), simulated=shop.simulated)


def test_a_policy_is_weighed_on_the_log(shop: pi.Shop) -> None:
    home = ("--home", shop.settings.home)
    said = run("evaluate", "--ranker", "cold", "--policy", "uniform", *home)
    assert re.search(r"ranker cold, policy uniform", said)
    assert re.search(r"SNIPS +\d+\.\d\d% +\[", said)
    found = json.loads(run("evaluate", "--ranker", "cold", "--policy", "uniform", "--json", *home))
    feedback = shop.feedback()
    chosen = feedback[feedback["arm"] != "control"]
    assert found["seen"]["value"] == pytest.approx(chosen["clicked"].mean())
    assert found["snips"]["value"] == pytest.approx(found["seen"]["value"])
    assert found["replay"]["impressions"] == len(chosen)
    by_default = json.loads(run("evaluate", "--json", *home))
    assert (by_default["ranker"], by_default["policy"]) == ("cold", "thompson")


def test_a_registered_ranker_is_weighed_and_knows_better(shop: pi.Shop, tmp_path: Path) -> None:
    from persona_img.ranking.popularity import PopularityRanker

    learned = PopularityRanker(strength=20.0).fit(shop.feedback(), shop.profiled.features)
    learned.save(tmp_path / "ranker")
    version = shop.tracker.register_ranker(tmp_path / "ranker")
    found = shop.evaluate(ranker=version, policy="epsilon-greedy")
    assert found.ranker == f"version-{version}"
    assert found.snips.value > found.seen.value
    later = shop.evaluate(ranker=version, since=datetime(2026, 3, 2, 12, 5, tzinfo=UTC))
    assert later.seen.impressions < found.seen.impressions
    as_text = run(
        "evaluate", "--ranker", version, "--since", "2026-03-02T12:05:00",
        "--home", shop.settings.home, "--json",
    )  # fmt: skip
    assert json.loads(as_text)["seen"]["impressions"] == later.seen.impressions


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (("--ranker", "best"), InvalidInput, "champion, previous, cold"),
        (("--ranker", "previous"), NotFound, "no previous champion"),
        (("--ranker", "99"), NotFound, "99"),
        (("--policy", "softmax"), InvalidInput, "thompson"),
    ],
)
def test_who_is_not_there_cannot_be_weighed(
    shop: pi.Shop, options: tuple[str, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run("evaluate", *options, "--home", shop.settings.home)

"""Reading what came back, by command: which policy is analysed, and when a ranker is promoted."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from contracts.ranker import FEATURES, PRODUCTS, SEGMENTS, STYLES, truth
from examples import a_showing, happened
from persona_img import wiring
from persona_img.cli import app
from persona_img.domain.decision import Candidate, Decision, DecisionTable, Slate
from persona_img.errors import InvalidInput, NotFound, StoreConflict, StoreFailed
from persona_img.loop import Profiled
from persona_img.settings import Settings
from persona_img.shop import Shop

NOON = 1_760_000_000.0
SHOWN = tuple(s for s in STYLES if s.is_original or s.values["palette"] == "cool")
SLATE = Slate(tuple(Candidate(style, None, 1 / len(SHOWN)) for style in SHOWN))
PLACES = {(g, p): SLATE for g in SEGMENTS for p in PRODUCTS}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A shop that is ready to be served; nothing came back yet."""
    settings = Settings(
        home=tmp_path / "shop",
        stores={"features": "frame", "tracker": "folder"},
        learn={"ranker": "popularity"},
    )
    shop = Shop.begin(settings)
    describing = FEATURES.segments.assign(shoppers=1)
    moment = np.datetime64("2026-01-01T00:00:00").astype("datetime64[s]").item()
    Profiled(moment, {}, SEGMENTS[0], FEATURES, describing).save(shop.workspace)
    return shop


def publish(shop: Shop, version: str) -> None:
    shop.workspace.save_decision_table(DecisionTable(version, PLACES, {}, SEGMENTS[0]))


def decision(shop: Shop, version: str, number: int, style: int = 0) -> Decision:
    arms = wiring.arms(shop.settings)
    shopper, control = f"s{number}", arms.assign(f"s{number}") == "control"
    return Decision(
        test=arms.test,
        shopper=shopper,
        product=PRODUCTS[number % len(PRODUCTS)],
        segment=SEGMENTS[number % len(SEGMENTS)],
        arm=arms.assign(shopper),
        style_key=(SHOWN[0] if control else SHOWN[style]).key,
        digest=None,
        propensity=1.0 if control else 1 / len(SHOWN),
        policy_version=version,
        decided_at=NOON,
    )


def came_back(
    shop: Shop, decisions: Sequence[Decision], clicked: Sequence[bool], *, at: float = NOON
) -> None:
    """Decisions with one impression each, a second apart by the client's clock."""
    events = []
    for second, (one, click) in enumerate(zip(decisions, clicked, strict=True)):
        showing = a_showing(one)
        events.append(happened(showing, "impression", at + second))
        if click:
            events.append(happened(showing, "click", at + second + 1))
    with closing(wiring.event_log(shop.workspace)) as log:
        log.open_test(wiring.arms(shop.settings))
        log.record_events(events)


def run(shop: Shop, *arguments: str) -> str:
    done = CliRunner().invoke(app, [*arguments, "--home", str(shop.settings.home)])
    assert done.exit_code == 0, (done.output, done.exception)
    return str(done.output)


def impressions(shop: Shop, *policy: str) -> int:
    report: Any = json.loads(run(shop, "analyze", "--json", *policy))
    return sum(int(arm["impressions"]) for arm in report["arms"])


@pytest.fixture
def two_tables(shop: Shop) -> Shop:
    """19 impressions under the older table, then 30 under the newest; one page was left open."""
    publish(shop, "version-9")
    old = [decision(shop, "version-9", n) for n in range(20)]
    came_back(shop, old[:19], [False] * 19)
    publish(shop, "version-10")
    new = [decision(shop, "version-10", n) for n in range(30)]
    came_back(shop, new, [False] * 30, at=NOON + 1000)
    came_back(shop, old[19:], [False], at=NOON + 1330)
    return shop


def test_a_policy_is_analysed_alone(two_tables: Shop) -> None:
    assert impressions(two_tables) == 30
    assert "not in it: version-9" in run(two_tables, "analyze")
    assert impressions(two_tables, "--policy", "all") == 50
    assert impressions(two_tables, "--policy", "version-9") == 20
    assert impressions(two_tables, "--policy", "version-10") == 30


def test_the_last_policy_is_the_table_that_is_served_whatever_clients_clocks_say(
    two_tables: Shop,
) -> None:
    assert impressions(two_tables, "--policy", "last") == 30
    assert two_tables.policies == ["version-9", "version-10"]


def test_chances_follow_what_came_back_hour_by_hour(shop: Shop) -> None:
    publish(shop, "v1")
    liked = SHOWN[1]
    decisions = [decision(shop, "v1", n, n // 8 % len(SHOWN)) for n in range(3000)]
    came_back(shop, decisions, [d.style_key == liked.key and n % 3 == 0
                                for n, d in enumerate(decisions)])  # fmt: skip
    found = json.loads(run(shop, "learn", "--json"))
    assert (found["version"], found["impressions"], found["stopped"]) == ("v1~r1", 3000, "")
    met = {(d.segment, d.product) for d in decisions}
    assert found["moved"] == len(met) == 4
    for place in met:
        slate = shop.table.slates[place]
        chances = {c.style: c.probability for c in slate.candidates}
        assert max(chances, key=lambda style: chances[style]) == liked
    assert "0 slates moved; policy v1~r1" in run(shop, "learn")
    assert run(shop, "ramp") == "no ramp\n"


def turns(monkeypatch: pytest.MonkeyPatch, *outcomes: BaseException | None) -> list[float]:
    """Make each turn of ``learn`` end so; the sleeps between them are counted, not slept."""
    learn, left, slept = Shop.learn, list(outcomes), []

    def turn(shop: Shop) -> Any:
        outcome = left.pop(0)
        if outcome is not None:
            raise outcome
        return learn(shop)

    monkeypatch.setattr(Shop, "learn", turn)
    monkeypatch.setattr("time.sleep", slept.append)
    return slept


@pytest.mark.parametrize(
    "passing",
    [
        StoreConflict("somebody published"),
        NotFound("nothing is served yet"),
        sqlite3.OperationalError("database is locked"),
        ConnectionRefusedError("nobody listens"),
    ],
)
def test_what_may_be_over_by_the_next_turn_is_told_and_tried_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, passing: Exception
) -> None:
    publish(shop, "v1")
    came_back(shop, [decision(shop, "v1", 1)], [False])
    slept = turns(monkeypatch, passing, None, KeyboardInterrupt())
    home = str(shop.settings.home)
    done = CliRunner().invoke(app, ["learn", "--every", "30m", "--home", home])
    assert done.exit_code == 130
    assert f"not this time: {passing}; again in 30m" in done.stderr
    assert "0 slates moved; policy v1" in done.stdout
    assert slept == [1800.0, 1800.0]


def test_what_only_a_person_can_mend_ends_it_and_so_does_any_error_of_a_single_turn(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(shop, "v1")
    came_back(shop, [decision(shop, "v1", 1)], [False])
    home = str(shop.settings.home)
    outcomes = (None, InvalidInput("learn.floor 2: too high"), StoreConflict("x"))
    slept = turns(monkeypatch, *outcomes)
    done = CliRunner().invoke(app, ["learn", "--every", "1h", "--home", home])
    assert isinstance(done.exception, InvalidInput)
    assert slept == [3600.0]
    done = CliRunner().invoke(app, ["learn", "--home", home])
    assert isinstance(done.exception, StoreConflict)
    done = CliRunner().invoke(app, ["learn", "--every", "1h", "--home", home + "-elsewhere"])
    assert isinstance(done.exception, NotFound)
    assert slept == [3600.0]


def test_learning_archives_what_came_back(shop: Shop) -> None:
    publish(shop, "v1")
    came_back(shop, [decision(shop, "v1", n) for n in range(5)], [True] + [False] * 4)
    run(shop, "learn")
    assert run(shop, "archive", "--check").startswith("1 files with 5 impressions")
    assert run(shop, "archive").startswith("0 impressions of 0 days archived, 0 late")
    assert shop.feedback()["clicked"].sum() == 1


def test_archiving_goes_on_at_its_pace(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    came_back(shop, [decision(shop, "v1", 1)], [False])
    archive, slept = Shop.archive, []
    left = [StoreFailed("the disk is full", "full"), None, KeyboardInterrupt()]

    def turn(shop: Shop) -> Any:
        outcome = left.pop(0)
        if outcome is not None:
            raise outcome
        return archive(shop)

    monkeypatch.setattr(Shop, "archive", turn)
    monkeypatch.setattr("time.sleep", slept.append)
    home = str(shop.settings.home)
    done = CliRunner().invoke(app, ["archive", "--every", "1h", "--home", home])
    assert (done.exit_code, slept) == (130, [3600.0, 3600.0])
    assert "not this time: the disk is full; again in 1h" in done.stderr
    assert "1 impressions of 1 days archived" in done.stdout


def test_a_home_that_is_gone_ends_it(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(shop, "v1")
    home = shop.settings.home
    slept = turns(monkeypatch, NotFound("gone"), NotFound("gone"))
    monkeypatch.setattr(
        "time.sleep", lambda seconds: (slept.append(seconds), home.rename(f"{home}-moved"))
    )
    done = CliRunner().invoke(app, ["learn", "--every", "1h", "--home", str(home)])
    assert isinstance(done.exception, NotFound)
    assert slept == [3600.0]


@pytest.mark.parametrize("every", ["soon", "1", "-1h", "0m", "1w"])
def test_a_pace_that_is_none_is_refused_before_anything_is_done(shop: Shop, every: str) -> None:
    home = str(shop.settings.home)
    done = CliRunner().invoke(app, ["learn", "--every", every, "--home", home])
    assert done.exit_code != 0
    assert f"every {every!r}" in str(done.exception)


def test_no_ranker_is_promoted_without_the_flag_whatever_the_evidence_says(shop: Shop) -> None:
    publish(shop, "v1")
    rng = np.random.default_rng(1)
    shown = rng.integers(len(SHOWN), size=4000)
    decisions = [decision(shop, "v1", n, int(style)) for n, style in enumerate(shown)]
    rate = [3 * truth(d.segment, next(s for s in SHOWN if s.key == d.style_key)) for d in decisions]
    came_back(shop, decisions, [bool(hit) for hit in rng.random(len(rate)) < rate])

    before = shop.tracker.champion()
    said = run(shop, "retrain")
    assert "; promoted" in said  # the evidence is for it
    assert "is registered, the champion stays" in said
    assert shop.tracker.champion() == before
    version = shop.tracker.history()[-1].version
    said = run(shop, "retrain", "--promote-if-better")
    assert f"version {version} is champion now" in said
    assert shop.tracker.champion() == version

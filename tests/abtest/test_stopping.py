"""Rules for ending a test: which is met, and by which interval."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from abtest.test_record import SAID
from persona_img.abtest.record import Record, Size
from persona_img.abtest.records import Started
from persona_img.abtest.report import ABReport
from persona_img.abtest.stopping import rules_met

Simulate = Callable[..., pd.DataFrame]
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SOON = NOON + timedelta(days=1)


def running(shoppers: int = 2_000, **said: object) -> Started:
    size = Size(
        baseline=0.04, variance=0.01, shoppers=shoppers, smallest_effect=0.1, days=5, basis="given"
    )
    values = SAID | {"plan": size.model_dump(), "minimal_effect": 0.3} | said
    record = Record.of(values)
    return Started(record, record.digest, NOON, "r")


def read(started: Started, feedback: pd.DataFrame) -> ABReport:
    return started.record.ab_test().analyze(feedback)


def test_a_win_and_harm(simulate: Simulate) -> None:
    up, down = simulate(2_000, seed=1, lift=1.0), simulate(2_000, seed=1, lift=-0.6)
    started = running()
    assert list(rules_met(started, read(started, up), SOON)) == ["win"]
    found = rules_met(started, read(started, down), SOON)
    assert list(found) == ["harm", "futility"]
    assert "at most" in found["harm"]
    quiet = running(stop_for=["win"])
    assert rules_met(quiet, read(quiet, down), SOON) == {}


def test_nothing_yet(simulate: Simulate) -> None:
    started = running()
    assert rules_met(started, None, SOON) == {}
    assert rules_met(started, read(started, simulate(150, seed=3)), SOON) == {}
    assert rules_met(started, read(started, simulate(2_000, seed=3)), SOON) == {}


def test_futility_excludes_the_effect_that_matters(simulate: Simulate) -> None:
    table = simulate(2_000, seed=3)
    started = running(minimal_effect=1.5)
    assert list(rules_met(started, read(started, table), SOON)) == ["futility"]
    early = running(minimal_effect=1.5, verdict="one look", shoppers=5_000)
    assert rules_met(early, read(early, table), SOON) == {}
    done = running(minimal_effect=1.5, verdict="one look")
    assert list(rules_met(done, read(done, table), SOON)) == ["futility", "horizon"]


def test_harm_is_seen_before_the_one_look(simulate: Simulate) -> None:
    started = running(verdict="one look", shoppers=5_000)
    found = rules_met(started, read(started, simulate(2_000, seed=1, lift=-0.6)), SOON)
    assert list(found) == ["harm"]


def test_a_guardrail_may_lose_what_it_tolerates(simulate: Simulate) -> None:
    table = simulate(3_000, seed=1)
    other = table["arm"] == "personalized"
    first = ~table.duplicated("shopper")  # so that nobody is missing from the arm
    lost = table[~other | first | (np.arange(len(table)) % 10 < 4)]
    started = running()
    report = read(started, lost)
    assert "harm" in rules_met(started, report, SOON)
    assert "impressions per shopper" in rules_met(started, report, SOON)["harm"]
    lenient = running(guardrail_margin=0.9)
    assert "harm" not in rules_met(lenient, read(lenient, lost), SOON)


def test_where_the_split_fails_only_the_horizon_ends_it(simulate: Simulate) -> None:
    started = running()
    report = read(started, simulate(2_000, seed=1, lift=1.0))
    broken = dataclasses.replace(
        report, sample_ratio=dataclasses.replace(report.sample_ratio, ok=False)
    )
    assert rules_met(started, broken, SOON) == {}
    assert list(rules_met(started, broken, NOON + timedelta(days=28))) == ["horizon"]


@pytest.mark.parametrize("days", [0.0, 27.9])
def test_before_the_horizon_it_goes_on(days: float) -> None:
    assert rules_met(running(), None, NOON + timedelta(days=days)) == {}

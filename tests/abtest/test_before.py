"""What a test is planned from is what it will see, and for as long."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from abtest.test_record import SAID
from persona_img.abtest import ABTest, Baseline
from persona_img.abtest.before import Before
from persona_img.abtest.metrics import CTR, Metric
from persona_img.abtest.record import Record
from persona_img.errors import NotEnoughData

START = pd.Timestamp("2026-03-01", tz="UTC")
DAYS = 40


@pytest.fixture(scope="module")
def log() -> pd.DataFrame:
    """Shoppers who came within four days and come back every day, each with a taste of its own."""
    rng = np.random.default_rng(5)
    shoppers = 2_000
    taste = rng.beta(2, 18, shoppers)
    first = rng.uniform(0, 4, shoppers)
    who = np.repeat(np.arange(shoppers), DAYS)
    day = first[who] + np.tile(np.arange(DAYS), shoppers)
    clicked = (rng.random(len(who)) < taste[who]).astype("int64")
    return pd.DataFrame(
        {
            "test": "hero",
            "shopper": who.astype(str),
            "arm": np.where(who % 2 == 0, "control", "personalized"),
            "segment": "all",
            "shown_at": START + pd.to_timedelta(day * 86_400, unit="s"),
            "clicked": clicked,
            "converted": 0 * clicked,
        }
    )


def test_who_is_watched_longer_varies_less_and_a_short_test_is_planned_for_more(
    log: pd.DataFrame,
) -> None:
    before, draft = Before(log, "hero"), Record.of(SAID)
    short, said = before.over(draft, 7)
    long, _ = before.over(draft, DAYS)
    assert "the first 7 of 43" in said
    assert short.variance > 1.5 * long.variance
    seen = log[(log["shown_at"] - log["shown_at"].min()).dt.total_seconds() < 7 * 86_400]
    assert short == Baseline.measured(seen, "hero")
    assert draft.needed(short, 0.8) > 1.4 * draft.needed(long, 0.8)


def test_it_is_measured_over_as_many_days_as_the_test_takes(log: pd.DataFrame) -> None:
    before, draft = Before(log, "hero"), Record.of(SAID)

    def takes(shoppers: int) -> int:
        return math.ceil(shoppers / 800)

    found, said = before.to_find(draft, 0.8, takes)
    days = takes(draft.needed(found, 0.8))
    assert 1 < days < DAYS
    assert f"the first {days} of 43" in said or f"the first {days + 1} of 43" in said
    assert takes(draft.needed(before.over(draft, days - 1)[0], 0.8)) > days - 1


def test_a_log_that_is_shorter_than_the_test_says_so(log: pd.DataFrame) -> None:
    found, said = Before(log, "hero").to_find(Record.of(SAID), 0.8, lambda many: many)
    assert found == Baseline.measured(log, "hero")
    assert "all 43" in said
    assert "the log does not tell how shoppers vary over so long" in said
    with pytest.raises(NotEnoughData):
        Before(log.iloc[:0], "hero").to_find(Record.of(SAID), 0.8, lambda many: many)


@pytest.mark.parametrize("bot_filter", [True, False])
def test_the_baseline_is_of_the_numbers_that_will_be_read(
    simulate: Callable[..., pd.DataFrame], bot_filter: bool
) -> None:
    """Also of a mean, whose bots are far beyond others in what it does not read."""
    table = simulate(3_000, seed=4)
    bot = table[table["arm"] == "control"].iloc[[0] * 3_000].assign(clicked=0, converted=0)
    table = pd.concat([table, bot], ignore_index=True)
    for metric in (CTR, Metric("clicked", "clicks"), Metric("views", "impressions")):
        test = ABTest("hero", primary=metric, guardrails=(), bot_filter=bot_filter, cap_of_mean=1.0)
        report = test.analyze(table)
        assert report.bots == int(bot_filter)
        found = Baseline.measured(table, "hero", read=test)
        assert found.ctr == pytest.approx(report.comparisons[0].control)

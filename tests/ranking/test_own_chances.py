"""A log of own chances, in which a style is shown more to those who like it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from contracts.ranker import FEATURES
from persona_img import loop
from persona_img.abtest.analysis import ABTest
from persona_img.abtest.harm import harmful_pictures
from persona_img.domain.decision import Arms, Candidate, Context, DecisionTable, Slate
from persona_img.domain.feedback_table import as_feedback
from persona_img.domain.leaning import Leaning, Personal
from persona_img.domain.style import ORIGINAL, Style
from persona_img.ranking.bayes import BayesRanker
from persona_img.ranking.own_chances import MOST, counted_for_segments
from persona_img.ranking.policy import UniformPolicy
from persona_img.ranking.popularity import PopularityRanker
from persona_img.ranking.promotion import compare
from persona_img.ranking.value import value_of
from persona_img.serving.base import PARTIAL

START = datetime(2026, 3, 2, tzinfo=UTC)
LOVED, PLAIN = Style("surface=linen"), Style("surface=wood")
SLATE = Slate(
    (Candidate(ORIGINAL, None, 0.4), Candidate(LOVED, "a", 0.3), Candidate(PLAIN, "b", 0.3))
)
LEANING = Leaning(
    ("views",),
    (("surface", "linen"), ("surface", "wood")),
    {"g0": (0.0,)},
    (1.0,),
    ((1.0,), (0.0,), (0.0,)),
)
TABLE = DecisionTable("own", {("g0", "p0"): SLATE}, {}, "g0", Personal(LEANING, 2.0, 0.05))


def odds_of(style: int, trait: np.ndarray) -> np.ndarray:
    """Linen divides: those who view much click it more, the others less; wood is a little liked."""
    return -2.0 + np.array([0.0, 0.0, 0.15])[style] + np.where(style == 1, 1.0 * trait, 0.0)


def a_log(rows: int = 60_000, seed: int = 1, table: DecisionTable = TABLE) -> pd.DataFrame:
    """Drawn by own chances, as they are logged."""
    rng = np.random.default_rng(seed)
    shopper = rng.integers(0, 3000, rows)
    trait = np.where(np.arange(3000) % 2 == 0, 1.0, -1.0)[shopper]
    segments = np.array([c.probability for c in SLATE.candidates])
    chances = np.tile(segments, (rows, 1))
    if table.personal is not None:
        chances = table.personal.chances(SLATE, "g0", trait[:, None])
    style = (rng.random(rows)[:, None] > chances.cumsum(axis=1)).sum(axis=1).clip(0, 2)
    rate = 1.0 / (1.0 + np.exp(-odds_of(style, trait)))
    return pd.DataFrame(
        {
            "decision_id": [f"d{n}" for n in range(rows)],
            "test": "hero",
            "shopper": [f"s{n}" for n in shopper],
            "product": "p0",
            "segment": "g0",
            "arm": "personalized",
            "style_key": np.array([c.style.key for c in SLATE.candidates], dtype=object)[style],
            "digest": None,
            "propensity": chances[np.arange(rows), style],
            "policy_version": table.policy_version,
            "position": 1,
            "shown_at": [START + timedelta(seconds=20 * n) for n in range(rows)],
            "clicked": (rng.random(rows) < rate).astype(int),
            "converted": 0,
        }
    )


def true_rates() -> np.ndarray:
    """Of the segment, half of which views much: photo, linen, wood."""
    trait = np.array([1.0, -1.0])
    return np.array([(1 / (1 + np.exp(-odds_of(np.full(2, s), trait)))).mean() for s in range(3)])


def found(ranker: object) -> np.ndarray:
    ranking = ranker.rank(Context("g0", "p0"), [c.style for c in SLATE.candidates])  # type: ignore[attr-defined]
    scores = dict(zip(ranking.styles, ranking.scores, strict=True))
    return np.array([scores[c.style] for c in SLATE.candidates])


def told(weight: np.ndarray) -> np.ndarray:
    """Their ratios, and as many as equal ones that would tell as much."""
    weight = np.asarray(weight, dtype=np.float64)
    return weight * weight.sum() / (weight**2).sum()


def test_what_likers_were_shown_more_often_is_not_taken_for_everybody_s_liking() -> None:
    log, true = a_log(), true_rates()
    for make in (lambda: PopularityRanker(strength=1.0), lambda: BayesRanker(half_life=1e9)):
        counted = found(make().fit(counted_for_segments(log, [TABLE]), FEATURES))
        as_seen = found(make().fit(log, FEATURES))
        assert counted == pytest.approx(true, rel=0.06)
        assert as_seen[1] > 1.25 * true[1]


def test_an_impression_counts_as_often_as_the_segment_would_have_seen_it() -> None:
    log = a_log(4000)
    counted = counted_for_segments(log, [TABLE])
    base = {c.style.key: c.probability for c in SLATE.candidates}
    wanted = (log["style_key"].map(base) / log["propensity"]).to_numpy()
    assert counted["weight"].to_numpy() == pytest.approx(told(wanted))
    assert counted["weight"].sum() < 0.9 * len(log)
    few = counted_for_segments(log, [TABLE], most=1.5)["weight"].to_numpy()
    assert few == pytest.approx(told(np.minimum(wanted, 1.5)))
    rare = log.assign(propensity=np.where(np.arange(len(log)) == 0, 0.001, 0.3))
    cut = counted_for_segments(rare, [TABLE])["weight"].to_numpy()
    assert cut == pytest.approx(
        told(np.minimum(log["style_key"].map(base) / rare["propensity"], MOST))
    )


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_every_picture_counts_by_its_own_chance_whatever_came_first(order: tuple[int, ...]) -> None:
    chances = (0.5, 0.3, 0.2)
    styles = [c.style for c in SLATE.candidates]
    slate = Slate(tuple(Candidate(s, None, p) for s, p in zip(styles, chances, strict=True)))
    table = replace(TABLE, slates={("g0", "p0"): slate})
    log = a_log(3).assign(style_key=[styles[i].key for i in order], propensity=0.4)
    counted = counted_for_segments(log, [table])
    wanted = told(np.array([chances[i] / 0.4 for i in order]))
    assert counted["weight"].to_numpy() == pytest.approx(wanted)


def test_what_is_not_known_or_was_nobody_s_own_counts_once() -> None:
    log = a_log(400)
    for same in (
        log.assign(arm="control", propensity=1.0),
        log.assign(policy_version="own~partial"),
        log.assign(segment="g1"),
        log.assign(style_key="surface=lava"),
    ):
        assert set(counted_for_segments(same, [TABLE])["weight"]) == {1.0}
    assert set(counted_for_segments(log, [])["weight"]) == {1.0}
    plain = DecisionTable("own", TABLE.slates, {}, "g0")
    assert set(counted_for_segments(log, [plain])["weight"]) == {1.0}
    assert len(counted_for_segments(log.iloc[:0], [TABLE])) == 0


def test_challengers_and_the_ranker_that_is_kept_learn_from_what_counts() -> None:
    log, true = a_log(12_000), true_rates()
    fitted = []

    class Watched(PopularityRanker):
        def fit(self, feedback, features):
            fitted.append(found(super().fit(feedback, features)))
            return self

    champion = PopularityRanker().fit(log, FEATURES)
    compare(
        log, FEATURES, champion, lambda: Watched(strength=1.0), UniformPolicy(), tables=[TABLE],
        seed=1,
    )  # fmt: skip
    profiled = loop.Profiled(START, {}, "g0", FEATURES, pd.DataFrame())
    ranker, _ = loop.retrain(
        log, profiled, champion, lambda: Watched(strength=1.0), UniformPolicy(),
        tables=iter([TABLE]), seed=1,
    )  # fmt: skip
    fitted.append(found(ranker))
    assert len(fitted) == 5 + 6 + 1
    for rates in fitted:
        assert rates[1] == pytest.approx(true[1], rel=0.15)


def test_what_is_judged_is_judged_with_the_chances_that_were_logged() -> None:
    """The segment's chances in their place would credit linen with the clicks of its likers."""
    log = a_log(60_000, seed=2)
    base = {c.style.key: c.probability for c in SLATE.candidates}
    true = float(true_rates().mean())  # of a policy that shows each as often
    cold = PopularityRanker()
    made = value_of(log, cold, UniformPolicy(), tables=[TABLE], seed=1)
    assert abs(made.ips.value - true) < 4 * made.ips.standard_error
    assert made.mean_weight == pytest.approx(1.0, abs=0.03)
    wrong = log.assign(propensity=log["style_key"].map(base))
    credited = value_of(wrong, cold, UniformPolicy(), tables=[TABLE], seed=1)
    assert credited.ips.value > true + 4 * credited.ips.standard_error


def test_chances_follow_what_counts_too() -> None:
    log = a_log(2000)
    heard = []

    class Listening(PopularityRanker):
        def updated(self, feedback):
            heard.append(feedback)
            return self

    arms = Arms("hero", {"control": 0.2, "personalized": 0.8})
    loop.learn(
        TABLE, TABLE, Listening(), UniformPolicy(), log, ABTest(arms), tables=iter([TABLE])
    )  # fmt: skip
    wanted = counted_for_segments(log, [TABLE])["weight"]
    assert heard[0]["weight"].to_numpy() == pytest.approx(wanted.to_numpy())


def eager_log(seed: int) -> pd.DataFrame:
    """Those who view much click more of everything, and are shown the photo more; linen is better.

    So linen is seen by those who click little, and its rate in the log is below the photo's.
    """
    leaning = replace(LEANING, weights=((-0.3,), (0.0,), (0.0,)))
    rows, rng = 30_000, np.random.default_rng(seed)
    shopper = rng.integers(0, 3000, rows)
    trait = np.where(np.arange(3000) % 2 == 0, 1.0, -1.0)[shopper]
    personal = Personal(leaning, 6.0, 0.05)
    chances = personal.chances(SLATE, "g0", trait[:, None])
    style = (rng.random(rows)[:, None] > chances.cumsum(axis=1)).sum(axis=1).clip(0, 2)
    odds = -2.2 + 0.8 * trait + np.where(style == 1, 0.2 - 0.15 * trait, 0.0)
    digests = np.array([None, "a" * 64, "b" * 64], dtype=object)
    return a_log(rows, seed).assign(
        shopper=[f"s{n}" for n in shopper],
        style_key=np.array([c.style.key for c in SLATE.candidates], dtype=object)[style],
        digest=digests[style],
        propensity=chances[np.arange(rows), style],
        clicked=(rng.random(rows) < 1 / (1 + np.exp(-odds))).astype(int),
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_picture_that_everybody_clicks_more_is_not_condemned_for_whom_it_was_shown_to(
    seed: int,
) -> None:
    log = eager_log(seed)
    assert LOVED.key in {one.style_key for one in harmful_pictures(as_feedback(log))}
    arms = Arms("hero", {"control": 0.2, "personalized": 0.8})

    def learned(rows: pd.DataFrame) -> loop.Learned:
        still = PopularityRanker().fit(log.iloc[:0], FEATURES)
        return loop.learn(
            TABLE, TABLE, still, UniformPolicy(), rows, ABTest(arms), tables=[TABLE],
            since=rows["shown_at"].max(),
        )  # fmt: skip

    assert learned(log).harmful == ()
    # Where a variant was withdrawn meanwhile nobody knows how often the segment had seen the photo.
    cut = log.assign(policy_version=TABLE.policy_version + PARTIAL)
    assert learned(pd.concat([log.iloc[:50], cut])).harmful == ()


def test_a_picture_that_is_worse_is_still_condemned_under_own_chances() -> None:
    log = eager_log(0)
    rng = np.random.default_rng(1)
    spoilt = (log["style_key"] == LOVED.key) & (rng.random(len(log)) < 0.7)
    log = log.assign(clicked=log["clicked"].where(~spoilt, 0))
    counted = counted_for_segments(log, [TABLE])
    assert [one.style_key for one in harmful_pictures(counted)] == [LOVED.key]

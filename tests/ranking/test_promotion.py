from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from contracts.ranker import FEATURES, PRODUCTS, SEGMENTS, SPACE, STYLES, truth
from persona_img.domain.decision import Candidate, DecisionTable, Slate, ranking_of, uniform
from persona_img.domain.style import ORIGINAL
from persona_img.errors import InvalidInput, NotEnoughData
from persona_img.offpolicy.intervals import Estimate, summarised
from persona_img.ranking.heldout import contributions, judged, observed_slates
from persona_img.ranking.policy import EpsilonGreedyPolicy, ThompsonPolicy
from persona_img.ranking.popularity import PopularityRanker
from persona_img.ranking.promotion import Gate, compare

SHOWN = tuple(s for s in STYLES if s.is_original or s.values["palette"] == "cool")
SLATE = Slate(tuple(Candidate(style, None, 1 / len(SHOWN)) for style in SHOWN))
TABLE = DecisionTable(
    "v1", {(g, p): SLATE for g in SEGMENTS for p in PRODUCTS}, {}, default_segment=SEGMENTS[0]
)
POLICY = ThompsonPolicy()


@cache
def log(seed: int = 1, rows: int = 9000, stronger: float = 2.0) -> pd.DataFrame:
    """Uniform choices among SHOWN by 1,500 shoppers, half of them in control."""
    rng = np.random.default_rng(seed)
    number = rng.integers(0, 1500, rows)
    arm = np.where(number % 2 == 0, "control", "personalized")
    segment, product = np.array(SEGMENTS)[number % 3 % 2], rng.choice(PRODUCTS, rows)
    style = [SHOWN[i] for i in rng.integers(len(SHOWN), size=rows)]
    style = [ORIGINAL if a == "control" else s for a, s in zip(arm, style, strict=True)]
    rate = [stronger * truth(g, s) for g, s in zip(segment, style, strict=True)]
    return pd.DataFrame(
        {
            "decision_id": [f"d{i}" for i in range(rows)],
            "test": "hero",
            "shopper": [f"s{i}" for i in number],
            "product": product,
            "segment": segment,
            "arm": arm,
            "style_key": [s.key for s in style],
            "digest": None,
            "propensity": np.where(arm == "control", 1.0, 1 / len(SHOWN)),
            "policy_version": "v1",
            "position": 1,
            "shown_at": pd.Timestamp("2026-01-05", tz="UTC"),
            "clicked": (rng.random(rows) < rate).astype("int64"),
            "converted": 0,
        }
    )


def learner() -> PopularityRanker:
    return PopularityRanker(strength=200.0)


class Stubborn(PopularityRanker):
    """Learns nothing."""

    def fit(self, feedback, features):
        return self


class Wrong(PopularityRanker):
    """Likes what the shoppers like least."""

    def rank(self, context, styles):
        worst = [0.2 - truth(context.segment, style) for style in styles]
        return ranking_of(context, styles, worst)


def judge(feedback=None, champion=None, make=learner, **options):
    feedback = log() if feedback is None else feedback
    champion = champion or PopularityRanker()
    return compare(feedback, FEATURES, champion, make, POLICY, seed=3, **options)


def test_a_better_ranker_is_promoted_with_its_figures():
    report = judge()
    assert report.promote
    assert 0 < report.lower_bound < report.difference.value
    assert report.difference.value == pytest.approx(report.challenger.value - report.champion.value)
    assert report.difference.shoppers == log().query("arm != 'control'")["shopper"].nunique()
    assert report.mean_weight == pytest.approx(1.0, abs=0.05)
    assert report.coverage == 1.0
    assert "promoted" in report.reason
    assert all(isinstance(v, float) and np.isfinite(v) for v in report.metrics().values())


def test_the_estimates_are_near_the_truth():
    report = judge()
    champion = np.mean([2 * truth(g, s) for g in SEGMENTS for s in SHOWN])
    assert abs(report.champion.value - champion) < 4 * report.champion.standard_error + 0.01


def test_a_worse_ranker_and_the_same_ranker_are_not_promoted():
    assert not judge(make=Wrong).promote
    same = judge(make=Stubborn)
    assert not same.promote
    assert same.difference.value == 0.0
    assert "not promoted" in same.reason


def naive(feedback: pd.DataFrame, confidence: float, folds: int = 5) -> Estimate:
    """The difference as if every judgement of a shopper were evidence of its own."""
    kept, known, _ = judged(feedback, [])
    fold = {s: int(uniform("3", "fold", s) * folds) for s in set(feedback["shopper"])}
    parts = []
    for held_out in range(folds):
        taught = feedback[feedback["shopper"].map(fold) != held_out]
        rows = kept[kept["shopper"].map(fold) == held_out]
        challenger = learner().fit(taught, FEATURES)
        parts.append(contributions(rows, PopularityRanker(), challenger, POLICY, known))
    shopper, _, old, new = (np.concatenate(column) for column in zip(*parts, strict=True))
    return summarised(new - old, shopper, 2 * confidence - 1)


def test_the_interval_is_as_wide_as_cross_fitting_asks() -> None:
    """Each pair of shoppers in different folds counts twice: the error is that of half of them."""
    found, plain = judge().difference, naive(log(), Gate().confidence)
    assert found.value == pytest.approx(plain.value)
    assert found.standard_error == pytest.approx(2**0.5 * plain.standard_error)
    assert found.value - found.low == pytest.approx(2**0.5 * (plain.value - plain.low))
    assert found.high - found.value == pytest.approx(2**0.5 * (plain.high - plain.value))


def test_what_only_the_naive_interval_would_promote_is_not_promoted() -> None:
    weak = log(rows=3000, stronger=1.0)
    rough = naive(weak, 0.9)
    z = rough.value / rough.standard_error
    gate = Gate(confidence=float(norm.cdf(z / 1.2)))  # of the two widths, 1 and 1.41
    assert naive(weak, gate.confidence).low > 0
    report = judge(weak, gate=gate)
    assert not report.promote
    assert report.lower_bound < 0 < report.difference.value
    assert "that must be above" in report.reason
    assert judge(weak, gate=Gate(confidence=float(norm.cdf(z / 1.6)))).promote


@pytest.mark.slow
def test_noise_is_promoted_no_more_often_than_the_gate_says():
    """At 90 % confidence: about 7 % here, 15 % with the naive standard error of cross-fitting."""
    z = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        noise = log(rows=4000)
        noise = noise.assign(clicked=(rng.random(len(noise)) < 0.1).astype("int64"))
        report = compare(
            noise,
            FEATURES,
            PopularityRanker(),
            learner,
            EpsilonGreedyPolicy(0.1),
            tables=[TABLE],
            seed=seed,
        )
        z.append(report.difference.value / report.difference.standard_error)
        assert report.promote == (report.lower_bound > 0)
    assert np.std(z) < 1.05
    assert np.mean(np.array(z) > 1.28) <= 0.12


def test_a_demand_for_more_gain_keeps_it_out():
    assert not judge(gate=Gate(least_gain=0.2)).promote


def test_the_same_feedback_gets_the_same_report():
    assert judge() == judge(log().sample(frac=1.0, random_state=1))


def test_types_of_the_feedback_do_not_matter():
    names = ["shopper", "segment", "product", "arm", "style_key", "policy_version", "clicked"]
    kinds = log().astype(dict.fromkeys(names, "category"))
    kinds["product"] = kinds["product"].cat.add_categories(["sold out"])
    kinds["arm"] = kinds["arm"].cat.add_categories(["third"])
    assert judge(kinds) == judge()
    assert judge(log().convert_dtypes(dtype_backend="pyarrow")) == judge()
    numbers = log().assign(shopper=log()["shopper"].str[1:].astype(int))
    text = numbers.assign(shopper=numbers["shopper"].astype(str))
    assert judge(numbers) == judge(text)


def test_a_chance_with_other_last_digits_is_the_same_chance():
    noisy = log().assign(propensity=log()["propensity"] * (1 - 1e-12 * (log().index % 2)))
    assert judge(noisy).coverage == 1.0


def test_wrong_propensities_are_noticed():
    wrong = log().assign(propensity=np.where(log()["arm"] == "control", 1.0, 0.5))
    report = judge(wrong, tables=[TABLE])
    assert not report.promote
    assert "propensities" in report.reason


def test_heavy_weights_and_a_thin_log_are_noticed():
    assert "lower" not in judge(gate=Gate(most_weight=1.01)).reason
    assert "weighs" in judge(gate=Gate(most_weight=1.01)).reason
    assert "worth only" in judge(gate=Gate(least_effective=0.999)).reason


def test_slates_that_were_not_shown_whole_are_left_out_and_counted():
    missing = log()[(log()["product"] != "p0") | (log()["style_key"] != SHOWN[1].key)]
    assert set(observed_slates(missing.query("arm != 'control'"))) == {
        ("v1", g, p) for g in SEGMENTS for p in PRODUCTS if p != "p0"
    }
    report = judge(missing)
    assert 0.6 < report.coverage < 0.9
    none = log()[log()["style_key"] != SHOWN[1].key]
    with pytest.raises(NotEnoughData, match="pass the tables"):
        judge(none)


def test_slates_of_which_a_variant_was_withdrawn_are_left_out_and_counted():
    """The photo took its chance over, half-way: weighed as if nothing had happened, it misleads."""
    before = log()
    place = (before["segment"] == "g0") & (before["product"] == "p0") & (before["arm"] != "control")
    late = place & (before.index > len(before) / 2)
    gone = late & (before["style_key"] == SHOWN[1].key)
    after = before.assign(
        style_key=before["style_key"].mask(gone, ORIGINAL.key),
        propensity=before["propensity"].mask(
            gone | (late & (before["style_key"] == ORIGINAL.key)), 2 / len(SHOWN)
        ),
    )
    report, chosen = judge(after, tables=[TABLE]), before["arm"] != "control"
    assert report.coverage == pytest.approx(1 - place.sum() / chosen.sum())
    assert ("v1", "g0", "p0") not in judged(after, [TABLE])[1]
    assert ("v1", "g0", "p1") in judged(after, [TABLE])[1]
    assert judged(before, [TABLE])[2] == 1.0


def test_known_slates_are_used_as_given():
    assert judge(tables=[TABLE]) == judge()
    missing = log()[(log()["product"] != "p0") | (log()["style_key"] != SHOWN[1].key)]
    assert judge(missing, tables=[TABLE]).coverage == 1.0
    assert judge(missing, tables=[replace(TABLE, policy_version="v9")]).coverage < 1.0


def test_every_policy_version_has_its_own_slates():
    """A second table that shows less: its impressions are weighed by what it could have shown."""
    later = log(seed=2).assign(policy_version="v2")
    later["decision_id"] = "later " + later["decision_id"]
    chosen = later["arm"] != "control"
    later = later[~chosen | later["style_key"].isin([SHOWN[0].key, SHOWN[1].key])].assign(
        propensity=np.where(later["arm"] == "control", 1.0, 0.5)[
            ~chosen | later["style_key"].isin([SHOWN[0].key, SHOWN[1].key])
        ]
    )
    both = pd.concat([log(), later])
    assert judge(both).coverage == 1.0
    assert {v for v, _, _ in observed_slates(both.query("arm != 'control'"))} == {"v1", "v2"}


def test_control_alone_is_no_evidence():
    with pytest.raises(NotEnoughData, match="outside control"):
        judge(log().query("arm == 'control'"))
    with pytest.raises(InvalidInput, match="folds"):
        judge(folds=1)


def test_the_challenger_never_saw_the_shoppers_it_is_judged_on():
    seen: list[set[str]] = []

    class Watching(PopularityRanker):
        def fit(self, feedback, features):
            seen.append(set(feedback["shopper"]))
            return super().fit(feedback, features)

    judge(make=Watching, folds=4)
    everybody = set(log()["shopper"])
    held_out = [everybody - some for some in seen]
    assert sum(map(len, held_out)) == len(set().union(*held_out)) == len(everybody)


def test_the_style_space_has_what_the_log_shows():
    assert all(SPACE.check(s) == s for s in SHOWN)


def two_rounds(seed: int = 1, **options) -> pd.DataFrame:
    """The log, and as much again a fortnight later."""
    first, second = log(seed=seed, **options), log(seed=seed + 1000, **options)
    second = second.assign(
        decision_id="later " + second["decision_id"],
        shown_at=second["shown_at"] + pd.Timedelta(days=14),
    )
    return pd.concat([first, second], ignore_index=True)


LEARNED = pd.Timestamp("2026-01-06", tz="UTC")


def test_only_what_came_after_the_champion_s_fit_is_judged() -> None:
    both = two_rounds()
    seen: list[pd.DataFrame] = []

    class Watching(PopularityRanker):
        def fit(self, feedback, features):
            seen.append(feedback)
            return super().fit(feedback, features)

    report = judge(both, make=Watching, since=LEARNED, folds=4)
    later = both[both["shown_at"] > LEARNED]
    assert report.difference.impressions == int((later["arm"] != "control").sum())
    for taught in seen:
        assert int((taught["shown_at"] <= LEARNED).sum()) == len(log())
    held_out = [
        set(later["shopper"]) - set(one.loc[one["shown_at"] > LEARNED, "shopper"]) for one in seen
    ]
    assert sum(map(len, held_out)) == len(set().union(*held_out)) == later["shopper"].nunique()


def test_a_champion_is_not_judged_on_what_it_learned_from() -> None:
    """Pure noise: on its own feedback the champion looks better than any challenger, by luck."""
    found = []
    for seed in range(16):
        rng = np.random.default_rng(seed)
        both = two_rounds(seed, rows=3000)
        both = both.assign(clicked=(rng.random(len(both)) < 0.1).astype("int64"))
        champion = PopularityRanker(strength=20.0)
        champion.fit(both[both["shown_at"] <= LEARNED], FEATURES)
        reports = [
            compare(
                both, FEATURES, champion, learner, EpsilonGreedyPolicy(0.1),
                since=since, folds=2, seed=3,
            )
            for since in (None, LEARNED)
        ]  # fmt: skip
        found.append([report.difference.value for report in reports])
    own, honest = np.array(found).T
    chance = 1 / np.sqrt(len(own))
    assert (own - honest).mean() < -2 * (own - honest).std() * chance
    assert abs(honest.mean()) < 2.5 * honest.std() * chance


def test_without_anything_newer_there_is_no_verdict() -> None:
    with pytest.raises(NotEnoughData, match="until when the champion learned"):
        judge(since=pd.Timestamp("2026-02-01", tz="UTC"))
    with pytest.raises(InvalidInput, match="time zone"):
        judge(since=pd.Timestamp("2026-01-01"))

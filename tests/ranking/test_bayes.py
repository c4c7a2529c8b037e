from __future__ import annotations

import json
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from contracts.ranker import (
    FEATURES,
    PRODUCTS,
    SEGMENTS,
    STYLES,
    RankerContract,
    feedback,
    likes_wood,
    no_feedback,
)
from persona_img.domain.decision import Context
from persona_img.domain.feedback_table import as_feedback, weighed_feedback
from persona_img.domain.style import ORIGINAL, Style
from persona_img.errors import InvalidInput, NotEnoughData, NotFound
from persona_img.ranking.base import RankingFeatures
from persona_img.ranking.bayes import BayesRanker
from persona_img.ranking.counts import Counts
from persona_img.ranking.effects import independent

CONTEXT = Context("g0", "p0")
TURNING = RankingFeatures(
    FEATURES.segments,
    pd.DataFrame(
        {"category": "hat", "price": np.arange(12.0) + 5.0}, index=[f"p{n:02d}" for n in range(12)]
    ),
)


@cache
def turning() -> pd.DataFrame:
    """Products in the order of their prices; cheap ones are liked in wood, dear ones not."""
    rng = np.random.default_rng(6)
    table = feedback(seed=6)
    number = rng.integers(12, size=len(table))
    wood = table["style_key"].str.contains("wood").to_numpy(dtype=float)
    odds = logit(0.1) + 0.5 * wood * np.where(number < 6, 1.0, -1.0)
    return table.assign(
        product=TURNING.products.index[number],
        clicked=(rng.random(len(table)) < expit(odds)).astype("int64"),
        position=1,
    )


class TestBayes(RankerContract):
    def make(self):
        return BayesRanker()

    def test_saved_and_loaded_it_is_as_sure_as_before(self, fitted, tmp_path):
        fitted.save(tmp_path)
        loaded = BayesRanker.load(tmp_path)
        for context in (CONTEXT, Context("nobody", "nothing")):
            assert loaded.rank(context, STYLES) == fitted.rank(context, STYLES)

    def test_a_missing_file_is_said(self, fitted, tmp_path):
        fitted.save(tmp_path)
        (tmp_path / "bayes-covariance.txt").unlink()
        with pytest.raises(NotFound, match="bayes-covariance"):
            BayesRanker.load(tmp_path)

    def test_more_impressions_make_it_surer(self):
        sure, unsure = (
            np.array(
                BayesRanker(learned=False)
                .fit(feedback().head(rows), FEATURES)
                .rank(CONTEXT, STYLES[1:])
                .spreads
            )
            for rows in (12_000, 1500)
        )
        assert np.all(sure < unsure)

    def test_what_was_never_seen_is_least_sure(self, fitted):
        lava = Style.of({"surface": "lava", "light": "sun", "palette": "warm"})
        ranking = fitted.rank(CONTEXT, [*STYLES, lava])
        spread = dict(zip(ranking.styles, ranking.spreads, strict=True))
        assert spread[lava] == max(spread.values())

    def test_draws_lie_around_it_as_it_says(self, fitted):
        rng = np.random.default_rng(4)
        pair = STYLES[:2]
        ranking = fitted.rank(CONTEXT, pair)
        wanted = dict(zip(ranking.styles, logit(ranking.scores), strict=True))
        apart = []
        for _ in range(400):
            drawn = fitted.drawn(rng).rank(CONTEXT, pair)
            assert drawn.spreads is None
            found = dict(zip(drawn.styles, logit(drawn.scores), strict=True))
            apart.append(found[pair[1]] - found[pair[0]])
        assert np.mean(apart) == pytest.approx(
            wanted[pair[1]] - wanted[pair[0]], abs=4 * np.std(apart) / 20
        )
        assert np.std(apart) == pytest.approx(np.hypot(*ranking.spreads), rel=0.15)

    def test_a_flip_of_tastes_is_followed_where_old_impressions_fade(self):
        old = feedback().assign(shown_at=pd.Timestamp("2026-01-01", tz="UTC"))
        now = feedback(rows=6000, seed=8).assign(shown_at=pd.Timestamp("2026-03-01", tz="UTC"))
        turned = {"wood": "stone", "stone": "wood"}
        now["style_key"] = [
            Style.of({k: turned.get(v, v) for k, v in Style(key).values.items()}).key
            for key in now["style_key"]
        ]
        both = pd.concat([old, now])
        fading, keeping = (
            BayesRanker(half_life=days).fit(both, FEATURES).rank(CONTEXT, STYLES).styles[0]
            for days in (14.0, float("inf"))
        )
        assert fading.values["surface"] == "stone"
        assert keeping.values["surface"] == "wood"

    def test_products_share_what_their_category_likes(self):
        """p1 is only ever shown as it is; it is ranked as p0, which is of its category."""
        some = feedback()
        likes = (some["product"] == "p0") & some["style_key"].str.contains("linen")
        rng = np.random.default_rng(2)
        clicked = np.where(likes, rng.random(len(some)) < 0.3, some["clicked"])
        some = some.assign(clicked=clicked.astype("int64"))
        some = some[(some["product"] != "p1") | (some["style_key"] == ORIGINAL.key)]
        # The price, which goes with the category here, would tell the same.
        features = RankingFeatures(FEATURES.segments, FEATURES.products[["category"]])
        ranker = BayesRanker().fit(some, features)
        gain = {}
        for product in PRODUCTS:
            ranking = ranker.rank(Context("g0", product), STYLES)
            scores = dict(zip(ranking.styles, logit(ranking.scores), strict=True))
            linen, wood = (
                np.mean([v for s, v in scores.items() if s.values.get("surface") == surface])
                for surface in ("linen", "wood")
            )
            gain[product] = linen - wood
        assert gain["p1"] > gain["p2"] + 0.1
        assert gain["p1"] > gain["p3"] + 0.1

    def test_tastes_that_turn_with_the_price_are_learned(self):
        """Wood sells what is cheap and spoils what is dear: no sum over products tells."""
        table, products = turning(), TURNING.products
        ranker = BayesRanker().fit(table[table["product"] != "p11"], TURNING)
        liked = {product: likes_wood(ranker, product) for product in products.index}
        assert np.mean([liked[f"p{n:02d}"] for n in range(4)]) > 0.2
        assert np.mean([liked[f"p{n:02d}"] for n in range(7, 11)]) < -0.2
        # Of a product that was never met nobody knows how dear it is.
        assert abs(liked["p11"]) < 0.1
        told = ranker.effects().query("kind == 'price x value' and what == 'surface=wood'")
        assert told["effect"].item() < -0.05

    def test_a_price_counts_by_its_rank_and_where_it_is_unknown_not_at_all(self):
        dearer = TURNING.products.assign(price=TURNING.products["price"] ** 3)
        plain, other = (
            BayesRanker(half_life=14.0).fit(turning(), RankingFeatures(FEATURES.segments, some))
            for some in (TURNING.products, dearer)
        )
        assert other.rank(Context("g0", "p03"), STYLES) == plain.rank(Context("g0", "p03"), STYLES)
        unknown = TURNING.products.assign(price=np.nan)
        flat = BayesRanker(half_life=14.0).fit(
            turning(), RankingFeatures(FEATURES.segments, unknown)
        )
        gone = BayesRanker(half_life=14.0).fit(
            turning(), RankingFeatures(FEATURES.segments, unknown[["category"]])
        )
        for product in ("p03", "p08"):
            scores, same = (one.rank(Context("g0", product), STYLES).scores for one in (flat, gone))
            assert scores == pytest.approx(same, rel=1e-6)

    def test_a_ranker_saved_before_prices_were_read_still_ranks(self, tmp_path):
        features = RankingFeatures(FEATURES.segments, FEATURES.products[["category"]])
        fitted = BayesRanker().fit(feedback(), features)
        fitted.save(tmp_path)
        path = tmp_path / "bayes.json"
        document = json.loads(path.read_text())
        del document["names"]["numbers"]
        document["spreads"] = {k: v for k, v in document["spreads"].items() if "number" not in k}
        path.write_text(json.dumps(document))
        loaded = BayesRanker.load(tmp_path)
        for context in (CONTEXT, Context("nobody", "nothing")):
            assert loaded.rank(context, STYLES) == fitted.rank(context, STYLES)
        later = loaded.updated(feedback(rows=500, seed=9))
        assert later.rank(CONTEXT, STYLES) != loaded.rank(CONTEXT, STYLES)

    def test_text_columns_may_be_called_anything(self):
        products = FEATURES.products.rename(columns={"category": "segment x value"})
        features = RankingFeatures(FEATURES.segments, products)
        named = self.make().fit(feedback(), features)
        plain = self.make().fit(feedback(), FEATURES)
        assert named.rank(CONTEXT, STYLES) == plain.rank(CONTEXT, STYLES)

    @pytest.mark.parametrize("clicked", [0, 1])
    def test_without_clicks_or_with_nothing_else_there_is_no_fit(self, clicked):
        with pytest.raises(NotEnoughData, match="clicks"):
            self.make().fit(feedback().assign(clicked=clicked), FEATURES)

    def test_an_unfitted_ranker_says_so(self, tmp_path):
        with pytest.raises(NotEnoughData):
            self.make().fit(no_feedback(), FEATURES)
        for step in (
            lambda r: r.rank(CONTEXT, STYLES),
            lambda r: r.save(tmp_path),
            lambda r: r.drawn(np.random.default_rng(0)),
            lambda r: r.effects(),
        ):
            with pytest.raises(NotEnoughData, match="never fitted"):
                step(self.make())

    @pytest.mark.parametrize(
        "wrong",
        [{"half_life": 0.0}, {"joint": 0}, {"spreads": {"value": 0.0}}, {"spreads": {"x": 1}}],
    )
    def test_impossible_settings_are_refused(self, wrong):
        with pytest.raises(InvalidInput):
            BayesRanker(**wrong)


DRAWN = {"value", "photo", "segment x value"}


@cache
def a_truth(seed: int) -> tuple[dict[tuple[str, str], float], pd.DataFrame]:
    """Log-odds by segment and style, drawn with the spreads that the ranker expects, and a log."""
    rng = np.random.default_rng(seed)
    known = BayesRanker().spreads
    pairs = sorted({pair for style in STYLES for pair in style.values.items()})
    value = {pair: rng.normal(0, known["value"]) for pair in pairs}
    own = {(g, pair): rng.normal(0, known["segment x value"]) for g in SEGMENTS for pair in pairs}
    photo = rng.normal(0, known["photo"])
    truth = {
        (g, s.key): photo if s.is_original else sum(value[p] + own[g, p] for p in s.values.items())
        for g in SEGMENTS
        for s in STYLES
    }
    table = feedback(seed=seed)
    rate = [truth[g, s] for g, s in zip(table["segment"], table["style_key"], strict=True)]
    chance = 1 / (1 + np.exp(2.5 - np.array(rate)))
    clicked = (rng.random(len(table)) < chance).astype("int64")
    return truth, table.assign(clicked=clicked, position=1)


def test_the_truth_lies_where_it_says():
    """Errors of differences from the photo, in the spreads that were told, have a spread of one."""
    z = []
    for seed in range(25):
        truth, table = a_truth(seed)
        others = dict.fromkeys(set(BayesRanker().spreads) - DRAWN, 1e-4)
        ranker = BayesRanker(learned=False, spreads=others | {"base": 10.0}).fit(table, FEATURES)
        for segment in SEGMENTS:
            pair = [ORIGINAL, STYLES[1 + seed % (len(STYLES) - 1)]]
            ranking = ranker.rank(Context(segment, "p0"), pair)
            found = dict(zip(ranking.styles, logit(ranking.scores), strict=True))
            told = found[pair[1]] - found[ORIGINAL]
            real = truth[segment, pair[1].key] - truth[segment, ORIGINAL.key]
            z.append((told - real) / np.hypot(*ranking.spreads))
    assert abs(np.mean(z)) < 0.35
    assert 0.7 < np.std(z) < 1.25


@settings(max_examples=60, deadline=None)
@given(own=st.lists(st.floats(0.01, 2.0), min_size=2, max_size=7), shared=st.floats(0.0, 5.0))
def test_what_all_share_is_left_out(own, shared):
    covariance = np.diag(own) + shared
    found = independent(covariance)
    expected = own if len(own) > 2 else np.full(2, sum(own) / 2)
    assert found == pytest.approx(expected, rel=1e-6)


def test_one_alone_keeps_its_own_variance():
    assert independent(np.array([[0.25]])) == pytest.approx([0.25])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), half_life=st.floats(0.5, 100.0))
def test_cells_are_counted_and_weighed_by_age(seed, half_life):
    rng = np.random.default_rng(seed)
    table = feedback().sample(300, random_state=seed)
    days = rng.integers(0, 40, len(table))
    table = as_feedback(
        table.assign(shown_at=pd.Timestamp("2026-01-05", tz="UTC") + pd.to_timedelta(days, "D"))
    )
    counts = Counts.of(table)
    places, (clicks, misses) = counts.places, counts.weighed(half_life)
    weight = 0.5 ** ((days.max() - days) / half_life)
    slow = table.assign(shown=weight, hit=weight * table["clicked"])
    cells = slow.groupby(["segment", "product", "style_key", "position"])[["shown", "hit"]].sum()
    fast = pd.DataFrame(
        {
            "segment": [places.segments[i] for i in places.segment],
            "product": [places.products[i] for i in places.product],
            "style_key": [places.styles[i] for i in places.style],
            "position": places.position.astype(int),
            "shown": clicks + misses,
            "hit": clicks,
        }
    ).set_index(["segment", "product", "style_key", "position"])
    joined = cells.join(fast, rsuffix="_fast", how="outer")
    assert joined["shown_fast"].to_numpy() == pytest.approx(joined["shown"].to_numpy())
    assert joined["hit_fast"].to_numpy() == pytest.approx(joined["hit"].to_numpy())


def test_what_a_part_would_have_told_is_what_a_fit_of_it_says():
    """Where spreads are given, that is; learned ones stay those of the whole."""
    make = lambda: BayesRanker(half_life=14.0, learned=False)  # noqa: E731
    whole, part = weighed_feedback(feedback()), weighed_feedback(feedback()).head(7000)
    places = Counts.of(whole).places
    found = make().fit(whole, FEATURES).foretelling(part, FEATURES)(places)
    assert found == pytest.approx(make().fit(part, FEATURES).log_odds(places), abs=1e-4)
    learned = BayesRanker(half_life=14.0).fit(whole, FEATURES)
    assert np.abs(learned.foretelling(part, FEATURES)(places) - found).max() > 1e-3
    with pytest.raises(NotEnoughData, match="never fitted"):
        make().foretelling(part, FEATURES)


def test_everything_with_everything_at_once_is_what_one_after_the_other_says():
    ranker = BayesRanker(half_life=14.0).fit(feedback(), FEATURES)
    lava = Style.of({"surface": "lava", "light": "sun"})
    segments, products = [*SEGMENTS, "nobody"], ["nothing", *PRODUCTS]
    styles = [*STYLES, lava]
    rng = np.random.default_rng(7)
    for one in (ranker, ranker.drawn(rng)):
        found = one.scores(segments, products, styles)
        assert found.shape == (len(segments), len(products), len(styles))
        for k, segment in enumerate(segments):
            for p, product in enumerate(products):
                ranking = one.rank(Context(segment, product), styles)
                scores = dict(zip(ranking.styles, ranking.scores, strict=True))
                wanted = [scores[style] for style in styles]
                assert found[k, p] == pytest.approx(wanted, abs=1e-9)

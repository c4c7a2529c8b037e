from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from contracts.ranker import (
    FEATURES,
    PRODUCTS,
    SEGMENTS,
    STYLES,
    RankerContract,
    feedback,
    no_feedback,
    truth,
)
from persona_img.domain.decision import Context
from persona_img.errors import InvalidInput, NotEnoughData, NotFound
from persona_img.ranking import encoding
from persona_img.ranking.base import RankingFeatures
from persona_img.ranking.lightgbm import LightGBMRanker


def test_columns_of_trees_are_looked_up_by_name(monkeypatch):
    """By hand, in pieces of two rows."""
    monkeypatch.setattr(encoding, "_AT_ONCE", 2)
    made = encoding.Encoding(
        segments=("g0", "g1"),
        products=("p0", "p1"),
        values=(("light", "sun"), ("surface", "wood")),
        texts={"category": {"p0": "hat", "p1": "shoes"}},
        numbers={"segment:size": {"g0": -1.0}, "product:price": {"p1": 2.5}},
    )
    rows = encoding.Rows(
        ["g1", "g0", "new"],
        ["p1", "p0", "new"],
        ["light=sun,surface=wood", "original", "light=sun"],
        np.array([1.0, np.e, 1.0]),
    )
    found = made.trees(rows.places())
    assert found.dtype == np.float32
    nan = np.nan
    wanted = [
        # log position, photo, sun, wood, g0, g1, hat, shoes, size, price
        [0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, nan, 2.5],
        [1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, -1.0, nan],
        [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, nan, nan],
    ]
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


class TestLightGBM(RankerContract):
    def make(self):
        return LightGBMRanker(rounds=20)

    def test_scores_are_click_rates_at_position_one(self, fitted):
        found, true = [], []
        for segment, product in itertools.product(SEGMENTS, PRODUCTS):
            ranking = fitted.rank(Context(segment, product), STYLES)
            found += ranking.scores
            true += [truth(segment, style) for style in ranking.styles]
        assert np.mean(found) == pytest.approx(np.mean(true), rel=0.08)
        assert np.corrcoef(found, true)[0, 1] > 0.85

    def test_the_files_are_text_and_nothing_is_pickled(self, fitted, tmp_path):
        fitted.save(tmp_path)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["ranker.json", "trees.txt"]
        assert (tmp_path / "trees.txt").read_text("utf-8").startswith("tree\n")

    def test_missing_trees_are_said(self, fitted, tmp_path):
        fitted.save(tmp_path)
        (tmp_path / "trees.txt").unlink()
        with pytest.raises(NotFound, match=r"trees\.txt"):
            LightGBMRanker.load(tmp_path)

    def test_the_number_of_threads_changes_nothing(self):
        one, two = (
            LightGBMRanker(rounds=3, num_threads=n).fit(feedback(), FEATURES) for n in (1, 2)
        )
        for product in PRODUCTS[:2]:
            context = Context("g0", product)
            scores = one.rank(context, STYLES).scores
            assert two.rank(context, STYLES).scores == pytest.approx(scores)

    def test_trees_learn_what_is_not_additive(self):
        rng = np.random.default_rng(1)
        some = feedback()
        category = some["product"].map(FEATURES.products["category"])
        sunny, wooden = (some["style_key"].str.contains(x) for x in ("light=sun", "surface=wood"))
        rate = np.where((category == "hat") & sunny & wooden & (some["segment"] == "g0"), 0.5, 0.03)
        some = some.assign(clicked=(rng.random(len(some)) < rate).astype("int64"))
        style = next(s for s in STYLES if "sun" in s.key and "wood" in s.key)
        additive, trees = (
            LightGBMRanker(rounds=rounds).fit(some, FEATURES).rank(Context("g0", "p0"), [style])
            for rounds in (0, 100)
        )
        assert abs(trees.scores[0] - 0.5) < abs(additive.scores[0] - 0.5) - 0.02

    @pytest.mark.parametrize("clicked", [0, 1])
    def test_without_clicks_or_with_nothing_else_there_is_no_fit(self, clicked):
        with pytest.raises(NotEnoughData, match="clicks"):
            self.make().fit(feedback().assign(clicked=clicked), FEATURES)

    def test_no_feedback_is_no_fit_and_an_unfitted_ranker_says_so(self, tmp_path):
        with pytest.raises(NotEnoughData):
            self.make().fit(no_feedback(), FEATURES)
        with pytest.raises(NotEnoughData, match="never fitted"):
            self.make().rank(Context("g0", "p0"), STYLES)
        with pytest.raises(NotEnoughData, match="never fitted"):
            self.make().save(tmp_path)

    def test_impossible_sizes_are_refused(self):
        with pytest.raises(InvalidInput, match="threads"):
            LightGBMRanker(num_threads=0)


def test_features_with_two_rows_or_text_for_segments_are_refused():
    twice = pd.DataFrame({"size": [1.0, 2.0]}, index=["g0", "g0"])
    with pytest.raises(InvalidInput, match="several rows"):
        RankingFeatures(twice, FEATURES.products)
    with pytest.raises(InvalidInput, match="not numeric"):
        RankingFeatures(pd.DataFrame({"top": ["hat"]}, index=["g0"]), FEATURES.products)

"""What every Ranker must do; each ranker's tests inherit it and say how to make one."""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit

from persona_img.domain.decision import Context
from persona_img.domain.feedback import FEEDBACK_COLUMNS
from persona_img.domain.style import ORIGINAL, Style, StyleSpace
from persona_img.errors import EmptySlate, InvalidInput, NotFound
from persona_img.ranking.base import Ranker, RankingFeatures
from persona_img.ranking.chances import Predicting

SPACE = StyleSpace(
    {"surface": ("wood", "stone", "linen"), "light": ("soft", "sun"), "palette": ("warm", "cool")},
    ({"surface": "stone", "palette": "warm"},),
)
STYLES = SPACE.styles()
SEGMENTS, PRODUCTS = ("g0", "g1"), ("p0", "p1", "p2", "p3")
FEATURES = RankingFeatures(
    segments=pd.DataFrame({"size": [10.0, 20.0]}, index=list(SEGMENTS)),
    products=pd.DataFrame(
        {"category": ["hat", "hat", "shoes", "shoes"], "price": [5.0, 9.0, 50.0, np.nan]},
        index=list(PRODUCTS),
    ),
)


def truth(segment: str, style: Style) -> float:
    """Everybody likes wood; g0 likes sun and g1 does not."""
    values = style.values
    rate = 0.05 + 0.03 * (values.get("surface") == "wood")
    sunny = values.get("light") == "sun"
    return rate + (0.03 if segment == "g0" else -0.02) * sunny


@cache
def feedback(rows: int = 12_000, seed: int = 5) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    segment, product = rng.choice(SEGMENTS, rows), rng.choice(PRODUCTS, rows)
    style = [STYLES[i] for i in rng.integers(len(STYLES), size=rows)]
    position = rng.integers(1, 5, rows)
    rate = [truth(g, s) * 0.8 ** (n - 1) for g, s, n in zip(segment, style, position, strict=True)]
    return pd.DataFrame(
        {
            "decision_id": [f"d{i}" for i in range(rows)],
            "test": "hero",
            "shopper": [f"s{i % 900}" for i in range(rows)],
            "product": product,
            "segment": segment,
            "arm": "personalized",
            "style_key": [s.key for s in style],
            "digest": None,
            "propensity": 1 / len(STYLES),
            "policy_version": "v1",
            "position": position,
            "shown_at": pd.Timestamp("2026-01-05", tz="UTC"),
            "clicked": (rng.random(rows) < rate).astype("int64"),
            "converted": 0,
        }
    )


def everything(ranker: Ranker) -> list[tuple[Style, float]]:
    rankings = [
        ranker.rank(Context(g, p), STYLES) for g, p in itertools.product(SEGMENTS, PRODUCTS)
    ]
    return [pair for r in rankings for pair in zip(r.styles, r.scores, strict=True)]


def check_many(ranker: Predicting) -> None:
    """Slates of one size, of whom the ranker knows and of strangers, beside their rankings."""
    rng = np.random.default_rng(3)
    strange = Style("light=neon,palette=warm,surface=wood")
    contexts, slates = [], []
    for segment, product in itertools.product([*SEGMENTS, "nobody"], [*PRODUCTS, "nothing"]):
        some = [STYLES[i] for i in rng.choice(len(STYLES), 4, replace=False)]
        contexts.append(Context(segment, product))
        slates.append([*some, strange])
    found = ranker.predicted(contexts, slates)
    assert found.scores.shape == (len(contexts), 5)
    for number, (context, styles) in enumerate(zip(contexts, slates, strict=True)):
        ranking = ranker.rank(context, styles)
        place = [ranking.styles.index(style) for style in styles]
        assert np.array(ranking.scores)[place] == pytest.approx(found.scores[number], abs=1.5e-12)
        assert (ranking.spreads is None) == (found.spreads is None)
        if found.spreads is not None:
            wanted = np.array(ranking.spreads)[place]
            assert found.spreads[number] == pytest.approx(wanted, abs=1e-12)
    nothing = ranker.predicted([], [])
    assert len(nothing.scores) == 0


def likes_wood(ranker: Ranker, product: str) -> float:
    """Log-odds of wood over those of stone."""
    ranking = ranker.rank(Context("g0", product), STYLES)
    scores = dict(zip(ranking.styles, logit(ranking.scores), strict=True))
    wood, stone = (
        np.mean([v for s, v in scores.items() if s.values.get("surface") == surface])
        for surface in ("wood", "stone")
    )
    return float(wood - stone)


class RankerContract:
    def make(self) -> Ranker:
        raise AssertionError("say how to make one")

    @pytest.fixture
    def fitted(self) -> Ranker:
        return self.make().fit(feedback(), FEATURES)

    def test_every_style_is_ranked_once_best_first_with_a_rate(self, fitted):
        ranking = fitted.rank(Context("g0", "p0"), STYLES)
        assert set(ranking.styles) == set(STYLES)
        assert len(ranking.styles) == len(STYLES)
        assert list(ranking.scores) == sorted(ranking.scores, reverse=True)
        assert all(0 <= score <= 1 for score in ranking.scores)

    def test_the_taste_is_found(self, fitted):
        best = {g: fitted.rank(Context(g, "p1"), STYLES).styles[0].values for g in SEGMENTS}
        assert best["g0"]["surface"] == best["g1"]["surface"] == "wood"
        assert best["g0"]["light"] == "sun"
        assert best["g1"]["light"] == "soft"

    def test_a_style_has_the_score_it_would_have_alone(self, fitted):
        context = Context("g1", "p2")
        together = fitted.rank(context, STYLES)
        for style, score in zip(together.styles, together.scores, strict=True):
            assert fitted.rank(context, [style]).scores[0] == pytest.approx(score, abs=1e-12)

    def test_the_order_of_the_styles_is_no_matter(self, fitted):
        turned = [STYLES[i] for i in np.random.default_rng(0).permutation(len(STYLES))]
        for context in (Context("g0", "p0"), Context("nobody", "nothing")):
            assert fitted.rank(context, turned) == fitted.rank(context, STYLES)

    def test_many_slates_at_once_are_predicted_as_one_by_one(self, fitted):
        if not isinstance(fitted, Predicting):
            pytest.skip("takes one at a time")
        check_many(fitted)

    @pytest.mark.parametrize("how", ["category", "arrow", "floats", "any index", "mixed numbers"])
    def test_types_of_the_feedback_do_not_matter(self, fitted, how):
        table = feedback()
        if how == "category":
            names = ["segment", "product", "style_key", "arm", "clicked", "position"]
            table = table.astype(dict.fromkeys(names, "category"))
            table["product"] = table["product"].cat.add_categories(["sold out"])
            table["segment"] = table["segment"].cat.add_categories(["gone"])
        elif how == "arrow":
            table = table.convert_dtypes(dtype_backend="pyarrow")
        elif how == "floats":
            table = table.astype({"clicked": float, "position": float})
        elif how == "any index":
            table = table.set_axis(np.zeros(len(table), dtype=int)).assign(more=1)
        else:
            table = table.assign(
                clicked=table["clicked"].astype(bool).astype(object), position=table["position"]
            )
        assert everything(self.make().fit(table, FEATURES)) == everything(fitted)

    def test_a_click_nobody_knows_of_is_refused(self):
        table = feedback().astype({"clicked": "Int64"})
        table.loc[4, "clicked"] = pd.NA
        with pytest.raises(InvalidInput, match="clicked <NA>"):
            self.make().fit(table, FEATURES)

    def test_the_same_feedback_in_any_order_is_the_same_ranker(self, fitted):
        shuffled = feedback().sample(frac=1.0, random_state=3)
        again = self.make().fit(shuffled, FEATURES)
        assert everything(again) == everything(fitted)

    def test_an_impression_that_counts_three_times_is_three(self):
        table = feedback()
        often = np.arange(len(table)) % 7 == 0
        thrice = pd.concat([table, table[often], table[often]])
        one = self.make().fit(table.assign(weight=np.where(often, 3.0, 1.0)), FEATURES)
        other = self.make().fit(thrice, FEATURES)
        for (style, rate), (same, wanted) in zip(everything(one), everything(other), strict=True):
            assert (style, rate) == (same, pytest.approx(wanted, rel=1e-6))
        assert everything(one) != everything(self.make().fit(table, FEATURES))

    def test_what_impressions_count_as_may_come_in_any_order(self):
        table = feedback().assign(weight=np.random.default_rng(8).uniform(0.1, 3.0, 12_000))
        one = self.make().fit(table, FEATURES)
        other = self.make().fit(table.sample(frac=1.0, random_state=3), FEATURES)
        assert everything(one) == everything(other)

    def test_the_input_is_left_alone(self):
        before = feedback().copy()
        self.make().fit(feedback(), FEATURES)
        pd.testing.assert_frame_equal(before, feedback())

    def test_fitting_again_forgets_what_was_before(self, fitted):
        other = feedback(seed=6)
        assert everything(fitted.fit(other, FEATURES)) == everything(
            self.make().fit(other, FEATURES)
        )

    def test_strangers_are_ranked_too(self, fitted):
        unseen = Style.of({"surface": "lava", "light": "sun", "smell": "none"})
        ranking = fitted.rank(Context("nobody", "nothing"), [ORIGINAL, unseen, *STYLES[1:]])
        assert len(ranking.styles) == len(STYLES) + 1
        assert ranking.styles[0].values["surface"] == "wood"

    def test_saved_and_loaded_it_ranks_the_same(self, fitted, tmp_path):
        fitted.save(tmp_path / "new" / "folder")
        loaded = type(fitted).load(tmp_path / "new" / "folder")
        assert everything(loaded) == everything(fitted)
        assert loaded.name == fitted.name

    def test_saved_with_several_columns_of_products_it_ranks_the_same(self, tmp_path):
        """Whatever the order in which they come."""
        products = FEATURES.products.assign(
            brand=["aa", "bb", "aa", "bb"], age=[9.0, 1.0, 5.0, 2.0]
        )
        features = RankingFeatures(FEATURES.segments, products)
        fitted = self.make().fit(feedback(), features)
        fitted.save(tmp_path / "words")
        assert everything(type(fitted).load(tmp_path / "words")) == everything(fitted)

    def test_the_same_ranker_is_saved_as_the_same_text(self, fitted, tmp_path):
        fitted.save(tmp_path / "a")
        self.make().fit(feedback(), FEATURES).save(tmp_path / "b")
        files = sorted(p.name for p in (tmp_path / "a").iterdir())
        assert files
        for name in files:
            one, two = (Path(tmp_path / folder / name).read_text("utf-8") for folder in "ab")
            assert one == two

    def test_a_folder_without_a_ranker_is_said(self, tmp_path):
        with pytest.raises(NotFound, match="save"):
            type(self.make()).load(tmp_path)

    def test_nothing_to_rank_is_an_error(self, fitted):
        with pytest.raises(EmptySlate):
            fitted.rank(Context("g0", "p0"), [])

    def test_feedback_without_a_column_is_refused(self):
        with pytest.raises(InvalidInput, match="position"):
            self.make().fit(feedback().drop(columns="position"), FEATURES)


def no_feedback() -> pd.DataFrame:
    return pd.DataFrame(columns=list(FEEDBACK_COLUMNS))

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from contracts.ranker import FEATURES, STYLES, feedback
from persona_img.domain.decision import Context
from persona_img.errors import NotEnoughData
from persona_img.ranking.bayes import BayesRanker
from persona_img.ranking.boosted import BoostedRanker
from persona_img.ranking.columns import PHOTO
from persona_img.ranking.encoding import Encoding, Rows
from persona_img.ranking.explained import COLUMNS, TREES, Explained, effects_table

from .test_boosted import PRICED, log, turned


def effect(table, kind: str, whose: str, what: str) -> float:
    (found,) = table[
        (table["kind"] == kind) & (table["whose"] == whose) & (table["what"] == what)
    ].itertuples()
    return float(found.effect)


def test_what_everybody_and_what_a_segment_likes_is_told_by_name():
    table = BayesRanker(half_life=float("inf")).fit(feedback(), FEATURES).effects()
    assert tuple(table.columns) == COLUMNS
    assert (table["spread"] > 0).all()
    wood, stone = (effect(table, "value", "", f"surface={s}") for s in ("wood", "stone"))
    assert wood - stone > 0.1
    suns = [effect(table, "segment x value", g, "light=sun") for g in ("g0", "g1")]
    softs = [effect(table, "segment x value", g, "light=soft") for g in ("g0", "g1")]
    assert suns[0] - softs[0] > 0.05 > -0.05 > suns[1] - softs[1]
    assert effect(table, "place", "", "position") < 0
    assert {"category", "category x value", f"category x {PHOTO}"} <= set(table["kind"])
    assert set(table.loc[table["kind"] == "category", "whose"]) == {
        "category=hat",
        "category=shoes",
    }


@pytest.mark.parametrize(
    ("segment", "product", "category"), [("g1", "p2", "shoes"), ("g1", "p0", "hat")]
)
def test_effects_of_a_picture_add_up_to_what_is_predicted(segment, product, category):
    """Each column is told under its own name, or the sum would be another."""
    ranker = BayesRanker(half_life=float("inf")).fit(feedback(), FEATURES)
    table = ranker.effects()
    style = next(s for s in STYLES if not s.is_original)
    values = [f"{a}={v}" for a, v in style.values.items()]
    pairs = [w for w in table["what"] if ", " in w and set(w.split(", ")) <= set(values)]
    text = f"category={category}"
    mine = table[
        table["whose"].isin(["", segment, product, text, f"{segment}, {text}"])
        & table["what"].isin(["", *values, *pairs])
    ]
    # Of four products with three prices: p0 is the cheapest, p2 the dearest; spread 1 around 0.
    price = {"p0": -1.0, "p2": 1.0}[product] * np.sqrt(1.5)
    level = np.where(mine["kind"].str.contains("price"), price, 1.0)
    ranking = ranker.rank(Context(segment, product), [style])
    assert 1 / (1 + np.exp(-(level * mine["effect"]).sum())) == pytest.approx(
        ranking.scores[0], abs=1e-9
    )


def test_within_a_kind_the_surest_come_first():
    known = BayesRanker(half_life=float("inf")).fit(feedback(), FEATURES)._fitted
    rng = np.random.default_rng(1)
    mean, spread = rng.normal(size=len(known.posterior.mean)), rng.uniform(0.1, 2.0, 1000)
    joint = np.diag(spread[: len(known.posterior.joint)] ** 2)
    posterior = replace(known.posterior, mean=mean, joint=joint)
    table = effects_table(replace(known, posterior=posterior))
    assert sorted(table["effect"]) == sorted(mean)
    for _, part in table.groupby("kind"):
        sure = (part["effect"].abs() / part["spread"]).to_numpy()
        assert (np.diff(sure) <= 1e-12).all()


def test_trees_tell_by_what_they_split():
    """Wood sells rare hats, spoils popular ones: surface and popularity are what trees are for."""
    table = turned().effects()
    trees = table[table["kind"] == TREES]
    assert trees["gain"].sum() == pytest.approx(1.0)
    assert {"surface=wood", "product:popularity"} <= set(trees["what"].head(3))
    assert table.loc[table["kind"] != TREES, "gain"].isna().all()
    plain = BoostedRanker(half_life=float("inf")).fit(log(False), PRICED)
    assert (plain.worth.rounds > 0) == (TREES in set(plain.effects()["kind"]))


def test_columns_of_trees_have_as_many_names():
    encoding = Encoding.of(log(True), PRICED)
    rows = Rows(["g0"], ["p07"], [STYLES[1].key], np.ones(1))
    names, (made,) = encoding.names(), encoding.trees(rows.places())
    assert len(names) == len(set(names)) == len(made)
    told = dict(zip(names, made, strict=True))
    assert told["product:popularity"] == pytest.approx(
        encoding.numbers["product:popularity"]["p07"]
    )
    assert told["segment:size"] == pytest.approx(encoding.numbers["segment:size"]["g0"])
    assert told["segment=g0"] == told["category=hat"] == 1.0 != told["segment=g1"]
    assert all(told[f"{a}={v}"] == 1.0 for a, v in STYLES[1].values.items())


@pytest.mark.parametrize("kind", [BayesRanker, BoostedRanker])
def test_who_was_never_fitted_knows_nothing(kind):
    ranker = kind()
    assert isinstance(ranker, Explained)
    with pytest.raises(NotEnoughData, match="never fitted"):
        ranker.effects()

"""The study on a real shop's purchases, on a small made-up one: it counts right and runs whole."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import ndcg_score

from persona_img.profiles.factors import fit_factors

STUDY = Path(__file__).parents[2] / "experiments" / "learning" / "online_retail.py"


@pytest.fixture(scope="module")
def study() -> ModuleType:
    spec = importlib.util.spec_from_file_location("online_retail", STUDY)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_recall_and_ndcg_are_the_librarys(study: ModuleType) -> None:
    rng = np.random.default_rng(0)
    scores, wanted = rng.random((30, 60)), rng.random((30, 60)) < 0.2
    everything = np.ones_like(wanted)
    found = study.judged(scores, wanted, everything)

    expected = [ndcg_score(wanted[[i]], scores[[i]], k=study.K) for i in range(30)]
    np.testing.assert_allclose(found[:, 1], expected)
    first = np.argsort(-scores[0])[: study.K]
    assert found[0, 0] == wanted[0, first].sum() / wanted[0].sum()
    half = np.arange(60) < 30
    some = study.judged(scores, wanted, np.broadcast_to(half, wanted.shape))
    np.testing.assert_allclose(
        some, study.judged(scores[:, half], wanted[:, half], everything[:, half])
    )
    assert np.isnan(study.judged(scores, np.zeros_like(wanted), everything)).all()


def test_a_split_knows_nothing_of_what_it_foretells(study: ModuleType) -> None:
    cut = study.REPORTED[0]
    days = [-40, -3, 3, 5, 5, 40]
    frame = pd.DataFrame(
        {
            "shopper": ["a", "b", "a", "b", "new", "a"],
            "product": ["x", "y", "y", "y", "x", "x"],
            "kind": "purchase",
            "occurred_at": [pd.Timestamp(cut) + pd.Timedelta(days=day) for day in days],
        }
    )
    split = study.Split.at(cut, frame)
    assert (list(split.shoppers), list(split.products)) == (["a", "b"], ["x", "y"])
    assert split.bought.toarray().tolist() == [[1, 0], [0, 1]]
    assert split.later.tolist() == [[False, True], [False, True]]
    assert split.newcomer.tolist() == [False, True]
    assert split.recent.tolist() == [0, 1]

    old = fit_factors(split.past.head(1), factors=1, seed=0)
    assert split.liking(old)[1].tolist() == [0, 0]
    assert split.liking(old)[0, 0] > 0 == split.liking(old)[0, 1]


def test_an_interval_counts_each_shopper_once(study: ModuleType) -> None:
    values, shoppers = pd.Series([1.0, 0.0, 1.0, np.nan]), pd.Series(["a", "b", "c", "d"])
    once = study.interval(values, shoppers)
    often = study.interval(
        pd.concat([values] * 50, ignore_index=True), pd.concat([shoppers] * 50, ignore_index=True)
    )
    assert once[0] == pytest.approx(2 / 3)
    assert often == pytest.approx(once)
    assert once[1] < once[0] < once[2]

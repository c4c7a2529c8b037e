"""Rankers that MLflow loads by their role, as any of its users would."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from contracts.ranker import FEATURES, STYLES, feedback
from persona_img import wiring
from persona_img.domain.decision import Context
from persona_img.domain.style import ORIGINAL
from persona_img.errors import InvalidInput
from persona_img.settings import Settings
from persona_img.tracking.mlflow import MlflowTracker
from persona_img.wiring.loaded import COLUMNS, LoadedRanker


def asked() -> pd.DataFrame:
    rows = [(s, p, style.key) for s in ("g0", "g1") for p in ("p0", "p1") for style in STYLES]
    return pd.DataFrame(rows, columns=list(COLUMNS)).sample(frac=1.0, random_state=3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bayes", "boosted"])
def test_the_champion_is_loaded_by_its_role_and_predicts_as_it_ranks(
    kind: str, tmp_path: Path
) -> None:
    import mlflow

    settings = Settings(home=tmp_path / "shop", learn={"ranker": kind})
    ranker = wiring.new_ranker(settings).fit(feedback(2000), FEATURES)
    ranker.save(tmp_path / "ranker")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    tracker = MlflowTracker(uri, tmp_path / "artifacts", loader="persona_img.wiring.loaded")
    version = tracker.register_ranker(tmp_path / "ranker", example=asked().head(2))
    tracker.promote(version)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    try:
        model = mlflow.pyfunc.load_model("models:/persona-img-ranker@champion")
    finally:
        mlflow.set_tracking_uri(before)
    table = asked()
    rates = model.predict(table)
    for row, rate in zip(table.itertuples(), rates, strict=True):
        ranking = ranker.rank(Context(row.segment, row.product), STYLES)
        assert (
            rate
            == dict(zip((s.key for s in ranking.styles), ranking.scores, strict=True))[row.style]
        )
    assert [column.name for column in model.metadata.get_input_schema()] == list(COLUMNS)
    assert model.input_example.equals(asked().head(2).reset_index(drop=True))
    assert not [p for p in (tmp_path / "artifacts").rglob("*") if p.suffix in (".pkl", ".pickle")]
    fetched = tracker.fetch_ranker("champion", tmp_path / "fetched")
    assert {p.name for p in fetched.iterdir()} == {p.name for p in (tmp_path / "ranker").iterdir()}


def test_rows_are_answered_in_their_order_and_a_missing_column_is_named() -> None:
    cold = wiring.cold_ranker(Settings()).fit(feedback(10).head(0), FEATURES)
    model = LoadedRanker(cold)
    table = pd.DataFrame({"segment": "g0", "product": "p0", "style": [ORIGINAL.key] * 3}, [7, 7, 1])
    rates = model.predict(table)
    assert rates.shape == (3,)
    assert np.all((rates > 0) & (rates < 1))
    assert model.predict(table.head(0)).shape == (0,)
    with pytest.raises(InvalidInput, match="no column style"):
        model.predict(table.drop(columns="style"))

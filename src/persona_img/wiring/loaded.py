"""Rankers as models that MLflow loads; ``loader_module`` of their ``MLmodel``.

import mlflow

mlflow.set_tracking_uri("sqlite:///demo/mlflow/mlflow.db")
model = mlflow.pyfunc.load_model("models:/persona-img-ranker@champion")
model.predict(pd.DataFrame({"segment": ["home-cooks"], "product": ["mug-1"], "style": ["…"]}))
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from persona_img.domain.decision import Context
from persona_img.domain.style import Style
from persona_img.errors import InvalidInput
from persona_img.settings import Settings
from persona_img.wiring.rankers import load_ranker

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from persona_img.ranking.base import Ranker

COLUMNS = ("segment", "product", "style")


class LoadedRanker:
    """A ranker, called with a table.

    Args:
        ranker: Any.
    """

    def __init__(self, ranker: Ranker) -> None:
        self.ranker = ranker

    def predict(
        self, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> NDArray[np.float64]:
        """Click rates at position 1.

        Args:
            model_input: Columns segment, product and style (``attribute=value`` pairs or
                ``original``), of any index.
            params: Not used.

        Returns:
            float64 (N,) in 0..1, in the order of the rows.

        Raises:
            InvalidInput: a column is missing.
            UnknownStyle: a text that is no style.
        """
        missing = [name for name in COLUMNS if name not in model_input.columns]
        if missing:
            raise InvalidInput(f"no column {', '.join(missing)}; give {', '.join(COLUMNS)}")
        table = model_input[list(COLUMNS)].astype(str).reset_index(drop=True)
        rates = np.empty(len(table))
        for (segment, product), rows in table.groupby(["segment", "product"], sort=False):
            styles = {text: Style.read(text) for text in rows["style"].unique()}
            ranking = self.ranker.rank(Context(str(segment), str(product)), list(styles.values()))
            told = dict(zip(ranking.styles, ranking.scores, strict=True))
            rates[rows.index] = [told[styles[text]] for text in rows["style"]]
        return rates


def _load_pyfunc(path: str) -> LoadedRanker:
    """MLflow calls it with the folder of the ranker's own files."""
    return LoadedRanker(load_ranker(Path(path), Settings()))

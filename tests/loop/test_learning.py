"""What is learned from knows nothing of what it foretells."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from persona_img import loop
from persona_img.domain.catalog import Catalog
from persona_img.profiles.frame import FrameFeatureSource
from persona_img.ranking.leaning import Leant
from persona_img.ranking.popularity import PopularityRanker

from .conftest import AS_OF


def test_a_click_is_not_among_what_foretells_it(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A leak, planted: every click reaches the feature store dated as its own impression is."""
    source = FrameFeatureSource(tmp_path)
    shown = [AS_OF + timedelta(hours=n) for n in range(6)]
    feedback = pd.DataFrame(
        {
            "decision_id": [f"d{n}" for n in range(6)], "test": "hero", "shopper": "anna",
            "product": next(iter(catalog)).product, "segment": "all", "arm": "personalized",
            "style_key": "original", "digest": None, "propensity": 1.0, "position": 1,
            "policy_version": "v1", "shown_at": shown, "clicked": [0, 0, 1, 0, 0, 0],
            "converted": 0,
        }
    )  # fmt: skip
    source.push(loop.fresh_events(feedback))
    seen = {}

    def kept(_: pd.DataFrame, traits: pd.DataFrame, ranker: object) -> Leant:
        seen["fresh"] = traits["fresh"].tolist()
        return Leant(None, 0.0, 0.0, "kept")

    monkeypatch.setattr(loop.learning, "fit_leaning", kept)
    loop.lean(feedback, source, PopularityRanker())
    # What was clicked at is foretold by nothing; an hour later it is fresh.
    assert seen["fresh"][:3] == [0.0, 0.0, 0.0]
    assert seen["fresh"][3:] == pytest.approx(np.exp(-np.arange(1, 4) / 24), rel=1e-6)

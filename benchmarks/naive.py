"""The service that one would write in an afternoon, to be measured beside ours.

Each request reads the shopper's profile from Feast, asks LightGBM for every candidate, draws, and
inserts what it answers.
"""

from __future__ import annotations

import random
import sqlite3
import time
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
from fastapi import FastAPI

from persona_img.profiles.feast import FeastFeatureSource

CANDIDATES = 5
_REPO = Path(__file__).parents[1] / "feature_repo"
_FACTORS = 16
_KNOWN = ("views", "carts", "purchases", "price_level", "favourite_share")


def naive_app(folder: Path, shoppers: int) -> FastAPI:
    """A FastAPI app with ``GET /v1/variant``, for shoppers named s0, s1, and so on."""
    store = _store(folder / "features", shoppers)
    booster = _booster()
    db = sqlite3.connect(folder / "naive.sqlite", isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE decisions (at REAL, shopper TEXT, product TEXT, style INT, p REAL)")
    app = FastAPI()

    @app.get("/healthz")
    def healthz() -> None:
        pass

    @app.get("/v1/variant")
    def variant(shopper: str, product: str) -> dict[str, object]:
        asked = {"shopper": [shopper], "now": [time.time()]}
        known = store.get_online_features(store.get_feature_service("serving_v1"), asked).to_dict()
        traits = [float((known.get(name) or [None])[0] or 0.0) for name in _KNOWN]
        factors = (known.get("factors") or [None])[0] or [0.0] * _FACTORS
        rows = np.array([[*traits, *factors, float(style)] for style in range(CANDIDATES)])
        scores = np.exp(booster.predict(rows))
        chances = scores / scores.sum()
        style = random.choices(range(CANDIDATES), chances)[0]
        db.execute(
            "INSERT INTO decisions VALUES (?, ?, ?, ?, ?)",
            (time.time(), shopper, product, style, float(chances[style])),
        )
        return {"style": style, "propensity": float(chances[style]), "image_url": f"/v/{style}"}

    return app


def _store(folder: Path, shoppers: int):  # type: ignore[no-untyped-def]
    source = FeastFeatureSource(folder, _REPO)
    now = pd.Timestamp.now("UTC").floor("us")
    rng = np.random.default_rng(1)
    source.publish(
        pd.DataFrame(
            {
                "shopper": [f"s{n}" for n in range(shoppers)],
                "event_timestamp": pd.Series([now] * shoppers, dtype="datetime64[us, UTC]"),
                "segment": "all",
                **dict.fromkeys(("views", "carts", "purchases", "active_days"), 2.0),
                "events_30d": 2.0,
                "first_seen_at": 0.0,
                "last_seen_at": now.timestamp(),
                "price_level": 0.5,
                "favourite_category": "shoes",
                "favourite_share": 0.75,
                "categories": [("shoes", "hat")] * shoppers,
                "category_shares": [np.array([0.75, 0.25], np.float32)] * shoppers,
                "factors": list(rng.normal(size=(shoppers, _FACTORS)).astype(np.float32)),
            }
        )
    )
    source.materialize(now.to_pydatetime())
    return source._store


def _booster() -> lightgbm.Booster:
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(5000, len(_KNOWN) + _FACTORS + 1))
    clicked = rng.random(5000) < 0.1
    options = {"objective": "binary", "num_leaves": 15, "verbose": -1, "num_threads": 1}
    return lightgbm.train(options, lightgbm.Dataset(rows, clicked), num_boost_round=100)

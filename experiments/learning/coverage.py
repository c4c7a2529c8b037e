"""How often the intervals of off-policy estimates hold the truth, on logs whose truth is known.

    python experiments/learning/coverage.py --logs 500 -o experiments/learning/coverage.csv

Each log is of shoppers who come several times and are alike from visit to visit, of ten actions
and three segments, logged with weights for the target that reach 2, 10 and 50; its truth is
computed, not simulated. What is in the file is not run again. A log that is
refused (``persona_img.offpolicy.evaluation``) has none.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
from rich.progress import track
from scipy.special import expit

from persona_img.offpolicy.evaluation import evaluate
from persona_img.offpolicy.log import as_log

ACTIONS, SEGMENTS, VISITS = 10, 3, 5
SHOPPERS, WEIGHTS = (60, 300, 2000), (2, 10, 50)
ROLES = {"shopper": "shopper", "action": "action", "reward": "reward", "propensity": "propensity"}


def logged(seed: int, shoppers: int, heaviest: float) -> tuple[pd.DataFrame, np.ndarray, float]:
    """A log, the target's chances (segments, actions), and what the target truly earns."""
    rng = np.random.default_rng([seed, shoppers, int(heaviest)])
    worth = rng.normal(-2.2, 0.35, (SEGMENTS, 1)) + rng.normal(0, 0.4, (SEGMENTS, ACTIONS))
    target = rng.dirichlet(np.ones(ACTIONS), SEGMENTS)
    # Where the target is likeliest the log is so much less likely, and elsewhere makes up for it.
    chance = np.empty_like(target)
    for segment, likely in enumerate(target):
        rare = int(likely.argmax())
        chance[segment] = np.where(np.arange(ACTIONS) == rare, 0, likely + 0.3 / ACTIONS)
        least = likely[rare] / heaviest
        chance[segment] *= (1 - least) / chance[segment].sum()
        chance[segment, rare] = least
    own = rng.normal(0, 0.6, shoppers)  # how ready a shopper is
    segment = rng.integers(SEGMENTS, size=shoppers)
    rates = expit(worth[segment] + own[:, None])
    rows = np.repeat(np.arange(shoppers), VISITS)
    shown = np.array([rng.choice(ACTIONS, p=chance[segment[i]]) for i in rows])
    table = pd.DataFrame(
        {
            "shopper": rows.astype(str),
            "segment": segment[rows].astype(str),
            "action": shown.astype(str),
            "reward": (rng.random(len(rows)) < rates[rows, shown]).astype(int),
            "propensity": chance[segment[rows], shown],
        }
    )
    # Of shoppers at large, whom these were drawn from: what an interval is about.
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    mean = (expit(worth[..., None] + 0.6 * nodes) @ weights) / weights.sum()
    return table, target, float((target * mean).sum(axis=1).mean())


def main() -> None:
    """Count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logs", type=int, default=500)
    parser.add_argument("-o", "--out", type=Path, default=Path("coverage.csv"))
    given = parser.parse_args()
    done = pd.read_csv(given.out) if given.out.exists() else pd.DataFrame()
    for shoppers, heaviest in itertools.product(SHOPPERS, WEIGHTS):
        if len(done) and ((done["shoppers"] == shoppers) & (done["weight"] == heaviest)).any():
            continue
        found = []
        for seed in track(range(given.logs), description=f"{shoppers} shoppers, {heaviest}"):
            found += judged(seed, shoppers, heaviest)
        table = pd.DataFrame(found, columns=["estimator", "what"])
        counts = table.value_counts().unstack(fill_value=0)
        counts = counts.reindex(columns=["held", "missed", "refused"], fill_value=0).reset_index()
        counts.insert(0, "weight", heaviest)
        counts.insert(0, "shoppers", shoppers)
        counts["share"] = counts["held"] / (counts["held"] + counts["missed"])
        done = pd.concat([done, counts], ignore_index=True)
        done.to_csv(given.out, index=False, float_format="%.4f")
    print(done[done["estimator"].isin(["chosen", "all"])].to_string(index=False))


def judged(seed: int, shoppers: int, heaviest: float) -> list[tuple[str, str]]:
    """What each estimator's interval did with the truth; or that the log was refused."""
    table, target, truth = logged(seed, shoppers, heaviest)
    log = as_log(table, ROLES, ("segment",))
    place = log.context["segment"].astype(int).to_numpy()
    chances = target[place][:, np.array(log.actions, dtype=int)]
    if (chances.sum(axis=1) < 0.99).any():  # actions that nobody saw
        return [("all", "refused")]
    said = evaluate(log, chances / chances.sum(axis=1, keepdims=True), target="t", seed=seed)
    if said.refused:
        return [("all", "refused")]
    held = {n: "held" if e.low <= truth <= e.high else "missed" for n, e in said.estimates.items()}
    return [*held.items(), ("chosen", held[said.chosen])]


if __name__ == "__main__":
    main()

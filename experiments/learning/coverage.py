"""How often the intervals of off-policy estimates hold the truth, on logs whose truth is known.

    python experiments/learning/coverage.py --logs 500 -o coverage.csv

Each log is of shoppers who come several times and are alike from visit to visit, of ten actions
and three segments, logged with weights for the target that reach 2, 10 and 50; its truth is
computed, not simulated. A log that is refused (``persona_img.offpolicy.evaluation``) has none.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
from rich.progress import track
from scipy.special import expit

from persona_img.errors import NotEnoughData
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
    found = []
    for shoppers, heaviest in itertools.product(SHOPPERS, WEIGHTS):
        for seed in track(range(given.logs), description=f"{shoppers} shoppers, {heaviest}"):
            table, target, truth = logged(seed, shoppers, heaviest)
            log = as_log(table, ROLES, ("segment",))
            place = log.context["segment"].astype(int).to_numpy()
            chances = target[place][:, np.array(log.actions, dtype=int)]
            lost = 1 - chances.sum(axis=1)  # of actions that nobody saw
            if (lost > 0.01).any():
                found.append((shoppers, heaviest, "all", "refused"))
                continue
            chances = chances / chances.sum(axis=1, keepdims=True)
            try:
                said = evaluate(log, chances, target="target", seed=seed)
            except NotEnoughData:
                found.append((shoppers, heaviest, "all", "refused"))
                continue
            if said.refused:
                found.append((shoppers, heaviest, "all", "refused"))
            for name, one in said.estimates.items():
                held = "held" if one.low <= truth <= one.high else "missed"
                found.append((shoppers, heaviest, name, held))
                if name == said.chosen:
                    found.append((shoppers, heaviest, "chosen", held))
    table = pd.DataFrame(found, columns=["shoppers", "weight", "estimator", "what"])
    counts = table.value_counts().unstack(fill_value=0).reset_index()
    counts["share"] = counts["held"] / (counts["held"] + counts["missed"])
    counts.to_csv(given.out, index=False)
    print(counts.to_string())


if __name__ == "__main__":
    main()

"""What another picture is worth to a headline, on real tests: and what their winners say.

    python experiments/abtest/upworthy.py packages.parquet

The Upworthy Research Archive (CC BY 4.0): arms of real tests with impressions, clicks, headline and
picture. Each impression is a unit, as visitors were not kept. Writes upworthy.json, and report.md.

Matias, Munger, Le Quere, Ebersole 2021, "The Upworthy Research Archive, a time series of 32,487
experiments in U.S. media", Scientific Data 8.
"""

from __future__ import annotations

import argparse
import json
import math
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from report import write

from persona_img.abtest.moments import Moments
from persona_img.abtest.split import check_split
from persona_img.abtest.statistics import compare_moments, too_thin

HERE = Path(__file__).parent
ALPHA = 0.05
RATIO = ("numerator", None)


def arms_of(test: pd.DataFrame) -> list[Moments]:
    """A test's arms, in the order of the archive."""
    return [
        Moments.of_counts(str(i), int(row.clicks), int(row.impressions))
        for i, row in enumerate(test.itertuples())
    ]


def spread(effects: list[tuple[float, float]]) -> dict[str, float]:
    """How much true effects differ, beyond what chance does (DerSimonian and Laird 1986).

    Args:
        effects: Log ratio and its standard error, each.

    Returns:
        Their number; the spread of true log ratios; the median size of what was seen.
    """
    y, error = (np.array(x) for x in zip(*effects, strict=True))
    weight = 1 / error**2
    centre = (weight * y).sum() / weight.sum()
    q = (weight * (y - centre) ** 2).sum()
    room = weight.sum() - (weight**2).sum() / weight.sum()
    return {
        "pairs": len(y),
        "true spread": math.sqrt(max((q - (len(y) - 1)) / room, 0.0)),
        "seen, median": float(np.median(np.expm1(np.abs(y)))),
        "standard error, median": float(np.median(error)),
    }


def read(tests: pd.DataFrame) -> dict[str, Any]:
    """Every test: its split, its winner, and pairs that differ in one thing."""
    picture: list[tuple[float, float]] = []
    headline: list[tuple[float, float]] = []
    splits: list[float] = []
    winners = beats = chosen = beats_corrected = 0
    for _, test in tests.groupby("clickability_test_id", sort=True):
        if len(test) < 2:
            continue
        arms = arms_of(test)
        counts = [arm.units for arm in arms]
        splits.append(check_split(counts, [1 / len(arms)] * len(arms), 0.001).p)
        rows = list(test.itertuples())
        # One pair a test and kind, the first, so that no arm counts twice.
        done: set[str] = set()
        for i, j in combinations(range(len(arms)), 2):
            same = (
                rows[i].headline == rows[j].headline,
                (rows[i].eyecatcher_id == rows[j].eyecatcher_id),
            )
            kind = {(True, False): "picture", (False, True): "headline"}.get(same)
            if kind is None or kind in done:
                continue
            if any(too_thin(arms[k], RATIO, "click", "impression") for k in (i, j)):
                continue
            found = compare_moments(arms[i], arms[j], RATIO, 1 - ALPHA, "click", unit="impression")
            if math.isnan(found.lift):
                continue
            done.add(kind)
            to = picture if kind == "picture" else headline
            to.append((math.log1p(found.lift), found.log_error))
        best = [k for k, row in enumerate(rows) if row.winner]
        if len(best) == 1 and len(arms) > 1:
            winners += 1
            others = [k for k in range(len(arms)) if k != best[0]]
            second = max(others, key=lambda k: arms[k].ratio(*RATIO))
            found = compare_moments(
                arms[second], arms[best[0]], RATIO, 1 - ALPHA, "click", unit="impression"
            )
            ps = [
                compare_moments(arms[k], arms[best[0]], RATIO, 1 - ALPHA, "click").p for k in others
            ]
            chosen += found.lift > 0
            beats += found.lift > 0 and found.p < ALPHA
            beats_corrected += found.lift > 0 and max(ps) * len(others) < ALPHA
    return {
        "tests": len(splits),
        "split fails (chi-square below .001)": int(np.sum(np.array(splits) < 0.001)),
        "another picture, same headline": spread(picture),
        "another headline, same picture": spread(headline),
        "winners": winners,
        "with the highest rate": chosen,
        "that beat the second at one look": beats,
        "that beat all others, corrected": beats_corrected,
    }


def main() -> None:
    """Read every test, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="packages.parquet of the archive.")
    table = pd.read_parquet(parser.parse_args().data)
    found = {"left out for their randomisation": int(table["randomization_risk"].sum())}
    found |= read(table[~table["randomization_risk"] & (table["impressions"] > 1)])
    (HERE / "upworthy.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    write()


if __name__ == "__main__":
    main()

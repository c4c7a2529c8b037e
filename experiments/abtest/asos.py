"""Looking every half day, on real experiments: what is said, and taken back.

    python experiments/abtest/asos.py experiments.parquet

The ASOS Digital Experiments Dataset (CC BY 4.0): 78 experiments of a fashion shop, cumulative
counts, means and variances by user. Writes asos.json, and report.md.

Liu, Cardoso, Couturier, McCoy 2021, "Datasets for Online Controlled Experiments", NeurIPS.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from report import write
from scipy import stats

from persona_img.abtest.moments import Moments
from persona_img.abtest.sequential import EARLIEST, always_valid_width
from persona_img.abtest.split import check_split, split_at_any_look
from persona_img.abtest.statistics import compare_moments

HERE = Path(__file__).parent
ALPHA = 0.05
SERIES = ["experiment_id", "variant_id", "metric_id"]


def arm_of(row: Any, side: str) -> Moments:
    """One arm at one look."""
    mean, variance = (float(getattr(row, f"{kind}_{side}")) for kind in ("mean", "variance"))
    units = int(getattr(row, f"count_{side}"))
    return Moments(
        side, ("numerator",), units, np.array([mean]), np.array([[variance]]), np.array([0.0])
    )


def read(looks: pd.DataFrame) -> dict[str, Any]:
    """One metric of one variant, look by look."""
    last = looks.iloc[-1]
    planned = int(last["count_c"] + last["count_t"])
    usual: list[int] = []
    always: list[int] = []
    furthest = 0.0
    for row in looks.itertuples():
        arms = arm_of(row, "c"), arm_of(row, "t")
        found = compare_moments(*arms, ("numerator", None), 1 - ALPHA, "event", unit="user")
        units = arms[0].units + arms[1].units
        if math.isnan(found.low) or min(arm.units for arm in arms) < EARLIEST:
            usual.append(0)
            always.append(0)
            continue
        test = stats.ttest_ind_from_stats(
            row.mean_t, math.sqrt(row.variance_t), row.count_t,
            row.mean_c, math.sqrt(row.variance_c), row.count_c, equal_var=False,
        )  # fmt: skip
        if test.pvalue > 1e-200:
            furthest = max(furthest, abs(found.p - test.pvalue) / test.pvalue)
        side = 1 if found.lift > 0 else -1
        reach = always_valid_width(units, planned=planned, alpha=ALPHA) * found.log_error
        usual.append(side if found.p < ALPHA else 0)
        always.append(side if abs(math.log1p(found.lift)) > reach else 0)
    counts = [int(last["count_c"]), int(last["count_t"])]
    return {
        "looks": len(looks),
        "usual": usual,
        "always": always,
        "counts": counts,
        "split": check_split(counts, [0.5, 0.5], 0.001).p,
        "split at any look": split_at_any_look(counts, [0.5, 0.5]),
        "away from scipy": furthest,
    }


def told(series: list[dict[str, Any]], by: str) -> dict[str, float]:
    """What watching by one interval says: of all series, with at least two looks."""
    ever = [s for s in series if any(s[by])]
    back = [s for s in ever if s[by][-1] != next(side for side in s[by] if side)]
    first = [
        next(i for i, side in enumerate(s[by]) if side) / max(len(s[by]) - 1, 1)
        for s in ever
        if s[by][-1]
    ]
    return {
        "sure at some look": len(ever),
        "not at the last, or the other way": len(back),
        "sure at the last": sum(bool(s[by][-1]) for s in series),
        "first sure after, median part of the looks": float(np.median(first)) if first else 0.0,
    }


def main() -> None:
    """Read every series, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="experiments.parquet of the dataset.")
    table = pd.read_parquet(parser.parse_args().data)
    whole = table.dropna(subset=["mean_c", "mean_t", "variance_c", "variance_t"])
    series = [
        read(looks.sort_values("time_since_start"))
        for _, looks in whole.groupby(SERIES, sort=True)
        if len(looks) > 1
    ]
    equal = [s for s in series if abs(s["counts"][0] / sum(s["counts"]) - 0.5) < 0.02]
    found = {
        "experiments": int(whole["experiment_id"].nunique()),
        "series": len(series),
        "looks": sum(s["looks"] for s in series),
        "usual": told(series, "usual"),
        "always": told(series, "always"),
        "planned as halves": len(equal),
        "split fails at one look": sum(s["split"] < 0.001 for s in equal),
        "split fails at any look": sum(s["split at any look"] < 0.01 for s in equal),
        "p away from scipy, at most": max(s["away from scipy"] for s in series),
    }
    (HERE / "asos.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    write()


if __name__ == "__main__":
    main()

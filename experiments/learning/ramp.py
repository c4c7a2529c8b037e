"""How often a ramp promotes, by what the challenger is truly worth.

Run ``python experiments/learning/ramp.py --times 200``. Shoppers differ in activity and eagerness
as the simulated shop's do; a tenth of the arm gets the challenger, then half, and somebody looks
every day. ``ramp.md`` is written from what came of it; seeds are counted from 0.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from rich.progress import track

from persona_img.abtest.ramp import STAGES, judge
from persona_img.domain.decision import DecisionTable, Ramp

HERE = Path(__file__).parent
GAINS = (-0.5, -0.25, 0.0, 0.25, 0.5, 0.75)
"""Points of click rate that the challenger is truly better by."""

RATE, SHOPPERS, PER_DAY = 0.04, 12_000, 5_000
"""The champion's click rate; the arm's shoppers; impressions a day, control's fifth included."""

DAYS = 60
TABLE = DecisionTable("challenger", {}, {}, "all")


def ramped(gain: float, seed: int, planned: int) -> tuple[str, int]:
    """What became of one ramp, and after how many days."""
    rng = np.random.default_rng([seed, int(1000 * (gain + 10))])
    names = np.array([f"{seed}-{n}" for n in range(SHOPPERS)], dtype=object)
    activity = rng.lognormal(-0.32, 0.8, SHOPPERS)
    eager = np.exp(rng.normal(0.0, 0.3, SHOPPERS) - 0.045)
    control = rng.random(SHOPPERS) < 0.2
    seen: list[pd.DataFrame] = []
    stage = 0
    for day in range(DAYS):
        ramp = Ramp(TABLE, STAGES[stage])
        who = rng.choice(SHOPPERS, PER_DAY, p=activity / activity.sum())
        member = np.array([ramp.includes("hero", names[i]) for i in who]) & ~control[who]
        chance = (RATE + member * gain / 100) * eager[who]
        seen.append(
            pd.DataFrame(
                {
                    "test": "hero",
                    "shopper": names[who],
                    "arm": np.where(control[who], "control", "personalized"),
                    "segment": "all",
                    "shown_at": pd.Timestamp("2026-03-02", tz="UTC") + pd.Timedelta(days=day),
                    "clicked": (rng.random(PER_DAY) < chance).astype("int64"),
                    "converted": np.int64(0),
                }
            )
        )
        verdict = judge(pd.concat(seen), ramp, "hero", planned=planned)
        if verdict.action in ("promote", "halt"):
            return verdict.action, day + 1
        if verdict.action == "widen":
            stage += 1
            seen.clear()
    return "unread", DAYS


def main() -> None:
    """Run all gains and write the table."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=200, help="ramps each (%(default)s)")
    parser.add_argument("--planned", type=int, default=30_000, help="impressions (%(default)s)")
    parser.add_argument(
        "--gains", type=float, nargs="+", default=GAINS, help="points, e.g. 0 0.5 (%(default)s)"
    )
    given = parser.parse_args()
    asked = "" if given.gains == GAINS else " --gains " + " ".join(f"{g:g}" for g in given.gains)
    lines = [
        "# How often a ramp promotes",
        "",
        f"Made by `python experiments/learning/ramp.py --times {given.times}{asked}`: ramps "
        f"of 10 and 50 % of an arm of {SHOPPERS * 8 // 10:,} shoppers, {PER_DAY * 8 // 10:,} "
        f"impressions a day, click rate {RATE:.0%}, looked at every day, read at "
        f"{given.planned:,} impressions of challenger and champion each. {given.times} ramps a "
        "row; seeds from 0.",
        "",
        "| challenger truly better by, points | promoted | halted | not read | days, median |",
        "|---|---|---|---|---|",
    ]
    for gain in given.gains:
        done = [
            ramped(gain, seed, given.planned)
            for seed in track(range(given.times), f"{gain:+.2f} points")
        ]
        counts = Counter(action for action, _ in done)
        days = float(np.median([day for _, day in done]))
        share = {name: counts[name] / given.times for name in ("promote", "halt", "unread")}
        lines.append(
            f"| {gain:+.2f} | {share['promote']:.3f} | {share['halt']:.3f} | "
            f"{share['unread']:.3f} | {days:.0f} |"
        )
        print(lines[-1], flush=True)
    (HERE / "ramp.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""report.md, from results.jsonl."""

from __future__ import annotations

import json
from pathlib import Path

HERE = Path(__file__).parent

ONCE = """# What is said where nothing differs

Written by `experiments/abtest/report.py` from `results.jsonl`, which `make bench-abtest` makes. Two
arms are alike; shoppers differ in taste (beta) and activity, which is capped at the .99 quantile.
*Refused* is told to the reader with the reason (`too_thin`, and fewer than 100 shoppers an arm).
*Missed* is how often the 95 % interval of one look excludes the truth, of what is not refused.
*False at any look* is how often the interval that holds at every look gives a verdict at this one.

| activity | outcome | shoppers an arm | refused | missed | false at any look |
|---|---|--:|--:|--:|--:|"""

DAYS = """
A look on each of thirty days, planned for the tenth; shoppers come over all of them, and come back:
how often any look at all gives a false verdict. Of six segments: in any of them, by Holm's rule.

| activity | outcome | shoppers an arm | segments | tests | false | by the usual interval |
|---|---|--:|--:|--:|--:|--:|"""


def write() -> None:
    """Write report.md from what was found."""
    rows = [json.loads(line) for line in (HERE / "results.jsonl").read_text().splitlines()]
    once = [row for row in rows if row["cell"][0] == "one look"]
    days = [row for row in rows if row["cell"][0] != "one look"]
    text = [ONCE]
    for row in once:
        _, activity, kind, n, _ = row["cell"]
        text.append(
            f"| {activity} | {kind} | {n:,} | {row['refused']:.1%} | {share(row['missed'])} | "
            f"{row['false at any look']:.1%} |"
        )
    text.append(DAYS)
    for row in days:
        _, activity, kind, n, _, groups = row["cell"]
        text.append(
            f"| {activity} | {kind} | {n:,} | {groups} | {row['tests']:,} | {row['false']:.1%} | "
            f"{row['false by the usual interval']:.1%} |"
        )
    (HERE / "report.md").write_text("\n".join(text) + "\n")


def share(value: float | None) -> str:
    """A share as text; a dash where all were refused."""
    return "–" if value is None else f"{value:.1%}"


if __name__ == "__main__":
    write()

"""Runs the long forms and writes what came of them into docs/serve.md, by ``make chaos``."""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np

from chaos.kills import Killed, kill_workers
from chaos.slow import Slowed, slow_connections

PAGE = Path(__file__).parents[2] / "docs" / "serve.md"
BEGIN, END = "<!-- chaos: written by make chaos -->", "<!-- /chaos -->"


def told(killed: Killed, slowed: Slowed, load: float) -> str:
    """What came of it, for the page."""
    up = np.array(killed.up)
    return f"""{BEGIN}
| One run, beside a load of {load:.0f} on {os.cpu_count()} cores | |
|---|---|
| workers killed with `kill -9` under load, one of two or both | {killed.kills:,} |
| events acknowledged; of these lost; doubled | {killed.acknowledged:,}; {killed.lost}; {killed.doubled} |
| pictures answered meanwhile; with an error | {killed.shown:,}; {killed.failed} |
| all workers back and a picture answered, seconds: median, 95 %, longest | {np.median(up):.2f}, {np.quantile(up, 0.95):.2f}, {up.max():.2f} |
| times that it took over 2 s | {(up > 2).sum()} |
| slow connections; pictures and decisions asked beside them; not answered | {slowed.connections:,}; {slowed.shown + slowed.failed}; {slowed.failed} |
| the slowest of these, seconds | {slowed.slowest:.2f} |
{END}"""  # noqa: E501


def written(page: str, figures: str) -> str:
    """The page with other figures.

    Raises:
        ValueError: it has no place for them.
    """
    before, _, rest = page.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"docs/serve.md: no {BEGIN} … {END}; put both lines back")
    return before + figures + after


def main() -> None:
    """Run both, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000, help="(%(default)s)")
    parser.add_argument("--connections", type=int, default=10_000, help="(%(default)s)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as another:
        killed = kill_workers(Path(one), given.kills)
        load = os.getloadavg()[1]
        slowed = slow_connections(Path(another), given.connections)
    figures = told(killed, slowed, load)
    print(figures)
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), figures), encoding="utf-8")


if __name__ == "__main__":
    main()

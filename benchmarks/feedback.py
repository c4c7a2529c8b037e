"""What it costs to read what came back, beside pandas on the joined rows of the log.

Run ``python benchmarks/feedback.py``; ten million impressions take some minutes and 4 GB of disk.
Each way runs in a process of its own, so that its peak memory is its own. *pandas* is what one
would otherwise begin with: ``read_sql`` on one join of the log's tables. *log* reads the log alone,
*archive* Parquet by day and the log's tail; *sums* counts impressions and clicks in pieces, as
whoever only needs sums does. The figures of a run are to be compared with each other only.
"""

from __future__ import annotations

import argparse
import json
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from persona_img.serving.archive import Archive
from persona_img.serving.history import History
from persona_img.serving.sqlite_log import SqliteEventLog
from persona_img.serving.sqlite_prune import prune
from persona_img.serving.sqlite_reader import SqliteReader

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE = 50_000
START = 1_790_000_000.0
DAYS = 30
PRODUCTS, CANDIDATES, SEGMENTS = 200, 8, 6
WAYS = ("pandas", "log", "sums, log", "archive it", "archive", "sums, archive")
WHOLE = 1_000_000
"""Impressions up to which ways that hold all of them are run."""

JOIN = """
SELECT lower(hex(i.showing)) AS decision_id, o.test, s.shopper, o.product, c.segment, c.arm,
    c.style_key, c.digest, i.propensity, c.policy_version, i.position, i.occurred_at AS shown_at,
    EXISTS (SELECT 1 FROM events e WHERE e.showing = i.showing AND e.kind = 2
        AND e.occurred_at BETWEEN i.occurred_at AND i.occurred_at + 604800) AS clicked,
    EXISTS (SELECT 1 FROM events e WHERE e.showing = i.showing AND e.kind = 3
        AND e.occurred_at BETWEEN i.occurred_at AND i.occurred_at + 604800) AS converted
FROM events i
JOIN shoppers s USING (shopper_id) JOIN choices c USING (choice_id)
JOIN offers o ON o.offer_id = c.offer_id
WHERE i.kind = 1 ORDER BY i.occurred_at, i.showing
"""


def make(path: Path, rows: int, seed: int = 0) -> None:
    """A log of a shop: five impressions a shopper, a click in twelve."""
    SqliteEventLog(path).close()
    rng = np.random.default_rng(seed)
    shoppers = max(1, rows // 5)
    choices = PRODUCTS * CANDIDATES * SEGMENTS
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA synchronous = OFF")
        db.executemany(
            "INSERT INTO shoppers VALUES (?, ?)", ((n + 1, f"s{n:09d}") for n in range(shoppers))
        )
        db.executemany(
            "INSERT INTO offers VALUES (?, 'hero', ?)",
            ((n + 1, f"sku-{n:05d}") for n in range(PRODUCTS)),
        )
        styles = [f"light=soft&palette=warm&scene=tabletop&surface=s{n}" for n in range(CANDIDATES)]
        db.executemany(
            "INSERT INTO choices VALUES (?, ?, ?, ?, ?, ?, 'version-7')",
            (
                (
                    n + 1, n // (CANDIDATES * SEGMENTS) + 1, f"segment-{n % SEGMENTS}",
                    ("control", "personalized")[n % 2], styles[n // SEGMENTS % CANDIDATES],
                    f"{n * 7919:064x}",
                )
                for n in range(choices)
            ),
        )  # fmt: skip
        db.executemany(
            "INSERT INTO events (showing, kind, event_id, shopper_id, choice_id, propensity, "
            "decided_at, occurred_at, received_at, skew, position) VALUES (?,?,?,?,?,?,?,?,?,?,?)",
            chain.from_iterable(_events(rng, rows, shoppers, choices)),
        )


def _events(
    rng: np.random.Generator, rows: int, shoppers: int, choices: int
) -> Iterator[list[tuple[object, ...]]]:
    for first in range(0, rows, PIECE):
        count = min(PIECE, rows - first)
        moments = START + (first + np.arange(count)) * (DAYS * 86400 / rows)
        drawn = (
            rng.integers(1, shoppers + 1, count), rng.integers(1, choices + 1, count),
            rng.choice([0.1, 0.2, 0.3, 0.4], count), moments, rng.random(count) < 1 / 12,
            rng.integers(1, 31, count),
        )  # fmt: skip
        ids = rng.bytes(8 * count)
        events: list[tuple[object, ...]] = []
        for n, (who, what, chance, at, clicked, place) in enumerate(
            zip(*(one.tolist() for one in drawn), strict=True)
        ):
            showing = int(at).to_bytes(4, "big") + ids[8 * n : 8 * n + 8]
            about = (who, what, chance, at - 1)
            name = showing.hex()
            events.append((showing, 1, f"impression-{name}", *about, at, at, 0.0, place))
            if clicked:
                events.append((showing, 2, f"click-{name}", *about, at + 9, at + 9, 0.0, place))
        yield events


def run(way: str, folder: Path) -> None:
    """One way in this process; its figures as JSON on stdout."""
    log, archive = folder / "events.sqlite", Archive(folder / "archive")
    begun = time.perf_counter(), time.process_time()
    history = History(archive, partial(SqliteReader, log), partial(prune, log))
    if way == "pandas":
        import pandas as pd

        with closing(sqlite3.connect(log)) as db:
            frame = pd.read_sql(JOIN, db)
        frame["shown_at"] = pd.to_datetime(frame["shown_at"], unit="s", utc=True)
        rows, clicks = len(frame), int(frame["clicked"].sum())
    elif way == "archive it":
        rows, clicks = history.archive().impressions, 0
    elif way.startswith("sums"):
        rows = clicks = 0
        for batch in history.batches():
            rows, clicks = rows + batch.num_rows, clicks + pc.sum(batch["clicked"]).as_py()
    else:
        frame = history.frame()
        rows, clicks = len(frame), int(frame["clicked"].sum())
    taken = time.perf_counter() - begun[0], time.process_time() - begun[1]
    peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024
    told = {"rows": rows, "clicks": clicks, "seconds": taken[0], "cpu": taken[1], "peak_mib": peak}
    print(json.dumps(told))


def main() -> None:
    """Make the logs, run every way on them, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 10_000_000])
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures")
    parser.add_argument("--one", nargs=2, metavar=("WAY", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        run(given.one[0], Path(given.one[1]))
        return
    found = []
    for rows in given.rows:
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            make(folder / "events.sqlite", rows)
            for way in WAYS:
                if rows > WHOLE and way in ("pandas", "log", "archive"):
                    continue
                done = subprocess.run(
                    [sys.executable, __file__, "--one", way, made],
                    stdout=subprocess.PIPE, check=True, text=True,
                )  # fmt: skip
                found.append({"impressions": rows, "way": way, **json.loads(done.stdout)})
            sizes = {
                "log": (folder / "events.sqlite").stat().st_size,
                "archive": sum(p.stat().st_size for p in folder.glob("archive/*/*.parquet")),
            }
            found.append({"impressions": rows, **{k: v / rows for k, v in sizes.items()}})
    table = Table("impressions", "way", "seconds", "of that CPU", "peak MiB", "clicks")
    for one in found:
        if "way" in one:
            table.add_row(
                f"{one['impressions']:,}", one["way"], f"{one['seconds']:.2f}",
                f"{one['cpu']:.2f}", f"{one['peak_mib']:,.0f}", f"{one['clicks']:,}",
            )  # fmt: skip
    console = Console(width=110)
    console.print(table)
    for one in found:
        if "way" not in one:
            console.print(
                f"{one['impressions']:,}: {one['log']:.0f} bytes an impression in the log, "
                f"{one['archive']:.1f} in the archive"
            )
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

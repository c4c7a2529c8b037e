"""Runs the long forms and writes what came of them into docs/serve.md, by ``make chaos``."""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import valkey
from chaos.clocks import Clock
from chaos.endured import Survived, survive
from chaos.failures import DISK, FILES, LOG, a_disk
from chaos.kills import kill_workers
from chaos.servers import Servers, known_shoppers
from chaos.shops import a_shop
from chaos.slow import slow_connections
from serving.postgres_server import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = Path(__file__).parents[2] / "docs" / "serve.md"
_SECONDS = 1.0  # of each failure, at least


def kills(folder: Path, given: argparse.Namespace) -> str:
    """Workers killed under load."""
    killed = kill_workers(folder / "home", given.kills)
    up = np.array(killed.up)
    return f"""| One run, beside {_load()} | |
|---|---|
| workers killed with `kill -9` under load, one of two or both | {killed.kills:,} |
| events acknowledged; of these lost; doubled | {killed.acknowledged:,}; {killed.lost}; {killed.doubled} |
| pictures and decisions answered meanwhile; with an error | {killed.shown:,}; {killed.failed} |
| all workers back and a picture answered, seconds: median, 95 %, longest | {np.median(up):.2f}, {np.quantile(up, 0.95):.2f}, {up.max():.2f} |
| times that it took over 2 s, of {len(up)} | {(up > 2).sum()} |"""  # noqa: E501


def slow(folder: Path, given: argparse.Namespace) -> str:
    """Slow connections."""
    slowed = slow_connections(folder / "home", given.connections)
    return f"""| One run, beside {_load()} | |
|---|---|
| slow connections; pictures and decisions asked beside them; not answered | {slowed.connections:,}; {slowed.shown + slowed.failed}; {slowed.failed} |
| the slowest of these, seconds | {slowed.slowest:.2f} |"""  # noqa: E501


def failures(folder: Path, _: argparse.Namespace) -> str:
    """The log, the other files and the clock."""
    clock = Clock(folder)
    return _table(
        survive(_copied(folder, folder / "log"), LOG, _SECONDS),
        survive(_copied(folder, folder / "files"), FILES, _SECONDS),
        survive(
            _copied(folder, folder / "clock"),
            clock.failures(),
            _SECONDS,
            environment=clock.environment,
        ),
    )


def disk(folder: Path, _: argparse.Namespace) -> str:
    """The log's disk."""
    with a_disk() as small:
        return _table(survive(_copied(folder, small), DISK, _SECONDS))


def servers(folder: Path, _: argparse.Namespace) -> str:
    """PostgreSQL and Valkey."""
    home, postgres = folder / "servers", PostgresServer()
    try:
        with valkey.running() as profiles:
            both = Servers(postgres, profiles)
            known_shoppers(home, both.environment)
            some, environment = both.failures(), both.environment
            return _table(
                survive(home, some, _SECONDS, environment=environment, stored=both.stored)
            )
    finally:
        postgres.remove()


def _copied(folder: Path, to: Path) -> Path:
    shutil.copytree(folder / "home", to / "home")
    shutil.copy(folder / "home.key", to)
    return to / "home"


def _table(*survived: Survived) -> str:
    lines = [
        f"| {one.name} | {one.during.decided:,} | {one.during.photos:,} "
        f"| {len(one.during.failed)} | {one.told_briefly} "
        f"| {one.ready_seconds:.1f} | {one.counted_seconds:.1f} |"
        for some in survived
        for one in some.endured
    ]
    acknowledged, lost, doubled = (
        sum(getattr(one, name) for one in survived) for name in ("acknowledged", "lost", "doubled")
    )
    head = (
        "| What fails | Decisions that count | Photos | Answers to GET other than 200 | `/readyz` "
        "says | Ready again, s | All counted again, s |\n|---|---|---|---|---|---|---|"
    )
    return (
        "\n".join((head, *lines)) + f"\n\nOne run, beside {_load()}; {acknowledged:,} events were "
        f"acknowledged before, meanwhile and after: {lost} lost, {doubled} doubled."
    )


def _load() -> str:
    return f"a load of {os.getloadavg()[1]:.0f} on {os.cpu_count()} cores"


def written(page: str, name: str, figures: str) -> str:
    """The page with other figures.

    Raises:
        ValueError: it has no place for them.
    """
    begin, end = f"<!-- chaos {name}: written by make chaos -->", f"<!-- /chaos {name} -->"
    before, _, rest = page.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"docs/serve.md: no {begin} … {end}; put both lines back")
    return f"{before}{begin}\n{figures}\n{end}{after}"


SECTIONS: dict[str, Callable[[Path, argparse.Namespace], str]] = {
    "failures": failures,
    "disk": disk,
    "servers": servers,
    "slow": slow,
    "kills": kills,
}


def main() -> None:
    """Run them, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000, help="(%(default)s)")
    parser.add_argument("--connections", type=int, default=10_000, help="(%(default)s)")
    parser.add_argument("--only", choices=SECTIONS, help="one of the tables")
    given = parser.parse_args()
    for name, run in SECTIONS.items():
        if given.only in (None, name):
            with tempfile.TemporaryDirectory() as made:
                a_shop(Path(made) / "home")
                figures = run(Path(made), given)
            print(figures, flush=True)
            page = PAGE.read_text(encoding="utf-8")
            PAGE.write_text(written(page, name, figures), encoding="utf-8")


if __name__ == "__main__":
    main()

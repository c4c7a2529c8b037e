"""Workers of a service are killed without a warning, again and again, while it is used."""

from __future__ import annotations

import http.client
import os
import random
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chaos.endured import kept_in
from chaos.shops import PRODUCTS, WORKERS, Service, serving
from chaos.traffic import lost_and_doubled, traffic

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

_PATIENCE = 60.0


@dataclass(frozen=True)
class Killed:
    """What came of it.

    Attributes:
        kills: Processes killed.
        acknowledged: Events that were answered as accepted or duplicate.
        lost: Of these, how many are not in the log.
        doubled: Events that are in it twice, or were accepted twice.
        refused: Events that were rejected, and answers to them that are none.
        shown: Pictures, and what is told of them, asked for and answered.
        failed: Answers to these other than 200.
        unreached: Requests whose connection broke: what a load balancer would ask the other one.
        up: Seconds from a kill, of one worker or of all, until there are as many others and a
            picture is answered again.
        sound: Whether SQLite finds the log whole.
    """

    kills: int
    acknowledged: int
    lost: int
    doubled: int
    refused: int
    shown: int
    failed: int
    unreached: int
    up: tuple[float, ...]
    sound: bool


def kill_workers(home: Path, kills: int, seed: int = 1) -> Killed:
    """Kill workers at random moments.

    Args:
        home: Of a shop, see :func:`chaos.shops.a_shop`.
        kills: How many processes, at least.
        seed: Of the moments, and of which worker it is.

    Raises:
        TimeoutError: the service did not come back.
    """
    rng, up, killed = random.Random(seed), list[float](), 0
    with serving(home) as service:
        with traffic(service) as shoppers:
            while killed < kills:
                time.sleep(rng.uniform(0.0, 0.1))
                # One of them, or all at once: then nobody answers until another one has begun.
                there = service.workers()
                victims = there if rng.random() < 0.5 else [rng.choice(there)]
                begun = time.monotonic()
                for one in victims:
                    os.kill(one, signal.SIGKILL)
                killed += len(victims)
                _back(service, victims)
                up.append(time.monotonic() - begun)
        tally = shoppers.tally()
    sound, stored = kept_in(home)
    lost, doubled = lost_and_doubled(tally, stored)
    return Killed(
        kills=killed,
        acknowledged=len(tally.known),
        lost=lost,
        doubled=doubled,
        refused=len(tally.refused),
        shown=tally.shown,
        failed=len(tally.failed),
        unreached=tally.unreached,
        up=tuple(up),
        sound=sound,
    )


def _back(service: Service, gone: Collection[int]) -> None:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        if len(set(service.workers()) - set(gone)) == WORKERS:
            try:
                path = f"/v1/variant?shopper=back&product={PRODUCTS[0]}"
                if service.ask("GET", path)[0] == 200:
                    return
            except (OSError, http.client.HTTPException):
                pass
        time.sleep(0.005)
    raise TimeoutError(f"the service did not come back within {_PATIENCE:.0f} s")

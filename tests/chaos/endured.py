"""Lets something fail while shoppers look, and says what they saw, and how soon all was well."""

from __future__ import annotations

import http.client
import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chaos.shops import PRODUCTS, WORKERS, Service, serving
from chaos.traffic import lost_and_doubled, traffic

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from chaos.traffic import Tally, Traffic

PATIENCE = 60.0
_HINDRANCE = '"hindrance"'
_OPENING = 300.0  # Feast alone takes ten seconds of a processor to import
_IN_A_ROW = 6 * WORKERS  # answers, so that every worker gave some


Failing = Callable[[Service], AbstractContextManager[None]]
"""Makes something of a service fail within a ``with`` block."""


@dataclass(frozen=True)
class Failure:
    """Something that fails and ends.

    Attributes:
        name: For whoever reads of it.
        begin: It fails within this block.
        told: What ``/readyz`` answers meanwhile has one of these in it; none where nothing that
            it tells of has failed.
        unseen: Whether it may also go unnoticed: what was read before lies in memory, and is right.
    """

    name: str
    begin: Failing
    told: tuple[str, ...] = ()
    unseen: bool = False


@dataclass(frozen=True)
class Endured:
    """What came of a failure.

    Attributes:
        name: Of the failure.
        during: What was answered until it ended.
        told: What ``/readyz`` said meanwhile; the last that fits, or the last of all.
        fits: Whether that is what it should say.
        ready_seconds: From the end of the failure until ``/readyz`` has nothing to tell, of every
            worker.
        counted_seconds: Until decisions count again, of every worker.
    """

    name: str
    during: Tally
    told: str
    fits: bool
    ready_seconds: float
    counted_seconds: float

    @property
    def told_briefly(self) -> str:
        """What ``/readyz`` said, without what to do about it."""
        said = json.loads(self.told)
        if "detail" not in said:
            return ", ".join(
                filter(None, (said["status"], said.get("hindrance", "").split(", ")[0]))
            )
        reasons = str(said["detail"]).removeprefix("not ready: ").split("; ")
        return reasons[0].split(", ")[0]


@dataclass(frozen=True)
class Survived:
    """What came of several failures of one service, one after the other.

    Attributes:
        endured: Of each what was seen.
        acknowledged: Events that were answered as accepted or duplicate, before, meanwhile, after.
        lost: Of these, how many are not in the log.
        doubled: Events that are in it twice, or were accepted twice.
        refused: Events that were rejected, and answers to them that are none.
        restarted: Whether a worker died.
    """

    endured: tuple[Endured, ...]
    acknowledged: int
    lost: int
    doubled: int
    refused: tuple[object, ...]
    restarted: bool


def survive(
    home: Path,
    failures: Iterable[Failure],
    seconds: float,
    *,
    environment: Mapping[str, str] | None = None,
    stored: Callable[[], Mapping[str, int]] | None = None,
) -> Survived:
    """Serve a shop through failures, under way all the time.

    Args:
        home: Of the shop.
        failures: Which, in this order.
        seconds: For how long each, at least.
        environment: Of the service.
        stored: How often each event is in the log in the end; None for the shop's own file.

    Raises:
        TimeoutError: after one of them all is not well within a minute.
    """
    endured = []
    with serving(home, environment) as service:
        _well(lambda: _is_well(*_ready(service)), time.monotonic(), _OPENING)
        workers = service.workers()
        with traffic(service) as shoppers:
            time.sleep(seconds / 2)
            for failure in failures:
                try:
                    endured.append(endure(service, shoppers, failure, seconds))
                except TimeoutError as error:
                    raise TimeoutError(f"{failure.name}: {error}; {_ready(service)}") from error
        tally = shoppers.tally()
        restarted = service.workers() != workers
    lost, doubled = lost_and_doubled(tally, stored() if stored else kept_in(home)[1])
    return Survived(
        tuple(endured), len(tally.known), lost, doubled, tuple(tally.refused), restarted
    )


def kept_in(home: Path) -> tuple[bool, dict[str, int]]:
    """Whether SQLite finds a shop's log whole, and how often each event is in it."""
    with closing(sqlite3.connect(home / "events.sqlite")) as db:
        (sound,) = db.execute("PRAGMA integrity_check").fetchone()
        rows = db.execute("SELECT event_id, count(*) FROM events GROUP BY event_id")
        return sound == "ok", dict(rows)


def endure(service: Service, traffic: Traffic, failure: Failure, seconds: float) -> Endured:
    """Let something fail for so long, and wait until all is well.

    Args:
        service: Asked beside the traffic.
        traffic: Under way.
        failure: What fails.
        seconds: For how long at least; longer until ``/readyz`` has told of it.

    Raises:
        TimeoutError: all is not well a minute after the end.
    """
    before = traffic.tally()
    with failure.begin(service):
        begun = time.monotonic()
        told, fits = "", False
        # What is to be told of may be found late: by the next look, or the next write.
        while time.monotonic() < begun + (seconds if fits else max(seconds, PATIENCE / 4)):
            status, said = _ready(service)
            if _fits(failure, status, said) or not fits:
                told = said
            fits = _fits(failure, status, said) or (fits and bool(failure.told))
            time.sleep(0.05)
        during = traffic.tally().minus(before)
    ended = time.monotonic()
    ready = _well(lambda: _is_well(*_ready(service)), ended)
    counted = _well(lambda: _counts(service), ended)
    return Endured(failure.name, during, told, fits, ready, counted)


def _fits(failure: Failure, status: int, said: str) -> bool:
    if (not failure.told or failure.unseen) and _is_well(status, said):
        return True
    told = status == 503 or _HINDRANCE in said
    return told and any(one in said for one in failure.told)


def _well(look: Callable[[], bool], since: float, patience: float = PATIENCE) -> float:
    """Seconds since a moment until the first of enough good looks in a row."""
    row, first = 0, 0.0
    while row < _IN_A_ROW:
        now = time.monotonic()
        if now > since + patience:
            raise TimeoutError(f"not well within {patience:.0f} s")
        if look():
            first = first if row else now
            row += 1
        else:
            row = 0
            time.sleep(0.02)
    return first - since


def _is_well(status: int, said: str) -> bool:
    return status == 200 and _HINDRANCE not in said


def _ready(service: Service) -> tuple[int, str]:
    try:
        return service.ready()
    except (OSError, http.client.HTTPException) as error:
        return 0, repr(error)


def _counts(service: Service) -> bool:
    path = f"/v1/variant?shopper=well-{time.monotonic_ns()}&product={PRODUCTS[0]}"
    try:
        status, said = service.ask("GET", path)
    except (OSError, http.client.HTTPException):
        return False
    return status == 200 and bool(json.loads(said)["counted"])

"""Shoppers who look at pictures and tell of them, whatever happens to the service meanwhile.

What was not acknowledged is sent again, as a page or a shop's server would. In the end what is in
the log is compared with what was acknowledged.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter, deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chaos.shops import PRODUCTS, Service
from examples import SIGNER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SENDERS = 3
SHOPPERS = 400
"""Of each sender; then they come again."""

_BATCH = 20  # events a call
_WAITING = 40  # calls that a sender keeps; then it only looks
_PATIENCE = 60.0


@dataclass
class Tally:
    """What came of it, of one sender or of all.

    Attributes:
        decided: Answers with a decision that counts.
        photos: Answers with the photo instead, which count for nothing.
        pictures: Pictures themselves, loaded from the address in an answer.
        failed: Answers to GET other than 200, each with its path.
        unreached: Requests whose connection broke: what a load balancer would ask another one.
        refused: Events that were rejected, and answers that are none.
        known: Events that were answered as accepted or duplicate.
        accepted: Of each event, how often it was accepted.
    """

    decided: int = 0
    photos: int = 0
    pictures: int = 0
    failed: list[tuple[int, str]] = field(default_factory=list)
    unreached: int = 0
    refused: list[Any] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    accepted: Counter[str] = field(default_factory=Counter)

    @property
    def shown(self) -> int:
        """Answers with 200, pictures and what is told of them."""
        return self.decided + self.photos + self.pictures

    def minus(self, before: Tally) -> Tally:
        """What came since; the counts alone."""
        return Tally(
            self.decided - before.decided,
            self.photos - before.photos,
            self.pictures - before.pictures,
            self.failed[len(before.failed) :],
            self.unreached - before.unreached,
        )


class _Sender:
    """One thread looks, another one tells of it: who waits for the disk still sees pictures."""

    def __init__(self, number: int, service: Service, end: threading.Event) -> None:
        self._number, self._service, self._end = number, service, end
        self._untold: deque[str] = deque()
        self.tally = Tally()
        self._threads = [
            threading.Thread(target=one, daemon=True) for one in (self._look_on, self._tell_on)
        ]

    def start(self) -> None:
        for one in self._threads:
            one.start()

    def join(self, seconds: float) -> bool:
        """Whether both have ended by then."""
        for one in self._threads:
            one.join(seconds)
        return not any(one.is_alive() for one in self._threads)

    def _look_on(self) -> None:
        turn = 0
        while not self._end.is_set():
            turn += 1
            self._look(turn)

    def _tell_on(self) -> None:
        while not self._end.is_set():
            self._tell()
        until = time.monotonic() + _PATIENCE
        while self._untold and time.monotonic() < until:  # else nobody knows what became of it
            self._tell()
        self.tally.refused += [f"not acknowledged within {_PATIENCE} s"] * len(self._untold)

    def _look(self, turn: int) -> None:
        shopper = f"s{self._number}-{turn % SHOPPERS}"
        product = PRODUCTS[turn % len(PRODUCTS)]
        shown = self._asked("GET", f"/v1/variant?shopper={shopper}&product={product}")
        if shown is None:
            return
        told = json.loads(shown)
        self.tally.decided += told["counted"]
        self.tally.photos += not told["counted"]
        if self._asked("GET", told["image_url"]) is not None:
            self.tally.pictures += 1
        if told["token"] and len(self._untold) < _WAITING:
            self._untold.append(self._events(turn, told["token"]))

    def _events(self, turn: int, token: str) -> str:
        """Impressions of that answer, and of as many others with the same decision."""
        answer = SIGNER.read(token, 0.0)  # by no clock: the service's may jump
        tokens = [token]
        for _ in range(_BATCH - 1):
            tokens.append(SIGNER.sign(SIGNER.show(answer.decision, answer.answered_at)))
        return json.dumps(
            {
                "events": [
                    {"event_id": f"{self._number}-{turn}-{n}", "kind": "impression", "token": one}
                    for n, one in enumerate(tokens)
                ]
            }
        )

    def _tell(self) -> None:
        """Once; what is not acknowledged waits for the next turn."""
        if not self._untold:
            time.sleep(0.002)
            return
        answer = self._asked("POST", "/v1/events", self._untold[0])
        if answer is None:
            time.sleep(0.02)
            return
        self._untold.popleft()
        for event in json.loads(answer)["events"]:
            if event["outcome"] == "rejected":
                self.tally.refused.append(event)
            else:
                self.tally.known.add(event["event_id"])
                self.tally.accepted[event["event_id"]] += event["outcome"] == "accepted"

    def _asked(self, method: str, path: str, body: str | None = None) -> bytes | None:
        """What was answered with 200."""
        try:
            status, said = self._service.ask(method, path, body)
        except (OSError, http.client.HTTPException):
            self.tally.unreached += 1
            time.sleep(0.005)
            return None
        if status == 200:
            return said
        if method == "GET":
            self.tally.failed.append((status, path))
        elif status not in (429, 503):
            self.tally.refused.append((status, said))
        return None


class Traffic:
    """Senders under way, and what came of it until now."""

    def __init__(self, senders: list[_Sender]) -> None:
        self._senders = senders

    def tally(self) -> Tally:
        """Of all of them."""
        tallies = [one.tally for one in self._senders]
        return Tally(
            sum(one.decided for one in tallies),
            sum(one.photos for one in tallies),
            sum(one.pictures for one in tallies),
            [failed for one in tallies for failed in list(one.failed)],
            sum(one.unreached for one in tallies),
            [refused for one in tallies for refused in list(one.refused)],
            set().union(*(set(one.known) for one in tallies)),
            sum((one.accepted.copy() for one in tallies), Counter[str]()),
        )


@contextmanager
def traffic(service: Service) -> Iterator[Traffic]:
    """Senders who go on until the block ends, and then until all is acknowledged."""
    end = threading.Event()
    senders = [_Sender(n, service, end) for n in range(SENDERS)]
    for one in senders:
        one.start()
    try:
        yield Traffic(senders)
    finally:
        end.set()
        for one in senders:
            assert one.join(2 * _PATIENCE), "a sender hangs"


def lost_and_doubled(tally: Tally, stored: Mapping[str, int]) -> tuple[int, int]:
    """Acknowledged events that are not stored, and events that are twice or were accepted twice.

    Args:
        tally: Of all senders.
        stored: How often each event is in the log, by its id.
    """
    twice = sum(n > 1 for n in stored.values()) + sum(n > 1 for n in tally.accepted.values())
    return len(tally.known - stored.keys()), twice

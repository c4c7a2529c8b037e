"""Real HTTP traffic: simulated shoppers ask the service for pictures and report what they did."""

from __future__ import annotations

import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import urllib3

from persona_img.domain.style import Style
from persona_img.errors import InvalidInput, ServiceFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from persona_img.simulate.responses import Reaction
    from persona_img.simulate.shop import SimulatedShop
    from persona_img.simulate.visits import Visit

_MAX_EVENTS = 500
_AGAIN_SECONDS = 0.05
_MOST_CONNECTIONS = 64  # kept; more workers than that would open new ones


@dataclass(frozen=True)
class TrafficReport:
    """What went over the wire.

    Attributes:
        visits: Visits made.
        decisions: Pictures asked for.
        events: Events sent.
        clicks: Clicks among them.
        seconds: Wall time of the whole drive.
    """

    visits: int
    decisions: int
    events: int
    clicks: int
    seconds: float


def drive(
    base_url: str,
    shop: SimulatedShop,
    visits: Iterable[Visit],
    *,
    on_visit: Callable[[Visit], None] = lambda _: None,
    workers: int = 4,
    visits_per_post: int = 10,
    timeout: float = 30.0,
    token: str | None = None,
) -> TrafficReport:
    """Let the shoppers make their visits; events are posted for a few visits together.

    A shopper's visits are made by one worker, in order, over one kept connection; what is answered
    and what the shoppers do depends on neither the number of workers nor their pace.

    Args:
        base_url: Of the service, e.g. ``http://127.0.0.1:8000``.
        shop: Whose shoppers they are.
        visits: Made by ``shop.visits``.
        on_visit: Called after each visit whose events were accepted, by one worker at a time.
        workers: Connections used together.
        visits_per_post: Visits whose events are sent together.
        timeout: Seconds until a request counts as failed, or a picture that is not counted as one
            that never will be: until then it is asked for again, as a disk may be busy.
        token: Sent as a bearer token.

    Raises:
        ServiceFailed: a request was refused or not answered, or an event was rejected; no further
            visits are made.
    """
    if workers < 1 or visits_per_post < 1:
        raise InvalidInput(f"{workers} workers, {visits_per_post} visits per post: give at least 1")
    started = time.perf_counter()
    queues: list[list[Visit]] = [[] for _ in range(workers)]
    for visit in visits:
        queues[zlib.crc32(visit.shopper.encode()) % workers].append(visit)
    lock, stop = threading.Lock(), threading.Event()
    service = _Service(base_url, timeout, token)

    def work(queue: list[Visit]) -> tuple[int, int, int]:
        sent = clicks = decisions = 0
        try:
            for some in _batches(queue, visits_per_post):
                if stop.is_set():
                    break
                events = [event for visit in some for event in _make(service, shop, visit)]
                service.post(events)
                sent += len(events)
                clicks += sum(event.kind == "click" for event in events)
                decisions += sum(len(visit.products) for visit in some)
                with lock:
                    for visit in some:
                        on_visit(visit)
        except BaseException:
            stop.set()
            raise
        return sent, clicks, decisions

    with ThreadPoolExecutor(workers) as pool:
        totals = list(pool.map(work, queues))
    sent, clicks, decisions = (sum(column) for column in zip(*totals, strict=True))
    made = sum(map(len, queues))
    return TrafficReport(made, decisions, sent, clicks, time.perf_counter() - started)


def _make(service: _Service, shop: SimulatedShop, visit: Visit) -> list[Reaction]:
    """One visit: a page with a picture for each product, and what the shopper does."""
    shown = [
        (product, Style(answer["style"]), answer["token"])
        for product, answer in zip(visit.products, service.page(visit), strict=True)
    ]
    return shop.respond(visit, shown)


class _Service:
    """The service, as a page's script talks to it, over connections that are kept.

    Args:
        url: Where it is.
        timeout: As of :func:`drive`.
        token: As of :func:`drive`.
    """

    def __init__(self, url: str, timeout: float, token: str | None) -> None:
        self._url, self._timeout = url.rstrip("/"), timeout
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        # Unlike requests and httpx it asks no proxy of the environment, and takes a third of the
        # time for a call: of what is driven here most is such calls.
        self._pool = urllib3.PoolManager(
            maxsize=_MOST_CONNECTIONS, headers=headers, timeout=timeout, retries=False
        )

    def page(self, visit: Visit) -> list[dict[str, Any]]:
        """A visit's pictures, all of them counted."""
        end = time.monotonic() + self._timeout
        page = {"shopper": visit.shopper, "products": visit.products}
        while True:
            answers: list[dict[str, Any]] = self._call("/v1/decisions", page)["decisions"]
            missed = [answer["product"] for answer in answers if not answer["counted"]]
            if not missed:
                return answers
            if time.monotonic() > end:
                raise ServiceFailed(
                    f"POST {self._url}/v1/decisions counts no picture of {', '.join(missed)}; "
                    "/readyz says what hinders it"
                )
            time.sleep(_AGAIN_SECONDS)

    def post(self, events: Sequence[Reaction]) -> None:
        """Tell what shoppers did."""
        for start in range(0, len(events), _MAX_EVENTS):
            batch = [asdict(event) for event in events[start : start + _MAX_EVENTS]]
            answer = self._call("/v1/events", {"events": batch})
            if answer["rejected"]:
                reasons = [e["reason"] for e in answer["events"] if e["outcome"] == "rejected"]
                raise ServiceFailed(
                    f"POST {self._url}/v1/events rejected {len(reasons)} of {len(batch)} events: "
                    f"{reasons[0]}"
                )

    def _call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        url = self._url + path
        try:
            response = self._pool.request("POST", url, json=body)
        except urllib3.exceptions.HTTPError as error:
            raise ServiceFailed(f"POST {url}: {error!r}; is the service running?") from error
        if not 200 <= response.status < 300:
            text = response.data.decode(errors="replace")
            raise ServiceFailed(f"POST {url} answered {response.status}: {text[:200]}")
        answer: dict[str, Any] = response.json()
        return answer


def _batches(queue: list[Visit], size: int) -> Iterator[list[Visit]]:
    left = iter(queue)
    while some := list(islice(left, size)):
        yield some

"""Thousands of connections that begin a request and never finish it."""

from __future__ import annotations

import contextlib
import http.client
import resource
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chaos.shops import PRODUCTS, Service, serving

if TYPE_CHECKING:
    from pathlib import Path

_ASKED = (f"/v1/photos/{PRODUCTS[0]}", f"/v1/variant?shopper=ann&product={PRODUCTS[0]}")


@dataclass(frozen=True)
class Slowed:
    """What came of it.

    Attributes:
        connections: Opened, each with half a request.
        shown: Requests of somebody else meanwhile, over new connections, answered with 200.
        failed: Those that were not.
        slowest: Seconds of the slowest.
    """

    connections: int
    shown: int
    failed: int
    slowest: float


def slow_connections(home: Path, many: int, each: int = 50) -> Slowed:
    """Open slow connections, and ask for a photo and a decision after every ``each``.

    Args:
        home: Of a shop, see :func:`chaos.shops.a_shop`.
        many: How many.
        each: Between two questions.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < many + 200:
        raise OSError(f"this user may have {hard} open files, not {many + 200}: raise `ulimit -Hn`")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], many + 200), hard))
    taken, failed = list[float](), 0
    try:
        with serving(home) as service, ExitStack() as slow:
            for n in range(many):
                one = slow.enter_context(socket.create_connection(("127.0.0.1", service.port)))
                with contextlib.suppress(OSError):  # it may be closed already, to make room
                    one.sendall(b"GET /v1/photos/shirt HTTP/1.1\r\nHost: localhost\r\n")
                if n % each == 0:
                    for path in _ASKED:
                        begun = time.monotonic()
                        failed += not _is_shown(service, path)
                        taken.append(time.monotonic() - begun)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    return Slowed(many, len(taken) - failed, failed, max(taken))


def _is_shown(service: Service, path: str) -> bool:
    try:
        status, said = service.ask("GET", path)
    except (OSError, http.client.HTTPException):
        return False
    return status == 200 and bool(said)

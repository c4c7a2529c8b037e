"""Stands before every route: who may come in, how often, by which host, and what is noted of it.

Plain ASGI, so that it is the same for routes of the framework and for those that skip it.
"""

from __future__ import annotations

import contextvars
import json
import logging
import os
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect

from persona_img.serving.limits import Rates, caller_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from persona_img.domain.roles import Permission
    from persona_img.serving.keys import Key, Keys

REQUEST_ID: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")
"""Of the request that is being answered, for lines of the log."""

NEEDS: tuple[tuple[str, Permission], ...] = (
    ("/v1/variant", "decide"),
    ("/v1/decisions", "decide"),
    ("/v1/events", "events"),
    ("/v1/links", "links"),
    ("/v1/withdrawals", "approve"),
    ("/ofrep/", "decide"),
    ("/metrics", "metrics"),
)
"""What a path asks for; one ending in ``/`` means all below. Everything else is for everybody."""

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
"""Names of this machine: a page elsewhere that lets its own name point here is refused."""

_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")
_JSON = re.compile(rb"application/json\s*(;\s*charset\s*=\s*\"?utf-8\"?\s*)?", re.IGNORECASE)
_FAILED_COST = 20.0  # requests that a wrong key counts for
_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
)
_LOG = logging.getLogger("persona_img.access")


@dataclass(frozen=True)
class GateRules:
    """What is let in.

    Attributes:
        hosts: Names by which the service may be called, ``*.shop`` for all below; none for any.
        address_rate: Requests a second of one address without a key of a server's; 0 for no limit.
        key_rate: Requests a second by one key; 0 for no limit.
        max_body: Bytes of a request.
        log_requests: Whether each request is a line of the log.
    """

    hosts: tuple[str, ...] = ()
    address_rate: float = 0.0
    key_rate: float = 0.0
    max_body: int = 2**20
    log_requests: bool = False


@dataclass(frozen=True)
class Refusal(Exception):
    """An answer that is given at the gate."""

    status: int
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)


class Gate:
    """Lets requests through to an app, or says why not.

    Args:
        app: What answers.
        keys: Whom it knows; while there are no keys at all everybody is let in.
        rules: What else is asked.
        on_refused: Told the status of each refusal.
        clock: For tests.
    """

    def __init__(
        self,
        app: ASGIApp,
        keys: Keys,
        rules: GateRules | None = None,
        on_refused: Callable[[int], object] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app, self._keys, self._rules = app, keys, rules or GateRules()
        self._on_refused, self._clock = on_refused, clock
        rules = self._rules
        self._addresses = Rates(rules.address_rate) if rules.address_rate else None
        self._by_key = Rates(rules.key_rate) if rules.key_rate else None
        self._hosts = frozenset(host.lower() for host in rules.hosts if not host.startswith("*."))
        self._domains = tuple(host[1:].lower() for host in rules.hosts if host.startswith("*."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        name = given.decode() if _ID.fullmatch(given) else os.urandom(8).hex()
        told = _Told(name)

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                told.note(message)
            await send(message)

        marked = REQUEST_ID.set(name)
        key: Key | None = None
        try:
            key = self._let_in(scope, headers)
            scope.setdefault("state", {})["key"] = key
            await self._app(scope, receive, tell)
        except Refusal as no:
            self._on_refused(no.status)
            await _refuse(no, scope, tell)
        except ClientDisconnect:  # nobody is there to be answered
            told.status = told.status or 499
        finally:
            REQUEST_ID.reset(marked)
            if self._rules.log_requests:
                _note(scope, told, key, time.perf_counter() - begun)

    def _let_in(self, scope: Scope, headers: dict[bytes, bytes]) -> Key | None:
        """The key that was presented; raises :class:`Refusal`."""
        if not scope["path"].isprintable():
            # A route's pattern ends before a line's end, so a path with one would find a route
            # whose name it has not, and need nothing here.
            raise Refusal(404, "Not Found")
        self._check_host(headers.get(b"host", b""))
        client = scope.get("client")
        caller = caller_of(client[0]) if client else None
        key = self._key(scope, headers, caller)
        if key is None or key.role == "serve":
            # A page's key is everybody's: it says nothing of who calls.
            self._spend(self._addresses, caller, 1.0)
        if key is not None and self._by_key is not None:
            self._spend(self._by_key, key.key_id, 1.0)
        self._check_body(scope, headers)
        return key

    def _check_host(self, given: bytes) -> None:
        if not (self._hosts or self._domains):
            return
        host = given.decode("latin-1").lower()
        host = host[: host.rfind("]") + 1] if host.startswith("[") else host.partition(":")[0]
        if host not in self._hosts and not host.endswith(self._domains or ("\0",)):
            raise Refusal(400, f"host {host[:80]!r}: not one of [serve] hosts; add it there")

    def _key(self, scope: Scope, headers: dict[bytes, bytes], caller: str | None) -> Key | None:
        wanted = needed(scope["path"])
        if wanted is None or not self._keys.any:
            return None
        text = headers.get(b"authorization", b"").decode("latin-1")
        kind, _, given = text.partition(" ")
        if kind.lower() != "bearer":
            # What a page sends by sendBeacon has no headers.
            given = parse_qs(scope["query_string"].decode("latin-1")).get("key", [""])[0]
        key = self._keys.find(given.strip()) if given else None
        if key is None:
            self._spend(self._addresses, caller, _FAILED_COST if given else 1.0)
            raise Refusal(
                401,
                "no valid key; send `Authorization: Bearer KEY`, see `persona-img keys add`",
                {"WWW-Authenticate": "Bearer"},
            )
        if not key.may(wanted):
            raise Refusal(
                403, f"key {key.key_id} has the role {key.role}, which may not {_DOES[wanted]}"
            )
        return key

    def _spend(self, rates: Rates | None, caller: str | None, cost: float) -> None:
        if rates is None or caller is None:
            return
        wait = rates.wait(caller, self._clock(), cost)
        if wait:
            raise Refusal(
                429,
                f"too many requests; try again in {wait:.0f} s",
                {"Retry-After": str(max(1, round(wait)))},
            )

    def _check_body(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return
        kind = headers.get(b"content-type")
        if kind is not None and not _JSON.fullmatch(kind):
            raise Refusal(
                415, f"content type {kind.decode('latin-1')[:60]!r}; send application/json"
            )
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._rules.max_body:
            raise Refusal(413, f"body over {self._rules.max_body} bytes; send less at once")


class FromElsewhere:
    """Starlette's answers to pages of other origins, where a request comes from one.

    Args:
        app: What answers.
        origins: Of pages that may ask.
    """

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        self._app = app
        self._elsewhere = CORSMiddleware(
            app,
            allow_origins=list(origins),
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=["authorization", "content-type", "if-none-match", "x-request-id"],
            expose_headers=["etag", "x-request-id", "retry-after"],
            allow_credentials=True,  # a page's sendBeacon says that it would send some
            max_age=3600,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if any(name == b"origin" for name, _ in scope.get("headers", ())):
            await self._elsewhere(scope, receive, send)
        else:
            await self._app(scope, receive, send)


_DOES: Mapping[Permission, str] = {
    "decide": "ask for decisions",
    "events": "send events",
    "links": "link names",
    "metrics": "read metrics",
    "approve": "withdraw or restore pictures",
}


class _Told:
    """What was answered, and what every answer says besides."""

    def __init__(self, name: str) -> None:
        self.status = 0
        self.name = name

    def note(self, message: Message) -> None:
        self.status = message["status"]
        headers = [*message["headers"], (b"x-request-id", self.name.encode())]
        said = {name for name, _ in headers}
        headers.extend(one for one in _ALWAYS if one[0] not in said)
        message["headers"] = headers


def needed(path: str) -> Permission | None:
    """What a path asks for; None where everybody may."""
    exact = _EXACT.get(path)
    if exact is not None:
        return exact
    return next((wanted for start, wanted in _BELOW if path.startswith(start)), None)


_EXACT = {place: wanted for place, wanted in NEEDS if not place.endswith("/")}
_BELOW = [(place, wanted) for place, wanted in NEEDS if place.endswith("/")]


async def _refuse(no: Refusal, scope: Scope, send: Send) -> None:
    body = json.dumps({"detail": no.detail}).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), **no.headers}
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": no.status, "headers": pairs})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def _note(scope: Scope, told: _Told, key: Key | None, seconds: float) -> None:
    """One line, without what stands behind the path: there shoppers are named."""
    facts: dict[str, Any] = {
        "request_id": told.name,
        "method": scope["method"],
        "path": scope["path"],
        "status": told.status,
        "ms": round(seconds * 1000, 2),
        "key": None if key is None else key.key_id,
    }
    _LOG.info(
        "%s %s %d %.1f ms", facts["method"], facts["path"], told.status, facts["ms"], extra=facts
    )

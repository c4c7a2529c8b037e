"""Connections that are slow, too many or too talkative are closed; the others do not notice.

Over httptools' protocol of uvicorn, which bounds neither headers nor how long a request takes to
come. Who keeps everybody waiting is known by one look at the oldest, so that thousands of slow
clients cost nothing but their sockets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from persona_img.serving.limits import Among, caller_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class ConnectionLimits:
    """What one process bears.

    Attributes:
        most: Connections at once; beyond, the one that keeps waiting longest is closed.
        each: Of one address; this machine and trusted proxies have no such limit.
        request_seconds: For a request to come in, headers and body; and between two.
        stuck_seconds: For a client to take what was sent to it.
        header_bytes: Of one request, address included.
        headers: Of one request.
        free: Addresses and networks without the limit ``each``.
    """

    most: int = 4000
    each: int = 200
    request_seconds: float = 10.0
    stuck_seconds: float = 30.0
    header_bytes: int = 32_768
    headers: int = 100
    free: frozenset[str] = frozenset()


class Connections:
    """Every connection of one server.

    Used by the server's own thread.

    Args:
        limits: What it bears.
        on_closed: Told why one was closed: ``slow``, ``stuck``, ``room``, ``address``, ``headers``.
    """

    def __init__(
        self,
        limits: ConnectionLimits | None = None,
        on_closed: Callable[[str], object] = lambda _: None,
    ) -> None:
        self.limits = limits or ConnectionLimits()
        self.on_closed = on_closed
        self._free = Among(self.limits.free)
        # In the order of their times: the first one waits longest.
        self._waiting: dict[GuardedProtocol, float] = {}
        # Since when nothing was taken, and how much then lay there.
        self._stuck: dict[GuardedProtocol, tuple[float, int]] = {}
        self._open: set[GuardedProtocol] = set()
        self._by_address: dict[str, int] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._open)

    def protocol(self) -> type[asyncio.Protocol]:
        """A protocol of uvicorn's whose connections these are."""
        return type("Guarded", (GuardedProtocol,), {"registry": self})

    def joined(self, one: GuardedProtocol, address: str | None) -> None:
        """A connection was made, from an address where it has one."""
        self._open.add(one)
        caller = None if address is None or address in self._free else caller_of(address)
        if caller is not None:
            one.caller = caller
            self._by_address[caller] = self._by_address.get(caller, 0) + 1
            if self._by_address[caller] > self.limits.each:
                self.close(one, "address")
                return
        self.wait(one)
        if len(self._open) > self.limits.most:
            self.close(next(iter(self._waiting)), "room")
        if self._timer is None:
            self._later(one.loop)

    def left(self, one: GuardedProtocol) -> None:
        """A connection is gone."""
        if one not in self._open:
            return
        self._open.discard(one)
        self._waiting.pop(one, None)
        self._stuck.pop(one, None)
        if one.caller is not None:
            self._by_address[one.caller] -= 1
            if not self._by_address[one.caller]:
                del self._by_address[one.caller]

    def wait(self, one: GuardedProtocol) -> None:
        """A connection begins to wait for what its client sends."""
        self._waiting.pop(one, None)
        self._waiting[one] = one.loop.time()

    def came(self, one: GuardedProtocol) -> None:
        """A whole request came."""
        self._waiting.pop(one, None)

    def is_waiting(self, one: GuardedProtocol) -> bool:
        """Whether a whole request has still to come."""
        return one in self._waiting

    def stick(self, one: GuardedProtocol) -> None:
        """A client does not take what is sent."""
        self._stuck.setdefault(one, (one.loop.time(), one.transport.get_write_buffer_size()))

    def flow(self, one: GuardedProtocol) -> None:
        """It does again."""
        self._stuck.pop(one, None)

    def close(self, one: GuardedProtocol, why: str) -> None:
        """Close a connection at once, whatever it is at."""
        self.left(one)
        self.on_closed(why)
        one.transport.abort()

    def _later(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(_LOOK_SECONDS, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for one, (since, lay) in list(self._stuck.items()):
            left = one.transport.get_write_buffer_size()
            if left < lay:
                self._stuck[one] = (now, left)
            elif now - since > self.limits.stuck_seconds:
                self.close(one, "stuck")
        while self._waiting:
            one, since = next(iter(self._waiting.items()))
            if now - since <= self.limits.request_seconds:
                break
            if one in self._stuck:  # it is we who are waited for
                self.wait(one)
            else:
                self.close(one, "slow")
        self._timer = None
        if self._open:
            self._later(loop)


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with bounds; made by :meth:`Connections.protocol`."""

    registry: Connections
    caller: str | None = None
    _size = 0  # that came and is not body
    _bytes = 0
    _count = 0
    _too_large = False
    _in_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count it."""
        super().connection_made(transport)
        self.registry.joined(self, self.client[0] if self.client else None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it no more."""
        self.registry.left(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bound what lies before the body: also one header that never ends."""
        self._size += len(data)
        super().data_received(data)
        if self._in_body:
            self._size = 0
        elif self._size > self.registry.limits.header_bytes and not self.transport.is_closing():
            self._too_large = True
            self.send_400_response("")

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._in_body, self._count, self._bytes = False, 0, 0

    def on_url(self, url: bytes) -> None:
        """A piece of the address."""
        super().on_url(url)
        self._bound(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        super().on_header(name, value)
        self._count += 1
        self._bound(len(name) + len(value) + 4)

    def on_headers_complete(self) -> None:
        """The body begins."""
        self._in_body, self._size = True, 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The whole request is there."""
        self._in_body, self._size = False, 0
        self.registry.came(self)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The next request is waited for."""
        if not self.transport.is_closing():
            self.registry.wait(self)
        super().on_response_complete()

    def shutdown(self) -> None:
        """The server stops: who has not said all that was to be said is not waited for."""
        if self.registry.is_waiting(self):
            self.transport.abort()
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        """The client is slower than we are."""
        self.registry.stick(self)
        super().pause_writing()

    def resume_writing(self) -> None:
        """It has caught up."""
        self.registry.flow(self)
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Say what is wrong with a request that cannot be read, and close."""
        status, told = "400 Bad Request", "not HTTP; send an HTTP/1.1 request"
        if self._too_large:
            status = "431 Request Header Fields Too Large"
            limits = self.registry.limits
            told = f"over {limits.header_bytes} bytes or {limits.headers} headers; send fewer"
            self.registry.on_closed("headers")
        body = b'{"detail": "%s"}' % told.encode()
        head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n"
        self.transport.write(head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body)
        self.transport.close()

    def _bound(self, size: int) -> None:
        self._bytes += size
        limits: Any = self.registry.limits
        if self._bytes > limits.header_bytes or self._count > limits.headers:
            self._too_large = True
            # httptools wraps it, and uvicorn answers by send_400_response.
            raise ValueError("too many headers")

"""Slow, greedy and talkative clients on real sockets."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from examples import SIGNER
from persona_img.serving.app import create_app
from persona_img.serving.connections import ConnectionLimits
from persona_img.serving.memory_log import MemoryEventLog
from persona_img.serving.run import BackgroundServer

from .conftest import a_catalog, a_decider

LIMITS = ConnectionLimits(
    most=20, request_seconds=1.0, stuck_seconds=1.0, header_bytes=4096, headers=20
)
HEAD = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
BIG = b"\x89PNG\r\n\x1a\n" + bytes(30_000_000)


@pytest.fixture(scope="module")
def server() -> Iterator[BackgroundServer]:
    app = create_app(
        a_decider(MemoryEventLog()), a_catalog(), lambda _: BIG, signer=SIGNER, limits=LIMITS
    )
    with BackgroundServer(app) as running:
        yield running


def connect(server: BackgroundServer) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    one = socket.create_connection((host, int(port)))
    one.settimeout(30)
    return one


def said_until_closed(one: socket.socket) -> bytes:
    said = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := one.recv(65536):
            said += piece
    return said


def closed(server: BackgroundServer, why: str) -> float:
    name = f'persona_img_connections_closed_total{{reason="{why}"}}'
    text = httpx.get(f"{server.url}/metrics").text
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        HEAD,
        HEAD + b"X: " + b"a" * 100,
        b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
    ],
)
def test_who_does_not_finish_a_request_is_closed(server: BackgroundServer, sent: bytes) -> None:
    before = closed(server, "slow")
    with connect(server) as one:
        one.sendall(sent)
        assert b" 200 " not in said_until_closed(one)
    assert closed(server, "slow") == before + 1


def test_a_byte_now_and_then_does_not_help(server: BackgroundServer) -> None:
    with connect(server) as one:
        one.sendall(HEAD)
        with contextlib.suppress(OSError):
            for _ in range(300):
                one.sendall(b"X: 1\r\n"[:1])
                time.sleep(0.1)
        assert said_until_closed(one) == b""


def test_who_takes_nothing_is_closed(server: BackgroundServer) -> None:
    before = closed(server, "stuck")
    with connect(server) as one:
        one.sendall(b"GET /v1/variants/" + b"0" * 64 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        deadline = time.monotonic() + 30
        while closed(server, "stuck") == before:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert len(said_until_closed(one)) < len(BIG)


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b"X: " + b"a" * 5000 + b"\r\n\r\n",
        HEAD + b"X: " + b"a" * 5000,  # and never ends
        HEAD + b"X: 1\r\n" * 21 + b"\r\n",
        b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_too_many_headers_are_refused_and_named(server: BackgroundServer, sent: bytes) -> None:
    with connect(server) as one:
        one.sendall(sent)
        said = said_until_closed(one)
    assert said.startswith(b"HTTP/1.1 431 ")
    assert b"4096 bytes" in said


def test_what_is_no_http_is_refused(server: BackgroundServer) -> None:
    with connect(server) as one:
        one.sendall(b"\x16\x03\x01 this is TLS\r\n\r\n")
        assert said_until_closed(one).startswith(b"HTTP/1.1 400 ")


def test_a_body_may_be_longer_than_headers_and_requests_may_follow(
    server: BackgroundServer,
) -> None:
    with httpx.Client(base_url=server.url) as client:
        for _ in range(3):
            answer = client.post("/v1/events", json={"events": ["x" * 20_000]})
            assert answer.status_code == 200
            assert answer.json()["rejected"] == 1


def test_several_requests_in_one_piece_are_all_answered(server: BackgroundServer) -> None:
    with connect(server) as one:
        one.sendall((HEAD + b"\r\n") * 4)
        said = b""
        while said.count(b"HTTP/1.1 200 ") < 4:
            said += one.recv(65536)


def test_slow_connections_leave_room_for_others(server: BackgroundServer) -> None:
    with contextlib.ExitStack() as stack:
        before = closed(server, "room")
        slow = [stack.enter_context(connect(server)) for _ in range(60)]
        for one in slow:
            with contextlib.suppress(OSError):
                one.sendall(HEAD)
        for _ in range(20):
            assert httpx.get(f"{server.url}/healthz").status_code == 200
        assert closed(server, "room") >= before + 40


def test_one_address_has_so_many_and_this_machine_any(server: BackgroundServer) -> None:
    from persona_img.serving.connections import Connections

    class Transport:
        aborted = False

        def abort(self) -> None:
            self.aborted = True

    class Loop:
        def time(self) -> float:
            return 0.0

        def call_later(self, *_: object) -> object:
            return object()

    class One:
        caller = None
        loop = Loop()

        def __init__(self) -> None:
            self.transport = Transport()

    free = frozenset({"192.0.2.9", "10.0.0.0/8", "2001:db8:5::7"})
    why: list[str] = []
    all_of_them = Connections(ConnectionLimits(each=3, free=free), why.append)
    ones = [One() for _ in range(5)]
    for one in ones:
        all_of_them.joined(one, "192.0.2.7")
    assert [one.transport.aborted for one in ones] == [False] * 3 + [True] * 2
    assert why == ["address", "address"]
    all_of_them.left(ones[0])
    again = One()
    all_of_them.joined(again, "192.0.2.7")
    for caller in (None, "192.0.2.9", "10.1.2.3", "::ffff:10.1.2.4", "2001:db8:5::7"):
        for one in [One() for _ in range(9)]:
            all_of_them.joined(one, caller)
            assert not one.transport.aborted
    assert not again.transport.aborted

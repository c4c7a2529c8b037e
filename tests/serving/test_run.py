from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from examples import SIGNER
from persona_img.errors import InvalidInput, PersonaImgError, ServiceFailed
from persona_img.serving.app import create_app
from persona_img.serving.memory_log import MemoryEventLog
from persona_img.serving.run import BackgroundServer, ServiceProcess, serve
from persona_img.serving.sqlite_log import SqliteEventLog

from .conftest import a_catalog, a_decider, stored_variant

NOON = 1_760_000_000.0


def an_app():
    return create_app(a_decider(MemoryEventLog()), a_catalog(), stored_variant, signer=SIGNER)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "shop.example"])
def test_without_tokens_it_stays_on_loopback(host):
    with pytest.raises(InvalidInput, match="keys"):
        serve(an_app(), host=host)


def test_the_background_server_comes_and_goes():
    with BackgroundServer(an_app()) as server:
        assert server.url.startswith("http://127.0.0.1:")
        assert httpx.get(f"{server.url}/healthz").json()["status"] == "ok"
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/healthz")


def test_two_background_servers_do_not_meet():
    with BackgroundServer(an_app()) as one, BackgroundServer(an_app()) as two:
        assert one.url != two.url
        httpx.get(f"{one.url}/v1/variant?shopper=ann&product=shirt").raise_for_status()
        assert "persona_img_decisions_total{" in httpx.get(f"{one.url}/metrics").text
        assert "persona_img_decisions_total{" not in httpx.get(f"{two.url}/metrics").text


def test_it_goes_when_the_block_fails():
    with pytest.raises(ZeroDivisionError), BackgroundServer(an_app()) as server:
        raise ZeroDivisionError
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/healthz")


def test_an_app_that_does_not_start_is_an_error():
    @asynccontextmanager
    async def broken(_):
        raise RuntimeError("no database")
        yield

    with (
        pytest.raises(PersonaImgError, match="did not start"),
        BackgroundServer(FastAPI(lifespan=broken)),
    ):
        pass


@contextmanager
def serving(log):
    """A service in a process of its own, and a client for it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "serving.served", str(log), str(port)]
    folder = Path(__file__).parents[1]
    with (
        subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        try:
            while process.poll() is None:
                try:
                    client.get("/healthz").raise_for_status()
                    break
                except httpx.TransportError:
                    time.sleep(0.05)
            yield process, client
        finally:
            process.kill()


def visit(client, n):
    answer = client.get("/v1/variant", params={"shopper": f"s{n}", "product": "shirt"})
    event = {"event_id": f"e{n}", "kind": "impression", "token": answer.json()["token"]}
    return event, client.post("/v1/events", json={"events": [event]}).json()["accepted"]


def test_what_was_answered_is_there_after_a_kill(tmp_path):
    path = tmp_path / "log.sqlite"
    with serving(path) as (process, client):
        visits = [visit(client, n) for n in range(40)]
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert [accepted for _, accepted in visits] == [1] * 40
    with closing(SqliteEventLog(path)) as log:
        frame = log.feedback()
        assert list(frame["shopper"]) == [f"s{n}" for n in range(40)]
        showings = [SIGNER.read(event["token"], time.time()) for event, _ in visits]
        assert list(frame["decision_id"]) == [one.showing_id for one in showings]


def test_an_interrupt_stops_it_cleanly(tmp_path):
    with serving(tmp_path / "log.sqlite") as (process, client):
        visit(client, 1)
        client.close()
        process.send_signal(signal.SIGINT)
        assert process.stdout.read().splitlines()[-1] == "stopped"
        assert process.wait() == 0
    assert [p.name for p in tmp_path.iterdir()] == ["log.sqlite"]


def test_terminated_it_drains_and_ends_cleanly(tmp_path):
    with serving(tmp_path / "log.sqlite") as (process, client):
        visit(client, 1)
        address = ("127.0.0.1", client.base_url.port)
        with socket.create_connection(address) as idle, socket.create_connection(address) as slow:
            slow.sendall(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
            client.get("/healthz")
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
            assert idle.recv(1) == b""
        assert process.stdout.read().splitlines()[-1] == "stopped"
    assert [p.name for p in tmp_path.iterdir()] == ["log.sqlite"]


def test_a_port_that_is_taken_is_named():
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(InvalidInput, match="another port"),
    ):
        serve(an_app(), port=taken.getsockname()[1])


def test_a_service_in_a_process_of_its_own_comes_and_goes(tmp_path, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[1])
    command = [sys.executable, "-m", "serving.served", str(tmp_path / "log.sqlite"), "0"]
    with ServiceProcess(command, tmp_path / "said") as service:
        assert httpx.get(f"{service.url}/healthz").json()["status"] == "ok"
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{service.url}/healthz")


def test_a_service_that_does_not_start_says_why(tmp_path):
    command = [sys.executable, "-c", "raise SystemExit('no table yet')"]
    with (
        pytest.raises(ServiceFailed, match="no table yet"),
        ServiceProcess(command, tmp_path / "said"),
    ):
        pass

"""A disk that hangs fills no memory: who comes then is told to come later."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
import pytest
from fastapi import HTTPException

from examples import SIGNER
from persona_img.errors import StoreFailed
from persona_img.serving import app as application
from persona_img.serving import storing as module
from persona_img.serving.app import create_app
from persona_img.serving.hot import Answer
from persona_img.serving.memory_log import MemoryEventLog
from persona_img.serving.run import BackgroundServer
from persona_img.serving.storing import Storing

from .conftest import a_catalog, a_decider, stored_variant
from .test_app import an_event


async def outcome(storing: Storing, body: bytes = b"") -> object:
    try:
        return (await storing.answer(body)).body
    except (HTTPException, StoreFailed) as error:
        return error


def status(found: object) -> int:
    return found.status_code if isinstance(found, HTTPException) else 200


def hanging(let_go: threading.Event) -> Callable[[bytes], Answer]:
    def store(body: bytes) -> Answer:
        assert let_go.wait(60)
        return Answer(body)

    return store


def test_beyond_so_many_they_are_told_to_come_later() -> None:
    async def go() -> None:
        let_go = threading.Event()
        storing = Storing(hanging(let_go), 60.0, most=50)
        held = [asyncio.ensure_future(outcome(storing)) for _ in range(50)]
        await asyncio.sleep(0)
        refused = await outcome(storing)
        assert status(refused) == 429
        assert refused.headers == {"Retry-After": "1"}  # type: ignore[attr-defined]
        let_go.set()
        assert [status(one) for one in await asyncio.gather(*held)] == [200] * 50
        assert await outcome(storing, b"again") == b"again"

    asyncio.run(go())


def test_beyond_so_many_bytes_too_but_one_alone_may_be_long() -> None:
    async def go() -> None:
        let_go = threading.Event()
        storing = Storing(hanging(let_go), 60.0, most_bytes=100)
        held = [asyncio.ensure_future(outcome(storing, b"x" * 1000))]
        await asyncio.sleep(0)
        assert status(await outcome(storing, b"x")) == 429
        let_go.set()
        assert [status(one) for one in await asyncio.gather(*held)] == [200]

    asyncio.run(go())


def test_what_nobody_waits_for_any_more_is_still_held_and_never_begun() -> None:
    async def go() -> None:
        let_go, begun = threading.Event(), list[bytes]()

        def store(body: bytes) -> Answer:
            begun.append(body)
            assert let_go.wait(60)
            return Answer(body)

        storing = Storing(store, 0.2, most=60)
        found = await asyncio.gather(*(outcome(storing, b"%d" % n) for n in range(60)))
        assert all(isinstance(one, StoreFailed) and one.reason == "late" for one in found)
        assert status(await outcome(storing)) == 429  # their bodies lie there yet
        let_go.set()
        while isinstance(again := await outcome(storing, b"again"), HTTPException):
            await asyncio.sleep(0.01)
        assert again == b"again"
        assert len(begun) <= module._THREADS + 1

    asyncio.run(go())


class Hanging(MemoryEventLog):
    """A log whose disk hangs while it is written, until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = threading.Event()

    def record_events(self, events: Any) -> Any:
        assert self.let_go.wait(60)
        return super().record_events(events)


def test_a_service_whose_disk_hangs_shows_pictures_and_refuses_what_it_cannot_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(application, "Storing", partial(Storing, most=45))
    log = Hanging()
    app = create_app(
        a_decider(log), a_catalog(), stored_variant, signer=SIGNER, decision_seconds=10.0
    )
    with (
        BackgroundServer(app) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
        ThreadPoolExecutor(60) as pool,
    ):
        asked = {"shopper": "ann", "product": "shirt"}
        tokens = [client.get("/v1/variant", params=asked).json()["token"] for _ in range(60)]
        calls = [
            pool.submit(httpx.post, f"{server.url}/v1/events", json=told, timeout=60)
            for n, token in enumerate(tokens)
            for told in [{"events": [an_event(f"e{n}", token)]}]
        ]
        try:
            until = time.monotonic() + 30
            while sum(call.done() for call in calls) < 15:
                assert time.monotonic() < until
                time.sleep(0.01)
            assert client.get("/v1/variant", params=asked).json()["counted"]
            assert client.get("/v1/photos/shirt").status_code == 200
        finally:
            log.let_go.set()
        answers = [call.result() for call in calls]
    refused = [one for one in answers if one.status_code == 429]
    assert {one.status_code for one in answers} == {200, 429}
    assert len(refused) == 15
    assert {one.headers["retry-after"] for one in refused} == {"1"}
    assert len(log.feedback()) == 45

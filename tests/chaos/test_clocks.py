"""The server's clock jumps, as where a machine sleeps, is moved, or asks for the time too late."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from persona_img.serving import app, decisions
from persona_img.serving.sqlite_log import SqliteEventLog
from serving.conftest import Shop, start
from serving.test_app import an_event, ask, counts, send

DAY = 86400.0
JUMPS = [-1.0, 3600.0, -3600.0, 10 * DAY, -10 * DAY, pytest.param(1.0 - time.time(), id="1970")]


@contextmanager
def jumped(monkeypatch: pytest.MonkeyPatch, seconds: float) -> Iterator[None]:
    usual = time.time
    clock = SimpleNamespace(**vars(time) | {"time": lambda: usual() + seconds})
    with monkeypatch.context() as patch:
        patch.setattr(app, "time", clock)
        patch.setattr(decisions, "time", clock)
        yield


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    yield from start(tmp_path)


@pytest.mark.parametrize("seconds", JUMPS)
def test_a_jump_between_picture_and_event_loses_neither(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    before = [ask(shop, f"s{n}").json() for n in range(30)]
    told = [an_event(f"e{n}", one["token"]) for n, one in enumerate(before)]
    assert counts(send(shop, *told[:15])) == (15, 0, 0)
    with jumped(monkeypatch, seconds):
        assert counts(send(shop, *told)) == (15, 15, 0)
        now = [ask(shop, f"s{n}").raise_for_status().json() for n in range(30)]
        assert all(one["counted"] for one in now)
        assert [one["digest"] for one in now] == [one["digest"] for one in before]
        clicks = [an_event(f"c{n}", one["token"], "click") for n, one in enumerate(now)]
        assert counts(send(shop, *clicks)) == (30, 0, 0)
        assert shop.client.get("/readyz").status_code == 200
    assert [ask(shop, f"s{n}").json()["digest"] for n in range(30)] == [
        one["digest"] for one in before
    ]
    with closing(SqliteEventLog(tmp_path / "log.sqlite")) as log:
        assert len(log.feedback()) == 30


def test_a_clock_far_ahead_takes_no_token_and_shows_every_picture(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = ask(shop, "ann").json()["token"]
    with jumped(monkeypatch, 40 * DAY):
        answer = send(shop, an_event("e", token)).json()
        assert answer["events"][0]["rule"] == "expired"
        assert ask(shop, "ann").json()["counted"]
    assert counts(send(shop, an_event("e", token))) == (1, 0, 0)  # nothing was lost by it

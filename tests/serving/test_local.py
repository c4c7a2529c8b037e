"""Decided in the page's program: what the service answers, bit for bit."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from examples import SIGNER
from persona_img.domain.decision import DecisionTable
from persona_img.errors import InvalidInput, NotFound, ServiceFailed
from persona_img.serving.addresses import Addresses
from persona_img.serving.app import create_app
from persona_img.serving.decide import Decider
from persona_img.serving.follow import Follower
from persona_img.serving.halts import EVERYTHING, HaltFile, Halts
from persona_img.serving.known import Known
from persona_img.serving.local import LocalDecider
from persona_img.serving.run import BackgroundServer
from persona_img.serving.sqlite_log import SqliteEventLog
from persona_img.workspace import Workspace

from .conftest import TOKEN, stored_variant
from .test_decide import slate
from .test_halts import ARMS, CATALOG, NAMES

SHOPPERS = [f"s{n}" for n in range(60)]


def a_table(version: str, *weights: float) -> DecisionTable:
    segments = dict.fromkeys(SHOPPERS[::3], "some")
    slates = {("all", name): slate(*weights) for name in NAMES}
    slates |= {("some", name): slate(*weights[::-1]) for name in NAMES}
    return DecisionTable(version, slates, segments, "all")


@dataclass
class Both:
    """A service, and what decides beside it, over one shop's files."""

    client: httpx.Client
    local: LocalDecider
    followers: tuple[Follower, Follower]
    workspace: Workspace
    halts: HaltFile

    def publish(self, table: DecisionTable) -> None:
        self.workspace.save_decision_table(table)
        assert [one.look() for one in self.followers] == [True, True]

    def page(self, shopper: str) -> list[dict[str, object]]:
        """The same from both, but for what each answer has of its own."""
        asked = {"shopper": shopper, "products": NAMES}
        theirs = self.client.post("/v1/decisions", json=asked).json()["decisions"]
        ours = [one.model_dump() for one in self.local.page(shopper, NAMES)]
        for one in (*theirs, *ours):
            token, until = one.pop("token"), one.pop("expires_at")
            assert (token is not None, until is not None) == (one["counted"], one["counted"])
        assert ours == theirs
        return ours


@pytest.fixture
def both(tmp_path: Path):
    workspace = Workspace.open(tmp_path / "shop")
    workspace.save_decision_table(a_table("v1", 0.2, 0.5, 0.3))
    halts = HaltFile(workspace.halts)

    def a_decider() -> tuple[Decider, Follower]:
        log = SqliteEventLog(workspace.events)
        decider = Decider(workspace.decision_table(), ARMS, log, change_budget=1)

        def read():
            return workspace.decision_table(), workspace.revoked(), workspace.ramp()

        follower = Follower(decider, workspace.published, read, seconds=1000.0)
        follower.look()
        return decider, follower

    with ExitStack() as stack:
        theirs, first = a_decider()
        stack.callback(theirs.log.close)
        app = create_app(
            theirs, CATALOG, stored_variant, signer=SIGNER, tokens=[TOKEN],
            halted=Halts(halts), decision_seconds=20.0,
        )  # fmt: skip
        server = stack.enter_context(BackgroundServer(app))
        headers = {"Authorization": f"Bearer {TOKEN}"}
        client = stack.enter_context(httpx.Client(base_url=server.url, headers=headers))
        ours, second = a_decider()
        local = LocalDecider(
            ours, lambda: CATALOG, SIGNER, Addresses(None, stored_variant),
            halted=Halts(halts), following=ExitStack(), url=server.url, key=TOKEN,
        )  # fmt: skip
        stack.enter_context(local)
        yield Both(client, local, (first, second), workspace, halts)


def test_the_same_answers_over_tables_and_what_was_seen(both: Both) -> None:
    first = {shopper: both.page(shopper) for shopper in SHOPPERS}
    assert {one["style"] for page in first.values() for one in page} > {"original"}
    assert {page[0]["segment"] for page in first.values()} == {"some", "all"}
    for shopper in SHOPPERS[::2]:
        shown = both.local.page(shopper, NAMES)
        stored = both.local.send([{"kind": "impression", "token": one.token} for one in shown])
        assert (stored.accepted, stored.rejected) == (len(NAMES), 0)
        again = both.local.send([{"kind": "impression", "token": shown[0].token}])
        assert again.duplicates == 1
    for number, weights in enumerate([(0.6, 0.2, 0.2), (0.1, 0.1, 0.8)], start=2):
        both.publish(a_table(f"v{number}", *weights))
        for shopper in SHOPPERS:
            both.page(shopper)


def test_halts_and_consent_are_heeded(both: Both) -> None:
    assert both.local.one("s1", "mug").counted
    told = both.local.page("s1", NAMES, consent=False)
    assert {(one.counted, one.style, one.token) for one in told} == {(False, "original", None)}
    both.halts.halt(EVERYTHING, who="ann", reason="a fire")
    until = time.monotonic() + 30
    while both.local.one("s1", "mug").counted or both.page("s1")[0]["counted"]:
        assert time.monotonic() < until


def test_what_cannot_be_decided_is_the_photo(both: Both) -> None:
    both.local._decider.log.close()
    told = both.local.one("s1", "mug")
    assert (told.counted, told.style, told.image_url) == (False, "original", "/v1/photos/mug")


def test_names_that_are_none_are_refused(both: Both) -> None:
    with pytest.raises(InvalidInput, match="shopper"):
        both.local.one("no name", "mug")
    with pytest.raises(NotFound, match="cup"):
        both.local.one("s1", "cup")


def test_a_product_twice_on_a_page_is_shown_twice(both: Both) -> None:
    first, second = both.local.page("s1", ["mug", "mug"])
    assert first.style == second.style
    assert first.token != second.token


def test_at_its_end_it_asks_nothing_any_more(both: Both, tmp_path: Path) -> None:
    log = SqliteEventLog(tmp_path / "other.sqlite")
    known = Known(lambda *_: None, wait=10.0)
    local = LocalDecider(
        Decider(a_table("v1", 0.2, 0.5, 0.3), ARMS, log, traits=known),
        lambda: CATALOG,
        SIGNER,
        Addresses(None, stored_variant),
        halted=lambda _test, _product: False,
        following=ExitStack(),
        url="http://127.0.0.1:1",
        known=known,
    )
    with local:
        assert local.one("s1", "mug").counted
    with pytest.raises(RuntimeError, match="shutdown"):
        known._pool.submit(len, "")


def test_who_logs_in_is_the_same_here_and_there(both: Both) -> None:
    browser = next(s for s in SHOPPERS if both.page(s)[0]["style"] != "original")
    shown = both.local.page(browser, NAMES)
    assert both.local.send([{"kind": "impression", "token": shown[0].token}]).accepted == 1
    before = both.page(browser)
    assert both.local.link(browser, "anna-h").linked == 1
    assert both.local.link(browser, "anna-h").known == 1
    after = both.page("anna-h")
    assert (after[0]["style"], after[0]["arm"]) == (before[0]["style"], before[0]["arm"])
    assert both.page(browser) == after


def test_events_that_are_not_stored_are_told(both: Both) -> None:
    both.local._service.headers["Authorization"] = "Bearer a-key-that-is-none"
    with pytest.raises(ServiceFailed, match=r"not stored \(401"):
        both.local.send([])
    both.local._service.close()

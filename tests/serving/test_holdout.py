"""Who is held out sees photos over all tests, counted under a name of its own, by every route."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from examples import SIGNER, watched
from persona_img.domain.decision import Arms, Ramp
from persona_img.domain.holdout import Holdout
from persona_img.errors import InvalidInput, StoreConflict
from persona_img.serving.app import create_app
from persona_img.serving.decide import Decider
from persona_img.serving.demo_shop import visitors
from persona_img.serving.memory_log import MemoryEventLog
from persona_img.serving.sqlite_log import SqliteEventLog

from .conftest import stored_variant
from .test_decide import NEARLY_ALL, NOON, a_table, slate
from .test_halts import ARMS, CATALOG, NAMES, TABLE

TENTH = Holdout("holdout", 0.1)
SHOPPERS = [f"s{n}" for n in range(400)]
HELD = [shopper for shopper in SHOPPERS if TENTH.includes(shopper)]
TESTED = [shopper for shopper in SHOPPERS if not TENTH.includes(shopper)]


def a_decider(log: MemoryEventLog | None = None, **more: object) -> Decider:
    return Decider(a_table(), NEARLY_ALL, log or MemoryEventLog(), holdout=TENTH, **more)


@given(st.integers(0, 10**9), st.sampled_from(["hero", "spring", "summer"]))
def test_a_holdouts_shopper_sees_the_photo_for_certain_in_every_test(n: int, test: str) -> None:
    decider = Decider(a_table(), Arms(test, NEARLY_ALL.shares), MemoryEventLog(), holdout=TENTH)
    decision = decider.decide(f"s{n}", "mug", NOON)
    if TENTH.includes(f"s{n}"):
        found = (decision.test, decision.arm, decision.style_key, decision.digest)
        assert found == ("holdout", "control", "original", None)
        assert decision.propensity == 1.0
    else:
        without = Decider(a_table(), Arms(test, NEARLY_ALL.shares), MemoryEventLog())
        assert decision == without.decide(f"s{n}", "mug", NOON)


def test_it_stays_over_tables_ramps_and_what_was_seen() -> None:
    decider = a_decider()
    for turn, version in enumerate(("v1", "v2", "v3")):
        ramp = Ramp(a_table("v9", slate(0.1, 0.9)), 0.999)
        if turn:
            decider.replace(a_table(version, slate(0.01, 0.99)), ramp=ramp)
        for shopper in HELD[:20]:
            decision = watched(decider, shopper, "mug", NOON + turn)
            assert (decision.test, decision.digest) == ("holdout", None)
            assert decision.policy_version != "v9"


def test_its_impressions_are_in_no_test() -> None:
    decider = a_decider()
    for shopper in (*HELD[:10], *TESTED[:10]):
        watched(decider, shopper, "mug", NOON)
    assert set(decider.log.feedback("hero")["shopper"]) == set(TESTED[:10])
    held = decider.log.feedback("holdout")
    assert set(held["shopper"]) == set(HELD[:10])
    assert set(held["arm"]) == {"control"}
    assert set(held["propensity"]) == {1.0}


def test_its_share_is_fixed_while_it_has_its_name(tmp_path: Path) -> None:
    with closing(SqliteEventLog(tmp_path / "log.sqlite")) as log:
        Decider(a_table(), NEARLY_ALL, log, holdout=TENTH)
    with closing(SqliteEventLog(tmp_path / "log.sqlite")) as log:
        Decider(a_table(), Arms("spring", NEARLY_ALL.shares), log, holdout=TENTH)
        with pytest.raises(StoreConflict, match=r"'holdout'.*a new name"):
            Decider(a_table(), NEARLY_ALL, log, holdout=Holdout("holdout", 0.2))
        Decider(a_table(), NEARLY_ALL, log, holdout=Holdout("holdout-2", 0.2))
        # A name that was a test's would tell its arms.
        with pytest.raises(StoreConflict, match="'spring'"):
            Decider(a_table(), NEARLY_ALL, log, holdout=Holdout("spring", 0.2))


def test_it_does_not_share_its_name_with_the_test() -> None:
    with pytest.raises(InvalidInput, match="one of its own"):
        Decider(a_table(), NEARLY_ALL, MemoryEventLog(), holdout=Holdout("hero", 0.1))


@pytest.fixture
def client(tmp_path: Path):
    with closing(SqliteEventLog(tmp_path / "log.sqlite")) as log:
        decider = Decider(TABLE, ARMS, log, holdout=TENTH)
        app = create_app(decider, CATALOG, stored_variant, signer=SIGNER, decision_seconds=20.0)
        with TestClient(app) as client:
            client.log = log
            yield client


def test_every_route_answers_it_alike_and_takes_its_events(client: TestClient) -> None:
    for shopper in HELD[:5]:
        alone = client.get("/v1/variant", params={"shopper": shopper, "product": NAMES[0]}).json()
        body = {"shopper": shopper, "products": list(NAMES)}
        page = client.post("/v1/decisions", json=body).json()["decisions"]
        context = {"context": {"targetingKey": shopper, "products": list(NAMES)}}
        flags = client.post("/ofrep/v1/evaluate/flags", json=context).json()["flags"]
        for told in (alone, *page, *(flag["metadata"] for flag in flags)):
            assert (told["test"], told["arm"], told["propensity"]) == ("holdout", "control", 1.0)
        sent = [{"kind": kind, "token": alone["token"]} for kind in ("impression", "click")]
        answer = client.post("/v1/events", json={"events": sent}).json()
        assert answer["accepted"] == 2, answer
    held = client.log.feedback("holdout")
    assert (len(held), held["clicked"].sum()) == (5, 5)
    assert client.log.feedback(ARMS.test).empty


def test_operators_see_it_apart_from_control(client: TestClient) -> None:
    client.get("/v1/variant", params={"shopper": HELD[0], "product": NAMES[0]})
    text = client.get("/metrics").text
    assert 'persona_img_decisions_total{arm="holdout",made="new"} 1.0' in text
    assert 'arm="control"' not in text


def test_a_holdout_that_ended_is_another_test(tmp_path: Path) -> None:
    with closing(SqliteEventLog(tmp_path / "log.sqlite")) as log:
        before = Decider(TABLE, ARMS, log, holdout=TENTH)
        decision = before.decide(HELD[0], NAMES[0], time.time())
        token = SIGNER.sign(SIGNER.show(decision, time.time()))
        app = create_app(Decider(TABLE, ARMS, log), CATALOG, stored_variant, signer=SIGNER)
        with TestClient(app) as client:
            sent = {"events": [{"kind": "impression", "token": token}]}
            assert client.post("/v1/events", json=sent).json()["events"][0]["rule"] == "other-test"
        # A shop whose share is 0 now takes what pages of before tell.
        after = create_app(
            Decider(TABLE, ARMS, log), CATALOG, stored_variant, signer=SIGNER, holdout="holdout"
        )
        with TestClient(after) as client:
            assert client.post("/v1/events", json=sent).json()["accepted"] == 1
        assert list(log.feedback("holdout")["arm"]) == ["control"]


def test_nobody_of_it_stands_for_an_arm_in_the_sample_shop() -> None:
    table = type(TABLE)("v1", TABLE.slates, dict.fromkeys(HELD, "all"), "all")
    assert visitors(table, ARMS, TENTH) == []
    assert visitors(table, ARMS)

"""What is halted is answered by photos, which are not counted, in every arm alike."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from examples import SIGNER
from persona_img.domain.catalog import Catalog, Product
from persona_img.domain.decision import Arms, DecisionTable
from persona_img.errors import CannotWrite, InvalidInput, NotFound
from persona_img.serving.app import create_app
from persona_img.serving.decide import Decider
from persona_img.serving.halts import EVERYTHING, Entry, HaltFile, Halts, Where, standing
from persona_img.serving.sqlite_log import SqliteEventLog

from .conftest import PHOTO, stored_variant
from .test_decide import slate

NAMES = ("mug", "shirt", "lamp")
MUG: Where = ("product", "mug")
TABLE = DecisionTable("v1", {("all", name): slate(0.2, 0.5, 0.3) for name in NAMES}, {}, "all")
CATALOG = Catalog([Product(name, "things", name, PHOTO, "own") for name in NAMES])
ARMS = Arms("hero", {"control": 0.5, "personalized": 0.5})
WHERE: st.SearchStrategy[Where] = st.sampled_from(
    [EVERYTHING, ("test", "hero"), ("test", "other"), MUG, ("product", "shirt")]
)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def file(tmp_path: Path) -> HaltFile:
    return HaltFile(tmp_path / "halts.json")


@pytest.fixture
def service(file: HaltFile):
    clock = Clock()
    with closing(SqliteEventLog(file.path.with_name("log.sqlite"))) as log:
        app = create_app(
            Decider(TABLE, ARMS, log),
            CATALOG,
            stored_variant,
            signer=SIGNER,
            halted=Halts(file, clock),
            decision_seconds=20.0,
        )
        with TestClient(app) as client:
            yield client, clock


def page(client: TestClient, shopper: str) -> dict[str, dict[str, object]]:
    body = {"shopper": shopper, "products": NAMES}
    told = client.post("/v1/decisions", json=body).json()["decisions"]
    assert [one["product"] for one in told] == list(NAMES)
    for one in told:  # every route says the same
        asked = {"shopper": shopper, "product": one["product"]}
        alone = client.get("/v1/variant", params=asked).json()
        path = f"/ofrep/v1/evaluate/flags/{one['product']}"
        flag = client.post(path, json={"context": {"targetingKey": shopper}}).json()
        assert (alone["counted"], alone["style"]) == (one["counted"], one["style"])
        assert (flag["metadata"]["counted"], flag["variant"]) == (one["counted"], one["style"])
    return {one["product"]: one for one in told}


def test_a_halted_product_is_its_photo_for_every_arm_and_no_other_moves(service, file) -> None:
    client, clock = service
    shoppers = [f"s{n}" for n in range(20)]
    assert {ARMS.assign(s) for s in shoppers} == {"control", "personalized"}
    before = {s: page(client, s) for s in shoppers}
    assert {one["mug"]["style"] for one in before.values()} > {"original"}
    file.halt(MUG, who="ann", reason="recalled")
    clock.now += 1.0
    for shopper in shoppers:
        halted = page(client, shopper)
        mug = halted["mug"]
        assert (mug["counted"], mug["style"], mug["token"], mug["arm"]) == (
            False, "original", None, None,
        )  # fmt: skip
        for other in ("shirt", "lamp"):
            same = ("counted", "style", "arm", "propensity", "policy_version")
            assert [halted[other][k] for k in same] == [before[shopper][other][k] for k in same]
    file.resume(MUG, who="ann", reason="sold again")
    clock.now += 1.0
    assert {s: page(client, s)["mug"]["style"] for s in shoppers} == {
        s: before[s]["mug"]["style"] for s in shoppers
    }
    assert 'persona_img_photos_total{reason="halted"} 60.0' in client.get("/metrics").text


@pytest.mark.parametrize("where", [EVERYTHING, ("test", "hero")])
def test_all_of_a_test_is_photos_also_after_a_restart(service, file, where: Where) -> None:
    client, clock = service
    file.halt(where, who="ann", reason="a fire")
    clock.now += 1.0
    assert {one["counted"] for one in page(client, "s1").values()} == {False}
    again = Halts(HaltFile(file.path))
    assert all(again("hero", name) for name in NAMES)
    assert not Halts(HaltFile(file.path.with_name("others.json")))("hero", "mug")


def test_events_of_what_was_shown_before_still_count(service, file) -> None:
    client, clock = service
    shown = page(client, "s1")["mug"]
    file.halt(EVERYTHING, who="ann", reason="a fire")
    clock.now += 1.0
    events = [{"kind": "impression", "token": shown["token"]}]
    assert client.post("/v1/events", json={"events": events}).json()["accepted"] == 1


@given(st.lists(st.tuples(st.booleans(), WHERE), max_size=12))
def test_what_stands_is_what_was_halted_and_not_resumed_since(done) -> None:
    entries, expected = [], set[Where]()
    for number, (halting, where) in enumerate(done):
        entries.append(Entry("halt" if halting else "resume", *where, "ann", str(number), "why"))
        expected = expected | {where} if halting else expected - {where}
    assert set(standing(entries)) == expected


def test_who_when_and_why_are_kept_for_good(file: HaltFile) -> None:
    file.halt(MUG, who="ann", reason="recalled")
    file.halt(MUG, who="bob", reason="again")
    file.resume(MUG, who="cy", reason="sold again")
    told = [(one.action, one.who, one.reason) for one in file.entries()]
    assert told == [("halt", "ann", "recalled"), ("halt", "bob", "again"),
                    ("resume", "cy", "sold again")]  # fmt: skip
    with pytest.raises(NotFound, match="product mug is not halted"):
        file.resume(MUG, who="cy", reason="again")


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "x" * 1001])
def test_a_halt_says_why(file: HaltFile, reason: str) -> None:
    with pytest.raises(InvalidInput, match="say why"):
        file.halt(MUG, who="ann", reason=reason)


def test_what_cannot_be_kept_is_not_done(tmp_path: Path) -> None:
    with pytest.raises(CannotWrite, match="nothing was changed"):
        HaltFile(tmp_path / "nowhere" / "halts.json").halt(MUG, who="ann", reason="x")


def test_a_file_that_is_damaged_or_gone_changes_nothing_and_is_told(file, caplog) -> None:
    clock = Clock()
    file.halt(MUG, who="ann", reason="recalled")
    halts, whole = Halts(file, clock), file.path.read_text()
    for broken in ("{", "[1]", json.dumps([{"action": "halt"}]), None):
        caplog.clear()
        file.path.unlink() if broken is None else file.path.write_text(broken)
        clock.now += 1.0
        assert halts("hero", "mug")
        assert not halts("hero", "shirt")
        assert len(caplog.records) == 1
        assert "as they did before" in halts.hindrance
    file.path.write_text(whole)
    clock.now += 1.0
    assert not halts.hindrance
    file.resume(MUG, who="ann", reason="sold again")
    clock.now += 1.0
    assert not halts("hero", "mug")


def test_one_that_is_damaged_at_the_start_halts_everything(file: HaltFile) -> None:
    clock = Clock()
    file.path.write_text("{")
    halts = Halts(file, clock)
    assert halts("hero", "shirt")
    file.path.write_text("[]")
    clock.now += 1.0
    assert not halts("hero", "shirt")

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest
from fastapi.testclient import TestClient

from contracts.event_log import a_decision
from examples import DATA, KEY, SIGNER
from persona_img.domain.decision import Arms
from persona_img.errors import InvalidInput
from persona_img.serving.app import create_app
from persona_img.serving.decide import Decider
from persona_img.serving.key import ShopKey
from persona_img.serving.known import Known
from persona_img.serving.memory_log import MemoryEventLog
from persona_img.serving.sqlite_log import SqliteEventLog
from persona_img.serving.token import Signer

from .conftest import (
    DIGEST,
    PHOTO,
    TOKEN,
    VARIANT,
    a_catalog,
    a_decider,
    a_table,
    start,
    stored_variant,
)

NOON = 1_760_000_000.0


def ask(shop, shopper, product="shirt", **more):
    return shop.client.get("/v1/variant", params={"shopper": shopper, "product": product}, **more)


def an_event(name, token, kind="impression", **changes):
    usual = {"event_id": name, "kind": kind, "token": token, "occurred_at": NOON, "position": 1}
    return usual | changes


def tokens(shop, shopper, count):
    """Answers for one shopper, each with a token of its own."""
    return [ask(shop, shopper).json()["token"] for _ in range(count)]


def send(shop, *events):
    return shop.client.post("/v1/events", content=json.dumps({"events": list(events)}))


def counts(answer):
    """New, known and rejected events of an answer, which says the same event by event."""
    assert answer.status_code == 200
    body = answer.json()
    told = [event["outcome"] for event in body["events"]]
    found = (body["accepted"], body["duplicates"], body["rejected"])
    assert found == tuple(map(told.count, ("accepted", "duplicate", "rejected")))
    return found


def test_a_personalized_shopper_gets_a_variant_and_its_image(shop):
    shopper = shop.shopper("personalized")
    answer = ask(shop, shopper)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    shown = answer.json()
    token = shown.pop("token")
    showing = SIGNER.read(token, time.time())
    assert shown.pop("expires_at") == SIGNER.expires_at(showing)
    assert shown == {
        "counted": True,
        "test": "hero",
        "arm": "personalized",
        "segment": "all",
        "style": "light=soft",
        "digest": DIGEST,
        "propensity": 0.999,
        "policy_version": "v1",
        "image_url": f"/v1/variants/{DIGEST}",
        "pictures": [],
        "alt": "A shirt",
    }
    decision = shop.decider.decide(shopper, "shirt", showing.answered_at)
    assert showing.decision == decision
    image = shop.client.get(shown["image_url"])
    assert (image.content, image.headers["content-type"]) == (VARIANT, "image/png")
    assert "immutable" in image.headers["cache-control"]
    assert image.headers["etag"] == f'"{DIGEST}"'
    again = ask(shop, shopper).json()
    assert again.pop("token") != token  # each answer has its own
    assert again.pop("expires_at")
    assert again == shown


def test_a_control_shopper_gets_the_photo(shop):
    shown = ask(shop, shop.shopper("control")).json()
    assert (shown["arm"], shown["digest"], shown["propensity"]) == ("control", None, 1.0)
    image = shop.client.get(shown["image_url"])
    assert (image.content, image.headers["content-type"]) == (PHOTO.read_bytes(), "image/jpeg")


def test_a_variant_may_be_a_file(tmp_path):
    file = tmp_path / "variant"
    file.write_bytes(VARIANT)
    files = {DIGEST: file, "0" * 64: tmp_path / "gone"}
    app = create_app(a_decider(MemoryEventLog()), a_catalog(), files.__getitem__, signer=SIGNER)
    with TestClient(app) as client:
        image = client.get(f"/v1/variants/{DIGEST}")
        assert (image.content, image.headers["content-type"]) == (VARIANT, "image/png")
        assert "immutable" in image.headers["cache-control"]
        assert client.get(f"/v1/variants/{'0' * 64}").status_code == 404


@pytest.mark.parametrize(
    "name",
    [
        "..%2F..%2Fetc%2Fpasswd",
        "%2e%2e%2f" * 4 + "etc/passwd",
        DIGEST[:-1],
        DIGEST + "0",
        DIGEST.upper(),
        DIGEST + "%0A",
        DIGEST[:-1] + "%00",
        "x" * 5000,
    ],
)
def test_only_digests_name_variants(shop, name):
    answer = shop.client.get(f"/v1/variants/{name}")
    assert answer.status_code in (404, 422)
    assert "detail" in answer.json()


@pytest.mark.parametrize(
    "path", [f"/v1/variants/{'0' * 64}", "/v1/photos/unknown", "/v1/photos/lost"]
)
def test_a_picture_that_is_not_there_is_404(shop, path):
    answer = shop.client.get(path)
    assert answer.status_code == 404
    assert path.rsplit("/", 1)[1] in answer.json()["detail"]


@pytest.mark.parametrize("shopper", ["s" * 128, "a.b-c_d:e@f+g/h=i~j|k", "0"])
def test_usual_names_are_taken(shop, shopper):
    assert ask(shop, shopper).status_code == 200


@pytest.mark.parametrize(
    "shopper", ["", "s" * 129, "a b", "a\n", "a\x00", "é", "<script>", "a\x1fb"]
)
def test_other_names_are_refused_with_the_rule(shop, shopper):
    answer = ask(shop, shopper)
    assert answer.status_code == 422
    assert "128" in answer.json()["detail"]


def test_an_unknown_product_is_named(shop):
    answer = ask(shop, "ann", "teapot")
    assert answer.status_code == 404
    assert "'teapot'" in answer.json()["detail"]


def test_a_missing_parameter_is_named(shop):
    answer = shop.client.get("/v1/variant", params={"product": "shirt"})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("shopper")


def test_events_are_counted_once(shop):
    token = ask(shop, "events-1").json()["token"]
    events = [
        an_event("e1-click", token, "click", occurred_at=NOON + 3),
        an_event("e1", token, position=4),
    ]
    assert counts(send(shop, *events)) == (2, 0, 0)
    again = send(shop, *events, events[0])
    assert counts(again) == (0, 3, 0)
    assert again.json()["events"] == [
        {"event_id": name, "outcome": "duplicate", "rule": None, "reason": None}
        for name in ("e1-click", "e1", "e1-click")
    ]
    frame = shop.decider.log.feedback()
    (row,) = frame[frame["shopper"] == "events-1"].to_dict("records")
    assert (row["clicked"], row["converted"], row["position"]) == (1, 0, 4)


def test_much_may_be_left_out_and_no_events_sent(shop):
    decision = ask(shop, "events-2").json()["token"]
    event = an_event("e2", decision)
    for name in ("position", "occurred_at", "event_id"):
        del event[name]
    assert send(shop, event).json()["accepted"] == 1
    assert send(shop).json() == {"accepted": 0, "duplicates": 0, "rejected": 0, "events": []}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"kind": "view"}, "kind = 'view'"),
        ({"position": 0}, "position = 0"),
        ({"position": "1"}, "position = '1'"),
        ({"position": True}, "position = True"),
        ({"position": 10**30}, "position = 1000"),
        ({"occurred_at": NOON * 1000}, "occurred_at"),
        ({"occurred_at": "now"}, "occurred_at = 'now'"),
        ({"occurred_at": 10**400}, "occurred_at"),
        ({"event_id": ""}, "event_id = ''"),
        ({"event_id": "e" * 129}, "event_id"),
        ({"event_id": 7}, "event_id = 7"),
        ({"event_id": "half \ud83d"}, "event_id = 'half \\ud83d'"),
        ({"token": "half \ud83d"}, "token = 'half \\ud83d'"),
        ({"positon": 1}, "positon = 1"),
        ({"token": "nonsense"}, "did not sign"),
        ({"token": None}, "token"),
        ({"decision_id": "nobody"}, "no decision_id"),
        ({"token": None, "decision_id": "nobody", "impression_id": "wrong"}, "'nobody'"),
        ({"token": None, "decision_id": "nobody", "impression_id": "other"}, "impression_id"),
        ({"value": 3}, "value"),
        ({"kind": "conversion", "value": -1}, "value = -1"),
        ({"kind": "survey"}, "rating"),
        ({"kind": "survey", "rating": 6}, "rating = 6"),
    ],
)
def test_a_wrong_event_is_named_and_holds_up_no_other(tmp_path, changes, named):
    for shop in start(tmp_path):
        one, two, three = tokens(shop, "ann", 3)
        wrong = an_event("wrong", two) | changes
        answer = send(shop, an_event("a", one), wrong, an_event("b", three))
        assert counts(answer) == (2, 0, 1)
        first, rejected, last = answer.json()["events"]
        assert (first["outcome"], last["outcome"]) == ("accepted", "accepted")
        assert rejected["outcome"] == "rejected"
        assert rejected["event_id"] == (None if "event_id" in changes else "wrong")
        assert named in rejected["reason"]
        assert len(rejected["reason"]) < 1000
        assert rejected["rule"]
        assert len(shop.decider.log.feedback()) == 2
        again = send(shop, an_event("a", one), wrong, an_event("b", three))
        assert counts(again) == (0, 2, 1)


@pytest.mark.parametrize("wrong", [None, 7, "e", [], {}, [[]], float("nan")])
def test_what_is_no_event_at_all_holds_up_no_other(tmp_path, wrong):
    for shop in start(tmp_path):
        decision = ask(shop, "ann").json()["token"]
        body = json.dumps({"events": [wrong, an_event("a", decision)]})
        answer = shop.client.post("/v1/events", content=body)
        assert counts(answer) == (1, 0, 1)
        assert answer.json()["events"][0]["event_id"] is None
        assert answer.json()["events"][0]["reason"]


def test_a_batch_of_wrong_events_is_answered_event_by_event(tmp_path):
    for shop in start(tmp_path):
        answer = send(shop, an_event("a", "nobody"), an_event("b", "nobody", position=0))
        assert counts(answer) == (0, 0, 2)
        assert shop.decider.log.feedback().empty


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"events": {}}',
        b'{"events": [], "more": 1}',
        b'{"events": null}',
        b'{"more": []}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"events": [{"position": ' + b"9" * 5000 + b"}]}",
    ],
)
def test_a_body_that_is_no_batch_is_422(shop, body):
    answer = shop.client.post("/v1/events", content=body)
    assert answer.status_code == 422
    assert len(answer.json()["detail"]) < 1000


def test_a_token_is_counted_once_for_each_kind(shop):
    token = ask(shop, "events-4").json()["token"]
    assert counts(send(shop, an_event("e4", token), an_event("c4", token, "click"))) == (2, 0, 0)
    answer = send(
        shop, an_event("e5", token), an_event("e4", token), an_event("c5", token, "click")
    )
    assert counts(answer) == (0, 1, 2)
    assert [event["rule"] for event in answer.json()["events"]] == ["replayed", None, "replayed"]
    frame = shop.decider.log.feedback()
    assert (frame["shopper"] == "events-4").sum() == 1


def test_every_kind_is_taken(shop):
    token = ask(shop, "events-6").json()["token"]
    events = [
        an_event("i6", token),
        an_event("c6", token, "click"),
        an_event("b6", token, "conversion", value=19.95),
        an_event("d6", token, "dismiss"),
        an_event("s6", token, "survey", rating=4),
    ]
    assert counts(send(shop, *events)) == (5, 0, 0)


def test_events_of_nobodys_making_are_counted_by_what_is_wrong(tmp_path):
    for shop in start(tmp_path, signer=Signer(KEY, days=1)):
        showing = SIGNER.show(a_decision(), time.time() - 2 * 86400)
        other = SIGNER.show(a_decision(test="spring"), time.time())
        forged = Signer(ShopKey(b"the key of a shop of the attacker's own")).sign(other)
        sent = [SIGNER.sign(showing), SIGNER.sign(other), forged]
        answer = send(shop, *(an_event(f"e{n}", token) for n, token in enumerate(sent)))
        assert counts(answer) == (0, 0, 3)
        rules = [event["rule"] for event in answer.json()["events"]]
        assert rules == ["expired", "other-test", "forged"]
        lines = shop.client.get("/metrics").text.splitlines()
        for rule in rules:
            assert f'persona_img_events_rejected_total{{rule="{rule}"}} 1.0' in lines
        assert shop.decider.log.feedback().empty


def test_a_batch_has_a_largest_size(shop):
    events = [{"kind": "impression", "token": "x"}] * 1001
    answer = send(shop, *events)
    assert answer.status_code == 422
    assert "1000" in answer.json()["detail"]
    assert send(shop, *events[:1000]).json()["rejected"] == 1000


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_has_a_largest_size(shop, chunked):
    body = json.dumps({"events": [], "padding": "x" * 2**20}).encode()
    content = iter([body[: 2**19], body[2**19 :]]) if chunked else body
    answer = shop.client.post("/v1/events", content=content)
    assert answer.status_code == 413
    assert str(2**20) in answer.json()["detail"]


def test_acknowledged_events_survive_the_service(tmp_path):
    running = start(tmp_path)
    shop = next(running)
    before = ask(shop, "ann").json()
    event = an_event("e1", before["token"])
    assert send(shop, event).json()["accepted"] == 1
    running.close()
    for shop in start(tmp_path):
        after = ask(shop, "ann").json()
        assert all(after[name] == before[name] for name in ("digest", "style", "propensity"))
        assert counts(send(shop, event)) == (0, 1, 0)
        assert len(shop.decider.log.feedback()) == 1


def test_many_at_once_agree_and_are_all_counted(shop):
    def visit(n):
        shown = ask(shop, f"crowd-{n % 20}").json()
        place = (n % 20, shown["arm"], shown["style"])
        return place, send(shop, an_event(f"crowd-{n}", shown["token"])).json()["accepted"]

    with ThreadPoolExecutor(16) as pool:
        visits = list(pool.map(visit, range(100)))
    assert len({place for place, _ in visits}) == 20
    assert sum(accepted for _, accepted in visits) == 100
    frame = shop.decider.log.feedback()
    assert frame["shopper"].str.startswith("crowd-").sum() == 100


def test_health_tells_the_table_in_use(tmp_path):
    for shop in start(tmp_path):
        told = {"status": "ok", "test": "hero", "policy_version": "v1"}
        assert shop.client.get("/healthz").json() == told
        before = ask(shop, shop.shopper("personalized")).json()
        shop.decider.replace(a_table("v2"))
        assert shop.client.get("/healthz").json() == told | {"policy_version": "v2"}
        after = ask(shop, shop.shopper("personalized")).json()
        assert (before["policy_version"], after["policy_version"]) == ("v1", "v2")


def test_metrics_count_what_happened(tmp_path):
    for shop in start(tmp_path):
        shopper = shop.shopper("control")
        token = ask(shop, shopper).json()["token"]
        send(shop, an_event("e1", token))
        ask(shop, shopper)
        ask(shop, "a b")
        send(shop, an_event("e1", token), an_event("e2", "nobody"), {})
        lines = shop.client.get("/metrics").text.splitlines()
        for line in (
            'persona_img_decisions_total{arm="control",made="new"} 1.0',
            'persona_img_decisions_total{arm="control",made="kept"} 1.0',
            "persona_img_decision_seconds_count 2.0",
            'persona_img_events_total{outcome="new"} 1.0',
            'persona_img_events_total{outcome="duplicate"} 1.0',
            'persona_img_events_total{outcome="rejected"} 2.0',
            'persona_img_events_rejected_total{rule="forged"} 1.0',
            'persona_img_events_rejected_total{rule="unreadable"} 1.0',
            'persona_img_errors_total{status="422"} 1.0',
        ):
            assert line in lines


def test_metrics_count_what_became_of_asking_about_shoppers(tmp_path):
    known = Known(lambda shopper, *_: np.ones(1) if shopper == "anna" else None, wait=10)
    for shop in start(tmp_path, known=known):
        for shopper in ("anna", "anna", "nobody"):
            known(shopper, ("views",), 1.0)
        lines = shop.client.get("/metrics").text.splitlines()
        for outcome in ("kept", "read", "unknown"):
            assert f'persona_img_profiles_total{{outcome="{outcome}"}} 1.0' in lines
    known.close()


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"Authorization": "Bearer wrong-token-of-length"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer"},
    ],
)
def test_without_a_token_nobody_gets_in(guarded, header):
    paths = [
        ("GET", "/v1/variant?shopper=ann&product=shirt"),
        ("POST", "/v1/decisions"),
        ("POST", "/v1/events"),
        ("POST", "/ofrep/v1/evaluate/flags"),
        ("POST", "/ofrep/v1/evaluate/flags/shirt"),
        ("GET", "/metrics"),
    ]
    for method, path in paths:
        answer = guarded.client.request(method, path, headers=header)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "Authorization: Bearer" in answer.json()["detail"]


@pytest.mark.parametrize("token", [TOKEN, TOKEN[::-1]])
def test_with_a_token_one_gets_in(guarded, token):
    guarded.client.headers["Authorization"] = f"Bearer {token}"
    try:
        decision = ask(guarded, "bob").json()["token"]
        assert send(guarded, an_event("e", decision)).status_code == 200
        assert guarded.client.get("/metrics").status_code == 200
    finally:
        del guarded.client.headers["Authorization"]


def test_pictures_and_health_need_no_token(guarded):
    for path in (f"/v1/variants/{DIGEST}", "/v1/photos/shirt", "/healthz"):
        assert guarded.client.get(path).status_code == 200


def test_a_short_token_is_refused():
    with pytest.raises(InvalidInput, match="16"):
        create_app(
            a_decider(MemoryEventLog()),
            a_catalog(),
            stored_variant,
            signer=SIGNER,
            tokens=["secret"],
        )


def test_the_api_describes_itself(guarded):
    document = guarded.client.get("/openapi.json").json()
    assert set(document["paths"]) == {
        "/v1/variant",
        "/v1/decisions",
        "/v1/events",
        "/v1/links",
        "/ofrep/v1/evaluate/flags",
        "/ofrep/v1/evaluate/flags/{key}",
        "/v1/variants/{digest}",
        "/v1/photos/{product}",
        "/v1/renditions/{master}/{file}",
        "/v1/persona-img.js",
        "/healthz",
        "/readyz",
        "/metrics",
    }
    body = document["paths"]["/v1/events"]["post"]["requestBody"]
    event = body["content"]["application/json"]["schema"]["properties"]["events"]["items"]
    assert set(event["required"]) == {"kind"}
    assert {"token", "event_id", "occurred_at", "value", "rating"} < set(event["properties"])
    answered = document["paths"]["/v1/events"]["post"]["responses"]["200"]
    assert answered["content"]["application/json"]["schema"]["$ref"].endswith("/Counted")
    schemas = document["components"]["schemas"]
    headers = {"Authorization": f"Bearer {TOKEN}"}
    told = guarded.client.post("/v1/events", json={"events": [{}]}, headers=headers).json()
    assert set(schemas["Counted"]["required"]) == set(told)
    assert set(schemas["EventOut"]["required"]) == set(told["events"][0])
    shown = schemas["Shown"]["properties"]
    answer = guarded.client.get(
        "/v1/variant",
        params={"shopper": "doc", "product": "shirt"},
        headers={"Authorization": f"Bearer {TOKEN}"},
    )
    assert set(shown) == set(answer.json())
    page = {"shopper": "doc", "products": ["shirt"]}
    answer = guarded.client.post("/v1/decisions", json=page, headers=headers)
    assert set(schemas["OnPage"]["properties"]) == set(answer.json()["decisions"][0])
    asked = document["paths"]["/v1/decisions"]["post"]["requestBody"]["content"]
    assert asked["application/json"]["schema"]["$ref"].endswith("/PageIn")
    assert guarded.client.get("/docs").status_code == 200


def test_decisions_carry_the_time_of_the_request():
    before = time.time()
    app = create_app(a_decider(MemoryEventLog()), a_catalog(), stored_variant, signer=SIGNER)
    with TestClient(app) as client:
        asked = {"shopper": "ann", "product": "shirt"}
        token = client.get("/v1/variant", params=asked).json()["token"]
    showing = SIGNER.read(token, time.time())
    assert before <= showing.answered_at == showing.decision.decided_at <= time.time()


def test_events_of_an_earlier_program_are_taken_for_decisions_that_the_log_knows(tmp_path):
    """As a shop has it that is updated while pages are open."""
    shutil.copy(DATA / "logs" / "version-1.sqlite", tmp_path / "log.sqlite")
    with closing(sqlite3.connect(tmp_path / "log.sqlite")) as db:
        ((name,),) = db.execute(
            "SELECT decision_id FROM decisions d WHERE test = 'hero' AND NOT EXISTS "
            "(SELECT 1 FROM events e WHERE e.decision_id = d.decision_id) LIMIT 1"
        )
    with closing(SqliteEventLog(tmp_path / "log.sqlite")) as log:
        arms = Arms("hero", {"control": 0.3, "personalized": 0.7})
        decider = Decider(a_table("v2"), arms, log)
        app = create_app(decider, a_catalog(), stored_variant, signer=SIGNER)
        old = {"decision_id": name, "impression_id": "seen", "occurred_at": NOON + 9000}
        with TestClient(app) as client:
            events = [
                {"event_id": "seen", "kind": "impression", "position": 1, **old},
                {"event_id": "clicked", "kind": "click", **old},
                {"event_id": "forged", "kind": "click", **old, "decision_id": "0" * 32},
            ]
            answer = client.post("/v1/events", json={"events": events}).json()
            again = client.post("/v1/events", json={"events": events}).json()
        told = [(event["outcome"], event["rule"]) for event in answer["events"]]
        assert told == [("accepted", None), ("accepted", None), ("rejected", "unknown")]
        assert again["duplicates"] == 2
        frame = log.feedback()
        assert frame[frame["decision_id"] == name]["clicked"].tolist() == [1]

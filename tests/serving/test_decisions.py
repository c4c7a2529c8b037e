"""A page of pictures in one call, and the routes that stand before the framework."""

from __future__ import annotations

import json
import time
from contextlib import closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from examples import SIGNER
from persona_img.domain.catalog import Catalog, Product
from persona_img.domain.decision import DecisionTable
from persona_img.serving.app import create_app
from persona_img.serving.decide import Decider
from persona_img.serving.decisions import query
from persona_img.serving.memory_log import MemoryEventLog
from persona_img.serving.sqlite_log import SqliteEventLog

from .conftest import PHOTO, stored_variant
from .test_app import an_event, ask, counts, send
from .test_decide import HALVES, slate

NAMES = [f"p{n}" for n in range(100)]
TABLE = DecisionTable("v1", {("all", name): slate(0.2, 0.5, 0.3) for name in NAMES}, {}, "all")
CATALOG = Catalog([Product(name, "things", name, PHOTO, "own") for name in NAMES])


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("log") / "log.sqlite"
    with closing(SqliteEventLog(path)) as log:
        decider = Decider(TABLE, HALVES, log)
        app = create_app(decider, CATALOG, stored_variant, signer=SIGNER, decision_seconds=20.0)
        with TestClient(app) as client:
            yield client


def page(client: TestClient, shopper: str, products: list[str]) -> list[dict[str, object]]:
    asked = {"shopper": shopper, "products": products}
    answer = client.post("/v1/decisions", json=asked)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    found: list[dict[str, object]] = answer.json()["decisions"]
    assert [one["product"] for one in found] == products
    return found


def bare(shown: dict[str, object]) -> dict[str, object]:
    """All but what each answer has of its own."""
    own = ("token", "expires_at", "product")
    return {name: value for name, value in shown.items() if name not in own}


def test_a_page_is_what_each_product_is_alone(client):
    shown = page(client, "ann", NAMES)
    for name, one in zip(NAMES, shown, strict=True):
        asked = {"shopper": "ann", "product": name}
        assert bare(one) == bare(client.get("/v1/variant", params=asked).json())
    assert len({one["token"] for one in shown}) == 100


def test_a_page_is_kept_once_it_was_seen_and_counted_product_by_product(client):
    shown = page(client, "bob", NAMES[:44])
    events = [{"kind": "impression", "token": one["token"]} for one in shown]
    told = client.post("/v1/events", json={"events": events}).json()
    assert told["accepted"] == 44
    seen = [SIGNER.read(one["token"], time.time()).decision for one in shown]
    again = [SIGNER.read(one["token"], time.time()) for one in page(client, "bob", NAMES[:44])]
    assert [one.decision for one in again] == seen
    lines = client.get("/metrics").text
    assert 'made="kept"' in lines


def test_a_product_twice_on_a_page_has_two_showings(client):
    one, two = page(client, "ann", ["p1", "p1"])
    assert bare(one) == bare(two)
    assert one["token"] != two["token"]


def test_what_is_not_known_holds_up_nothing(client):
    known, unknown = page(client, "ann", ["p1", "teapot"])
    assert known["counted"]
    assert (unknown["counted"], unknown["token"], unknown["image_url"]) == (False, None, None)
    (alone,) = page(client, "ann", ["teapot"])
    assert alone == unknown


def test_photos_of_unknown_products_may_lie_elsewhere():
    app = create_app(
        Decider(TABLE, HALVES, MemoryEventLog()),
        CATALOG,
        stored_variant,
        signer=SIGNER,
        photo_url="https://cdn.shop/{product}.jpg",
    )
    with TestClient(app) as client:
        (shown,) = page(client, "ann", ["AB 12/3"])
        assert shown["image_url"] == "https://cdn.shop/AB%2012%2F3.jpg"


def test_where_nothing_can_be_decided_the_whole_page_is_photos():
    class Failing(MemoryEventLog):
        def seen(self, *asked, **more):
            raise OSError("no disk")

    app = create_app(Decider(TABLE, HALVES, Failing()), CATALOG, stored_variant, signer=SIGNER)
    with TestClient(app) as client:
        shown = page(client, "ann", NAMES[:5])
        assert not any(one["counted"] for one in shown)
        assert {one["image_url"] for one in shown} == {f"/v1/photos/{n}" for n in NAMES[:5]}
        assert 'persona_img_photos_total{reason="error"} 5.0' in client.get("/metrics").text


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"[]", "body"),
        (b'{"shopper": "ann"}', "products"),
        (b'{"products": ["p1"]}', "shopper"),
        (b'{"shopper": "ann", "products": []}', "products"),
        (b'{"shopper": "a b", "products": ["p1"]}', "shopper"),
        (b'{"shopper": "ann", "products": [7]}', "products[0]"),
        (b'{"shopper": "ann", "products": ["p1"], "more": 1}', "more"),
        (json.dumps({"shopper": "ann", "products": ["p1"] * 101}).encode(), "100"),
        (b'{"shopper": "\xff", "products": ["p1"]}', "body"),
    ],
)
def test_what_is_no_page_is_named(client, body, named):
    answer = client.post("/v1/decisions", content=body)
    assert answer.status_code == 422
    assert named in answer.json()["detail"]
    assert len(answer.json()["detail"]) < 1000


@pytest.mark.parametrize("name", ["tea\0pot", " ", "p" * 150])
def test_what_no_product_can_be_called_is_unknown_and_holds_up_no_other(client, name):
    answer = client.post("/v1/decisions", json={"shopper": "ann", "products": [name, "p1"]})
    strange, known = answer.json()["decisions"]
    assert (strange["product"], strange["counted"], strange["image_url"]) == (name, False, None)
    assert known["counted"]
    answer = client.get("/v1/variant", params={"shopper": "ann", "product": name})
    assert answer.status_code == 404
    assert answer.json()["detail"].startswith("product ")


def test_a_page_has_a_largest_body(client):
    body = json.dumps({"shopper": "ann", "products": ["p1"], "more": "x" * 70_000})
    assert client.post("/v1/decisions", content=body).status_code == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("HEAD", "/v1/variant", 405),
        ("POST", "/v1/variant", 405),
        ("GET", "/v1/decisions", 405),
        ("PUT", "/v1/events", 405),
        ("GET", "/v1/variant/", 404),
        ("GET", "/v1//variant", 404),
        ("GET", "/v1/nothing", 404),
    ],
)
def test_the_framework_answers_what_is_left(client, method, path, status):
    assert client.request(method, path).status_code == status


@settings(max_examples=200, deadline=None)
@given(st.text("".join(map(chr, range(33, 127))).replace("#", ""), max_size=60))
def test_any_query_is_answered_with_a_reason(client, query):
    answer = client.get(f"/v1/variant?{query}&shopper=a%2")
    assert answer.status_code in (200, 404, 422)
    assert answer.status_code == 200 or answer.json()["detail"]


@given(st.text("ab=&+%2 é;", max_size=30))
def test_queries_are_read_as_the_framework_reads_them(text):
    raw = text.encode("latin-1")
    assert query(raw) == dict(QueryParams(raw))


def test_the_last_of_a_parameter_is_taken_as_the_framework_takes_it(client):
    answer = client.get("/v1/variant?shopper=ann&product=p1&product=p%32&x=")
    (alone,) = page(client, "ann", ["p2"])
    assert bare(answer.json()) == bare(alone)


def test_answers_are_json_of_a_told_length(shop):
    answer = ask(shop, "ann")
    assert answer.headers["content-type"] == "application/json"
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert counts(send(shop, an_event("length", answer.json()["token"]))) == (1, 0, 0)


def test_whoever_goes_away_in_the_middle_costs_nothing(shop, tmp_path: Path):
    import socket

    host, port = shop.client.base_url.host, shop.client.base_url.port
    for _ in range(20):
        with socket.create_connection((host, port)) as gone:
            gone.sendall(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{")
    assert ask(shop, "ann").status_code == 200

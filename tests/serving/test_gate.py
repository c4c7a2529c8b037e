"""Who is let in, how often, by which name, and what is noted of it: real requests."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from examples import SIGNER
from persona_img.serving.app import create_app
from persona_img.serving.gate import GateRules
from persona_img.serving.keys import KeyFile, Keys
from persona_img.serving.logs import JsonLines
from persona_img.serving.memory_log import MemoryEventLog
from persona_img.serving.run import BackgroundServer

from .conftest import DIGEST, a_catalog, a_decider, stored_variant

ASK = {"shopper": "ann", "product": "shirt"}
ROUTES = {
    "decide": ("GET", "/v1/variant?shopper=ann&product=shirt"),
    "events": ("POST", "/v1/events"),
    "metrics": ("GET", "/metrics"),
    "approve": ("POST", "/v1/withdrawals"),
}
OPEN = (f"/v1/variants/{DIGEST}", "/v1/photos/shirt", "/healthz", "/readyz", "/docs")


class Approvals:
    def __init__(self) -> None:
        self.done: list[tuple[str, str, str, str]] = []

    def withdraw(self, *digests: str, by: str, reason: str) -> None:
        self.done.append(("withdraw", *digests, by, reason))

    def restore(self, *digests: str, by: str, reason: str) -> None:
        self.done.append(("restore", *digests, by, reason))


@contextmanager
def serving(**settings: object) -> Iterator[httpx.Client]:
    app = create_app(
        a_decider(MemoryEventLog()), a_catalog(), stored_variant, signer=SIGNER, **settings
    )
    with BackgroundServer(app) as server, httpx.Client(base_url=server.url) as client:
        yield client


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def ask(client: httpx.Client, wanted: str, **more: object) -> httpx.Response:
    method, path = ROUTES[wanted]
    body = {"events": []} if wanted == "events" else {"digest": DIGEST, "reason": "a bitten edge"}
    return client.request(method, path, json=body if method == "POST" else None, **more)


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("serve", {"decide", "events"}),
        ("ingest", {"events"}),
        ("analyst", {"metrics"}),
        ("approver", {"approve"}),
        ("admin", set(ROUTES)),
    ],
)
def test_a_role_opens_its_routes_and_no_other(tmp_path: Path, role: str, may: set[str]) -> None:
    file, approvals = KeyFile(tmp_path / "keys.json"), Approvals()
    key, text = file.add(role, "of a test")
    with serving(keys=Keys(file), approvals=approvals) as client:
        for wanted in ROUTES:
            answer = ask(client, wanted, headers=bearer(text))
            assert answer.status_code == (200 if wanted in may else 403), answer.text
            if wanted not in may:
                assert key.role in answer.json()["detail"]
            assert ask(client, wanted).status_code == 401
            assert ask(client, wanted, headers=bearer(text + "x")).status_code == 401
        for path in OPEN:
            assert client.get(path).status_code == 200
    if "approve" in may:
        assert approvals.done == [
            ("withdraw", DIGEST, f"of a test ({key.key_id})", "a bitten edge")
        ]


def test_a_picture_is_decided_on_by_name_only() -> None:
    approvals = Approvals()
    with serving(approvals=approvals) as client:
        assert ask(client, "approve").status_code == 403  # no keys: nobody has a name
        assert client.post("/v1/withdrawals", json={"digest": "x", "reason": "y"}).status_code > 400
    assert approvals.done == []


def test_a_key_may_stand_in_the_address_for_what_has_no_headers(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    _, text = file.add("serve", "page")
    with serving(keys=Keys(file)) as client:
        assert client.post("/v1/events", params={"key": text}, json={"events": []}).is_success
        assert client.post("/v1/events", params={"key": "x"}, json={}).status_code == 401


def test_a_host_of_another_name_is_refused() -> None:
    rules = GateRules(hosts=("localhost", "[::1]", "shop.example", "*.cdn.example"))
    app = create_app(
        a_decider(MemoryEventLog()), a_catalog(), stored_variant, signer=SIGNER, rules=rules
    )
    with TestClient(app) as client:
        for host in ("localhost:80", "SHOP.example", "a.cdn.example:8", "[::1]:8080"):
            assert client.get("/healthz", headers={"Host": host}).status_code == 200
        for host in ("evil.example", "cdn.example", "shop.example.evil", "127.0.0.1", "[::2]"):
            answer = client.get("/healthz", headers={"Host": host})
            assert answer.status_code == 400
            assert "hosts" in answer.json()["detail"]


def test_an_address_is_slowed_and_others_and_servers_are_not(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    _, page = file.add("serve", "page")
    _, server = file.add("ingest", "warehouse")
    with serving(keys=Keys(file), rules=GateRules(address_rate=2.0)) as client:

        def codes(address: str, key: str, count: int) -> list[int]:
            headers = {"X-Forwarded-For": address, **bearer(key)}
            return [ask(client, "events", headers=headers).status_code for _ in range(count)]

        first = codes("192.0.2.1", page, 60)
        assert first[:20] == [200] * 20
        assert 429 in first
        assert codes("192.0.2.2", page, 1) == [200]
        assert codes("192.0.2.1", server, 60) == [200] * 60
        mine = {"X-Forwarded-For": "192.0.2.1"}
        asked = [client.get("/readyz", headers=mine) for _ in range(60)]
        slowed = next(answer for answer in asked if answer.status_code == 429)
        assert int(slowed.headers["retry-after"]) >= 1


def test_guessing_keys_is_slowed_sooner(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    file.add("serve", "page")
    with serving(keys=Keys(file), rules=GateRules(address_rate=10.0)) as client:
        headers = {"X-Forwarded-For": "192.0.2.1", **bearer("pik_00000000_" + "a" * 43)}
        codes = [ask(client, "events", headers=headers).status_code for _ in range(8)]
    assert codes.count(401) <= 5
    assert codes[-1] == 429


def test_a_key_is_slowed(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    _, text = file.add("ingest", "warehouse")
    with serving(keys=Keys(file), rules=GateRules(key_rate=1.0)) as client:
        codes = [ask(client, "events", headers=bearer(text)).status_code for _ in range(30)]
    assert 200 in codes
    assert codes[-1] == 429


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("Application/JSON; charset=UTF-8", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/json; charset=utf-16", 415),
        ("application/jsonx", 415),
    ],
)
def test_a_body_is_json_or_refused(kind: str, status: int) -> None:
    with serving() as client:
        headers = {"Content-Type": kind}
        answer = client.post("/v1/events", content=b'{"events": []}', headers=headers)
    assert answer.status_code == status


def test_pages_of_listed_origins_may_ask_and_others_may_not() -> None:
    shop = "https://shop.example"
    with serving(origins=[shop]) as client:
        wanted = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        }
        for origin, allowed in ((shop, True), ("https://evil.example", False)):
            asked = client.options("/v1/events", headers={"Origin": origin, **wanted})
            assert (asked.status_code == 200) == allowed
            answer = client.get("/v1/variant", params=ASK, headers={"Origin": origin})
            assert answer.headers.get("access-control-allow-origin") == (shop if allowed else None)
        picture = client.get(f"/v1/variants/{DIGEST}", headers={"Origin": "https://any.example"})
        assert picture.headers["access-control-allow-origin"] == "*"


def test_every_answer_has_an_id_and_says_that_it_is_no_page() -> None:
    with serving() as client:
        for path in ("/healthz", "/nothing", "/v1/variant?shopper=a%20b&product=shirt"):
            answer = client.get(path)
            assert len(answer.headers["x-request-id"]) == 16
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "default-src 'none'" in answer.headers["content-security-policy"]
        for given, kept in (("of-my-proxy.7", True), ("a b", False), ("x" * 65, False)):
            answer = client.get("/healthz", headers={"X-Request-ID": given})
            assert (answer.headers["x-request-id"] == given) == kept


def test_a_request_is_a_line_that_names_no_shopper(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = KeyFile(tmp_path / "keys.json")
    key, text = file.add("serve", "page")
    caplog.set_level(logging.INFO, "persona_img.access")
    with serving(keys=Keys(file), rules=GateRules(log_requests=True)) as client:
        answer = client.get("/v1/variant", params={**ASK, "key": text})
        client.get("/v1/variant", params=ASK)
    lines = [json.loads(JsonLines().format(record)) for record in caplog.records]
    lines = [line for line in lines if line["path"] == "/v1/variant"]
    assert [line["status"] for line in lines] == [200, 401]
    assert lines[0]["request_id"] == answer.headers["x-request-id"]
    assert lines[0]["key"] == key.key_id
    assert lines[0]["ms"] > 0
    assert not any(secret in str(lines) for secret in ("ann", text))


def test_whoever_goes_away_is_no_error_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    import socket

    with serving() as client:
        host, port = str(client.base_url).removeprefix("http://").rstrip("/").split(":")
        with socket.create_connection((host, int(port))) as one:
            one.sendall(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
            client.get("/healthz")
        for _ in range(20):
            client.get("/healthz")
    assert "Exception in ASGI" not in caplog.text


def test_a_path_with_a_line_end_finds_no_route_behind_the_gate(tmp_path: Path) -> None:
    """A route's pattern matches before it: /metrics%0A was answered without a key."""
    file = KeyFile(tmp_path / "keys.json")
    file.add("admin", "ops")
    with serving(keys=Keys(file)) as client:
        for path in ("/metrics", "/v1/variant", "/v1/events", "/v1/withdrawals", "/v1/decisions"):
            for end in ("%0A", "%0D%0A", "%00"):
                for method in ("GET", "HEAD", "POST"):
                    assert client.request(method, path + end).status_code == 404, (method, path)

"""Of whoever said no, and of bots, nothing is kept: photos, not counted, by every route."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from examples import SIGNER
from persona_img.serving.app import create_app
from persona_img.serving.consent import declined
from persona_img.serving.decide import Decider
from persona_img.serving.sqlite_log import SqliteEventLog

from .conftest import stored_variant
from .test_halts import ARMS, CATALOG, NAMES, TABLE

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
CHROME = f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} Chrome/141.0 Safari/537.36"
BOTS = (
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko); compatible; GPTBot/1.2",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
)
SHOPPERS = (
    CHROME,
    f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) {WEBKIT} Version/18.0 Safari/604.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "",
)
SERVERS = ("curl/8.5.0", "python-httpx/0.28.1", "Go-http-client/2.0", "okhttp/4.12.0", "node")


@pytest.fixture
def client(tmp_path: Path):
    with closing(SqliteEventLog(tmp_path / "log.sqlite")) as log:
        app = create_app(
            Decider(TABLE, ARMS, log), CATALOG, stored_variant, signer=SIGNER, decision_seconds=20.0
        )
        with TestClient(app) as client:
            yield client


def asked(
    client: TestClient, shopper: str, headers: dict[str, str], consent: bool | None = None
) -> list[dict[str, object]]:
    """What every route answers, as flat values."""
    said = {} if consent is None else {"consent": consent}
    query = {"shopper": shopper, "product": "mug", **{k: str(v).lower() for k, v in said.items()}}
    alone = client.get("/v1/variant", params=query, headers=headers).json()
    body = {"shopper": shopper, "products": list(NAMES), **said}
    page = client.post("/v1/decisions", json=body, headers=headers).json()["decisions"]
    context = {"context": {"targetingKey": shopper, "products": list(NAMES), **said}}
    flags = client.post("/ofrep/v1/evaluate/flags", json=context, headers=headers).json()["flags"]
    one = client.post("/ofrep/v1/evaluate/flags/mug", json=context, headers=headers).json()
    told = [{**flag["metadata"], "style": flag["variant"]} for flag in (*flags, one)]
    return [alone, *page, *told]


@pytest.mark.parametrize(
    ("headers", "consent"),
    [({"Sec-GPC": "1"}, None), ({"Sec-GPC": "1"}, True), ({}, False)]
    + [({"User-Agent": bot}, None) for bot in BOTS]
    + [({"User-Agent": "curl/8.5.0", "X-Shopper-Agent": bot}, None) for bot in BOTS],
)
def test_who_said_no_and_bots_see_photos_that_carry_nothing(client, headers, consent) -> None:
    for number in range(10):
        for told in asked(client, f"s{number}", headers, consent):
            assert (told["counted"], told["style"]) == (False, "original")
            assert told.get("token") is None
            assert told.get("arm") is None
            assert told.get("segment") is None
    assert "persona_img_decisions_total{" not in client.get("/metrics").text


@pytest.mark.parametrize("agent", [*SHOPPERS, *SERVERS])
def test_shoppers_and_the_shops_own_servers_are_decided_for(client, agent: str) -> None:
    for consent in (None, True):
        told = asked(client, "s1", {"User-Agent": agent, "Sec-GPC": "0"}, consent)
        assert {one["counted"] for one in told} == {True}


def test_the_shoppers_program_counts_where_a_server_tells_it() -> None:
    headers = [(b"user-agent", b"curl/8.5.0"), (b"x-shopper-agent", CHROME.encode())]
    assert declined(headers) == ""
    assert declined([(b"user-agent", BOTS[0].encode()), headers[1]]) == ""


def test_reasons_are_counted(client) -> None:
    asked(client, "s1", {"Sec-GPC": "1"})
    asked(client, "s1", {"User-Agent": BOTS[0]})
    text = client.get("/metrics").text
    each = 2 * (1 + len(NAMES))
    assert f'persona_img_photos_total{{reason="no-consent"}} {each}.0' in text
    assert f'persona_img_photos_total{{reason="bot"}} {each}.0' in text


def test_a_consent_that_is_neither_is_refused(client) -> None:
    asking = {"shopper": "s1", "product": "mug", "consent": "maybe"}
    answer = client.get("/v1/variant", params=asking)
    assert answer.status_code == 422
    assert "say true or false" in answer.json()["detail"]

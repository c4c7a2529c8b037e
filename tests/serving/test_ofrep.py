"""OpenFeature's SDK asks the service, by its own provider for the protocol."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode

from examples import SIGNER
from persona_img.domain.catalog import Catalog, Product
from persona_img.serving.app import create_app
from persona_img.serving.decide import Decider
from persona_img.serving.memory_log import MemoryEventLog
from persona_img.serving.run import BackgroundServer
from persona_img.serving.sqlite_log import SqliteEventLog

from .conftest import PHOTO, TOKEN, Shop, a_decider, stored_variant
from .test_app import ask, counts, send

FLAGS = "/ofrep/v1/evaluate/flags"


@pytest.fixture
def features(shop: Shop):
    """A client of the SDK."""
    api.set_provider(OFREPProvider(str(shop.client.base_url)))
    try:
        yield api.get_client()
    finally:
        api.clear_providers()


def bare(metadata: dict[str, object]) -> dict[str, object]:
    return {k: v for k, v in metadata.items() if k not in ("token", "expires_at")}


@pytest.mark.parametrize("arm", ["control", "personalized"])
def test_the_sdk_is_told_what_a_page_is_told(shop: Shop, features, arm: str) -> None:
    shopper = shop.shopper(arm, skip=3)
    told = features.get_string_details("shirt", "photo.jpg", EvaluationContext(shopper))
    shown = ask(shop, shopper).json()
    assert told.error_code is None
    assert (told.value, told.variant) == (shown["image_url"], shown["style"])
    assert told.reason == "SPLIT"
    for name in ("arm", "segment", "propensity", "policy_version", "test", "counted"):
        assert told.flag_metadata[name] == shown[name]
    event = {"kind": "impression", "token": told.flag_metadata["token"]}
    assert counts(send(shop, event)) == (1, 0, 0)


@pytest.mark.parametrize(
    ("flag", "context", "code"),
    [
        ("teapot", EvaluationContext("ann"), ErrorCode.FLAG_NOT_FOUND),
        ("shirt", EvaluationContext(), ErrorCode.TARGETING_KEY_MISSING),
        ("shirt", None, ErrorCode.TARGETING_KEY_MISSING),
        ("shirt", EvaluationContext("a b"), ErrorCode.INVALID_CONTEXT),
        ("shirt", EvaluationContext("ann", {"products": 7}), ErrorCode.INVALID_CONTEXT),
    ],
)
def test_the_sdk_is_told_what_is_wrong_and_keeps_its_default(features, flag, context, code) -> None:
    told = features.get_string_details(flag, "photo.jpg", context)
    assert (told.value, told.error_code) == ("photo.jpg", code)
    assert told.error_message


def test_other_attributes_say_nothing(features) -> None:
    plain = features.get_string_details("shirt", "", EvaluationContext("ann"))
    more = EvaluationContext("ann", {"country": "DE", "age": 30, "cart": {"items": [1]}})
    told = features.get_string_details("shirt", "", more)
    assert (told.value, told.variant) == (plain.value, plain.variant)
    assert bare(told.flag_metadata) == bare(plain.flag_metadata)


def evaluate(shop: Shop, context: object, **headers: str) -> httpx.Response:
    return shop.client.post(FLAGS, json={"context": context}, headers=headers)


def test_all_flags_are_evaluated_at_once_and_not_sent_again(shop: Shop) -> None:
    shopper = {"targetingKey": shop.shopper("personalized", skip=5)}
    answer = evaluate(shop, shopper)
    flags = {one["key"]: one for one in answer.json()["flags"]}
    assert set(flags) == {"shirt", "lost"}
    for key, flag in flags.items():
        alone = shop.client.post(f"{FLAGS}/{key}", json={"context": shopper}).json()
        assert bare(alone.pop("metadata")) == bare(flag.pop("metadata"))
        assert alone == flag
    etag = answer.headers["etag"]
    again = evaluate(shop, shopper, **{"If-None-Match": f'"other", {etag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert evaluate(shop, shopper, **{"If-None-Match": '"other"'}).status_code == 200
    assert evaluate(shop, {"targetingKey": "bob"}).headers["etag"] != etag
    assert shop.client.post(f"{FLAGS}/shirt", json={"context": shopper}).headers["cache-control"]


def test_a_page_names_its_products(shop: Shop) -> None:
    found = evaluate(shop, {"targetingKey": "ann", "products": ["shirt"]}).json()
    assert [one["key"] for one in found["flags"]] == ["shirt"]
    unknown = evaluate(shop, {"targetingKey": "ann", "products": ["shirt", "teapot"]})
    assert (unknown.status_code, unknown.json()["errorCode"]) == (404, "FLAG_NOT_FOUND")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "PARSE_ERROR"),
        (b"[]", "PARSE_ERROR"),
        (b"", "TARGETING_KEY_MISSING"),
        (b'{"context": 7}', "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": 7}}', "INVALID_CONTEXT"),
        (json.dumps({"context": {"more": "x" * 70_000}}).encode(), "PARSE_ERROR"),
    ],
)
def test_a_body_that_is_none_is_told_by_the_protocols_word(shop: Shop, body, code) -> None:
    for path in (FLAGS, f"{FLAGS}/shirt"):
        answer = shop.client.post(path, content=body)
        assert (answer.status_code, answer.json()["errorCode"]) == (400, code)
        assert answer.json()["errorDetails"]
        assert answer.json().get("key") == ("shirt" if path != FLAGS else None)


def test_too_many_flags_are_not_evaluated_at_once() -> None:
    catalog = Catalog([Product(f"p{n}", "things", "", PHOTO, "own") for n in range(1001)])
    decider = a_decider(MemoryEventLog())
    app = create_app(decider, catalog, stored_variant, signer=SIGNER)
    with BackgroundServer(app) as server, httpx.Client(base_url=server.url) as client:
        answer = client.post(FLAGS, json={"context": {"targetingKey": "ann"}})
        assert answer.json()["errorCode"] == "INVALID_CONTEXT"
        assert "products" in answer.json()["errorDetails"]
        page = {"targetingKey": "ann", "products": [f"p{n}" for n in range(44)]}
        assert len(client.post(FLAGS, json={"context": page}).json()["flags"]) == 44


def test_a_photo_that_is_not_counted_is_the_default(tmp_path: Path) -> None:
    with closing(SqliteEventLog(tmp_path / "log.sqlite")) as log:
        decider: Decider = a_decider(log)
        catalog = Catalog([Product("shirt", "tops", "A shirt", PHOTO, "own")])
        app = create_app(decider, catalog, stored_variant, signer=SIGNER)
        log.close()
        with BackgroundServer(app) as server:
            context = {"context": {"targetingKey": "ann"}}
            told = httpx.post(f"{server.url}{FLAGS}/shirt", json=context).json()
    assert (told["reason"], told["variant"], told["value"]) == (
        "DEFAULT",
        "original",
        "/v1/photos/shirt",
    )
    assert told["metadata"] == {"counted": False, "test": "hero", "alt": "A shirt"}


def test_a_key_is_asked_for(guarded: Shop) -> None:
    provider = OFREPProvider(
        str(guarded.client.base_url), headers_factory=lambda: {"Authorization": f"Bearer {TOKEN}"}
    )
    api.set_provider(provider)
    try:
        told = api.get_client().get_string_details("shirt", "", EvaluationContext("ann"))
        assert told.error_code is None
        api.set_provider(OFREPProvider(str(guarded.client.base_url)))
        refused = api.get_client().get_string_details("shirt", "mine", EvaluationContext("ann"))
        assert (refused.value, refused.error_message) == ("mine", "unauthorized")
    finally:
        api.clear_providers()

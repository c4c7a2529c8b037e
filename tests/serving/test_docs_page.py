from __future__ import annotations

import re

from .conftest import Shop


def test_the_page_names_every_route_with_who_may_use_it(shop: Shop) -> None:
    document = shop.client.get("/openapi.json").json()
    answer = shop.client.get("/docs")
    assert answer.headers["content-type"].startswith("text/html")
    for path in document["paths"]:
        assert path in answer.text
    assert "key: serve, admin" in answer.text
    assert "everybody" in answer.text


def test_nothing_is_loaded_from_elsewhere_and_nothing_else_runs(shop: Shop) -> None:
    answer = shop.client.get("/docs")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert not re.search(r"(src|href)=\"(https?:)?//", answer.text)
    assert " style=" not in answer.text
    assert " onclick=" not in answer.text


def test_programs_are_told_who_may_and_what_else_can_be_answered(shop: Shop) -> None:
    document = shop.client.get("/openapi.json").json()
    events = document["paths"]["/v1/events"]["post"]
    assert events["security"] == [{"key": []}]
    assert {"401", "403", "413", "415", "429"} <= set(events["responses"])
    picture = document["paths"]["/v1/photos/{product}"]["get"]
    assert "security" not in picture
    assert "429" in picture["responses"]
    assert "401" not in picture["responses"]
    assert "key" in document["components"]["securitySchemes"]

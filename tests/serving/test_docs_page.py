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


def test_every_reference_leads_somewhere_and_every_name_has_its_pattern(shop: Shop) -> None:
    document = shop.client.get("/openapi.json").json()

    def walk(value: object) -> None:
        if isinstance(value, dict):
            if isinstance(to := value.get("$ref"), str):
                place: object = document
                for part in to.removeprefix("#/").split("/"):
                    assert isinstance(place, dict), to
                    place = place[part]
            for one in value.values():
                walk(one)
        elif isinstance(value, list):
            for one in value:
                walk(one)

    walk(document)
    patterns = {
        (path, given["name"]): given["schema"].get("pattern")
        for path, methods in document["paths"].items()
        for operation in methods.values()
        for given in operation.get("parameters", [])
    }
    assert patterns["/v1/variant", "shopper"].startswith("^[A-Za-z0-9")
    assert patterns["/v1/variants/{digest}", "digest"] == "^[0-9a-f]{64}$"
    assert patterns["/v1/renditions/{master}/{file}", "master"] == "^[0-9a-f]{64}$"
    assert patterns["/v1/renditions/{master}/{file}", "file"].startswith("^[1-9]")

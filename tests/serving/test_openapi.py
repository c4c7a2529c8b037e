"""Whatever the document of the service allows, and what it does not, by schemathesis."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import AuthContext, Case, HookContext, Response
from schemathesis.specs.openapi.checks import negative_data_rejection

from examples import SIGNER
from persona_img.serving.app import create_app
from persona_img.serving.memory_log import MemoryEventLog

from .conftest import TOKEN, a_catalog, a_decider, stored_variant

APP = create_app(
    a_decider(MemoryEventLog()),
    a_catalog(),
    stored_variant,
    signer=SIGNER,
    decision_seconds=10.0,
    tokens=(TOKEN,),
)
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", APP)
HOW = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@SCHEMA.auth()
class _Key:
    """The key that every page sends."""

    def get(self, case: Case, context: AuthContext) -> str:
        return TOKEN

    def set(self, case: Case, data: str, context: AuthContext) -> None:
        case.headers["Authorization"] = f"Bearer {data}"


def _known(name: object) -> object:
    """Chance names no product: of short texts of odd length this makes one that is there."""
    return "shirt" if isinstance(name, str) and len(name) < 100 and len(name) % 2 else name


@SCHEMA.hook
def map_query(context: HookContext, query: dict[str, Any] | None) -> dict[str, Any] | None:
    return query and {k: _known(v) if k == "product" else v for k, v in query.items()}


@SCHEMA.hook
def map_body(context: HookContext, body: Any) -> Any:
    if isinstance(body, dict) and isinstance(body.get("products"), list):
        return body | {"products": [_known(one) for one in body["products"]]}
    return body


@pytest.mark.slow
@SCHEMA.parametrize()
@HOW
def test_every_answer_is_one_that_the_document_promises(case: Case) -> None:
    answer = case.call_and_validate(excluded_checks=_left_out(case))
    if case.path == "/v1/events" and answer.status_code == 200:
        told = answer.json()
        kinds = Counter(one["outcome"] for one in told["events"])
        assert kinds["accepted"] == told["accepted"] == 0, "nobody was given a token"
        assert kinds["rejected"] == told["rejected"] == len(case.body["events"])


def _left_out(case: Case) -> list[Any]:
    """Of a batch of events what is wrong of one is answered beside the others, not instead."""
    return [negative_data_rejection] if case.path == "/v1/events" else []


class Visits(SCHEMA.as_state_machine()):  # type: ignore[misc]
    """Pictures asked for, and events with the tokens of their answers, in any order."""

    def validate_response(self, response: Response, case: Case, **given: Any) -> None:
        case.validate_response(response, excluded_checks=_left_out(case), transport_kwargs=given)
        if case.path == "/v1/events" and response.status_code == 200:
            ACCEPTED.extend(
                (event["kind"], event["token"])
                for event, told in zip(case.body["events"], response.json()["events"], strict=True)
                if told["outcome"] == "accepted"
            )


ACCEPTED: list[tuple[str, str]] = []


@pytest.mark.slow
def test_a_token_is_given_once_and_counts_once_for_each_kind() -> None:
    ACCEPTED.clear()
    Visits.run(settings=settings(HOW, max_examples=100, stateful_step_count=20))
    assert len(ACCEPTED) > 20, "links lead from pictures to events"
    assert len(set(ACCEPTED)) == len(ACCEPTED)


@pytest.mark.long
def test_the_same_for_longer() -> None:
    ACCEPTED.clear()
    Visits.run(settings=settings(HOW, max_examples=1000, stateful_step_count=50))
    assert len(set(ACCEPTED)) == len(ACCEPTED) > 1000

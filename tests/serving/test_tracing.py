"""Spans of requests, by the real SDK: whose they are, what they say, and what they never say."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from examples import SIGNER
from persona_img import wiring
from persona_img.errors import StoreFailed
from persona_img.serving.app import create_app
from persona_img.serving.decide import Decider
from persona_img.serving.known import Known
from persona_img.serving.otel import OtelSpans
from persona_img.serving.run import BackgroundServer
from persona_img.serving.sqlite_log import SqliteEventLog
from persona_img.serving.tracing import NO_SPANS, Spans

from .conftest import stored_variant
from .test_decide import HALVES, a_personal_table, shopper_in
from .test_halts import CATALOG

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
SHOPPER = shopper_in("personalized")
ASKED = {"shopper": SHOPPER, "product": "mug"}


def serving(folder: Path, spans: Spans):
    """Yields a client of a service over real connections, and its log."""
    known = Known(lambda *_: np.array([1.5]), wait=10.0)
    with closing(SqliteEventLog(folder / "log.sqlite")) as log:
        decider = Decider(a_personal_table(), HALVES, log, traits=known)
        app = create_app(
            decider, CATALOG, stored_variant, signer=SIGNER, known=known, spans=spans,
            decision_seconds=10.0, probe_seconds=0.0,
        )  # fmt: skip
        with BackgroundServer(app) as server, httpx.Client(base_url=server.url) as client:
            yield client, log
    known.close()


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def spans(exporter):
    with closing(OtelSpans(exporter)) as spans:
        yield spans


@pytest.fixture
def client(tmp_path, spans):
    for client, log in serving(tmp_path, spans):
        client.log = log
        yield client


def collected(spans: OtelSpans, exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    """Spans by name, all that there were since the last look."""
    spans.flush()
    found = exporter.get_finished_spans()
    exporter.clear()
    return {one.name: one for one in found}


def test_a_decision_lies_in_its_request_and_a_profile_in_its_decision(client, spans, exporter):
    collected(spans, exporter)
    shown = client.get("/v1/variant", params=ASKED, headers=TRACEPARENT)
    found = collected(spans, exporter)
    assert set(found) == {"GET /v1/variant", "decide", "profile"}
    request, decide, profile = found["GET /v1/variant"], found["decide"], found["profile"]
    assert format(request.context.trace_id, "032x") == TRACE
    assert format(request.parent.span_id, "016x") == PARENT
    assert decide.parent.span_id == request.context.span_id
    assert profile.parent.span_id == decide.context.span_id
    assert request.kind is SpanKind.SERVER
    assert dict(request.attributes) == {
        "http.request.method": "GET",
        "url.path": "/v1/variant",
        "http.route": "/v1/variant",
        "http.response.status_code": 200,
        "persona_img.request_id": shown.headers["x-request-id"],
    }
    assert dict(decide.attributes) == {"persona_img.products": 1}
    assert dict(profile.attributes) == {"persona_img.outcome": "read"}
    # What is remembered is not asked for.
    client.get("/v1/variant", params=ASKED)
    assert set(collected(spans, exporter)) == {"GET /v1/variant", "decide"}


def test_a_commit_lies_in_the_request_that_waits_for_it(client, spans, exporter):
    token = client.get("/v1/variant", params=ASKED).json()["token"]
    collected(spans, exporter)
    sent = {"events": [{"kind": "impression", "token": token}]}
    assert client.post("/v1/events", json=sent).json()["accepted"] == 1
    found = collected(spans, exporter)
    assert set(found) == {"POST /v1/events", "commit"}
    assert found["commit"].parent.span_id == found["POST /v1/events"].context.span_id
    assert dict(found["commit"].attributes) == {"persona_img.events": 1}


def test_each_request_at_once_has_its_own(client, spans, exporter):
    asked = {"shopper": SHOPPER, "products": ["mug", "lamp"]}
    threads = [
        threading.Thread(target=client.post, args=("/v1/decisions",), kwargs={"json": asked})
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spans.flush()
    made = exporter.get_finished_spans()
    requests = {one.context.span_id for one in made if one.name == "POST /v1/decisions"}
    decisions = [one.parent.span_id for one in made if one.name == "decide"]
    assert len(requests) == 20
    assert sorted(decisions) == sorted(requests)


def test_routes_of_the_framework_are_named_by_their_pattern_and_failures_told(
    client, spans, exporter
):
    client.get("/v1/photos/mug")
    client.get("/nowhere")
    client.log.close()
    client.get("/readyz")
    found = collected(spans, exporter)
    assert "GET /v1/photos/{product:path}" in found or "GET /v1/photos/{product}" in found
    assert found["GET"].attributes["http.response.status_code"] == 404
    assert found["GET"].status.status_code is StatusCode.UNSET
    assert found["GET /readyz"].status.status_code is StatusCode.ERROR


def test_an_error_within_is_told_by_its_kind_and_passed_on(spans, exporter):
    cause = OSError(f"[parameters: {SHOPPER}]")
    with pytest.raises(StoreFailed), spans.span("commit", events=3):
        raise StoreFailed(f"{SHOPPER}: full", "full") from cause
    told = collected(spans, exporter)["commit"]
    assert told.status.status_code is StatusCode.ERROR
    assert told.attributes["error.type"] == "StoreFailed"
    assert told.attributes["persona_img.reason"] == "full"
    assert SHOPPER not in told.to_json()


def test_a_log_that_fails_names_no_shopper_in_any_span(client, spans, exporter, monkeypatch):
    def fails(*_, **__):
        try:
            raise OSError(f"[SQL: SELECT] [parameters: {SHOPPER}]")
        except OSError as error:
            raise StoreFailed("the database is gone", "unreachable") from error

    token = client.get("/v1/variant", params=ASKED).json()["token"]
    collected(spans, exporter)
    monkeypatch.setattr(client.log, "seen", fails)
    monkeypatch.setattr(client.log, "record_events", fails)
    client.get("/v1/variant", params=ASKED)
    sent = {"events": [{"kind": "impression", "token": token}]}
    assert client.post("/v1/events", json=sent).status_code == 503
    found = collected(spans, exporter)
    assert found["decide"].attributes["error.type"] == "StoreFailed"
    assert {"GET /v1/variant", "decide", "POST /v1/events", "commit"} <= set(found)
    assert SHOPPER not in "".join(one.to_json() for one in found.values())


@pytest.fixture
def collector():
    """Takes OTLP over HTTP on a port of this machine."""
    got: list[ExportTraceServiceRequest] = []

    class Takes(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                raise AssertionError("nobody asked for gzip")
            got.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Takes)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("name", ["", "our-shop"])
def test_by_the_standard_variables_a_collector_gets_them_and_no_shoppers_name(
    tmp_path, monkeypatch, collector, name
):
    url, got = collector
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    monkeypatch.setenv("OTEL_SERVICE_NAME", name)
    spans = wiring.spans()
    assert spans.on
    for client, _ in serving(tmp_path, spans):
        client.get("/v1/variant", params=ASKED, headers=TRACEPARENT)
        client.post("/v1/decisions", json={"shopper": SHOPPER, "products": ["lamp"]})
    spans.close()  # sends what waits
    scopes = [resource for one in got for resource in one.resource_spans]
    services = {
        attribute.value.string_value
        for one in scopes
        for attribute in one.resource.attributes
        if attribute.key == "service.name"
    }
    assert services == {name or "persona-img"}
    made = [span for one in scopes for scope in one.scope_spans for span in scope.spans]
    assert {"GET /v1/variant", "POST /v1/decisions", "decide"} <= {one.name for one in made}
    assert bytes.fromhex(TRACE) in {one.trace_id for one in made}
    assert not any(SHOPPER in str(attribute) for one in made for attribute in one.attributes)


def test_what_is_not_sampled_is_not_sent(monkeypatch, exporter):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    with closing(OtelSpans(exporter)) as spans:
        with spans.request("GET", []), spans.span("decide"):
            pass
        assert collected(spans, exporter) == {}


def test_a_collector_that_hangs_keeps_nobody_from_ending():
    go = threading.Event()

    class Hangs(SpanExporter):
        def export(self, _: object) -> SpanExportResult:
            go.wait(60)
            return SpanExportResult.SUCCESS

    spans = OtelSpans(Hangs())
    with spans.span("decide"):
        pass
    spans.close()  # returns
    assert not go.is_set()
    go.set()


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "shop"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1"}, True),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, False),
        ({"OTEL_SDK_DISABLED": "True", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, False),
    ],
)
def test_they_are_made_where_a_variable_asks_for_them(given, asked, monkeypatch):
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    spans = wiring.spans(given)
    assert spans.on is asked
    spans.close()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "'zipkin'"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "carrier-pigeon"}, "otlp_proto_carrier-pigeon"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "10"}, "max_queue_size"),
        ({"OTEL_PROPAGATORS": "carrier-pigeon"}, "carrier-pigeon"),
    ],
)
def test_what_cannot_be_sent_as_asked_is_not_and_the_service_goes_on(given, named):
    # In a process of its own: propagators are read as OpenTelemetry is imported.
    code = """
import os
from persona_img import wiring
from persona_img.serving.tracing import NO_SPANS
assert wiring.spans(os.environ) is NO_SPANS
"""
    asked = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"} | given
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | asked, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "no traces are sent" in done.stderr
    assert named in done.stderr


def test_of_several_exporters_the_first_gets_them(monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console, otlp")
    with closing(wiring.spans({"OTEL_TRACES_EXPORTER": "console, otlp"})) as spans:
        assert spans.on


def test_without_the_extra_the_log_says_so_and_the_service_goes_on(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "persona_img.serving.otel", None)
    assert wiring.spans({"OTEL_TRACES_EXPORTER": "otlp"}) is NO_SPANS
    assert "pip install 'persona-img[otel]'" in caplog.text


def test_unasked_nothing_of_it_is_imported_and_nothing_stands_in_the_way(tmp_path):
    code = """
import sys
from persona_img import wiring
from persona_img.serving import app, deciding, known
spans = wiring.spans({})
assert spans.carried(len) is len
ours = ("opentelemetry.sdk", "opentelemetry.exporter", "persona_img.serving.otel")
print(*(name for name in sys.modules if name.startswith(ours)))  # FastAPI has the bare API
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
    for client, _ in serving(tmp_path, NO_SPANS):
        assert client.get("/v1/variant", params=ASKED, headers=TRACEPARENT).status_code == 200

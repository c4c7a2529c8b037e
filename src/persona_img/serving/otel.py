"""Spans by OpenTelemetry, sent as the standard ``OTEL_*`` variables say.

Sampling, names of the service, propagators, batching and addresses are the SDK's own to read. See
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from opentelemetry import context, propagate, trace
from opentelemetry.environment_variables import OTEL_TRACES_EXPORTER
from opentelemetry.sdk.environment_variables import (
    OTEL_EXPORTER_OTLP_PROTOCOL,
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL,
    OTEL_SERVICE_NAME,
)
from opentelemetry.sdk.resources import (
    SERVICE_NAME,
    SERVICE_VERSION,
    OTELResourceDetector,
    Resource,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from persona_img.errors import InvalidInput, StoreFailed
from persona_img.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from persona_img.serving.tracing import Told

_P = ParamSpec("_P")
_T = TypeVar("_T")
_CLOSE_SECONDS = 1.0
_ERROR_TYPE = "error.type"
_NAMES = {
    "method": "http.request.method",
    "path": "url.path",
    "route": "http.route",
    "status": "http.response.status_code",
}
"""What the semantic conventions for HTTP have a name for; all else is ours."""


class OtelSpan:
    """A span of OpenTelemetry."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        self._method = ""

    def tell(self, **attributes: Told) -> None:
        """Say something of it."""
        for name, value in attributes.items():
            self._span.set_attribute(_NAMES.get(name, f"persona_img.{name}"), value)
        status = attributes.get("status")
        if isinstance(status, int) and status >= 500:
            self._span.set_status(StatusCode.ERROR)
        self._method = str(attributes.get("method", self._method))
        if "route" in attributes:
            self._span.update_name(f"{self._method} {attributes['route']}")


class OtelSpans:
    """:class:`~persona_img.serving.tracing.Spans` of a provider that is nobody else's.

    Args:
        exporter: Gets the spans, in batches; None for the one that the variables name.

    Raises:
        InvalidInput: they name one that is not installed.
    """

    on = True

    def __init__(self, exporter: SpanExporter | None = None) -> None:
        about = {SERVICE_VERSION: __version__}
        if SERVICE_NAME not in OTELResourceDetector().detect().attributes and not os.environ.get(
            OTEL_SERVICE_NAME
        ):
            about[SERVICE_NAME] = "persona-img"
        self._provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter or _exporter()))
        self._tracer = self._provider.get_tracer("persona_img", __version__)

    @contextmanager
    def span(self, name: str, **attributes: Told) -> Iterator[OtelSpan]:
        """See :meth:`Spans.span`."""
        with self._begun(name) as made:
            made.tell(**attributes)
            yield made

    @contextmanager
    def request(self, method: str, headers: Iterable[tuple[bytes, bytes]]) -> Iterator[OtelSpan]:
        """See :meth:`Spans.request`."""
        carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
        outer = propagate.extract(carrier)
        with self._begun(method, outer, SpanKind.SERVER) as made:
            made.tell(method=method)
            yield made

    @contextmanager
    def _begun(
        self,
        name: str,
        outer: context.Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> Iterator[OtelSpan]:
        # What an error says, and the errors that led to it, may name shoppers: a database's tells
        # its statement and what it was asked with.
        with self._tracer.start_as_current_span(
            name, outer, kind, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield OtelSpan(span)
            except Exception as error:
                span.set_attribute(_ERROR_TYPE, type(error).__qualname__)
                if isinstance(error, StoreFailed):
                    span.set_attribute("persona_img.reason", error.reason)
                span.set_status(StatusCode.ERROR)
                raise

    def carried(self, work: Callable[_P, _T]) -> Callable[_P, _T]:
        """See :meth:`Spans.carried`."""
        here = context.get_current()

        def there(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            token = context.attach(here)
            try:
                return work(*args, **kwargs)
            finally:
                context.detach(token)

        return there

    def flush(self) -> None:
        """Send what waits, however long that takes."""
        self._provider.force_flush()

    def close(self) -> None:
        """See :meth:`Spans.close`."""
        # A collector that hangs is not to keep a service from ending.
        ending = threading.Thread(target=self._provider.shutdown, name="otel-end", daemon=True)
        ending.start()
        ending.join(_CLOSE_SECONDS)


def _exporter() -> SpanExporter:
    # Several may be named; the first gets them.
    named = os.environ.get(OTEL_TRACES_EXPORTER, "").replace(" ", "").split(",")
    kind = next(filter(None, named), "otlp")
    if kind == "otlp":
        told = os.environ.get(OTEL_EXPORTER_OTLP_TRACES_PROTOCOL) or os.environ.get(
            OTEL_EXPORTER_OTLP_PROTOCOL, "http/protobuf"
        )
        kind = f"otlp_proto_{told.partition('/')[0]}"
    found = entry_points(group="opentelemetry_traces_exporter", name=kind)
    if not found:
        there = sorted({one.name for one in entry_points(group="opentelemetry_traces_exporter")})
        raise InvalidInput(
            f"{OTEL_TRACES_EXPORTER}: no exporter {kind!r} is installed, there are "
            f"{', '.join(there)}; install its package, or set {OTEL_TRACES_EXPORTER}=none"
        )
    made = next(iter(found)).load()()
    assert isinstance(made, SpanExporter)
    return made

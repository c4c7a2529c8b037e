"""Where spans of requests go: by the standard variables of OpenTelemetry, or nowhere."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from persona_img.errors import InvalidInput
from persona_img.serving.tracing import NO_SPANS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from persona_img.serving.tracing import Spans

_LOG = logging.getLogger(__name__)
_EXPORTER = "OTEL_TRACES_EXPORTER"
_ADDRESSES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def wanted(environ: Mapping[str, str]) -> str:
    """The variable that asks for spans; empty where none does.

    Example:
        >>> wanted({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"})
        'OTEL_EXPORTER_OTLP_ENDPOINT'
        >>> wanted({"OTEL_TRACES_EXPORTER": "none"}), wanted({"OTEL_SERVICE_NAME": "shop"})
        ('', '')
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return ""
    exporter = environ.get(_EXPORTER, "").strip()
    if exporter:
        return "" if exporter == "none" else _EXPORTER
    return next((name for name in _ADDRESSES if environ.get(name, "").strip()), "")


def spans(environ: Mapping[str, str] = os.environ) -> Spans:
    """What spans go to.

    Where the variables ask for it and it cannot be, for the extra ``otel`` is not installed, or the
    exporter or propagator that they name, or they contradict each other, nothing is sent and the
    log says so: a platform may set them for every program that it runs.
    """
    asked = wanted(environ)
    if not asked:
        return NO_SPANS
    try:
        from persona_img.serving.otel import OtelSpans

        return OtelSpans()
    except ImportError as error:
        _LOG.warning(
            "%s is set, and no traces are sent: %s; pip install 'persona-img[otel]'", asked, error
        )
    except (InvalidInput, ValueError) as error:
        _LOG.warning("%s is set, and no traces are sent: %s", asked, error)
    return NO_SPANS

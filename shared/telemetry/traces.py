"""Traces by hand: standard OTEL_ variables, off unless an exporter is named. No span carries a payload or a message key.

Consumers link to the producing trace and continue it; the context is stored in the commit, so it survives a relay crash.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Event
from typing import Final

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

_PROPAGATOR: Final = TraceContextTextMapPropagator()
_configured: Final = Event()
_TRACER: Final = trace.get_tracer("kapcare")


def configure_traces(service: str) -> TracerProvider | None:
    """Export spans if OTEL_TRACES_EXPORTER is `otlp` or `console`, or an OTLP endpoint is named; otherwise stay off."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    endpoint = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    wanted = os.environ.get("OTEL_TRACES_EXPORTER", "otlp" if endpoint else "none")
    if wanted not in {"otlp", "console"}:
        return None
    provider = TracerProvider(resource=Resource.create({"service.name": f"kapcare-{service}"}))
    exporter = OTLPSpanExporter() if wanted == "otlp" else ConsoleSpanExporter()
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    _configured.set()
    return provider


def tracing() -> bool:
    """Whether spans go anywhere."""
    return _configured.is_set()


def current_traceparent() -> str | None:
    """Return the W3C traceparent of the current span, or None outside of one."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


@contextmanager
def span(
    name: str, kind: SpanKind, attributes: Mapping[str, AttributeValue], *, parent: str | None = None, link: str | None = None
) -> Iterator[Span]:
    """Open a span; `parent` and `link` are traceparents, and a malformed one counts as absent.

    An error is recorded by its type alone: its text could carry what must not leave.
    """
    context = _PROPAGATOR.extract({"traceparent": parent}) if parent else None
    links = []
    if link:
        linked = trace.get_current_span(_PROPAGATOR.extract({"traceparent": link})).get_span_context()
        if linked.is_valid:
            links.append(Link(linked))
    with _TRACER.start_as_current_span(
        name, context=context, kind=kind, attributes=attributes, links=links, record_exception=False, set_status_on_exception=False
    ) as opened:
        try:
            yield opened
        except Exception as error:
            opened.set_attribute("error.type", type(error).__qualname__)
            opened.set_status(Status(StatusCode.ERROR))
            raise

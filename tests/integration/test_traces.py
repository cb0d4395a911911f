"""One trace from the decision over Kafka to the reaction: spans by hand, by the messaging conventions, without payloads."""

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from shared.service.runtime import Runtime
from shared.settings import Settings
from shared.telemetry import traces
from tests import toy


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(traces, "_TRACER", provider.get_tracer("test"))
    for module in ("shared.transport.relay", "shared.transport.reacting"):
        monkeypatch.setattr(f"{module}.tracing", lambda: True)
    yield exporter
    provider.shutdown()


async def test_a_reaction_continues_the_trace_of_its_cause(mongo_url: str, kafka_bootstrap: str, spans: InMemorySpanExporter) -> None:
    settings = toy.settings_for(mongo_url, kafka_bootstrap, toy.unique())
    await toy.make_topics(kafka_bootstrap, settings.topic_prefix)
    async with toy.runtime_of(toy.INTAKE, settings) as intake, toy.runtime_of(toy.PRESCRIBER, settings) as prescriber:
        case = await toy.begin_case(intake)
        with traces.span("POST /cases/{case}/facts", SpanKind.SERVER, {}):
            await toy.add_fact(intake, case, "secret-canary")
        async with toy.relaying(intake), toy.consuming(prescriber):
            await toy.eventually(lambda: _version(prescriber, case))
    finished = spans.get_finished_spans()
    (post,) = [span for span in finished if span.name.startswith("POST")]
    trace = post.context.trace_id if post.context else None
    sent = [span for span in finished if span.kind is SpanKind.PRODUCER and span.context and span.context.trace_id == trace]
    processed = [span for span in finished if span.kind is SpanKind.CONSUMER and span.context and span.context.trace_id == trace]
    assert len(sent) == 1
    assert len(processed) == 1
    assert sent[0].context is not None
    assert [link.context.span_id for link in processed[0].links] == [sent[0].context.span_id]
    stored = await _trace_of(settings, case)
    assert stored == f"{trace:032x}", "the reaction's commit belongs to the same trace"
    shown = " ".join(span.to_json() for span in finished)
    assert "secret-canary" not in shown
    assert case not in shown


async def _version(runtime: Runtime, case: str) -> int:
    return (await runtime.load(case)).version


async def _trace_of(settings: Settings, case: str) -> str:
    async with toy.runtime_of(toy.PRESCRIBER, settings) as prescriber:
        commit = await prescriber.database["commits"].find_one({"stream": case})
        assert commit is not None
        return str(commit["trace"]).split("-")[1]

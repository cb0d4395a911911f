"""What is put on the topic by hand."""

from typing import Any

from shared.events.codec import Sealed
from tests import toy
from tests.faults.injected import Wire, produce, wire

MISSING = "predecessor-missing"
BEHIND = "behind-a-parked-event"


async def send(stage: toy.Stage, *records: Wire) -> None:
    await produce(stage.settings.kafka_bootstrap, stage.topic, records)


def changed(event: Sealed, **headers: str | None) -> Wire:
    return wire(event, {f"ce_{name}": value for name, value in headers.items()})


async def was_logged(entries: list[Any], begins: str) -> bool:
    return any(entry["event"].startswith(begins) and entry["log_level"] == "error" for entry in entries)

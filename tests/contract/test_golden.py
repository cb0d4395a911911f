"""Every event type that was ever published still reads, and writes what it wrote: the files are the promise."""

import json
from datetime import UTC, datetime

import pytest

from shared.events.base import Envelope
from shared.events.codec import open_sealed, seal
from shared.events.registry import BY_TYPE, PUBLISHED
from shared.events.topics import source_of
from shared.vault.port import CaseKey
from tests.contract.make_golden import GOLDEN

KEY = CaseKey(bytes(range(32)))


def test_every_type_is_pinned_and_nothing_else() -> None:
    assert {file.stem for file in GOLDEN.glob("*.json")} == set(BY_TYPE), "run `python -m tests.contract.make_golden`"


def test_type_names_are_literal_and_name_their_publisher() -> None:
    for service, events in PUBLISHED.items():
        for event in events:
            assert f"kapcare.{service}.{event.__name__}.v1" == event.TYPE
    assert len(BY_TYPE) == sum(len(events) for events in PUBLISHED.values())


@pytest.mark.parametrize("name", BY_TYPE)
def test_a_full_payload_reads_and_writes_the_same(name: str) -> None:
    """But for optional fields that came later."""
    pinned = json.loads((GOLDEN / f"{name}.json").read_text())["full"]
    event = BY_TYPE[name].model_validate_json(json.dumps(pinned))
    assert json.loads(event.model_dump_json(exclude_unset=True)) == pinned


@pytest.mark.parametrize("name", BY_TYPE)
def test_a_minimal_payload_still_reads(name: str) -> None:
    """A field that becomes required breaks every event that was stored without it."""
    pinned = json.loads((GOLDEN / f"{name}.json").read_text())["minimal"]
    written = json.loads(BY_TYPE[name].model_validate_json(json.dumps(pinned)).model_dump_json(exclude_unset=True))
    assert {field: written[field] for field in pinned} == pinned


@pytest.mark.parametrize("name", BY_TYPE)
def test_a_reader_ignores_a_field_of_a_later_minor_version(name: str) -> None:
    pinned = json.loads((GOLDEN / f"{name}.json").read_text())["full"]
    read = BY_TYPE[name].model_validate_json(json.dumps({**pinned, "added_later": {"deep": [1]}}))
    assert json.loads(read.model_dump_json(exclude_unset=True)) == pinned


@pytest.mark.parametrize("name", BY_TYPE)
def test_a_payload_survives_sealing(name: str) -> None:
    event = BY_TYPE[name].model_validate(json.loads((GOLDEN / f"{name}.json").read_text())["full"])
    envelope = Envelope(
        id="a.0",
        source=source_of(name.split(".")[1]),
        type=name,
        subject="case-1",
        time=datetime(2026, 3, 2, 10, tzinfo=UTC),
        sequence=7,
        clinic="riverside",
        patient="patient-1",
        actor="clinician",
        correlation="a",
    )
    recorded = open_sealed(seal(event, envelope, KEY), KEY)
    assert recorded.data == event
    assert recorded.envelope == envelope

"""Records that are no event, or no event that this version knows: parked, and the rest flows (F22; bad input B28)."""

import pytest

from shared.events.codec import Sealed
from shared.pathway.refusal import Refusal
from tests import toy
from tests.faults.injected import Wire, events_of, wire
from tests.integration.consumer.sent import BEHIND, changed, send


def poison(event: Sealed) -> dict[str, tuple[Wire, str]]:
    """Records that are no event of the contract, with the reason each is parked for."""
    headers = {**event.headers, "kapcare_epoch": "1"}
    pairs = [(name, value.encode()) for name, value in headers.items()]
    return {
        "no-headers": (wire(event, headers=[]), "not-a-cloudevent-1.0"),
        "null-value": (wire(event, value=None), "no-data"),
        "not-utf-8": (wire(event, headers=[*pairs, ("ce_note", b"\xff\xfe")]), "header-not-utf-8"),
        "null-header": (wire(event, headers=[*pairs, ("ce_note", None)]), "header-not-utf-8"),
        "twice-the-same-id": (wire(event, headers=[*pairs, ("ce_id", headers["ce_id"].encode())]), "repeated-header"),
        "spec-0.3": (changed(event, specversion="0.3"), "not-a-cloudevent-1.0"),
        "content-type": (wire(event, {"content-type": "application/cloudevents+avro"}), "content-type"),
        "no-id": (changed(event, id=None), "attribute-missing"),
        "empty-patient": (changed(event, patient=""), "attribute-missing"),
        "wrong-source": (changed(event, source="urn:kapcare:session"), "source-does-not-own-topic"),
        "foreign-source": (changed(event, source="https://elsewhere.example/x"), "source-does-not-own-topic"),
        "other-key": (wire(event, key=b"case-another"), "key-is-not-the-stream"),
        "no-key": (wire(event, key=None), "key-is-not-the-stream"),
        "sequence-0": (changed(event, sequence="0" * 20), "sequence"),
        "sequence-negative": (changed(event, sequence="-0000000000000000001"), "sequence"),
        "sequence-short": (changed(event, sequence="2"), "sequence"),
        "sequence-beyond-64-bits": (changed(event, sequence="9" * 20), "sequence"),
        "sequence-other-digits": (changed(event, sequence="\u0660" * 19 + "\u0662"), "sequence"),
        "time-without-zone": (changed(event, time="2026-01-01T00:00:00"), "time"),
        "time-impossible": (changed(event, time="2026-02-30T00:00:00Z"), "time"),
        "header-name-with-nul": (wire(event, headers=[*pairs, ("x\0y", b"1")]), "header-name"),
        "header-name-empty": (wire(event, headers=[*pairs, ("", b"1")]), "header-name"),
        "header-name-operator": (wire(event, headers=[*pairs, ("$set", b"1")]), "header-name"),
    }


async def test_poison_is_parked_with_its_reason_and_the_rest_flows(stage: toy.Stage) -> None:
    """The poisons speak of sequence 3, with 1 and 2 not yet there: whatever would hold or park them must stand the bytes."""
    case = await stage.case("one", "two")
    referred, one, two = await events_of(stage.intake, case)
    poisons = poison(two)
    await send(stage, *[record for record, _ in poisons.values()], wire(referred), wire(one), wire(two))
    async with toy.consuming(stage.prescriber):
        await stage.ordered(case, "one", "two")
        parked = await stage.parked("")
        assert sorted(reason for _, _, reason in parked) == sorted(reason for _, reason in poisons.values())
        assert await stage.parked(case) == []
        row = (await stage.prescriber.parking.rows())[0]
        with pytest.raises(Refusal):
            await stage.prescriber.parking.ask_replay(row["id"])
        await stage.prescriber.parking.discard(row["id"], "written by a test")
        assert len(await stage.parked("")) == len(parked) - 1


async def test_sealed_bytes_that_do_not_open_park_their_stream_alone(stage: toy.Stage) -> None:
    cases = [await stage.case("one", "two") for _ in range(4)]
    events = {case: await events_of(stage.intake, case) for case in cases}
    flipped = bytearray(events[cases[0]][1].data)
    flipped[20] ^= 1
    await send(
        stage,
        *[wire(events[case][0]) for case in cases],
        wire(events[cases[0]][1], value=bytes(flipped)),
        wire(events[cases[1]][1], value=events[cases[0]][1].data),  # another case's data
        wire(events[cases[2]][1], value=b""),
        wire(events[cases[3]][1]),
        *[wire(events[case][2]) for case in cases],
    )
    async with toy.consuming(stage.prescriber):
        await stage.ordered(cases[3], "one", "two")
        for case in cases[:3]:
            await stage.waits_as(case, (2, "parked", "not-sealed-for-this-event"), (3, "parked", BEHIND))
            assert await stage.order(case) == []


TELLING = (("ce_time", b"2026-03-02T10:00:00Z"), ("kapcare_partitions", b"2"), ("kapcare_above", b"-1"))
"""What else a heartbeat says."""


async def test_a_heartbeat_of_nobody_is_passed_over(stage: toy.Stage) -> None:
    case = await stage.case("one")
    beat = b"kapcare.heartbeat.v1"
    await send(
        stage,
        Wire(None, b"", [("ce_type", beat), ("ce_source", None)]),  # type: ignore[list-item]
        Wire(b"case-1", None, [("ce_type", beat)]),
        Wire(None, b"", [("ce_type", beat), ("ce_source", b"\xff"), ("kapcare_epoch", b"x")]),
        Wire(None, b"", [("ce_type", beat), ("ce_source", b"urn:kapcare:session"), *TELLING]),
        Wire(None, b"", [("ce_type", beat), ("ce_source", b"urn:kapcare:intake"), ("ce_time", b"soon"), *TELLING[1:]]),
        Wire(None, b"", [("ce_type", beat), ("ce_source", b"urn:kapcare:intake"), *TELLING, ("kapcare_partitions", b"0")]),
        Wire(None, b"", [("ce_type", beat), ("ce_source", b"urn:kapcare:intake"), *TELLING, ("kapcare_above", b"900")]),
        *[wire(event) for event in await events_of(stage.intake, case)],
    )
    async with toy.consuming(stage.prescriber):
        await stage.ordered(case, "one")
    assert await stage.prescriber.views.oldest() == {}
    assert await stage.parked() == []


async def test_an_unknown_major_of_a_known_type_parks_and_what_follows_it_waits_behind(stage: toy.Stage) -> None:
    case = await stage.case("one", "two", "three")
    referred, one, two, three = await events_of(stage.intake, case)
    await send(stage, wire(referred), wire(one), changed(two, type="kapcare.intake.FactsStated.v2"), wire(three))
    async with toy.consuming(stage.prescriber):
        await stage.waits_as(case, (3, "parked", "unknown-major-version"), (4, "parked", BEHIND))
    assert await stage.order(case) == ["one"]


async def test_an_unknown_type_only_moves_the_position(stage: toy.Stage) -> None:
    case = await stage.case("one", "two")
    referred, one, two = await events_of(stage.intake, case)
    await send(stage, wire(referred), changed(one, type="kapcare.intake.SomethingNew.v1"), wire(two))
    async with toy.consuming(stage.prescriber):
        await stage.ordered(case, "two")
    assert await stage.parked() == []


async def test_a_withdrawal_may_be_the_first_that_a_service_hears_of_a_case(stage: toy.Stage) -> None:
    case = await stage.case()
    await toy.withdraw(stage.intake, case)
    await send(stage, *[wire(event) for event in await events_of(stage.intake, case)])
    async with toy.consuming(stage.prescriber):
        await stage.ordered(case, "urn:kapcare:intake")
    loaded = await stage.prescriber.load(case)
    assert loaded.state.withdrawn
    assert (loaded.clinic, loaded.patient, loaded.version) == ("riverside", "patient-1", 1)

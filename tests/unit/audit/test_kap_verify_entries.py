"""What the verifier says of entries, against the ledger's own reading of them and against what a stream must be."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit import kap_verify
from services.audit.domain.clear import REFUSALS
from services.audit.domain.entry import MalformedEntry, entry_bytes, read_entry
from services.audit.domain.query import FILTERS

MERKLE = Path(__file__).resolve().parents[2] / "vectors" / "merkle" / "inclusion.json"
HEADERS = {"ce_source": "urn:kapcare:intake", "ce_subject": "case-1", "ce_sequence": f"{1:020d}", "ce_time": "2026-03-01T08:00:00.000Z"}


def test_inclusion_vectors() -> None:
    """All 98 of transparency-dev/merkle."""
    vectors = json.loads(MERKLE.read_bytes())
    wrong = []
    for vector in vectors:
        leaf, root, *proof = map(base64.b64decode, (vector["leaf"], vector["root"], *vector["proof"]))
        if kap_verify.inclusion_holds(leaf, vector["index"], vector["size"], proof, root) is not vector["valid"]:
            wrong.append(vector["desc"])
    assert (len(vectors), wrong) == (98, [])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.fixed_dictionaries({"headers": st.dictionaries(st.sampled_from([*HEADERS, "x"]), JSON) | st.just(HEADERS) | JSON, "previous": JSON})
    | JSON,
    st.sampled_from([(",", ":"), (", ", ":")]),
    st.binary(max_size=3),
)
def test_it_reads_an_entry_as_the_ledger_does(content: Any, separators: tuple[str, str], data: bytes) -> None:
    """Whatever the JSON is: what one refuses the other refuses, but for the headers that the verifier needs."""
    entry = json.dumps(content, sort_keys=True, separators=separators).encode() + data
    try:
        read = read_entry(entry)
    except MalformedEntry:
        read = None
    try:
        found = kap_verify.read_entry(entry, 5)
    except kap_verify.Refused:
        assert read is None or read.headers.keys() < {*HEADERS} or not read.headers.get("ce_sequence", "").isdigit()
    else:
        assert read is not None
        assert found == (read.headers, read.previous)


@pytest.mark.parametrize(
    ("this", "that"),
    [
        (b'{"headers"', b'{ "headers"'),
        (b'"previous":4', b'"previous": 4'),
        (b'"previous":4', b'"previous":4,"previous":4'),
        (b'"previous":4', b'"previous":4,"more":4'),
        (b'"previous":4', b'"previous":4.0'),
        (b'"previous":4', b'"previous":true'),
        (b',"previous":4', b""),
        (b"case-1", b"case-\\u0031"),
        (b'"ce_source"', b'"z"'),
        (b'"urn:kapcare:intake"', b"5"),
        (b"00000000000000000001", b"0000000000000000001"),
        (b"00000000000000000001", b"-0000000000000000001"),
        (b"}\ndata", b"}\r\ndata"),
        (b"}\ndata", b"}data"),
        (b"}\ndata", b"}"),
    ],
)
def test_only_one_spelling_is_read(this: bytes, that: bytes) -> None:
    entry = entry_bytes(HEADERS, 4, b"data")
    assert kap_verify.read_entry(entry, 5) == (HEADERS, 4)
    assert entry.count(this) == 1
    with pytest.raises(kap_verify.Refused, match="Entry 5"):
        kap_verify.read_entry(entry.replace(this, that), 5)


@pytest.mark.parametrize(
    "line", [b"[" * 60_000, b'{"headers":{},"previous":' + b"9" * 5000 + b"}", b'"\\ud800"', b"\xff", b"null", b"NaN", b""]
)
def test_no_line_is_too_odd(line: bytes) -> None:
    for entry in (line, line + b"\n", line + b"\ndata"):
        with pytest.raises(kap_verify.Refused, match="Entry 5"):
            kap_verify.read_entry(entry, 5)


def take(*entries: tuple[str, str, int, int | None, str]) -> kap_verify.Streams:
    streams = kap_verify.Streams()
    for index, (source, subject, sequence, previous, time) in enumerate(entries):
        headers = {"ce_source": source, "ce_subject": subject, "ce_sequence": f"{sequence:020d}", "ce_time": time}
        streams.take(index, kap_verify.read_entry(entry_bytes(headers, previous, b""), index))
    return streams


NOON, LATER = "2026-03-01T12:00:00.000Z", "2026-03-01T12:10:00.000Z"


def test_what_follows_as_it_must() -> None:
    assert take(("a", "x", 1, None, NOON), ("b", "x", 1, 0, NOON), ("a", "y", 1, None, NOON), ("a", "x", 2, 1, LATER)).warnings == []


@pytest.mark.parametrize(
    ("entries", "reason", "index"),
    [
        ([("a", "x", 2, None, NOON)], "sequence-gap", 0),
        ([("a", "x", 1, None, NOON), ("a", "x", 3, 0, NOON)], "sequence-gap", 1),
        ([("a", "x", 1, None, NOON), ("a", "x", 1, 0, NOON)], "sequence-gap", 1),
        ([("a", "x", 1, 0, NOON)], "case-chain-broken", 0),
        ([("a", "x", 1, None, NOON), ("b", "x", 1, None, NOON)], "case-chain-broken", 1),
        ([("a", "x", 1, None, NOON), ("b", "x", 1, 0, NOON), ("a", "x", 2, 0, NOON)], "case-chain-broken", 2),
    ],
)
def test_what_does_not_is_named(entries: list[tuple[str, str, int, int | None, str]], reason: str, index: int) -> None:
    with pytest.raises(kap_verify.Refused) as refused:
        take(*entries)
    assert (refused.value.reason, refused.value.index) == (reason, index)


@pytest.mark.parametrize(
    ("second", "warned"),
    [
        ("2026-03-01T12:05:00.000Z", False),
        ("2026-03-01T12:04:59.999Z", True),
        ("2026-03-01T12:10:00.000Z", False),
        ("2026-03-01T14:10:00+02:00", False),
        ("2026-03-01T14:04:00+02:00", True),
        ("2026-03-01T12:10:00", True),
        ("yesterday", True),
        ("", True),
    ],
)
def test_a_time_long_before_that_of_the_entry_before_is_warned_of(second: str, warned: bool) -> None:
    """Five minutes are the tolerance of clocks; streams of other services do not count."""
    streams = take(("a", "x", 1, None, LATER), ("b", "x", 1, 0, "2026-03-01T00:00:00.000Z"), ("a", "x", 2, 1, second))
    assert (streams.warnings != []) is warned


def test_warnings_do_not_grow_without_end() -> None:
    odd = [("a", "x", sequence, sequence - 2 if sequence > 1 else None, "odd") for sequence in range(1, 400)]
    assert len(take(*odd).warnings) == kap_verify.WARNINGS_LIMIT + 1


def test_names_from_files_can_do_nothing_to_a_terminal() -> None:
    with pytest.raises(kap_verify.Refused) as refused:
        take(("\x1b[2J\x7f\u202e", "x\n", 2, None, NOON))
    assert refused.value.message.isascii()
    assert refused.value.message.isprintable()


PARTNER = {"ce_actor": "oak.north.k1", "ce_roles": "partner"}


@pytest.mark.parametrize(
    ("name", "value", "headers", "asked"),
    [
        ("case", "case-1", {}, True),
        ("case", "case-2", {}, False),
        ("source", "intake", {}, True),
        ("source", "urn:kapcare:intake", {}, True),
        ("source", "session", {}, False),
        ("role", "nurse", {"ce_roles": "coordinator,nurse"}, True),
        ("role", "nurs", {"ce_roles": "coordinator,nurse"}, False),
        ("role", "nurse", {}, False),
        ("policy", "p.1", {"ce_policyversion": "p.1"}, True),
        ("policy", "p.1", {}, False),
        ("partner", "oak", PARTNER, True),
        ("partner", "oak.north", PARTNER, True),
        ("partner", "oak.north.k1", PARTNER, False),
        ("partner", "oak", {"ce_actor": "oak.k1"}, False),
        ("partner", "oak", {"ce_actor": "partner:oak"}, True),
        ("partner", "oak", {"ce_actor": "partner:oak/dr-7"}, True),
        ("partner", "oak", {"ce_actor": "partner:oakland"}, False),
        ("partner", "oak", {"ce_subject": "partner-oak"}, True),
        ("partner", "oak", {"ce_recipient": "oak"}, True),
        ("partner", "oak", {"ce_recipient": "oakland"}, False),
        ("patient", "patient-2", {"ce_patient": "patient-1,patient-2"}, True),
        ("patient", "patient-2", {"ce_patient": "patient-1,patient-22"}, False),
        ("clinic", "north", {"ce_clinic": "north,south"}, True),
        ("about", "case-2", {"ce_about": "case-1,case-2"}, True),
        ("about", "case-2", {}, False),
        ("purpose", "ETREAT", {"ce_purpose": "ETREAT"}, True),
        ("purpose", "TREAT", {"ce_purpose": "ETREAT"}, False),
        ("address", "10.0.0.7", {"ce_address": "10.0.0.7"}, True),
        ("address", "10.0.0.7", {}, False),
        ("outcome", "refused", {"ce_type": "kapcare.access.AccessRefused.v1"}, True),
        ("outcome", "refused", {"ce_type": "kapcare.access.LoginFailed.v1"}, True),
        ("outcome", "done", {"ce_type": "kapcare.access.RecordRead.v1"}, True),
        ("type", "kapcare.session.*", {"ce_type": "kapcare.session.StepRefused.v1"}, True),
        ("type", "kapcare.*.StepRefused.v1", {"ce_type": "kapcare.session.StepRefused.v1"}, True),
        ("type", "kapcare.*.StepRefused", {"ce_type": "kapcare.session.StepRefused.v1"}, False),
        ("type", "a,kapcare.session.StepRefused.v1", {"ce_type": "kapcare.session.StepRefused.v1"}, True),
        ("type", "kapcare.session.StepRefused", {"ce_type": "kapcare.session.StepRefused.v1"}, False),
        ("type", "kapcare.session.StepRefused.v1.*", {"ce_type": "kapcare.session.StepRefused.v1"}, False),
        ("outcome", "refused", {"ce_type": "kapcare.session.StepRefused.v1"}, True),
        ("outcome", "done", {"ce_type": "kapcare.session.StepRefused.v1"}, False),
        ("outcome", "done", {"ce_type": "kapcare.intake.ScreenedOut.v1"}, True),
        ("from", "2026-03-01T08:00:00Z", {}, True),
        ("from", "2026-03-01T09:00:00.0009+01:00", {}, True),
        ("from", "2026-03-01T08:00:00.001Z", {}, False),
        ("to", "2026-03-01T08:00:00.001Z", {}, True),
        ("to", "2026-03-01T08:00:00.0009Z", {}, False),
        ("to", "2026-03-01T08:00:00Z", {}, False),
        ("happened_from", "2026-03-01T08:00:00Z", {}, True),
        ("happened_from", "2026-03-01T08:00:00.001Z", {}, False),
        ("happened_from", "2026-02-28T22:00:00Z", {"ce_happened": "2026-02-28T22:00:00.000Z"}, True),
        ("happened_from", "2026-02-28T22:00:00.001Z", {"ce_happened": "2026-02-28T22:00:00.000Z"}, False),
        ("happened_to", "2026-03-01T08:00:00Z", {}, False),
        ("happened_to", "2026-02-28T22:00:00.001Z", {"ce_happened": "2026-02-28T22:00:00.000Z"}, True),
        ("happened_to", "2026-02-28T22:00:00Z", {"ce_happened": "2026-02-28T22:00:00.000Z"}, False),
        ("from", "2026-03-01T08:00:00Z", {"ce_happened": "2026-02-28T22:00:00.000Z"}, True),
    ],
)
def test_filters_ask_for_what_the_auditor_guide_says(name: str, value: str, headers: dict[str, str], asked: bool) -> None:
    """Expected by hand, from the words of the guide and of the ledger's API; the entry was recorded at 08:00 exactly."""
    assert kap_verify.FILTERS[name]({**HEADERS, **headers}, value) is asked


def test_the_verifier_knows_every_filter_of_an_export() -> None:
    assert set(kap_verify.FILTERS) == FILTERS
    assert set(kap_verify.REFUSALS) == REFUSALS

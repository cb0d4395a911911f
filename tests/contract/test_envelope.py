"""The clear envelope in both directions: what was ever published still reads, and what is written now is pinned literally.

The headers are written out by hand from the CloudEvents 1.0.2 Kafka binding and from what earlier releases published.
"""

from datetime import UTC, datetime

import pytest

from shared.events.asyncapi import ATTRIBUTES, OPTIONAL
from shared.events.base import Access, Envelope
from shared.events.codec import read_envelope, seal
from shared.events.intake import SuicideRiskScreenRequired
from shared.vault.port import CaseKey

EVENT = SuicideRiskScreenRequired(because="test")
OLD = {
    "content-type": "application/vnd.kapcare.sealed",
    "ce_specversion": "1.0",
    "ce_id": "c0ffee.0",
    "ce_source": "urn:kapcare:intake",
    "ce_type": "kapcare.intake.SuicideRiskScreenRequired.v1",
    "ce_subject": "case-1",
    "ce_time": "2026-03-02T10:30:00.000Z",
    "ce_sequence": "00000000000000000007",
    "ce_clinic": "riverside",
    "ce_patient": "patient-1",
    "ce_actor": "clinician",
    "ce_correlationid": "c0ffee",
}
"""As published before envelopes had roles and the policy's version."""
NEW = {**OLD, "ce_roles": "coordinator,therapist", "ce_policyversion": "network-2026.1"}


def envelope(**later: object) -> Envelope:
    made = {"id": "c0ffee.0", "source": "urn:kapcare:intake", "type": EVENT.TYPE, "subject": "case-1"}
    made |= {"clinic": "riverside", "patient": "patient-1", "actor": "clinician", "correlation": "c0ffee"}
    return Envelope(time=datetime(2026, 3, 2, 10, 30, tzinfo=UTC), sequence=7, **made, **later)  # type: ignore[arg-type]


BEFORE = datetime(2026, 3, 1, 22, 15, tzinfo=UTC)
WITH_BOTH = envelope(roles=frozenset({"therapist", "coordinator"}), policy_version="network-2026.1")


@pytest.mark.parametrize(("headers", "expected"), [(OLD, envelope()), (NEW, WITH_BOTH)], ids=["old", "new"])
def test_reads(headers: dict[str, str], expected: Envelope) -> None:
    assert read_envelope(headers) == expected


@pytest.mark.parametrize(("made", "expected"), [(envelope(), OLD), (WITH_BOTH, NEW)], ids=["old", "new"])
def test_writes(made: Envelope, expected: dict[str, str]) -> None:
    """What is not set is not written, so an old event keeps its bytes, and with them its leaf in the ledger."""
    assert dict(seal(EVENT, made, CaseKey(bytes(32))).headers) == expected


def test_when_it_happened_stands_beside_when_it_was_recorded() -> None:
    headers = {**OLD, "ce_happened": "2026-03-01T22:15:00.000Z"}
    assert dict(seal(EVENT, envelope(happened=BEFORE), CaseKey(bytes(32))).headers) == headers
    assert read_envelope(headers) == envelope(happened=BEFORE)


def test_an_attribute_of_a_later_release_is_passed_over() -> None:
    assert read_envelope({**NEW, "ce_later": "x"}) == WITH_BOTH


def test_the_contract_names_every_attribute() -> None:
    access = Access("GET /cases", 200, "TREAT", ("case-1",), "10.0.0.7", "after=case-0", 2)
    later = {
        "roles": frozenset({"therapist"}),
        "policy_version": "v",
        "causation": "a.0",
        "traceparent": "t",
        "recipient": "oak",
        "happened": BEFORE,
    }
    full = seal(EVENT, envelope(**later, access=access), CaseKey(bytes(32)))
    assert set(full.headers) == set(ATTRIBUTES)
    assert set(OLD) == set(ATTRIBUTES) - OPTIONAL

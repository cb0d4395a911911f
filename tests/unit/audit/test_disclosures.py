"""R-31: the accounting of disclosures. Expectations: 45 CFR 164.528 as domain.md 3.3 has it (six years; date, recipient, address if known,
description, purpose; repeated ones as first, how many, last; treatment and operations need not be listed)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.audit.domain.clear import clear_fields
from services.audit.domain.disclosures import EXEMPT, disclosure_of, read_accounting, summarised, years_before
from services.audit.domain.query import QueryRefused
from shared.access.record import PURPOSES
from shared.events.base import Access, Envelope

NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)
PATIENT, CASE = f"patient-{'a' * 32}", f"case-{'b' * 32}"


def entry(name: str, moment: datetime = NOW, recipient: str | None = "oak", access: Access | None = None, index: int = 7) -> dict[str, Any]:
    subject = CASE if access is None else "access-1"
    envelope = Envelope(
        "c.0", "urn:kapcare:prescriber", name, subject, moment, 1, "riverside", PATIENT, "oak.main", "c", recipient=recipient, access=access
    )
    return {"_id": index, **clear_fields(envelope)}


READ = Access("GET /partner/reviews/{case}", 200, "TREAT", (CASE,), "203.0.113.7")


def test_r31_a_row_has_what_the_rule_asks_for() -> None:
    row = disclosure_of(entry("kapcare.access.RecordRead.v1", access=READ))
    assert (row["date"], row["recipient"], row["address"], row["purpose"]) == (NOW, "oak", "203.0.113.7", "TREAT")
    assert row["description"].startswith("read the review")
    assert (row["cases"], row["index"]) == ([CASE], 7)
    told = disclosure_of(entry("kapcare.prescriber.ReviewAssigned.v1"))
    assert (told["address"], told["cases"], told["recipient"]) == (None, [CASE], "oak")
    assert told["description"].startswith("asked for a medical review")


@pytest.mark.parametrize("purpose", PURPOSES)
def test_r31_what_an_accounting_must_list(purpose: str) -> None:
    """164.528(a)(1)(i): not treatment, payment, operations."""
    read = Access(READ.route, 200, purpose, READ.about)
    row = disclosure_of(entry("kapcare.access.RecordRead.v1", access=read))
    assert row["must_be_listed"] is (purpose not in EXEMPT)
    assert disclosure_of(entry("kapcare.prescriber.PartnerTold.v1"))["must_be_listed"] is False


def test_r31_six_years_unless_said_otherwise() -> None:
    asked = read_accounting([("patient", PATIENT)], NOW)
    assert (asked.since, asked.until > NOW, asked.until - NOW <= timedelta(seconds=1)) == (
        datetime(2020, 3, 2, 10, 0, 1, tzinfo=UTC),
        True,
        True,
    )
    given = read_accounting([("patient", PATIENT), ("from", "2026-01-01T00:00:00Z"), ("to", "2026-02-01T00:00:00Z"), ("cursor", "5")], NOW)
    assert given.filter == {
        "patient": PATIENT,
        "$or": [
            {"recipient": {"$exists": True, "$ne": "in-house"}},
            {
                "recipient": {"$exists": False},
                "type": {"$in": ["kapcare.prescriber.PartnerTold.v1", "kapcare.prescriber.ReviewAssigned.v1"]},
            },
        ],
        "time": {"$gte": datetime(2026, 1, 1, tzinfo=UTC), "$lt": datetime(2026, 2, 1, tzinfo=UTC)},
        "outcome": "done",
        "_id": {"$gt": 5},
    }
    assert years_before(datetime(2024, 2, 29, tzinfo=UTC), 6) == datetime(2018, 2, 28, tzinfo=UTC)


@pytest.mark.parametrize(
    "asked",
    [
        [],
        [("patient", "x")],
        [("patient", f"patient-{'A' * 32}")],
        [("patient", PATIENT), ("case", CASE)],
        [("patient", PATIENT), ("patient", PATIENT)],
        [("patient", PATIENT), ("from", "2026-01-01")],
        [("patient", PATIENT), ("from", "2026-02-01T00:00:00Z"), ("to", "2026-01-01T00:00:00Z")],
        [("patient", PATIENT), ("limit", "0")],
        [("patient", PATIENT), ("limit", "501")],
        [("patient", PATIENT), ("cursor", "-1")],
        [("patient", PATIENT), ("patient[$ne]", "")],
    ],
)
def test_r31_what_is_no_question_is_refused(asked: list[tuple[str, str]]) -> None:
    with pytest.raises(QueryRefused):
        read_accounting(asked, NOW)


def test_r31_repeated_disclosures_are_summed_up_as_first_number_and_last() -> None:
    days = [NOW + timedelta(days=number) for number in range(3)]
    rows = [disclosure_of(entry("kapcare.access.RecordRead.v1", day, access=READ)) for day in days]
    rows.append(disclosure_of(entry("kapcare.access.RecordRead.v1", NOW, "elm", READ)))
    oak, elm = summarised(rows)
    assert (oak["recipient"], oak["first"], oak["times"], oak["last"]) == ("oak", days[0], 3, days[2])
    assert (elm["recipient"], elm["times"]) == ("elm", 1)


def test_r31_what_an_earlier_release_recorded_is_not_left_out() -> None:
    row = disclosure_of(entry("kapcare.prescriber.ReviewAssigned.v1", recipient=None))
    assert row["recipient"].startswith("sealed")

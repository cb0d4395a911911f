"""The one patient that every case of a benchmark is: as intake is told, and as the summary that comes of it."""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from services.intake.domain.codes import ONLY_IF_NOT_MALE, QUESTIONS
from shared.events.clinical import Finding, Score, ScreeningSummary

CLINIC = "riverside"
NOTE = "Depression for six years; two antidepressants without enough relief. Looks forward to the sessions and has a friend to drive home."
MEDICATION = "lisinopril 10 MG Oral Tablet"
YES = "hypertension"
"""The one question that is answered with yes: something for the prescriber to clear."""
PHQ9, GAD7, AUDIT_C = [2, 2, 2, 2, 2, 1, 1, 1, 0], [1, 1, 1, 1, 1, 0, 0], [1, 0, 0]

SCREENING = json.dumps({"note": NOTE}).encode()
"""The body of the request that completes a screening."""


def summary(now: datetime) -> ScreeningSummary:
    """Return the summary that kapcare makes of this patient: what the other builds are sent, so that payloads are alike."""
    return ScreeningSummary(
        indication="depression",
        age=46,
        sex="male",
        route=None,
        weight_kg=Decimal("82.00"),
        scores=(
            Score(instrument="audit-c", total=sum(AUDIT_C), band="negative", answered_at=now),
            Score(instrument="gad-7", total=sum(GAD7), band="mild", answered_at=now),
            Score(instrument="phq-9", total=sum(PHQ9), band="moderate", answered_at=now),
        ),
        risk="none",
        findings=(Finding(item=YES, weight="needs_clearance", rule="R-06", because=(YES,)),),
        medications=(MEDICATION,),
        note=NOTE,
    )


def referral() -> bytes:
    """Return the body that refers this patient, under an identifier of its own."""
    facts = [
        {"kind": "statement", "system": "kapcare", "code": question, "active": question == YES}
        for question in QUESTIONS
        if question not in ONLY_IF_NOT_MALE
    ]
    facts.append({"kind": "medication", "system": "rxnorm", "code": "314076", "label": MEDICATION})
    facts.append({"kind": "observation", "system": "loinc", "code": "29463-7", "value": "82", "unit": "kg"})
    patient = {"system": "urn:kapcare:bench", "value": uuid.uuid4().hex}
    return _body(
        {"clinic": CLINIC, "patient": patient, "birth_date": "1980-02-01", "sex": "male", "indication": "depression", "facts": facts}
    )


def preparations() -> Iterator[tuple[str, bytes]]:
    """Yield, by the last part of the path, what a referred case needs before its screening can be completed."""
    earlier = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    yield "consents", _body({"version": "v1", "scopes": ["treatment", "disclosure_to_prescriber"], "given_at": earlier})
    for instrument, answers in (("phq-9", PHQ9), ("gad-7", GAD7), ("audit-c", AUDIT_C)):
        yield "instruments", _body({"instrument": instrument, "answers": answers, "answered_at": earlier})


def _body(content: dict[str, object]) -> bytes:
    return json.dumps(content).encode()

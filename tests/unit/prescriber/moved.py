"""Builders for medication that moves: what callers state, and cases whose supply has come so far."""

import json
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from services.prescriber.domain.administer import administer
from services.prescriber.domain.correct import CorrectMovement, CorrectPrescription, correct_movement, correct_prescription
from services.prescriber.domain.decide import decide_in_house
from services.prescriber.domain.dispense import RecordDispensing, record_dispensing
from services.prescriber.domain.dispose import RecordReturn, RecordWastage, record_return, record_wastage
from services.prescriber.domain.prescribe import IssuePrescription, issue_prescription
from services.prescriber.domain.state import Case
from shared.events.base import EventData
from shared.events.session import SessionDosed
from shared.events.supply import DiversionSuspected
from shared.pathway.context import Context
from shared.pathway.policy import Policy
from shared.pathway.stop import Request
from tests.unit.prescriber.given import NOW, POLICY, context, decision, in_review, told

Asked = TypeVar("Asked", bound=Request)
DAY = "2026-03-02"
"""The day of NOW at the clinic: 4 in the morning in New York."""


def policy(**changed: Any) -> Policy:
    return POLICY.model_copy(update={"values": POLICY.values.model_copy(update=changed)})


def read(model: type[Asked], body: dict[str, Any]) -> Asked:
    """Read a body as the service does: from JSON bytes."""
    return model.model_validate_json(json.dumps(body))


def prescription(**changed: Any) -> dict[str, Any]:
    return {"route": "sublingual", "milligrams_per_dose": "100", "doses": 2, "refills": 0, "issued_on": DAY, **changed}


def dispensing(of: str = "prescription-x", **changed: Any) -> dict[str, Any]:
    values = {"prescription": of, "fill_number": 1, "milligrams": "200", "doses": 2, "lot": "lot-1", "dispensed_on": DAY}
    return {**values, "dispenser": "Corner Pharmacy", **changed}


def wastage(milligrams: str = "50", **changed: Any) -> dict[str, Any]:
    return {"milligrams": milligrams, "witnessed_by": "nurse-2", "reason": "broken", "wasted_at": NOW.isoformat(), **changed}


def returning(milligrams: str = "50", **changed: Any) -> dict[str, Any]:
    return {"milligrams": milligrams, "to": "Corner Pharmacy", "returned_at": NOW.isoformat(), **changed}


def dosed(
    milligrams: str = "100", session: int = 1, given_at: datetime = NOW, entry: str | None = None, replaces: str | None = None
) -> SessionDosed:
    dose_mg, by = Decimal(milligrams), "monitor-1"
    return SessionDosed(
        session=session, dose_mg=dose_mg, route="sublingual", given_at=given_at, given_by=by, entry=entry, replaces=replaces
    )


def approved(case: Case | None = None, now: datetime = NOW, **plan_changed: Any) -> Case:
    """A case with an approval: 100 to 200 mg under the tongue, two doses, for 60 days, unless said otherwise."""
    case = case or in_review()
    plan_changed = {"expires_at": now + timedelta(days=60), **plan_changed}
    return told(case, decide_in_house(case, decision(request=case.request, plan_changed=plan_changed), context(now=now)))


def issue(case: Case, at: Context | None = None, **changed: Any) -> list[EventData]:
    return issue_prescription(case, read(IssuePrescription, prescription(**changed)), at or context())


def prescribed(case: Case | None = None, at: Context | None = None, **changed: Any) -> Case:
    """A case with one more prescription; `last` names it."""
    case = case or approved()
    return told(case, issue(case, at, **changed))


def last(case: Case) -> str:
    return case.supply.prescriptions[-1].prescription


def dispense(case: Case, at: Context | None = None, **changed: Any) -> list[EventData]:
    of = changed.pop("of", None) or last(case)
    return record_dispensing(case, read(RecordDispensing, dispensing(of, **changed)), at or context())


def dispensed(case: Case | None = None, at: Context | None = None, **changed: Any) -> Case:
    case = case or prescribed()
    return told(case, dispense(case, at, **changed))


def waste(case: Case, at: Context | None = None, **changed: Any) -> list[EventData]:
    return record_wastage(case, read(RecordWastage, wastage(**changed)), at or context())


def give_back(case: Case, at: Context | None = None, **changed: Any) -> list[EventData]:
    return record_return(case, read(RecordReturn, returning(**changed)), at or context())


def dose(case: Case, at: Context | None = None, milligrams: str = "100", **changed: Any) -> list[EventData]:
    return administer(case, dosed(milligrams, **changed), at or context())


def correct(case: Case, entry: str, at: Context | None = None, kind: str = "entered_in_error", **replacement: Any) -> list[EventData]:
    """Correct a movement, as a person asks for it."""
    body = {"entry": entry, "kind": kind, "reason": "of another chart", **replacement}
    return correct_movement(case, read(CorrectMovement, body), at or context())


def correct_issued(case: Case, of: str, at: Context | None = None, kind: str = "entered_in_error", **replacement: Any) -> list[EventData]:
    """Correct a prescription, as a person asks for it."""
    body = {"prescription": of, "kind": kind, "reason": "of another chart", **replacement}
    return correct_prescription(case, read(CorrectPrescription, body), at or context())


def named(case: Case, place: int = -1) -> str:
    """The name of a line."""
    name = case.supply.lines[place].entry
    assert name is not None
    return name


def alarms(events: list[EventData]) -> list[tuple[str, Decimal]]:
    return [(event.why, event.unaccounted) for event in events if isinstance(event, DiversionSuspected)]

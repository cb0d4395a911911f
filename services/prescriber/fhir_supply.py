"""What was prescribed and dispensed, in FHIR R4. Pure. Wastage and returns have no resource in R4; a dose is the session room's to tell.

A marked line goes out as entered in error, under the address that it had; of another patient's nothing but that is told.
"""

from collections.abc import Iterator

from services.prescriber.domain.dispense import last_day
from services.prescriber.domain.state import Case
from services.prescriber.domain.supply import Line
from shared.events.supply import PrescriptionIssued
from shared.fhir.codes import MEDICATION, ROUTE
from shared.fhir.corrections import IN_ERROR, mark, revision
from shared.fhir.elements import Element, concept, quantity
from shared.fhir.record import Record, Resource

ANOTHERS = {"text": "another patient's medication"}
"""R4 demands a medication, and this record may not name that one."""


def prescriptions(record: Record, state: Case) -> Iterator[Resource]:
    """What a prescriber signed, as orders; a replacement names what it replaces (`priorPrescription`)."""
    for line in state.supply.lines:
        if line.issued is None:
            continue
        prescribed = record.resource(
            "MedicationRequest",
            line.issued.prescription,
            status=_status(state, line, line.issued),
            intent="order",
            subject=record.subject,
            priorPrescription=None if line.replaces is None else record.reference("MedicationRequest", line.replaces),
            **({"medicationCodeableConcept": ANOTHERS} if _is_anothers(line) else _signed(line.issued)),
        )
        yield prescribed
        if line.corrected is not None:
            yield mark(record, [prescribed], line.issued.prescription, line.corrected.kind, line.corrected.corrected_at)


def fills(record: Record, state: Case) -> Iterator[Resource]:
    """What was dispensed, fill by fill, as it was reported; a replacement is a revision of what it replaces."""
    exported: dict[str, Resource] = {}
    for number, line in enumerate((line for line in state.supply.lines if line.kind == "dispensed"), start=1):
        filled = record.resource(
            "MedicationDispense",
            f"fill-{number}" if line.entry is None else f"fill/{line.entry}",
            status="completed" if line.corrected is None else IN_ERROR,
            subject=record.subject,
            **({"medicationCodeableConcept": ANOTHERS} if _is_anothers(line) else _dispensed(record, state, line)),
        )
        yield filled
        if line.entry is None:
            continue
        exported[line.entry] = filled
        if line.corrected is not None:
            yield mark(record, [filled], line.entry, line.corrected.kind, line.corrected.corrected_at)
        replaced = next((each for each in state.supply.lines if each.entry == line.replaces), None)
        if line.replaces in exported and replaced is not None and replaced.corrected is not None:
            yield revision(record, [filled], line.entry, exported[line.replaces], replaced.corrected.corrected_at)


def _is_anothers(line: Line) -> bool:
    return line.corrected is not None and line.corrected.kind == "wrong_patient"


def _status(state: Case, line: Line, issued: PrescriptionIssued) -> str:
    """A stop puts on hold what is not all dispensed yet. That its six months are over is for who reads the period."""
    if line.corrected is not None:
        return IN_ERROR
    if state.supply.dispensed(issued.prescription) >= issued.milligrams:
        return "completed"
    return "active" if state.stops.why_stopped("treatment") is None else "on-hold"


def _signed(issued: PrescriptionIssued) -> Element:
    """Milligrams of one dose, doses of one fill, refills, and the six months in which it may be filled (R-15)."""
    return {
        "medicationCodeableConcept": concept(*MEDICATION[issued.route]),
        "authoredOn": issued.issued_on.isoformat(),
        "dosageInstruction": [
            {"route": concept(*ROUTE[issued.route]), "doseAndRate": [{"doseQuantity": quantity(issued.milligrams_per_dose, "mg")}]}
        ],
        "dispenseRequest": {
            "validityPeriod": {"start": issued.issued_on.isoformat(), "end": last_day(issued).isoformat()},
            "numberOfRepeatsAllowed": issued.refills,
            "quantity": {"value": issued.doses, "unit": "dose"},
        },
    }


def _dispensed(record: Record, state: Case, line: Line) -> Element:
    issued = state.supply.find(line.prescription)
    known = {} if issued is None else {"authorizingPrescription": [record.reference("MedicationRequest", issued.prescription)]}
    return {
        "medicationCodeableConcept": {"text": "ketamine, on a prescription unknown here"}
        if issued is None
        else concept(*MEDICATION[issued.route]),
        "quantity": quantity(line.milligrams, "mg"),
        "whenHandedOver": None if line.on is None else line.on.isoformat(),
        **known,
    }

"""What was prescribed and dispensed, in FHIR R4. Pure. Wastage and returns have no resource in R4; a dose is the session room's to tell.

A marked line goes out as entered in error, under the address that it had; of another patient's nothing but that is told.
"""

from collections.abc import Iterator

from services.prescriber.domain.dispense import last_day
from services.prescriber.domain.state import Case
from services.prescriber.domain.supply import Line
from shared.events.supply import PrescriptionIssued
from shared.fhir.codes import MEDICATION, ROUTE
from shared.fhir.corrections import Standing, with_provenance
from shared.fhir.elements import Element, concept, quantity, said
from shared.fhir.medicines import ANOTHERS, Lot, lot_reference, lots
from shared.fhir.record import Record, Resource


def prescriptions(record: Record, state: Case) -> Iterator[Resource]:
    """What a prescriber signed, as orders."""
    signed = ((line, line.issued) for line in state.supply.lines if line.issued is not None)
    return with_provenance(record, ((_standing(line), [_order(record, state, line, issued)]) for line, issued in signed))


def fills(record: Record, state: Case) -> Iterator[Resource]:
    """What was dispensed, fill by fill and lot by lot, as it was reported."""
    filled = [line for line in state.supply.lines if line.kind == "dispensed"]
    yield from lots(record, (lot for line in filled if (lot := _lot(state, line)) is not None and not _is_anothers(line)))
    numbered = enumerate(filled, start=1)
    yield from with_provenance(record, ((_standing(line), [_fill(record, state, line, number)]) for number, line in numbered))


def _order(record: Record, state: Case, line: Line, issued: PrescriptionIssued) -> Resource:
    standing = _standing(line)
    return record.resource(
        "MedicationRequest",
        issued.prescription,
        status=standing.status(_progress(state, issued)),
        intent="order",
        subject=record.subject,
        priorPrescription=None if line.replaces is None else record.reference("MedicationRequest", line.replaces),
        **(standing.told(**_signed(issued)) or {"medicationCodeableConcept": ANOTHERS}),
    )


def _fill(record: Record, state: Case, line: Line, number: int) -> Resource:
    standing = _standing(line)
    return record.resource(
        "MedicationDispense",
        f"fill-{number}" if line.entry is None else standing.key("fill"),
        status=standing.status("completed"),
        subject=record.subject,
        **(standing.told(**_dispensed(record, state, line)) or {"medicationCodeableConcept": ANOTHERS}),
    )


def _standing(line: Line) -> Standing:
    mark = line.corrected
    return Standing(line.entry, None if mark is None else mark.kind, None if mark is None else mark.corrected_at, line.replaces)


def _is_anothers(line: Line) -> bool:
    return line.corrected is not None and line.corrected.kind == "wrong_patient"


def _progress(state: Case, issued: PrescriptionIssued) -> str:
    """A stop puts on hold what is not all dispensed yet. That its six months are over is for who reads the period."""
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
    issued, lot = state.supply.find(line.prescription), _lot(state, line)
    return said(
        medicationReference=None if lot is None else lot_reference(record, lot),
        quantity=quantity(line.milligrams, "mg"),
        whenHandedOver=None if line.on is None else line.on.isoformat(),
        authorizingPrescription=None if issued is None else [record.reference("MedicationRequest", issued.prescription)],
    )


def _lot(state: Case, line: Line) -> Lot | None:
    issued = state.supply.find(line.prescription)
    return None if line.lot is None else (None if issued is None else issued.route, line.lot)

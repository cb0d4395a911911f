"""What was recorded in the session room, in FHIR R4: doses, weight, vital signs, sedation, adverse events. Pure.

What somebody wrote (intentions, what happened in their words, reasons) is never exported.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from services.session.domain.entries import correction_of, recorded
from services.session.domain.state import Course
from shared.events.base import EventData
from shared.events.clinical import BloodPressure
from shared.events.session import AdverseEventRecorded, PreDoseChecked, SessionDosed, VitalsRecorded
from shared.events.stay import Entered
from shared.fhir.codes import (
    BLOOD_PRESSURE,
    BODY_WEIGHT,
    DIASTOLIC,
    EXAM,
    MEASURED,
    MEDICATION,
    ROUTE,
    SERIOUSNESS,
    SYSTOLIC,
    VITAL_SIGNS,
    local,
)
from shared.fhir.corrections import Standing, with_provenance
from shared.fhir.elements import Element, coding, concept, moment, number, period, quantity, said, tagged
from shared.fhir.medicines import ANOTHERS, lot_reference, lots
from shared.fhir.observations import observation
from shared.fhir.record import Record, Resource


@dataclass(frozen=True, slots=True)
class Kept:
    """One entry of the room: what was recorded, in which session, and how it stands."""

    event: Entered
    session: int | None
    standing: Standing


def room(record: Record, course: Course) -> Iterator[Resource]:
    """The lots that were given, the resources of each entry, and what of them was corrected when."""
    given = (each for session in course.sessions for each in session.recorded_doses)
    yield from lots(record, ((dose.route, dose.lot) for dose in given if dose.lot is not None))
    yield from with_provenance(record, ((kept.standing, [*of_entry(record, kept)]) for kept in kept_in(course)))


def kept_in(course: Course) -> Iterator[Kept]:
    """Everything that was recorded of a course, marked entries too; entries without a name go by kind, session and place."""
    places: Counter[tuple[str, int | None]] = Counter()
    for kind, session, event in recorded(course):
        places[kind, session] += 1
        name = event.entry or f"{kind.replace('_', '-')}-{session}-{places[kind, session]}"
        correction = correction_of(course, session, event.entry)
        marked, at = (None, None) if correction is None else (correction.kind, correction.at)
        yield Kept(event, session, Standing(name, marked, at, event.replaces))


def of_entry(record: Record, kept: Kept) -> Iterator[Resource]:
    """The resources of one entry; none of a kind that does not go out."""
    export = EXPORTED.get(type(kept.event))
    return iter(()) if export is None else export(record, kept, kept.event)


def encounter_key(session: int) -> str:
    """Return the key of a session's Encounter."""
    return f"session/{session}"


def _encounter(record: Record, session: int | None) -> Element | None:
    return None if session is None else record.reference("Encounter", encounter_key(session))


def _checks(record: Record, kept: Kept, checks: PreDoseChecked) -> Iterator[Resource]:
    """Weight and blood pressure before a dose (R-18, R-19)."""
    weight, code = quantity(checks.weight_kg, "kg"), concept(BODY_WEIGHT, "Body weight")
    yield _observed(record, kept, "weight", code, checks.weighed_at, valueQuantity=weight)
    yield _pressure(record, kept, checks.blood_pressure, checks.checked_at)


def _vitals(record: Record, kept: Kept, vitals: VitalsRecorded) -> Iterator[Resource]:
    """One Observation of each thing that was measured (R-21, R-22, R-35)."""
    if vitals.blood_pressure is not None:
        yield _pressure(record, kept, vitals.blood_pressure, vitals.taken_at)
    for name, value in vitals.model_dump(include=set(MEASURED), exclude_none=True).items():
        measure = MEASURED[name]
        code = {"coding": [coding(each) for each in measure.codes], "text": measure.words}
        category = VITAL_SIGNS if measure.vital else EXAM
        yield _observed(record, kept, name, code, vitals.taken_at, category=category, **_value(value, measure.unit))


def _value(value: bool | int | Decimal, unit: str | None) -> Element:
    if isinstance(value, bool):
        return {"valueBoolean": value}
    return {"valueInteger": value} if unit is None else {"valueQuantity": quantity(value, unit)}


def _pressure(record: Record, kept: Kept, pressure: BloodPressure, at: datetime) -> Resource:
    parts = ((SYSTOLIC, "Systolic", pressure.systolic), (DIASTOLIC, "Diastolic", pressure.diastolic))
    component = [{"code": concept(code, words), "valueQuantity": quantity(value, "mm[Hg]")} for code, words, value in parts]
    return _observed(record, kept, "blood-pressure", concept(BLOOD_PRESSURE, "Blood pressure"), at, component=component)


def _dose(record: Record, kept: Kept, dose: SessionDosed) -> Iterator[Resource]:
    """A dose that was given, whatever allowed it, and what it came to for the patient's weight (R-18)."""
    standing = kept.standing
    told = standing.told(
        **_medicine(record, dose),
        **_when(dose),
        context=_encounter(record, kept.session),
        performer=[{"actor": record.practitioner_reference(dose.given_by)}],
        dosage={"text": _in_words(dose), "route": concept(*ROUTE[dose.route]), "dose": quantity(dose.dose_mg, "mg")},
    )
    yield record.resource(
        "MedicationAdministration",
        standing.key("dose"),
        status=standing.status("completed"),
        subject=record.subject,
        **(told or {"medicationCodeableConcept": ANOTHERS}),
    )
    if dose.mg_per_kg is not None:
        code, value = concept(local("dose-per-weight"), "Dose per kilogram of body weight"), quantity(dose.mg_per_kg, "mg/kg")
        part_of = [record.reference("MedicationAdministration", standing.key("dose"))]
        yield _observed(record, kept, "dose-per-weight", code, dose.given_at, category=EXAM, valueQuantity=value, partOf=part_of)


def _medicine(record: Record, dose: SessionDosed) -> Element:
    if dose.lot is None:
        return {"medicationCodeableConcept": concept(*MEDICATION[dose.route])}
    return {"medicationReference": lot_reference(record, (dose.route, dose.lot))}


def _when(dose: SessionDosed) -> Element:
    """R4 takes a moment, or a period where it is known when an infusion or a lozenge's time in the mouth ended."""
    return (
        {"effectiveDateTime": moment(dose.given_at)} if dose.ended_at is None else {"effectivePeriod": period(dose.given_at, dose.ended_at)}
    )


def _in_words(dose: SessionDosed) -> str:
    parts = [f"{number(dose.dose_mg)} mg", *([] if dose.mg_per_kg is None else [f"{number(dose.mg_per_kg)} mg/kg"])]
    return ", ".join([*parts, *(["booster"] if dose.booster else []), *([] if dose.intent is None else [dose.intent])])


def _adverse_event(record: Record, kept: Kept, event: AdverseEventRecorded) -> Iterator[Resource]:
    """By its symptoms as coded. R4 has no status for it: one that was marked carries a tag, and says nothing else."""
    marked = kept.standing.marked is not None
    symptoms = [coding(local(f"symptom.{symptom}")) for symptom in event.symptoms] or [coding(local("adverse-event"))]
    told = {
        "event": {"coding": symptoms, "text": ", ".join(event.symptoms).replace("_", " ") or "adverse event"},
        "date": moment(event.happened_at),
        "seriousness": concept(SERIOUSNESS[event.serious], "serious" if event.serious else "not serious"),
        "encounter": _encounter(record, kept.session),
    }
    yield record.resource(
        "AdverseEvent",
        kept.standing.key("adverse-event"),
        meta=tagged(local("entered-in-error")) if marked else None,
        actuality="actual",
        subject=record.subject,
        **({} if marked else said(**told)),
    )


def _observed(record: Record, kept: Kept, kind: str, code: Element, at: datetime, **elements: Any) -> Resource:
    category = elements.pop("category", VITAL_SIGNS)
    encounter, issued = _encounter(record, kept.session), kept.event.recorded_at
    return observation(record, kept.standing, kind, code, category, effective=at, issued=issued, encounter=encounter, **elements)


EXPORTED: Final[Mapping[type[EventData], Callable[[Record, Kept, Any], Iterator[Resource]]]] = {
    PreDoseChecked: _checks,
    VitalsRecorded: _vitals,
    SessionDosed: _dose,
    AdverseEventRecorded: _adverse_event,
}
"""Which kinds of entries go out, and as what."""

"""Correcting an entry: it is marked, and an amended one is replaced (docs/decisions/0011). What it had settled is open again.

A dose that was none is given back and a discharge that was none takes the patient under watch again; the deadlines follow by
themselves, for they are read off what counts. A hold or an emergency that an entry led to stays until a clinician ends it.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import reduce
from typing import Any, Final

from services.session.domain.adverse_event import RecordAdverseEvent, record_adverse_event
from services.session.domain.chaperone import RecordChaperoneCheck, record_chaperone_check
from services.session.domain.check import RecordChecks, record_checks
from services.session.domain.discharge import DischargePatient, discharge_patient, then_end
from services.session.domain.dose import RecordDose, record_dose
from services.session.domain.emergency import RecordEmergencyResponse, record_emergency_response
from services.session.domain.entries import correction_of, recorded
from services.session.domain.monitor import RecordVitals, missing, record_vitals, then_watch
from services.session.domain.prepare import RecordPreparation, record_preparation
from services.session.domain.rems_form import SubmitRemsForm, submit_rems_form
from services.session.domain.state import Course, evolve
from shared.events.base import CorrectionKind, EventData, Slug, Text
from shared.events.session import EntryCorrected, Escalated
from shared.events.stay import EntryKind
from shared.pathway.context import Context
from shared.pathway.entry import require_fitting, require_uncorrected
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request

RECORD: Final[Mapping[EntryKind, Callable[[Course, Any, Context, str], list[EventData]]]] = {
    "preparation": record_preparation,
    "checks": record_checks,
    "dose": record_dose,
    "vitals": record_vitals,
    "adverse_event": record_adverse_event,
    "discharge": discharge_patient,
    "chaperone_check": record_chaperone_check,
    "emergency_response": record_emergency_response,
    "rems_form": submit_rems_form,
}
"""How a replacement of each kind is recorded; each kind is also the name of its field in the request."""


class CorrectEntry(Request):
    """`amended` needs exactly one replacement, of the entry's own kind and session; the other kinds have none."""

    entry: Slug
    kind: CorrectionKind
    reason: Text
    preparation: RecordPreparation | None = None
    checks: RecordChecks | None = None
    dose: RecordDose | None = None
    vitals: RecordVitals | None = None
    adverse_event: RecordAdverseEvent | None = None
    discharge: DischargePatient | None = None
    chaperone_check: RecordChaperoneCheck | None = None
    emergency_response: RecordEmergencyResponse | None = None
    rems_form: SubmitRemsForm | None = None


def correct_entry(course: Course, command: CorrectEntry, context: Context) -> list[EventData]:
    """Mark the entry and record what replaces it; raise Refusal for an unknown entry, or one that was corrected before."""
    of, session = _require_correctable(course, command)
    replacement = _require_fitting(of, session, command)
    corrected = EntryCorrected(
        entry=command.entry,
        kind=command.kind,
        reason=command.reason,
        corrected_at=context.now,
        of=of,
        session=session,
        left_undosed=of == "dose" and replacement is None and _is_last_dose(course, command.entry, session),
    )
    after = evolve(course, corrected)
    replacing = [] if replacement is None else RECORD[of](after, replacement, context, command.entry)
    events = [corrected, *replacing]
    # Ids of its own: the replacement may have raised an alert of the same decision.
    context = replace(context, seed=f"{context.seed}|open-again")
    ended = then_end(course, events, context)[len(events) :]
    due = missing(reduce(evolve, [*events, *ended], course), context.now)
    unfounded = _unfounded(course, command, of, session, context)
    return then_watch(course, [*unfounded, *ended, *due], context, earlier=events)


def _require_correctable(course: Course, command: CorrectEntry) -> tuple[EntryKind, int | None]:
    found = next(((of, session) for of, session, each in recorded(course) if each.entry == command.entry), None)
    if found is None:
        raise Refusal("no-such-entry", "The case has no entry of this name in the session room.")
    require_uncorrected(correction_of(course, found[1], command.entry))
    return found


def _require_fitting(of: EntryKind, session: int | None, command: CorrectEntry) -> Request | None:
    """Return the replacement, None where nothing is replaced; refuse one that is not of the same kind and session."""
    require_fitting(command.kind, [name for name in RECORD if getattr(command, name) is not None], of)
    replacement: Request | None = getattr(command, of)
    if replacement is not None and getattr(replacement, "session", session) != session:
        raise Refusal("malformed", "The replacement must be of the same session.")
    return replacement


def _is_last_dose(course: Course, entry: Slug, number: int | None) -> bool:
    session = course.find(number)
    return session is not None and all(dose.entry == entry for dose in session.doses)


def _unfounded(course: Course, command: CorrectEntry, of: EntryKind, number: int | None, context: Context) -> list[EventData]:
    """R-19: a dose that was authorised on checks that were none is a deviation; an authorisation that nobody used lapses by itself."""
    session = course.find(number)
    if of != "checks" or session is None:
        return []
    used = [each.rests_on == command.entry and session.used(place) for place, each in enumerate(session.authorised)]
    because: tuple[Slug, ...] = ("authorised-on-corrected-checks",)
    return [Escalated(session=number, emergency=False, rule="R-19", because=because, at=context.now)] if any(used) else []

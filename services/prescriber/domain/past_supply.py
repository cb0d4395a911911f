"""The prescriber service's decisions on medication in the history of a case: prescriptions issued and refused, and what of each fill a
policy found uncovered. Pure.

A correction is no decision: what replaces a line is a fact, or is signed under the approval of old.
"""

from collections.abc import Iterator, Sequence
from functools import partial

from services.prescriber.domain.dispense import RecordDispensing, record_dispensing
from services.prescriber.domain.prescribe import IssuePrescription, issue_prescription
from services.prescriber.domain.state import Case
from shared.events.base import EventData
from shared.events.codec import Recorded
from shared.events.prescriber import StepRefused
from shared.events.supply import EntryCorrected, MedicationDispensed, PrescriptionIssued
from shared.pathway.context import Context
from shared.pathway.lot import RECALLED_LOT
from shared.pathway.past import Asked, Past, Result, as_request, asked_by

PRESCRIBE, DISPENSE = "prescribe", "dispense"


def supply_decisions(case: Case, committed: Sequence[Recorded]) -> Iterator[Past]:
    """Yield the decision that a commit records on medication, if it records one."""
    events = [recorded.data for recorded in committed]
    if any(isinstance(event, EntryCorrected) for event in events):
        return
    for recorded in committed:
        match recorded.data:
            case PrescriptionIssued() as issued:
                yield _past(PRESCRIBE, case, recorded, asked_by(IssuePrescription, issued), events)
            case StepRefused(step="issue-prescription", asked=asked) if asked:
                yield _past(PRESCRIBE, case, recorded, asked, events)
            case MedicationDispensed() as dispensed:
                yield _past(DISPENSE, case, recorded, asked_by(RecordDispensing, dispensed), events)
            case _:
                continue
        return


def _past(step: str, case: Case, recorded: Recorded, asked: Asked, events: Sequence[EventData]) -> Past:
    balance = case.supply.balance
    known = (
        ("consent or hold", case.stops.why_stopped("treatment") or "nothing stops"),
        ("approval in force", "none" if case.plan is None else f"request {case.plan_request}, {case.plan.doses} doses"),
        ("prescribed before", f"{balance.prescribed} mg"),
        ("dispensed before", f"{balance.dispensed} mg"),
    )
    return Past(
        step=step,
        envelope=recorded.envelope,
        policy_version=getattr(recorded.data, "policy_version", None),
        facts=(*known, *((name.replace("_", " "), str(value)) for name, value in asked.items() if value is not None)),
        result=_words(events),
        decide=partial(_again, step, case, asked),
        recalled_lots=_recalled(events),
    )


def _again(step: str, case: Case, asked: Asked, context: Context) -> Result:
    if step == PRESCRIBE:
        return _words(issue_prescription(case, as_request(IssuePrescription, asked), context))
    return _words(record_dispensing(case, as_request(RecordDispensing, asked), context))


def _words(events: Sequence[EventData]) -> Result:
    for event in events:
        if isinstance(event, PrescriptionIssued):
            return ("prescribed",)
        if isinstance(event, MedicationDispensed):
            return ("dispensed", *sorted(f"deviation {deviation}" for deviation in event.deviations))
    refused = [event for event in events if isinstance(event, StepRefused)]
    return ("refused", *sorted(f"{refusal.rule} {refusal.detail}" for refusal in refused))


def _recalled(events: Sequence[EventData]) -> dict[str, str]:
    """Return the lot that the record of a fill knew to be recalled; by which recall it does not say."""
    return {event.lot: "" for event in events if isinstance(event, MedicationDispensed) and RECALLED_LOT in event.deviations}

"""Correcting the ledger: a wrong prescription, fill, wastage or return is marked and counts no more; an amended one is replaced.

A dose is corrected where it was recorded, in the session room, and the ledger follows (`administer`).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from services.prescriber.domain.dispense import RecordDispensing, record_dispensing
from services.prescriber.domain.dispose import RecordReturn, RecordWastage, record_return, record_wastage
from services.prescriber.domain.prescribe import IssuePrescription, issue_prescription
from services.prescriber.domain.reconcile import reconciled
from services.prescriber.domain.state import Case
from services.prescriber.domain.supply import Line, Movement, Supply, fold
from shared.events.base import CorrectionKind, EventData, Slug, Text
from shared.events.prescriber import StepRefused
from shared.events.supply import EntryCorrected, LedgerEntry
from shared.pathway.context import Context
from shared.pathway.entry import require_fitting, require_uncorrected
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request

NAMED: Final[Mapping[Movement, LedgerEntry]] = {
    "prescribed": "prescription",
    "dispensed": "dispensing",
    "administered": "administration",
    "wasted": "wastage",
    "returned": "return",
}
REPLACED_BY: Final[Mapping[Movement, str]] = {"dispensed": "dispensing", "wasted": "wastage", "returned": "returned"}
"""Which part of the request replaces an amended movement."""


class CorrectPrescription(Request):
    """`prescription` names it by its id; `amended` needs the replacement, and the other kinds have none."""

    prescription: Slug
    kind: CorrectionKind
    reason: Text
    replacement: IssuePrescription | None = None


class CorrectMovement(Request):
    """`amended` needs exactly one replacement, of the entry's own kind; the other kinds have none."""

    entry: Slug
    kind: CorrectionKind
    reason: Text
    dispensing: RecordDispensing | None = None
    wastage: RecordWastage | None = None
    returned: RecordReturn | None = None


def correct_prescription(case: Case, command: CorrectPrescription, context: Context) -> list[EventData]:
    """Mark the prescription and record what replaces it, or that a rule refused that: then nothing is marked.

    Fills that rest on an amended one rest on its replacement; on another that is marked rests nothing (R-15). Raises Refusal
    for an unknown one, or one that was corrected before.
    """
    line = next((each for each in case.supply.lines if each.kind == "prescribed" and each.entry == command.prescription), None)
    if line is None:
        raise Refusal("no-such-entry", "The case has no prescription of this id.")
    require_uncorrected(line.corrected)
    require_fitting(command.kind, [] if command.replacement is None else ["replacement"], "replacement")
    mark = _mark(line, command.prescription, command.kind, command.reason, context)
    if command.replacement is None:
        return reconciled(case, mark, context)
    replacing = issue_prescription(_after(case, mark), command.replacement, context, replaces=line.issued)
    return replacing if any(isinstance(event, StepRefused) for event in replacing) else [mark, *replacing]


def correct_movement(case: Case, command: CorrectMovement, context: Context) -> list[EventData]:
    """Mark the movement and record what replaces it. Raises Refusal for an unknown one, or one that was corrected before."""
    line = _require_movement(case.supply, command.entry)
    require_uncorrected(line.corrected)
    given = [name for name in REPLACED_BY.values() if getattr(command, name) is not None]
    require_fitting(command.kind, given, REPLACED_BY[line.kind])
    mark = _mark(line, command.entry, command.kind, command.reason, context)
    after = _after(case, mark)
    if command.dispensing is not None:
        return [mark, *record_dispensing(after, command.dispensing, context, replaces=line)]
    if command.wastage is not None:
        return [mark, *record_wastage(after, command.wastage, context, replaces=line)]
    if command.returned is not None:
        return [mark, *record_return(after, command.returned, context, replaces=line)]
    return reconciled(case, mark, context)


def _require_movement(supply: Supply, entry: Slug) -> Line:
    moved = [line for line in supply.lines if line.kind != "prescribed"]
    line = next((each for each in moved if each.entry == entry), None)
    if line is None and any(each.entry is None for each in moved):
        raise Refusal("entry-without-name", "No movement has this name; those recorded before they had names cannot be corrected.")
    if line is None:
        raise Refusal("no-such-entry", "The case has no movement of this name.")
    if line.kind == "administered":
        raise Refusal("corrected-in-session", "A dose is corrected where it was recorded: in the session room.")
    return line


def _mark(line: Line, entry: Slug, kind: CorrectionKind, reason: Text, context: Context) -> EntryCorrected:
    by = context.actor.id
    return EntryCorrected(entry=entry, kind=kind, reason=reason, corrected_at=context.now, of=NAMED[line.kind], corrected_by=by)


def _after(case: Case, mark: EntryCorrected) -> Case:
    return replace(case, supply=fold(case.supply, mark))

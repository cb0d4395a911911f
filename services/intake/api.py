"""Routes: which request leads to which decision, and what of a case is shown. No rules."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from services.intake.domain.alerts import ALERT
from services.intake.domain.answer import AnswerInstrument, answer_instrument
from services.intake.domain.codes import QUESTIONS
from services.intake.domain.consent import STOPS, GiveConsent, give_consent
from services.intake.domain.correct import CorrectEntry, correct_entry
from services.intake.domain.emergency import (
    CloseEmergencyAccess,
    OpenEmergencyAccess,
    ReviewEmergencyAccess,
    close_emergency_access,
    open_emergency_access,
    review_emergency_access,
)
from services.intake.domain.emergency_reviews import EmergencyAccess
from services.intake.domain.entries import Entry
from services.intake.domain.fhir import identify
from services.intake.domain.refer import ReferBundle, ReferPatient, refer_bundle, refer_patient
from services.intake.domain.renew import RenewScreening, renew_screening
from services.intake.domain.screen import CompleteScreening, complete_screening
from services.intake.domain.state import Case
from services.intake.domain.state_facts import StateFacts, state_facts
from services.intake.domain.state_score import StateScore, state_score
from services.intake.domain.transfer import TransferCase, transfer_case
from services.intake.fhir_export import export
from shared.access.decide import Permission
from shared.events.intake import InstrumentAnswered
from shared.fhir.record import MEDIA_TYPE, bundle_of
from shared.pathway import instrument_items
from shared.pathway.alert import AcknowledgeAlert, show
from shared.pathway.stated_instruments import STATED_FORMS
from shared.pathway.stop import LiftHold, PlaceHold, WithdrawConsent
from shared.service.definition import Command, Origin, View

Pseudonymise = Callable[[str], str]
LATE = timedelta(days=1)
"""What is recorded later than this after it happened is shown with both times."""


def _origin(body: ReferPatient, pseudonymise: Pseudonymise) -> Origin:
    return Origin(body.clinic, pseudonymise(f"{body.patient.system}|{body.patient.value}"))


def _origin_of_bundle(body: ReferBundle, pseudonymise: Pseudonymise) -> Origin:
    system, value = identify(body.bundle)
    return Origin(body.clinic, pseudonymise(f"{system}|{value}"))


COMMANDS = (
    Command("/cases", ReferPatient, refer_patient, Permission.REFER, "Refer a patient", begins=_origin),
    Command("/referrals/fhir", ReferBundle, refer_bundle, Permission.REFER, "Refer a FHIR R4 bundle", begins=_origin_of_bundle),
    Command("/cases/{case}/statements", StateFacts, state_facts, Permission.SCREEN, "State answers to the questionnaire, or facts"),
    Command("/cases/{case}/consents", GiveConsent, give_consent, Permission.CONSENT, "Record that the patient consented"),
    Command(
        "/cases/{case}/consent-withdrawal", WithdrawConsent, STOPS.withdraw, Permission.STOP, "Record that the patient withdrew consent"
    ),
    Command("/cases/{case}/holds", PlaceHold, STOPS.place, Permission.STOP, "Place a safety hold"),
    Command("/cases/{case}/holds/lift", LiftHold, STOPS.lift, Permission.LIFT_HOLD, "Lift a safety hold with a reason"),
    Command("/cases/{case}/alerts/acknowledge", AcknowledgeAlert, ALERT.acknowledge, Permission.ACKNOWLEDGE, "Take an alert on"),
    Command("/cases/{case}/instruments", AnswerInstrument, answer_instrument, Permission.SCREEN, "Answer an instrument item by item"),
    Command("/cases/{case}/scores", StateScore, state_score, Permission.SCREEN, "State the score of an instrument without its items"),
    Command(
        "/cases/{case}/emergency-access",
        OpenEmergencyAccess,
        open_emergency_access,
        Permission.OPEN_EMERGENCY_ACCESS,
        "Open another clinic's case to read it in an emergency",
    ),
    Command(
        "/cases/{case}/emergency-access/close",
        CloseEmergencyAccess,
        close_emergency_access,
        Permission.OPEN_EMERGENCY_ACCESS,
        "End an emergency access of one's own",
    ),
    Command(
        "/cases/{case}/emergency-access/review",
        ReviewEmergencyAccess,
        review_emergency_access,
        Permission.REVIEW_EMERGENCY_ACCESS,
        "Say whether an emergency access was justified",
    ),
    Command("/cases/{case}/transfer", TransferCase, transfer_case, Permission.TRANSFER, "Give the case to another clinic"),
    Command("/cases/{case}/corrections", CorrectEntry, correct_entry, Permission.SCREEN, "Mark an entry as wrong, or amend it"),
    Command(
        "/cases/{case}/screening",
        CompleteScreening,
        complete_screening,
        Permission.SCREEN,
        "Complete the screening",
        waits_for_inbox=True,
    ),
    Command("/cases/{case}/screening/renewal", RenewScreening, renew_screening, Permission.SCREEN, "Screen the patient again"),
)


def show_case(case: Case) -> dict[str, Any]:
    """Show the case to those who screen the patient."""
    return {
        "status": case.status,
        "indication": None if case.referral is None else case.referral.indication,
        "route": None if case.referral is None else case.referral.route,
        "simulated": case.simulated,
        "consent": {
            "in_force": case.stops.consented,
            "version": case.stops.consent_version,
            "scopes": sorted(case.stops.consent_scopes),
        },
        "holds": sorted(case.stops.holds),
        "held_for_another_case": sorted(held.hold for held in case.held if held.carried_from and held.hold in case.stops.holds),
        "alerts": show(case.alerts),
        "emergency_accesses": [_show_emergency(access) for access in case.emergency_reviews.opened],
        "scores": [
            {
                **_show_total(each.answered),
                "answered_at": each.answered.answered_at.isoformat(),
                **_show_when_late(each),
                "entry": each.entry,
            }
            for each in sorted(case.counting, key=lambda entry: entry.topic or "")
            if each.answered is not None
        ],
        "stated_scores": [
            {**each.score.model_dump(mode="json"), **_show_when_late(each), "entry": each.entry}
            for each in sorted(case.counting, key=lambda entry: entry.topic or "")
            if each.score is not None
        ],
        "still_needed": {
            "instruments": [*case.unscored, *(("c-ssrs",) if case.screener_due else ())],
            "answers": list(case.unanswered),
        },
        "renewing_since": None if case.renewing_since is None else case.renewing_since.isoformat(),
        "screening": _show_outcome(case),
        "refused": None if case.refused is None else {"rule": case.refused.rule, "detail": case.refused.detail},
    }


def _show_emergency(access: EmergencyAccess) -> dict[str, Any]:
    verdict = access.verdict
    return {
        "grant": access.grant,
        "opened_by": access.opened_by,
        "reason": access.reason,
        "explanation": access.explanation,
        "opened_at": access.opened_at.isoformat(),
        "until": (access.ended_at or access.expires_at).isoformat(),
        "ended": access.ended_at is not None,
        "review_by": access.due_at.isoformat(),
        "review": None
        if verdict is None
        else {
            "justified": verdict.justified,
            "note": verdict.note,
            "reviewed_by": verdict.reviewed_by,
            "reviewed_at": verdict.reviewed_at.isoformat(),
        },
    }


def _show_outcome(case: Case) -> dict[str, Any] | None:
    if case.outcome is None:
        return None
    until = case.outcome.deferred_until
    return {
        "outcome": case.outcome.kind,
        "at": case.outcome.at.isoformat(),
        "deferred_until": None if until is None else until.isoformat(),
        "findings": [finding.model_dump(mode="json") for finding in case.outcome.findings],
        "policy_version": case.outcome.policy_version,
    }


def show_entries(case: Case) -> dict[str, Any]:
    """Show all that was recorded, what of it counts, and when it happened, to those who may have to correct it."""
    counting = case.counting
    return {"entries": [{**_show_entry(entry), "counts": entry in counting} for entry in case.entries]}


def _show_entry(entry: Entry) -> dict[str, Any]:
    corrected = entry.corrected
    return {
        "entry": entry.entry,
        "kind": entry.kind,
        "happened_at": None if entry.happened_at is None else entry.happened_at.isoformat(),
        "recorded_at": None if entry.recorded_at is None else entry.recorded_at.isoformat(),
        "replaces": entry.replaces,
        "corrected": None if corrected is None else {"kind": corrected.kind, "reason": corrected.reason, "at": corrected.at.isoformat()},
        "facts": [fact.model_dump(mode="json") for fact in entry.facts],
        "answers": None if entry.answered is None else {**_show_total(entry.answered), "answers": list(entry.answered.answers)},
        "score": None if entry.score is None else entry.score.model_dump(mode="json"),
        "consent_version": entry.consent_version,
    }


def _show_total(answered: InstrumentAnswered) -> dict[str, Any]:
    return {"instrument": answered.instrument, "total": answered.total, "band": answered.band, "flags": list(answered.flags)}


def _show_when_late(entry: Entry) -> dict[str, str]:
    """Say when it was recorded, where that is more than a day after it happened."""
    if entry.happened_at is None or entry.recorded_at is None or entry.recorded_at - entry.happened_at <= LATE:
        return {}
    return {"recorded_at": entry.recorded_at.isoformat()}


VIEWS = (
    View("/cases/{case}", Permission.READ_CASE, show_case, "Show the case"),
    View("/cases/{case}/entries", Permission.READ_CASE, show_entries, "Show every entry of the case, corrected ones too"),
    View(
        "/cases/{case}/fhir",
        Permission.READ_CASE,
        bundle_of(export),
        "Show consent, instruments and screening as a FHIR R4 bundle",
        media_type=MEDIA_TYPE,
        whole=True,
    ),
)

FORMS: Mapping[str, Any] = {
    "/instruments": {
        name: {
            "title": form.title,
            "stem": form.stem,
            "items": list(form.items),
            "choices": [list(words) for words in form.choices],
            "highest": list(form.highest),
            "licence": form.licence,
        }
        for name, form in instrument_items.FORMS.items()
    },
    "/scores": {
        name: {"title": form.title, "highest": form.highest, "loinc": form.loinc, "licence": form.licence}
        for name, form in STATED_FORMS.items()
    },
    "/questionnaire": dict(QUESTIONS),
}
"""What the forms ask, the same for every patient."""

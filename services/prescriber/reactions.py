"""Which event and which passed deadline lead to which reaction. Any event may be the first thing this service hears of a case."""

from collections.abc import Callable

from services.prescriber.domain.administer import administer, mark_administration
from services.prescriber.domain.deterioration import note_deterioration
from services.prescriber.domain.expire import expire
from services.prescriber.domain.outdated import note_outdated
from services.prescriber.domain.partners.state import Partners
from services.prescriber.domain.reassign import passing_on
from services.prescriber.domain.recall import recall
from services.prescriber.domain.reconcile import say_unreconciled
from services.prescriber.domain.review import opening
from services.prescriber.domain.state import Case
from services.prescriber.domain.stops import noting
from services.prescriber.domain.transfer import take_transfer
from shared.events import intake, integration, session
from shared.events.base import EventData
from shared.events.prescriber import EmergencyAccessNoted
from shared.pathway.context import Context
from shared.pathway.emergency import noting as noting_emergency
from shared.service.definition import Reactions


def table(partners: Partners) -> Reactions:
    """Return the reactions; those that assign a review choose among the partners registered then."""
    open_review = opening(partners)
    note = noting(partners)
    note_emergency = noting_emergency(EmergencyAccessNoted)
    return {
        intake.ScreeningCompleted: open_review,
        intake.ScreeningReopened: recall,
        intake.ScreenedOut: recall,
        intake.ScreeningOutdated: note_outdated,
        intake.EmergencyAccessOpened: note_emergency,
        intake.EmergencyAccessEnded: note_emergency,
        intake.CaseTransferred: take_transfer,
        intake.ConsentGiven: note,
        intake.ConsentWithdrawn: note,
        intake.SafetyHoldPlaced: note,
        intake.SafetyHoldLifted: note,
        session.ConsentWithdrawn: note,
        session.SafetyHoldPlaced: note,
        session.SafetyHoldLifted: note,
        integration.ConsentWithdrawn: note,
        integration.SafetyHoldPlaced: note,
        integration.SafetyHoldLifted: note,
        integration.OutcomeDeteriorated: note_deterioration,
        session.SessionDosed: administer,
        session.EntryCorrected: mark_administration,
    }


def falling_due(partners: Partners) -> Callable[[Case, str, Context], list[EventData]]:
    """Return what each deadline of a case leads to once it has passed."""
    reactions = {"partner_answer": passing_on(partners), "approval_end": expire, "supply_reconciled": say_unreconciled}

    def fall_due(case: Case, deadline: str, context: Context) -> list[EventData]:
        return reactions[deadline](case, context)

    return fall_due

"""What an organisation that leaves, or loses its licence, means for a case: its review goes to another one, its approval stays."""

from services.prescriber.domain.alerts import with_alerts
from services.prescriber.domain.partners.assign import find
from services.prescriber.domain.partners.state import Organisation
from services.prescriber.domain.review import another, given_to, why_taken
from services.prescriber.domain.state import Case
from shared.events.base import EventData
from shared.events.prescriber import ApprovingPartnerLeft
from shared.pathway.context import Context


def depart(case: Case, partners: tuple[Organisation, ...], context: Context) -> list[EventData]:
    """Return what follows from where the organisations stand now; nothing where the case's own may go on, and once it was done."""
    return with_alerts([*_passed_on(case, partners, context), *_said_of_approval(case, partners, context)], context)


def _passed_on(case: Case, partners: tuple[Organisation, ...], context: Context) -> list[EventData]:
    """Another organisation is asked at once. While a stop forbids disclosure nobody new may be: `release` asks when it ends."""
    why = why_taken(case, partners, context)
    if case.status != "in_review" or why is None or case.stops.why_stopped("disclosure_to_prescriber") is not None:
        return []
    return given_to(case, another(case, partners, context), why, partners, context)


def _said_of_approval(case: Case, partners: tuple[Organisation, ...], context: Context) -> list[EventData]:
    """A prescriber is called, once for each approval, and the approval stands.

    It was given by a prescriber who was licensed and with the network then, and nothing of the patient has changed since. To
    end a treatment half-way, or to let another organisation go on with it, is a clinical decision that no departure makes;
    but nobody outside answers for this plan any more, so a prescriber of the network has to look at it.
    """
    approver = find(partners, case.approver)
    if approver is None or approver.status == "active":
        return []
    return [ApprovingPartnerLeft(request=case.plan_request, partner=approver.slug, noted_at=context.now)]

"""What is known of a case under medical review."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Literal

from services.prescriber.domain import supply
from services.prescriber.domain.supply import Supply
from shared.events.base import EventData, Slug
from shared.events.clinical import ScreeningSummary, TreatmentPlan
from shared.events.intake import ConsentScope
from shared.events.prescriber import (
    IN_HOUSE,
    ApprovingPartnerLeft,
    Clearance,
    ClearanceAnswered,
    ClearanceRequested,
    DeteriorationNoted,
    EligibilityApproved,
    EligibilityDeclined,
    EligibilityExpired,
    EligibilityRevoked,
    OutdatedScreeningNoted,
    ReviewAssigned,
    ReviewOpened,
    ReviewOverdue,
    ReviewReassigned,
    ReviewRecalled,
    ReviewWithheld,
    TransferNoted,
)
from shared.pathway import alert, emergency, stop
from shared.pathway.alert import Alerts
from shared.pathway.emergency import Grants
from shared.pathway.folding import with_parts
from shared.pathway.stop import Stops
from shared.pathway.waiting import Waiting, for_stop

SUBSTANCE_USE_DISCLOSURE: Final[ConsentScope] = "substance_use_disclosure"
"""The consent scope under which a partner organisation may have substance-use content (R-33)."""

CaseStatus = Literal[
    "not_screened",
    "withheld",
    "in_review",
    "awaiting_clearance",
    "clearance_answered",
    "approved",
    "declined",
    "expired",
    "revoked",
    "recalled",
]
"""`withheld`: screened, but disclosure is stopped. `clearance_answered`: answered, but going back to the prescriber is stopped.
`recalled`: the screening was reopened and must be completed again."""


@dataclass(frozen=True, slots=True)
class Case:
    """One case as the prescriber service knows it."""

    status: CaseStatus = "not_screened"
    stops: Stops = field(default_factory=Stops)
    emergency: Grants = field(default_factory=Grants)
    summary: ScreeningSummary | None = None
    """The screening under review, or withheld from it."""
    request: int = 0
    """What the prescriber was asked last; 0 before the first time."""
    partner: Slug | None = None
    """Who was asked: a partner organisation, or IN_HOUSE."""
    opened_at: datetime | None = None
    """When the review of this screening opened; None while it is withheld."""
    assigned: tuple[Slug, ...] = ()
    """Everyone who was ever asked about this case: a late answer of one of them is a fact, that of a stranger is nothing."""
    lost: tuple[Slug, ...] = ()
    """Those from whom the review of this screening was taken; they are not chosen for it again."""
    due_at: datetime | None = None
    overdue: bool = False
    asked: tuple[Slug, ...] = ()
    """Items the prescriber wanted cleared for this screening, beside those of the screening itself."""
    to_clear: tuple[Slug, ...] = ()
    """Those of them that the clinic has still to answer."""
    answers: tuple[Clearance, ...] = ()
    plan: TreatmentPlan | None = None
    """The plan in force, also while a later review is open; None once it was declined, expired or revoked."""
    plan_request: int = 0
    """The request on which it was approved."""
    approved_by: Slug | None = None
    """Whose approval is in force."""
    approved_at: datetime | None = None
    """When the last approval was given; the first supply is smaller, and a visit follows it before the next (R-17)."""
    approver_left: bool = False
    """Whether a prescriber was told that it left the network since."""
    ended_at: datetime | None = None
    """When the last approval ended; None while one is in force, and before the first."""
    decided_at: datetime | None = None
    """When this screening's review ended in an approval or a refusal."""
    since: datetime | None = None
    """When the review, the request for clearance or its answer came."""
    alerts: Alerts = field(default_factory=Alerts)
    supply: Supply = field(default_factory=Supply)
    deteriorations: tuple[DeteriorationNoted, ...] = ()
    """Outcomes that were worse than the baseline (R-29)."""
    outdated: tuple[Slug, ...] = ()
    """What was recorded at intake since this screening and would have changed it; empty for one that still holds."""
    scope_was_missing: bool = True
    """Whether at some time since the last request the consent did not cover disclosing substance-use content (R-33)."""
    earlier_clinics: tuple[Slug, ...] = ()
    """The clinics that the case was transferred from."""

    @property
    def deadlines(self) -> Mapping[str, datetime]:
        """When the assigned organisation must have answered, when the approval in force ends, what falls due in supply and alerts."""
        due = {**self.alerts.deadlines, **self.supply.deadlines}
        if self.status == "in_review" and self.due_at is not None and not self.overdue:
            due["partner_answer"] = self.due_at
        if self.plan is not None:
            due["approval_end"] = self.plan.expires_at
        return due

    @property
    def waits_for(self) -> Waiting | None:
        """What the review waits for: a clearance is the clinic's to bring, whatever stops; else a stop comes first. None at its end."""
        if self.status in {"not_screened", "approved", "declined", "expired", "revoked", "recalled"}:
            return None
        if self.status == "awaiting_clearance":
            return Waiting("clearance", self.since, "coordinator")
        if self.outdated:
            return Waiting("renewed_screening", self.since, "therapist")
        decision = Waiting("prescriber_decision", self.since, "prescriber" if self.partner in {None, IN_HOUSE} else self.partner)
        return for_stop(self.stops, ("disclosure_to_prescriber", "treatment")) or decision

    @property
    def reviewer(self) -> Slug | None:
        """The partner organisation that has the open review: by it the case is counted, and found when that one leaves."""
        return self.partner if self.status == "in_review" and self.partner != IN_HOUSE else None

    @property
    def approver(self) -> Slug | None:
        """The partner organisation whose approval is in force; None once a prescriber was told that it left."""
        return None if self.plan is None or self.approver_left or self.approved_by == IN_HOUSE else self.approved_by

    @property
    def lots(self) -> tuple[Slug, ...]:
        """The lots of which some may be on hand: by them a recall finds the case."""
        return self.supply.lots

    @property
    def clearances(self) -> tuple[Slug, ...]:
        """Every item that must be answered as cleared before an approval (R-06, R-14), each once."""
        from_screening = self.summary.clearances if self.summary is not None else ()
        return tuple(dict.fromkeys((*from_screening, *self.asked)))


def evolve_case(case: Case, event: EventData) -> Case:
    """Return the case after an event."""
    stops = stop.fold(case.stops, event)
    case = with_parts(
        case,
        stops=stops,
        alerts=alert.fold(case.alerts, event),
        supply=supply.fold(case.supply, event),
        emergency=emergency.fold(case.emergency, event),
        scope_was_missing=case.scope_was_missing or SUBSTANCE_USE_DISCLOSURE not in stops.consent_scopes,
    )
    match event:
        case ReviewWithheld():
            return replace(_screened(case, event.summary), status="withheld")
        case ReviewOpened():
            opened = replace(_screened(case, event.summary), status="in_review", request=event.request)
            return replace(opened, opened_at=event.opened_at, since=event.opened_at)
        case ReviewAssigned() | ReviewOverdue() | ReviewReassigned():
            return _of_assignment(case, event)
        case ReviewRecalled():
            recalled = replace(case, status="recalled", summary=None, partner=None, due_at=None)
            return replace(recalled, asked=(), to_clear=(), answers=(), outdated=())
        case OutdatedScreeningNoted():
            return replace(case, outdated=tuple(dict.fromkeys((*case.outdated, *event.items))))
        case ClearanceRequested():
            asked = tuple(dict.fromkeys((*case.asked, *event.items)))
            return replace(case, status="awaiting_clearance", asked=asked, to_clear=event.items, since=event.asked_at)
        case ClearanceAnswered():
            answers = merged(case.answers, event.answers)
            return replace(case, status="clearance_answered", to_clear=(), answers=answers, since=event.answered_at)
        case EligibilityApproved() | EligibilityDeclined() | EligibilityExpired() | EligibilityRevoked() | ApprovingPartnerLeft():
            return _of_approval(case, event)
        case DeteriorationNoted():
            return replace(case, deteriorations=(*case.deteriorations, event))
        case TransferNoted(from_clinic=str(left)):
            return replace(case, earlier_clinics=tuple(dict.fromkeys((*case.earlier_clinics, left))))
        case _:
            return case


def merged(earlier: tuple[Clearance, ...], later: tuple[Clearance, ...]) -> tuple[Clearance, ...]:
    """Return one answer for each item; a later answer replaces an earlier one."""
    return tuple({answer.item: answer for answer in (*earlier, *later)}.values())


def _screened(case: Case, summary: ScreeningSummary) -> Case:
    """A new review asks everything anew: answers given for an older one no longer count."""
    outdated = case.outdated if case.summary == summary else ()
    fresh = replace(case, due_at=None, overdue=False, asked=(), to_clear=(), answers=(), lost=(), outdated=outdated)
    return replace(fresh, summary=summary, opened_at=None, decided_at=None, since=None)


def _of_assignment(case: Case, event: ReviewAssigned | ReviewOverdue | ReviewReassigned) -> Case:
    match event:
        case ReviewAssigned():
            missing = SUBSTANCE_USE_DISCLOSURE not in case.stops.consent_scopes
            case = replace(case, assigned=tuple(dict.fromkeys((*case.assigned, event.partner))), scope_was_missing=missing)
            return replace(case, status="in_review", request=event.request, partner=event.partner, due_at=event.due_at, overdue=False)
        case ReviewOverdue():
            return replace(case, overdue=True)
        case ReviewReassigned():
            return replace(case, lost=tuple(dict.fromkeys((*case.lost, event.from_partner))))


_OfApproval = EligibilityApproved | EligibilityDeclined | EligibilityExpired | EligibilityRevoked | ApprovingPartnerLeft


def _of_approval(case: Case, event: _OfApproval) -> Case:
    match event:
        case EligibilityApproved():
            case = replace(case, plan=event.plan, plan_request=event.request, approved_at=event.decided_at, ended_at=None)
            case = replace(case, approved_by=event.partner, approver_left=False)
            return replace(case, status="approved", answers=event.clearances, decided_at=event.decided_at)
        case EligibilityDeclined():
            ended_at = case.ended_at if case.plan is None else event.decided_at
            return replace(case, status="declined", plan=None, approved_by=None, ended_at=ended_at, decided_at=event.decided_at)
        case EligibilityExpired():
            return _ended(case, "expired", event.expires_at)
        case EligibilityRevoked():
            return _ended(case, "revoked", event.revoked_at)
        case ApprovingPartnerLeft():
            return replace(case, approver_left=True)


def _ended(case: Case, how: CaseStatus, at: datetime) -> Case:
    """The approval in force ended; a later review that is open goes on."""
    return replace(case, plan=None, approved_by=None, ended_at=at, status=how if case.status == "approved" else case.status)

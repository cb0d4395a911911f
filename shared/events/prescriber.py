"""Events that the prescriber service publishes: reviews and decisions; partners are in `shared.events.partner`, what moves
medication is in `shared.events.supply`."""

from datetime import date
from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, Field, JsonValue
from typing_extensions import override

from shared.events import base, partner, supply
from shared.events.base import EventData, Slug, Text
from shared.events.clinical import Evaluation, Instrument, ScreeningSummary, TreatmentPlan, Value

IN_HOUSE: Slug = "in-house"
"""The assignee of reviews that the network's own prescribers decide."""


class ReviewOpened(EventData):
    """A completed screening is up for medical review; `request` counts what the prescriber was asked, from 1."""

    TYPE: ClassVar[str] = "kapcare.prescriber.ReviewOpened.v1"
    request: int
    summary: ScreeningSummary
    opened_at: AwareDatetime


class ReviewAssigned(EventData):
    """An organisation was assigned; it is told by webhook and has until `due_at` to answer."""

    TYPE: ClassVar[str] = "kapcare.prescriber.ReviewAssigned.v1"
    request: int
    partner: Slug
    due_at: AwareDatetime

    @property
    @override
    def recipient(self) -> str:
        """Who is asked."""
        return self.partner


class ReviewWithheld(EventData):
    """A screening arrived while consent or a hold forbade disclosure; it is opened when that ends."""

    TYPE: ClassVar[str] = "kapcare.prescriber.ReviewWithheld.v1"
    why: Slug
    summary: ScreeningSummary


class ReviewOverdue(EventData):
    """The assigned organisation stayed silent beyond the time agreed."""

    TYPE: ClassVar[str] = "kapcare.prescriber.ReviewOverdue.v1"
    request: int
    partner: Slug
    due_at: AwareDatetime


class ReviewReassigned(EventData):
    """An open review was taken from one organisation and given to another, as the new `request`; the new one is told by webhook."""

    TYPE: ClassVar[str] = "kapcare.prescriber.ReviewReassigned.v1"
    request: int
    from_partner: Slug
    partner: Slug
    why: Slug
    """`silent`, `left`, `licence-lost`, or the code that a coordinator gave."""


class ReviewRecalled(EventData):
    """The screening under review was reopened, or a later one screened the patient out: its review counts no more."""

    TYPE: ClassVar[str] = "kapcare.prescriber.ReviewRecalled.v1"
    request: int
    partner: Slug | None = None
    """Whose review it was; None where nobody was asked yet."""
    why: Slug
    recalled_at: AwareDatetime


class Clearance(Value):
    """The answer to one item that needs clearance."""

    item: Slug
    cleared: bool
    note: Text


class ClearanceRequested(EventData):
    """The prescriber wants these items cleared before deciding; the clinic obtains the answers."""

    TYPE: ClassVar[str] = "kapcare.prescriber.ClearanceRequested.v1"
    request: int
    items: Annotated[tuple[Slug, ...], Field(min_length=1)]
    reasons: tuple[Slug, ...] = ()
    asked_by: str
    asked_at: AwareDatetime


class ClearanceAnswered(EventData):
    """The clinic answered what was asked; the review goes back to the prescriber as a new request."""

    TYPE: ClassVar[str] = "kapcare.prescriber.ClearanceAnswered.v1"
    answers: tuple[Clearance, ...]
    answered_at: AwareDatetime


class DecisionReceived(EventData):
    """A partner's signed decision as it came in, beside what followed from it: proof that the partner, and not we, made it.

    `decision_key` verifies `signature` (Standard Webhooks `v1a`) over `webhook_id.timestamp.body`.
    """

    TYPE: ClassVar[str] = "kapcare.prescriber.DecisionReceived.v1"
    partner: Slug
    webhook_id: str
    timestamp: int
    signature: str
    decision_key: str
    body: str


DecisionKind = Literal["eligible", "needs_clearance", "ineligible"]


class LateDecisionReceived(EventData):
    """An organisation that had lost the review, or had left, answered after all; recorded beside the proof, and it changes nothing."""

    TYPE: ClassVar[str] = "kapcare.prescriber.LateDecisionReceived.v1"
    request: int
    """The request it answers."""
    partner: Slug
    decision: DecisionKind
    reasons: tuple[Slug, ...]
    decided_by: str
    received_at: AwareDatetime


class DecisionRefused(EventData):
    """A decision of an organisation that was asked came at the wrong moment; recorded beside the proof, and it changes nothing."""

    TYPE: ClassVar[str] = "kapcare.prescriber.DecisionRefused.v1"
    partner: Slug
    webhook_id: str
    request: int
    """The request it answers."""
    reason: Slug
    """`stale-request`: a newer request replaced that one. `no-open-review`: none of this number is open."""
    rule: str | None = None
    detail: Text
    """What the partner was told."""


class EligibilityApproved(EventData):
    """A prescriber found the patient eligible and set the plan; every clearance is answered (R-14)."""

    TYPE: ClassVar[str] = "kapcare.prescriber.EligibilityApproved.v1"
    request: int
    plan: TreatmentPlan
    clearances: tuple[Clearance, ...] = ()
    reasons: tuple[Slug, ...]
    warnings: tuple[Slug, ...] = ()
    """What is unusual in a plan that is within its limits (R-17, R-18)."""
    evaluation: Evaluation | None = None
    """None: by telemedicine, without any evaluation in person."""
    follow_up_on: date | None = None
    """The day of the follow-up visit after the supply that this approval continues (R-17)."""
    partner: Slug
    decided_by: str
    decided_at: AwareDatetime
    policy_version: str


class EligibilityDeclined(EventData):
    """A prescriber found the patient not eligible, with reason codes."""

    TYPE: ClassVar[str] = "kapcare.prescriber.EligibilityDeclined.v1"
    request: int
    reasons: Annotated[tuple[Slug, ...], Field(min_length=1)]
    partner: Slug
    decided_by: str
    decided_at: AwareDatetime
    policy_version: str


class EligibilityExpired(EventData):
    """The approval of this request came to its end; nothing may be done under its plan any more."""

    TYPE: ClassVar[str] = "kapcare.prescriber.EligibilityExpired.v1"
    request: int
    expires_at: AwareDatetime


class EligibilityRevoked(EventData):
    """The approval of this request was taken back before its end; nothing may be done under its plan any more."""

    TYPE: ClassVar[str] = "kapcare.prescriber.EligibilityRevoked.v1"
    request: int
    reason: Slug
    note: Text | None = None
    revoked_by: str
    revoked_at: AwareDatetime


class ApprovingPartnerLeft(EventData):
    """The organisation whose approval of this request is in force left the network; the approval stands until a prescriber ends it."""

    TYPE: ClassVar[str] = "kapcare.prescriber.ApprovingPartnerLeft.v1"
    request: int
    partner: Slug
    noted_at: AwareDatetime


class ConsentWithdrawn(base.ConsentWithdrawn):
    """The patient withdrew consent to the prescriber."""

    TYPE: ClassVar[str] = "kapcare.prescriber.ConsentWithdrawn.v1"


class SafetyHoldPlaced(base.SafetyHoldPlaced):
    """A prescriber placed a safety hold."""

    TYPE: ClassVar[str] = "kapcare.prescriber.SafetyHoldPlaced.v1"


class SafetyHoldLifted(base.SafetyHoldLifted):
    """A prescriber lifted a hold."""

    TYPE: ClassVar[str] = "kapcare.prescriber.SafetyHoldLifted.v1"


class StopNoted(base.StopNoted):
    """The prescriber service took note of a consent or hold that another service announced."""

    TYPE: ClassVar[str] = "kapcare.prescriber.StopNoted.v1"


class StepRefused(base.StepRefused):
    """A rule refused a decision; what a prescriber had asked for is kept, so that it can be decided again under another policy."""

    TYPE: ClassVar[str] = "kapcare.prescriber.StepRefused.v1"
    plan: TreatmentPlan | None = None
    clearances: tuple[Clearance, ...] = ()
    """Every answer that counted, also those given before."""
    evaluation: Evaluation | None = None
    follow_up_on: date | None = None
    items: tuple[Slug, ...] = ()
    """What the clinic was to clear."""
    asked: dict[str, JsonValue] = Field(default_factory=dict)
    """The prescription that was asked for, by the names of its fields; empty where the step was another."""


class PolicyAdopted(base.PolicyText):
    """A medical director adopted a policy document for the network; every service decides by it from then on."""

    TYPE: ClassVar[str] = "kapcare.prescriber.PolicyAdopted.v1"
    in_force: str | None = None
    """The version in force until then: of the first adoption, the shipped one's, which no document may have either."""


class AlertRaised(base.AlertRaised):
    """Something at the prescriber service calls a person, who must acknowledge it in time."""

    TYPE: ClassVar[str] = "kapcare.prescriber.AlertRaised.v1"


class AlertAcknowledged(base.AlertAcknowledged):
    """A person took on an alert at the prescriber service; that lifts no hold."""

    TYPE: ClassVar[str] = "kapcare.prescriber.AlertAcknowledged.v1"


class AlertEscalated(base.AlertEscalated):
    """Nobody acknowledged an alert at the prescriber service in time; the next role is called."""

    TYPE: ClassVar[str] = "kapcare.prescriber.AlertEscalated.v1"


class OutdatedScreeningNoted(EventData):
    """The prescriber service took note of what a screening that it has did not know: it approves nothing more on it (R-14)."""

    TYPE: ClassVar[str] = "kapcare.prescriber.OutdatedScreeningNoted.v1"
    HAPPENED: ClassVar[str | None] = "outdated_at"
    items: tuple[Slug, ...]
    outdated_at: AwareDatetime


class DeteriorationNoted(EventData):
    """Integration measured an outcome that is worse than the baseline; totals of the instrument (R-29)."""

    TYPE: ClassVar[str] = "kapcare.prescriber.DeteriorationNoted.v1"
    HAPPENED: ClassVar[str | None] = "measured_at"
    instrument: Instrument
    baseline: int
    total: int
    measured_at: AwareDatetime


class LotRecalled(base.LotRecall):
    """A lot was recalled for the whole network."""

    TYPE: ClassVar[str] = "kapcare.prescriber.LotRecalled.v1"
    noted_at: AwareDatetime
    """When the network learned of it."""


class LotRecallWithdrawn(base.LotRecallEnd):
    """The recall of a lot was withdrawn."""

    TYPE: ClassVar[str] = "kapcare.prescriber.LotRecallWithdrawn.v1"


class TransferNoted(base.TransferNoted):
    """The medical review and the medication of the case went to another clinic."""

    TYPE: ClassVar[str] = "kapcare.prescriber.TransferNoted.v1"
    from_clinic: Slug | None = None
    """Where the case was, whose records keep their protection (R-33); None where it was noted before notes said so."""


class EmergencyAccessNoted(base.EmergencyAccessNoted):
    """The prescriber service took note of an emergency access (R-32)."""

    TYPE: ClassVar[str] = "kapcare.prescriber.EmergencyAccessNoted.v1"


EVENTS: tuple[type[EventData], ...] = (
    *partner.EVENTS,
    ReviewOpened,
    ReviewAssigned,
    ReviewWithheld,
    ReviewOverdue,
    ReviewReassigned,
    ReviewRecalled,
    ClearanceRequested,
    ClearanceAnswered,
    DecisionReceived,
    LateDecisionReceived,
    DecisionRefused,
    EligibilityApproved,
    EligibilityDeclined,
    EligibilityExpired,
    EligibilityRevoked,
    ApprovingPartnerLeft,
    ConsentWithdrawn,
    SafetyHoldPlaced,
    SafetyHoldLifted,
    StopNoted,
    StepRefused,
    PolicyAdopted,
    AlertRaised,
    AlertAcknowledged,
    AlertEscalated,
    *supply.EVENTS,
    DeteriorationNoted,
    OutdatedScreeningNoted,
    TransferNoted,
    EmergencyAccessNoted,
    LotRecalled,
    LotRecallWithdrawn,
)

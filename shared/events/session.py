"""Events that the session service publishes: preparation, dosing, monitoring, discharge."""

from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, Field

from shared.events import base
from shared.events.base import EventData, Slug, Text
from shared.events.clinical import (
    BloodPressure,
    Intent,
    Kilograms,
    Milligrams,
    Route,
    TreatmentPlan,
    Value,
)


class CourseOpened(EventData):
    """An approval arrived: the course of sessions may be prepared under its plan."""

    TYPE: ClassVar[str] = "kapcare.session.CourseOpened.v1"
    plan: TreatmentPlan
    request: int
    opened_at: AwareDatetime
    decided_at: AwareDatetime | None = None
    """When the prescriber decided; a re-clearance is counted from here (R-27)."""


class CourseWithheld(EventData):
    """An approval arrived while consent, a hold or a running session forbade starting; it opens when that ends."""

    TYPE: ClassVar[str] = "kapcare.session.CourseWithheld.v1"
    why: Slug
    plan: TreatmentPlan
    request: int
    decided_at: AwareDatetime | None = None


class CourseClosed(EventData):
    """A prescriber declined on a later request, or the approval expired or was revoked: it no longer allows any dose."""

    TYPE: ClassVar[str] = "kapcare.session.CourseClosed.v1"
    why: Slug
    request: int
    closed_at: AwareDatetime


class PreparationCompleted(EventData):
    """Preparation was done: psychoeducation, intentions, set and setting."""

    TYPE: ClassVar[str] = "kapcare.session.PreparationCompleted.v1"
    psychoeducation: bool
    intentions: tuple[Text, ...] = ()
    completed_at: AwareDatetime


class SessionScheduled(EventData):
    """A dosing session was put in the diary; `session` counts from 1."""

    TYPE: ClassVar[str] = "kapcare.session.SessionScheduled.v1"
    session: int
    starts_at: AwareDatetime
    setting: Literal["clinic", "home"]


class PreDoseChecked(EventData):
    """The checks in the room before a dose, consent reaffirmed by the patient among them (R-19, R-20)."""

    TYPE: ClassVar[str] = "kapcare.session.PreDoseChecked.v1"
    session: int
    consent_reaffirmed: bool
    consent_version: Slug
    monitor: str | None = None
    """Opaque id of the adult who monitors or chaperones."""
    escort_named: bool
    fasting: bool
    weight_kg: Kilograms
    weighed_at: AwareDatetime
    blood_pressure: BloodPressure
    checked_at: AwareDatetime


class DosingAuthorised(EventData):
    """Plan, consent, checks and dose allow this dose in this session; a permission, not a fact."""

    TYPE: ClassVar[str] = "kapcare.session.DosingAuthorised.v1"
    session: int
    dose_mg: Milligrams
    mg_per_kg: Decimal
    intent: Intent
    warnings: tuple[Slug, ...] = ()
    authorised_at: AwareDatetime
    policy_version: str
    lot: Slug | None = None
    """The lot it is to be taken from, where whoever asked named one."""


class SecondPressure(Value):
    """When the blood pressure after a dose is due, the window it counts in, and when its absence escalates (R-21)."""

    due_at: AwareDatetime
    earliest: AwareDatetime
    latest: AwareDatetime
    escalate_at: AwareDatetime


class SessionDosed(EventData):
    """A dose was given. A fact: recorded whatever allowed it; `deviations` names what nothing covered."""

    TYPE: ClassVar[str] = "kapcare.session.SessionDosed.v1"
    session: int
    dose_mg: Milligrams
    mg_per_kg: Decimal | None = None
    route: Route
    intent: Intent | None = None
    booster: bool = False
    deviations: tuple[Slug, ...] = ()
    given_at: AwareDatetime
    given_by: str
    second_pressure: SecondPressure | None = None
    lot: Slug | None = None
    """The lot it was taken from, where whoever recorded it named one."""


LateStop = Literal["hold_placed", "consent_withdrawn", "approval_declined", "approval_revoked", "approval_expired"]


class DoseFoundUncovered(EventData):
    """A stop was in force when this dose was given, and the session service heard of it only afterwards: a deviation."""

    TYPE: ClassVar[str] = "kapcare.session.DoseFoundUncovered.v1"
    session: int
    given_at: AwareDatetime
    because: LateStop
    hold: str | None = None
    stopped_at: AwareDatetime
    """When the hold was placed, consent withdrawn, or the approval ended, as whoever did it says."""
    heard_at: AwareDatetime


class VitalsRecorded(EventData):
    """One entry of the vitals timeline; rates per minute, saturation in percent, sedation MOAA/S 0 to 5.

    The ranges reach 0: apnoea and arrest are facts.
    """

    TYPE: ClassVar[str] = "kapcare.session.VitalsRecorded.v1"
    session: int
    taken_at: AwareDatetime
    blood_pressure: BloodPressure | None = None
    heart_rate: Annotated[int, Field(ge=0, le=300)] | None = None
    respiratory_rate: Annotated[int, Field(ge=0, le=80)] | None = None
    oxygen_saturation: Annotated[int, Field(ge=0, le=100)] | None = None
    sedation: Annotated[int, Field(ge=0, le=5)] | None = None


class VitalOverdue(EventData):
    """The blood pressure due about 40 minutes after the dose was not recorded in its window (R-21)."""

    TYPE: ClassVar[str] = "kapcare.session.VitalOverdue.v1"
    session: int
    due_at: AwareDatetime
    escalated: bool


class Escalated(EventData):
    """Vitals or symptoms call a clinician; `emergency` means at once (R-22, R-35)."""

    TYPE: ClassVar[str] = "kapcare.session.Escalated.v1"
    session: int | None = None
    emergency: bool
    rule: str
    because: tuple[Slug, ...]
    at: AwareDatetime


class AdverseEventRecorded(EventData):
    """An adverse event was recorded; never refused."""

    TYPE: ClassVar[str] = "kapcare.session.AdverseEventRecorded.v1"
    session: int | None = None
    what: Text
    symptoms: tuple[Slug, ...] = ()
    serious: bool
    happened_at: AwareDatetime


class SessionCompleted(EventData):
    """The patient was discharged; says who assessed, how they left, and that driving waits (R-23, R-24)."""

    TYPE: ClassVar[str] = "kapcare.session.SessionCompleted.v1"
    session: int
    discharged_at: AwareDatetime
    assessed_by: str
    minutes_since_dose: int | None = None
    at_baseline: bool
    escort_present: bool
    no_driving_instruction: bool
    override_reason: Text | None = None
    deviations: tuple[Slug, ...] = ()


class SessionCancelled(EventData):
    """A scheduled session did not take place."""

    TYPE: ClassVar[str] = "kapcare.session.SessionCancelled.v1"
    session: int
    reason: Slug


class IntegrationNoted(EventData):
    """An integration session was held, as the integration service said; counts before the next dose (R-28)."""

    TYPE: ClassVar[str] = "kapcare.session.IntegrationNoted.v1"
    session: int
    held_at: AwareDatetime


class CourseCompleted(EventData):
    """Every planned dose was given and the last patient stay ended."""

    TYPE: ClassVar[str] = "kapcare.session.CourseCompleted.v1"
    sessions: int
    completed_at: AwareDatetime


class ConsentWithdrawn(base.ConsentWithdrawn):
    """The patient withdrew consent in or before a session."""

    TYPE: ClassVar[str] = "kapcare.session.ConsentWithdrawn.v1"


class SafetyHoldPlaced(base.SafetyHoldPlaced):
    """A safety hold was placed in the session room."""

    TYPE: ClassVar[str] = "kapcare.session.SafetyHoldPlaced.v1"


class SafetyHoldLifted(base.SafetyHoldLifted):
    """A hold was lifted at the session service."""

    TYPE: ClassVar[str] = "kapcare.session.SafetyHoldLifted.v1"


class StopNoted(base.StopNoted):
    """The session service took note of a consent or hold that another service announced."""

    TYPE: ClassVar[str] = "kapcare.session.StopNoted.v1"


class StepRefused(base.StepRefused):
    """A rule refused a step in the session room."""

    TYPE: ClassVar[str] = "kapcare.session.StepRefused.v1"


class PolicyNoted(base.PolicyNoted):
    """The session service took note of an adopted policy document; it decides by it from then on."""

    TYPE: ClassVar[str] = "kapcare.session.PolicyNoted.v1"


class AlertRaised(base.AlertRaised):
    """Something in the session room calls a person, who must acknowledge it in time."""

    TYPE: ClassVar[str] = "kapcare.session.AlertRaised.v1"


class AlertAcknowledged(base.AlertAcknowledged):
    """A person took on an alert in the session room; that lifts no hold."""

    TYPE: ClassVar[str] = "kapcare.session.AlertAcknowledged.v1"


class AlertEscalated(base.AlertEscalated):
    """Nobody acknowledged an alert in the session room in time; the next role is called."""

    TYPE: ClassVar[str] = "kapcare.session.AlertEscalated.v1"


class TransferAwaited(EventData):
    """The case is to go to another clinic, and stays where it is until the patient under a dose was discharged."""

    TYPE: ClassVar[str] = "kapcare.session.TransferAwaited.v1"
    to_clinic: Slug
    transferred_at: AwareDatetime


class TransferNoted(base.TransferNoted):
    """The course of the case went to another clinic."""

    TYPE: ClassVar[str] = "kapcare.session.TransferNoted.v1"


class LotRecallNoted(base.LotRecall):
    """The session service took note of the recall of a lot; the gate allows no dose from it."""

    TYPE: ClassVar[str] = "kapcare.session.LotRecallNoted.v1"


class LotRecallEndNoted(base.LotRecallEnd):
    """The session service took note that a recall was withdrawn."""

    TYPE: ClassVar[str] = "kapcare.session.LotRecallEndNoted.v1"


EVENTS: tuple[type[EventData], ...] = (
    CourseOpened,
    CourseWithheld,
    CourseClosed,
    PreparationCompleted,
    SessionScheduled,
    PreDoseChecked,
    DosingAuthorised,
    SessionDosed,
    DoseFoundUncovered,
    VitalsRecorded,
    VitalOverdue,
    Escalated,
    AdverseEventRecorded,
    SessionCompleted,
    SessionCancelled,
    IntegrationNoted,
    CourseCompleted,
    ConsentWithdrawn,
    SafetyHoldPlaced,
    SafetyHoldLifted,
    StopNoted,
    StepRefused,
    PolicyNoted,
    AlertRaised,
    AlertAcknowledged,
    AlertEscalated,
    TransferAwaited,
    TransferNoted,
    LotRecallNoted,
    LotRecallEndNoted,
)

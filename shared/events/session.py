"""Events that the session service publishes: preparation, dosing, monitoring, discharge. Those around a dose have a file of their own."""

from decimal import Decimal
from typing import Annotated, ClassVar

from pydantic import AwareDatetime, Field, JsonValue

from shared.events import base, stay
from shared.events.base import EventData, Slug, Text
from shared.events.clinical import BloodPressure, Intent, Kilograms, Milligrams, Route, TreatmentPlan
from shared.events.dosing import (
    AdministrationEnded,
    AskedDose,
    Chaperone,
    EnrolmentRecorded,
    GroupInRoom,
    HomeSafety,
    LastIntake,
    LotRecallEndNoted,
    LotRecallNoted,
    MedicationTaken,
    PrescriberAsked,
    PressureDecided,
    Remainder,
    SetAndSetting,
    SetAndSettingRecorded,
    Setting,
    SupplyNoted,
)
from shared.events.stay import Escalated, SecondPressure, VitalOverdue

__all__ = [
    "AdministrationEnded",
    "EnrolmentRecorded",
    "Escalated",
    "LotRecallEndNoted",
    "LotRecallNoted",
    "PrescriberAsked",
    "PressureDecided",
    "SetAndSettingRecorded",
    "SupplyNoted",
    "VitalOverdue",
]


class CourseOpened(EventData):
    """An approval arrived: the course of sessions may be prepared under its plan."""

    TYPE: ClassVar[str] = "kapcare.session.CourseOpened.v1"
    plan: TreatmentPlan
    request: int
    opened_at: AwareDatetime
    decided_at: AwareDatetime | None = None
    """When the prescriber decided; a re-clearance is counted from here (R-27)."""
    expiry_warning_at: AwareDatetime | None = None
    """From when on it is said that the approval ends soon (R-15)."""


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


class PreparationCompleted(stay.Entered):
    """Preparation was done: psychoeducation, intentions, set and setting."""

    TYPE: ClassVar[str] = "kapcare.session.PreparationCompleted.v1"
    HAPPENED: ClassVar[str | None] = "completed_at"
    psychoeducation: bool
    topics: tuple[Slug, ...] = ()
    """What psychoeducation covered."""
    intentions: tuple[Text, ...] = ()
    set_and_setting: SetAndSetting | None = None
    completed_at: AwareDatetime


class SessionScheduled(EventData):
    """A dosing session was put in the diary; `session` counts from 1. `group` ties sessions of several patients together."""

    TYPE: ClassVar[str] = "kapcare.session.SessionScheduled.v1"
    session: int
    starts_at: AwareDatetime
    setting: Setting
    group: Slug | None = None
    policy_version: str | None = None


class PreDoseChecked(stay.Entered):
    """The checks in the room before a dose, consent reaffirmed by the patient among them (R-19, R-20)."""

    TYPE: ClassVar[str] = "kapcare.session.PreDoseChecked.v1"
    HAPPENED: ClassVar[str | None] = "checked_at"
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
    monitor_adult: bool | None = None
    """Whether it was said that the monitor is 18 or older; None in checks that did not ask yet."""
    chaperone: Chaperone | None = None
    last_intake: LastIntake | None = None
    """None in checks that asked for a bare yes or no."""
    medications_taken: tuple[MedicationTaken, ...] | None = None
    """None where nobody asked, which is not the same as none taken."""
    home: HomeSafety | None = None
    group: GroupInRoom | None = None


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
    valid_until: AwareDatetime | None = None
    """The last moment at which a dose may be given on it."""
    asked: AskedDose | None = None
    facts: dict[str, str] = Field(default_factory=dict)
    """What it was decided on, name and value."""


class SessionDosed(stay.Entered):
    """A dose was given. A fact: recorded whatever allowed it; `deviations` names what nothing covered."""

    TYPE: ClassVar[str] = "kapcare.session.SessionDosed.v1"
    HAPPENED: ClassVar[str | None] = "given_at"
    session: int
    dose_mg: Milligrams
    mg_per_kg: Decimal | None = None
    route: Route
    intent: Intent | None = None
    booster: bool = False
    deviations: tuple[Slug, ...] = ()
    given_at: AwareDatetime
    """The start of an infusion, or of the first device."""
    given_by: str
    second_pressure: SecondPressure | None = None
    chaperone_check: stay.NextCheck | None = None
    """None where no chaperone watches."""
    rems_form: stay.RemsClock | None = None
    """None where no form is owed."""
    reclear_by: AwareDatetime | None = None
    """From when on a further dose needs a prescriber's clearance anew, unless one comes before (R-27)."""
    lot: Slug | None = None
    devices: tuple[AwareDatetime, ...] = ()
    """When each esketamine device was started."""
    ended_at: AwareDatetime | None = None
    """The end of an infusion, or of a lozenge's time in the mouth; None while it was not known."""
    remainder: Remainder | None = None
    warnings: tuple[Slug, ...] = ()
    """What was unusual and still covered."""


class VitalsRecorded(stay.Entered):
    """One entry of the vitals timeline; rates per minute, saturation in percent, sedation MOAA/S 0 to 5.

    The ranges reach 0: apnoea and arrest are facts.
    """

    TYPE: ClassVar[str] = "kapcare.session.VitalsRecorded.v1"
    HAPPENED: ClassVar[str | None] = "taken_at"
    session: int
    taken_at: AwareDatetime
    blood_pressure: BloodPressure | None = None
    heart_rate: Annotated[int, Field(ge=0, le=300)] | None = None
    respiratory_rate: Annotated[int, Field(ge=0, le=80)] | None = None
    oxygen_saturation: Annotated[int, Field(ge=0, le=100)] | None = None
    sedation: Annotated[int, Field(ge=0, le=5)] | None = None
    dissociation: bool | None = None
    """Whether the patient was dissociated, as seen or by the CADSS total; None where nobody looked."""
    cadss: Annotated[int, Field(ge=0, le=92)] | None = None
    repeat_by: AwareDatetime | None = None
    """When a pressure above the patient's limit is to be taken again (R-22)."""


class AdverseEventRecorded(stay.Entered):
    """An adverse event was recorded; never refused."""

    TYPE: ClassVar[str] = "kapcare.session.AdverseEventRecorded.v1"
    HAPPENED: ClassVar[str | None] = "happened_at"
    session: int | None = None
    what: Text
    symptoms: tuple[Slug, ...] = ()
    serious: bool
    happened_at: AwareDatetime


class SessionCompleted(stay.Entered):
    """The patient was discharged; says who assessed, how they left, and that driving waits (R-23, R-24)."""

    TYPE: ClassVar[str] = "kapcare.session.SessionCompleted.v1"
    HAPPENED: ClassVar[str | None] = "discharged_at"
    session: int
    discharged_at: AwareDatetime
    assessed_by: str
    minutes_since_dose: int | None = None
    at_baseline: bool
    escort_present: bool
    no_driving_instruction: bool
    override_reason: Text | None = None
    """Why a prescriber let the patient go although the gate did not hold."""
    deviations: tuple[Slug, ...] = ()
    pressure_acceptable: bool | None = None
    """Whether the assessor accepted a last pressure above the patient's limit; None in a record of an earlier release."""
    missing_pressure_reason: Text | None = None
    """Why a pressure of the three, before, about 40 minutes after and at discharge, is missing (RM1)."""
    transported: bool = False
    """Whether emergency services took the patient."""
    aftercare_contact: Text | None = None
    """Opaque id of whom the patient was told to call (R-24)."""
    escort: Text | None = None
    """Opaque id of who took the patient home."""
    ready_at: AwareDatetime | None = None
    """When the assessor would have found the patient ready to leave; a field of the REMS form."""


class EntryCorrected(base.EntryCorrected):
    """What was recorded in the session room is marked: it counts no more, here and in the services that heard of it."""

    TYPE: ClassVar[str] = "kapcare.session.EntryCorrected.v1"
    of: stay.EntryKind
    session: int | None = None
    """None for what belongs to no session."""
    left_undosed: bool = False
    """Of a dose: whether its session has none left that counts, and none replaces it."""


class SessionCancelled(EventData):
    """A scheduled session did not take place."""

    TYPE: ClassVar[str] = "kapcare.session.SessionCancelled.v1"
    session: int
    reason: Slug


class IntegrationNoted(EventData):
    """An integration session was held, as the integration service said; counts before the next dose (R-28)."""

    TYPE: ClassVar[str] = "kapcare.session.IntegrationNoted.v1"
    HAPPENED: ClassVar[str | None] = "held_at"
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
    """A rule refused a step in the session room; what was asked is kept, so that it can be decided again under another policy."""

    TYPE: ClassVar[str] = "kapcare.session.StepRefused.v1"
    asked: dict[str, JsonValue] = Field(default_factory=dict)
    """The request, by the names of its fields."""


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
    HAPPENED: ClassVar[str | None] = "transferred_at"
    to_clinic: Slug
    transferred_at: AwareDatetime


class TransferNoted(base.TransferNoted):
    """The course of the case went to another clinic."""

    TYPE: ClassVar[str] = "kapcare.session.TransferNoted.v1"


class EmergencyAccessNoted(base.EmergencyAccessNoted):
    """The session service took note of an emergency access (R-32)."""

    TYPE: ClassVar[str] = "kapcare.session.EmergencyAccessNoted.v1"


EVENTS: tuple[type[EventData], ...] = (
    CourseOpened,
    CourseWithheld,
    CourseClosed,
    PreparationCompleted,
    EnrolmentRecorded,
    SupplyNoted,
    SessionScheduled,
    SetAndSettingRecorded,
    PreDoseChecked,
    PrescriberAsked,
    PressureDecided,
    DosingAuthorised,
    SessionDosed,
    AdministrationEnded,
    VitalsRecorded,
    VitalOverdue,
    Escalated,
    AdverseEventRecorded,
    SessionCompleted,
    *stay.EVENTS,
    EntryCorrected,
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
    EmergencyAccessNoted,
    LotRecallNoted,
    LotRecallEndNoted,
)

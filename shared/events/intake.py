"""Events that intake publishes: referral, consent, instruments, screening."""

from datetime import date
from typing import ClassVar, Literal

from pydantic import AwareDatetime

from shared.events import base
from shared.events.base import EventData, Slug, Text
from shared.events.clinical import Fact, Finding, Indication, Instrument, Route, ScreeningSummary, Sex, StatedScore

ConsentScope = Literal["treatment", "disclosure_to_prescriber", "substance_use_disclosure"]
"""What a consent covers. The last, that records under 42 CFR part 2 go to the prescriber organisation for treatment (R-33)."""


class PatientReferred(EventData):
    """A therapist or coordinator referred a patient; the case begins."""

    TYPE: ClassVar[str] = "kapcare.intake.PatientReferred.v1"
    origin: Literal["json", "fhir"]
    birth_date: date
    sex: Sex
    indication: Indication
    route: Route | None = None
    """The route asked for; the prescriber decides."""
    facts: tuple[Fact, ...] = ()
    simulated: bool = False
    referred_at: AwareDatetime
    entry: Slug | None = None
    """Names this entry, so that it can be corrected; None where it was recorded before entries had names."""


class FactsStated(EventData):
    """The patient answered the contraindication questionnaire, or a clinician added facts."""

    TYPE: ClassVar[str] = "kapcare.intake.FactsStated.v1"
    facts: tuple[Fact, ...]
    simulated: bool = False
    entry: Slug | None = None
    replaces: Slug | None = None
    """The entry that was amended, and that this one stands for."""
    recorded_at: AwareDatetime | None = None


class ConsentGiven(EventData):
    """The patient consented to a version of the consent form; `scopes` name what it covers."""

    TYPE: ClassVar[str] = "kapcare.intake.ConsentGiven.v1"
    HAPPENED: ClassVar[str | None] = "given_at"
    version: Slug
    scopes: tuple[ConsentScope, ...]
    given_at: AwareDatetime
    entry: Slug | None = None
    recorded_at: AwareDatetime | None = None


class ConsentWithdrawn(base.ConsentWithdrawn):
    """The patient withdrew consent at intake."""

    TYPE: ClassVar[str] = "kapcare.intake.ConsentWithdrawn.v1"


class InstrumentAnswered(EventData):
    """An instrument was answered item by item; `total` is None where an item is missing (R-07: never imputed)."""

    TYPE: ClassVar[str] = "kapcare.intake.InstrumentAnswered.v1"
    HAPPENED: ClassVar[str | None] = "answered_at"
    instrument: Instrument
    answers: tuple[int | None, ...]
    total: int | None
    band: str
    flags: tuple[str, ...] = ()
    answered_at: AwareDatetime
    simulated: bool = False
    policy_version: str | None = None
    """The policy that it was scored under."""
    entry: Slug | None = None
    replaces: Slug | None = None
    recorded_at: AwareDatetime | None = None


class ScoreStated(EventData):
    """The score of an instrument whose items are not recorded was stated; nothing is imputed (R-12, R-13)."""

    TYPE: ClassVar[str] = "kapcare.intake.ScoreStated.v1"
    HAPPENED: ClassVar[str | None] = "score.answered_at"
    score: StatedScore
    simulated: bool = False
    entry: Slug | None = None
    replaces: Slug | None = None
    recorded_at: AwareDatetime | None = None


class EntryCorrected(base.EntryCorrected):
    """What was recorded at intake is marked: it counts no more."""

    TYPE: ClassVar[str] = "kapcare.intake.EntryCorrected.v1"


class ScreeningReopened(EventData):
    """A correction took away what the screening rested on; it must be completed again."""

    TYPE: ClassVar[str] = "kapcare.intake.ScreeningReopened.v1"
    reason: Slug
    reopened_at: AwareDatetime


class ScreeningRenewed(EventData):
    """The patient is screened again: all is asked anew. What was screened before stands until that is completed."""

    TYPE: ClassVar[str] = "kapcare.intake.ScreeningRenewed.v1"
    reason: Literal["reclearance", "approval_ended", "follow_up", "changed"]
    renewed_at: AwareDatetime


class ScreeningOutdated(EventData):
    """What was recorded since the screening was completed would have changed it: no approval rests on it until it is renewed (R-14)."""

    TYPE: ClassVar[str] = "kapcare.intake.ScreeningOutdated.v1"
    items: tuple[Slug, ...]
    outdated_at: AwareDatetime


class SuicideRiskScreenRequired(EventData):
    """PHQ-9 item 9 was answered above 0: the C-SSRS screener must be answered before the referral goes on (R-08)."""

    TYPE: ClassVar[str] = "kapcare.intake.SuicideRiskScreenRequired.v1"
    because: str


class SafetyHoldPlaced(base.SafetyHoldPlaced):
    """Intake placed a safety hold."""

    TYPE: ClassVar[str] = "kapcare.intake.SafetyHoldPlaced.v1"
    carried_from: str | None = None
    """Another case of the patient, on which it was placed and for whose sake this one is held too."""


class SafetyHoldLifted(base.SafetyHoldLifted):
    """A clinician lifted a hold at intake."""

    TYPE: ClassVar[str] = "kapcare.intake.SafetyHoldLifted.v1"


class ScreeningCompleted(EventData):
    """Nothing excludes the patient; the prescriber reviews. Findings say what to clear and what to look at."""

    TYPE: ClassVar[str] = "kapcare.intake.ScreeningCompleted.v1"
    summary: ScreeningSummary
    completed_at: AwareDatetime
    policy_version: str


class ScreenedOut(EventData):
    """Rules exclude the patient now; a `defer` finding says until when."""

    TYPE: ClassVar[str] = "kapcare.intake.ScreenedOut.v1"
    reasons: tuple[Finding, ...]
    screened_at: AwareDatetime
    policy_version: str


class StopNoted(base.StopNoted):
    """Intake took note of a stop that another service announced."""

    TYPE: ClassVar[str] = "kapcare.intake.StopNoted.v1"


class StepRefused(base.StepRefused):
    """A rule refused a step at intake."""

    TYPE: ClassVar[str] = "kapcare.intake.StepRefused.v1"


class PolicyNoted(base.PolicyNoted):
    """Intake took note of an adopted policy document; it decides by it from then on."""

    TYPE: ClassVar[str] = "kapcare.intake.PolicyNoted.v1"


class AlertRaised(base.AlertRaised):
    """Something at intake calls a person, who must acknowledge it in time."""

    TYPE: ClassVar[str] = "kapcare.intake.AlertRaised.v1"


class AlertAcknowledged(base.AlertAcknowledged):
    """A person took on an alert at intake; that lifts no hold."""

    TYPE: ClassVar[str] = "kapcare.intake.AlertAcknowledged.v1"


class AlertEscalated(base.AlertEscalated):
    """Nobody acknowledged an alert at intake in time; the next role is called."""

    TYPE: ClassVar[str] = "kapcare.intake.AlertEscalated.v1"


class CaseTransferred(base.CaseTransferred):
    """The case went to another clinic of the network; every service follows."""

    TYPE: ClassVar[str] = "kapcare.intake.CaseTransferred.v1"


EmergencyReason = Literal["patient_in_danger", "care_interrupted", "other"]


class EmergencyAccessOpened(EventData):
    """Someone of another clinic opened the case to read it in an emergency (break-glass, R-32), and said why."""

    TYPE: ClassVar[str] = "kapcare.intake.EmergencyAccessOpened.v1"
    grant: Slug
    opened_by: str
    reason: EmergencyReason
    explanation: Text
    opened_at: AwareDatetime
    expires_at: AwareDatetime
    review_by: AwareDatetime
    """Until when someone else must have said whether it was justified."""


class EmergencyAccessEnded(EventData):
    """An emergency access is over: its time passed, it was closed, or someone found that it was not justified."""

    TYPE: ClassVar[str] = "kapcare.intake.EmergencyAccessEnded.v1"
    HAPPENED: ClassVar[str | None] = "ended_at"
    grant: Slug
    opened_by: str
    why: Literal["expired", "closed", "not_justified"]
    ended_at: AwareDatetime


class EmergencyAccessReviewed(EventData):
    """Someone who answers for the case looked at an emergency access, and said whether it was justified."""

    TYPE: ClassVar[str] = "kapcare.intake.EmergencyAccessReviewed.v1"
    grant: Slug
    justified: bool
    note: Text
    reviewed_by: str
    reviewed_at: AwareDatetime


class EmergencyAccessUnreviewed(EventData):
    """Nobody reviewed an emergency access in time; it stays open until someone does."""

    TYPE: ClassVar[str] = "kapcare.intake.EmergencyAccessUnreviewed.v1"
    grant: Slug
    review_by: AwareDatetime


EVENTS: tuple[type[EventData], ...] = (
    PatientReferred,
    FactsStated,
    ConsentGiven,
    ConsentWithdrawn,
    InstrumentAnswered,
    ScoreStated,
    EntryCorrected,
    ScreeningReopened,
    ScreeningRenewed,
    ScreeningOutdated,
    SuicideRiskScreenRequired,
    SafetyHoldPlaced,
    SafetyHoldLifted,
    ScreeningCompleted,
    ScreenedOut,
    StopNoted,
    StepRefused,
    PolicyNoted,
    AlertRaised,
    AlertAcknowledged,
    AlertEscalated,
    CaseTransferred,
    EmergencyAccessOpened,
    EmergencyAccessEnded,
    EmergencyAccessReviewed,
    EmergencyAccessUnreviewed,
)

"""Events that the integration service publishes: integration sessions, outcomes. Those about goals have a file of their own."""

from typing import ClassVar

from pydantic import AwareDatetime

from shared.events import base, goals
from shared.events.base import EventData, Slug, Text
from shared.events.clinical import Instrument, Intent, Route, Score
from shared.events.integration_plan import (
    DischargedBecause,
    MissedBecause,
    NotFollowedBecause,
    PlannedIntegration,
    PlannedMeasurement,
    Purpose,
)


class BaselineNoted(EventData):
    """The scores at screening, against which outcomes are measured."""

    TYPE: ClassVar[str] = "kapcare.integration.BaselineNoted.v1"
    scores: tuple[Score, ...]


class IntegrationScheduled(EventData):
    """A dose was given: these integration sessions and measurements follow, the first session within its window (R-28)."""

    TYPE: ClassVar[str] = "kapcare.integration.IntegrationScheduled.v1"
    dosing_session: int
    dosed_at: AwareDatetime
    planned: tuple[PlannedIntegration, ...]
    deviations: tuple[Slug, ...] = ()
    route: Route | None = None
    intent: Intent | None = None
    measurements: tuple[PlannedMeasurement, ...] = ()
    covered_by: str | None = None
    """The session after an earlier dose that is still to be held within its window, and integrates this dose too."""
    superseded: tuple[str, ...] = ()
    """Sessions and measurements after earlier doses that these replace."""


class IntegrationWithdrawn(EventData):
    """A dose was none: the sessions and measurements planned after it alone are not waited for, and what they replaced is again."""

    TYPE: ClassVar[str] = "kapcare.integration.IntegrationWithdrawn.v1"
    dosing_session: int
    because: Slug
    withdrawn_at: AwareDatetime


class IntegrationPlanned(EventData):
    """Integration sessions are planned for another reason than a dose that was just given."""

    TYPE: ClassVar[str] = "kapcare.integration.IntegrationPlanned.v1"
    because: Slug
    """`maintenance`, `course-cut-short`, `consent-withdrawn`, or `held-before-dose`."""
    dosing_sessions: tuple[int, ...]
    """Of the doses that they follow."""
    planned: tuple[PlannedIntegration, ...]
    superseded: tuple[str, ...] = ()


class IntegrationHeld(EventData):
    """An integration session took place."""

    TYPE: ClassVar[str] = "kapcare.integration.IntegrationHeld.v1"
    HAPPENED: ClassVar[str | None] = "held_at"
    id: str
    dosing_session: int
    """Of the last dose that it integrates."""
    purpose: Purpose
    held_at: AwareDatetime
    insights: tuple[Text, ...] = ()


class IntegrationMissed(EventData):
    """An integration session did not take place when it was to, or was moved to another time. It can still be held."""

    TYPE: ClassVar[str] = "kapcare.integration.IntegrationMissed.v1"
    HAPPENED: ClassVar[str | None] = "at"
    id: str
    dosing_session: int
    because: MissedBecause
    note: Text | None = None
    at: AwareDatetime
    """When the patient did not come, or it was called off."""
    rescheduled_to: AwareDatetime | None = None
    missed_after: AwareDatetime | None = None
    """From when on it counts as missed for good, where it has a new time."""
    deviations: tuple[Slug, ...] = ()


class IntegrationOverdue(EventData):
    """An integration session was not held by its time."""

    TYPE: ClassVar[str] = "kapcare.integration.IntegrationOverdue.v1"
    id: str
    dosing_session: int
    due_by: AwareDatetime


class InsightNoted(EventData):
    """What the patient understood, hours or weeks after a dose, with or without a session."""

    TYPE: ClassVar[str] = "kapcare.integration.InsightNoted.v1"
    HAPPENED: ClassVar[str | None] = "came_at"
    insight: Text
    came_at: AwareDatetime
    noted_at: AwareDatetime


class MaintenanceBegan(EventData):
    """The course is over and single doses keep its effect up: integration sessions follow at the policy's interval."""

    TYPE: ClassVar[str] = "kapcare.integration.MaintenanceBegan.v1"
    HAPPENED: ClassVar[str | None] = "began_at"
    began_at: AwareDatetime


class OutcomeMeasured(EventData):
    """An outcome instrument against its baseline (R-29); a missing item leaves it unscored."""

    TYPE: ClassVar[str] = "kapcare.integration.OutcomeMeasured.v1"
    HAPPENED: ClassVar[str | None] = "measured_at"
    instrument: Instrument
    answers: tuple[int | None, ...]
    total: int | None = None
    baseline: int | None = None
    change: int | None = None
    response: bool | None = None
    remission: bool | None = None
    deterioration: bool | None = None
    measured_at: AwareDatetime
    simulated: bool = False
    policy_version: str | None = None
    """Under which it was found to be a response, a remission, a deterioration."""


class OutcomeJudgedAnew(EventData):
    """The baseline became known or was corrected after an outcome was measured against it: what the outcome says now (R-29)."""

    TYPE: ClassVar[str] = "kapcare.integration.OutcomeJudgedAnew.v1"
    instrument: Instrument
    measured_at: AwareDatetime
    """Which outcome."""
    baseline: int | None = None
    change: int | None = None
    response: bool | None = None
    remission: bool | None = None
    deterioration: bool | None = None


class OutcomeDeteriorated(EventData):
    """An outcome is worse than the baseline by the policy's points: the prescriber and the therapist must know (R-29)."""

    TYPE: ClassVar[str] = "kapcare.integration.OutcomeDeteriorated.v1"
    HAPPENED: ClassVar[str | None] = "measured_at"
    instrument: Instrument
    baseline: int
    total: int
    measured_at: AwareDatetime


class MeasurementDue(EventData):
    """The outcome is to be measured now (R-29)."""

    TYPE: ClassVar[str] = "kapcare.integration.MeasurementDue.v1"
    id: str
    day: int
    due_at: AwareDatetime


class MeasurementOverdue(EventData):
    """The outcome was not measured in its window, and nobody said why (R-29)."""

    TYPE: ClassVar[str] = "kapcare.integration.MeasurementOverdue.v1"
    id: str
    day: int
    closes_at: AwareDatetime


class OutcomeNotFollowed(EventData):
    """Why the outcome is not measured at these times: what an honest report says beside its rates (R-29)."""

    TYPE: ClassVar[str] = "kapcare.integration.OutcomeNotFollowed.v1"
    HAPPENED: ClassVar[str | None] = "at"
    measurements: tuple[str, ...]
    because: NotFollowedBecause
    note: Text | None = None
    at: AwareDatetime


class SuicideRiskScreenRequired(EventData):
    """PHQ-9 item 9 above 0 in an outcome measurement: the C-SSRS screener is due (R-08)."""

    TYPE: ClassVar[str] = "kapcare.integration.SuicideRiskScreenRequired.v1"
    because: str


class IntegrationCompleted(EventData):
    """The course is over and nothing that was planned after it is waited for any more; care is handed back."""

    TYPE: ClassVar[str] = "kapcare.integration.IntegrationCompleted.v1"
    held: int
    missed: int
    completed_at: AwareDatetime


class CareDischarged(EventData):
    """A person ended integration: why, and what was left open. A later dose opens it again."""

    TYPE: ClassVar[str] = "kapcare.integration.CareDischarged.v1"
    HAPPENED: ClassVar[str | None] = "discharged_at"
    because: DischargedBecause
    note: Text | None = None
    left_open: tuple[Slug, ...] = ()
    """Sessions, measurements and goals by their ids; `c-ssrs` for a screener that is due."""
    deviations: tuple[Slug, ...] = ()
    discharged_at: AwareDatetime
    discharged_by: str


class PrescriberNoted(EventData):
    """Which organisation approved the course: outcomes are reported by it."""

    TYPE: ClassVar[str] = "kapcare.integration.PrescriberNoted.v1"
    HAPPENED: ClassVar[str | None] = "decided_at"
    request: int
    partner: Slug
    decided_at: AwareDatetime


class CourseOpeningNoted(EventData):
    """The session service said that the course goes on under another approval."""

    TYPE: ClassVar[str] = "kapcare.integration.CourseOpeningNoted.v1"
    request: int


class CourseCompletionNoted(EventData):
    """The session service said that the last planned session is over, or that the course was cut short."""

    TYPE: ClassVar[str] = "kapcare.integration.CourseCompletionNoted.v1"
    sessions: int
    why: Slug | None = None
    """What ended the approval while doses were left: `expired`, `revoked`, `declined`; None where every planned dose was given."""


class ConsentWithdrawn(base.ConsentWithdrawn):
    """The patient withdrew consent during integration."""

    TYPE: ClassVar[str] = "kapcare.integration.ConsentWithdrawn.v1"


class SafetyHoldPlaced(base.SafetyHoldPlaced):
    """A safety hold was placed during integration."""

    TYPE: ClassVar[str] = "kapcare.integration.SafetyHoldPlaced.v1"


class SafetyHoldLifted(base.SafetyHoldLifted):
    """A hold was lifted at the integration service."""

    TYPE: ClassVar[str] = "kapcare.integration.SafetyHoldLifted.v1"


class StopNoted(base.StopNoted):
    """The integration service took note of a consent or hold that another service announced."""

    TYPE: ClassVar[str] = "kapcare.integration.StopNoted.v1"


class StepRefused(base.StepRefused):
    """A rule refused a step during integration."""

    TYPE: ClassVar[str] = "kapcare.integration.StepRefused.v1"


class PolicyNoted(base.PolicyNoted):
    """The integration service took note of an adopted policy document; it decides by it from then on."""

    TYPE: ClassVar[str] = "kapcare.integration.PolicyNoted.v1"


class AlertRaised(base.AlertRaised):
    """Something during integration calls a person, who must acknowledge it in time."""

    TYPE: ClassVar[str] = "kapcare.integration.AlertRaised.v1"


class AlertAcknowledged(base.AlertAcknowledged):
    """A person took on an alert during integration; that lifts no hold."""

    TYPE: ClassVar[str] = "kapcare.integration.AlertAcknowledged.v1"


class AlertEscalated(base.AlertEscalated):
    """Nobody acknowledged an alert during integration in time; the next role is called."""

    TYPE: ClassVar[str] = "kapcare.integration.AlertEscalated.v1"


class TransferNoted(base.TransferNoted):
    """The integration of the case went to another clinic."""

    TYPE: ClassVar[str] = "kapcare.integration.TransferNoted.v1"


class EmergencyAccessNoted(base.EmergencyAccessNoted):
    """The integration service took note of an emergency access (R-32)."""

    TYPE: ClassVar[str] = "kapcare.integration.EmergencyAccessNoted.v1"


EVENTS: tuple[type[EventData], ...] = (
    BaselineNoted,
    PrescriberNoted,
    IntegrationScheduled,
    IntegrationWithdrawn,
    IntegrationPlanned,
    IntegrationHeld,
    IntegrationMissed,
    IntegrationOverdue,
    InsightNoted,
    MaintenanceBegan,
    *goals.EVENTS,
    OutcomeMeasured,
    OutcomeJudgedAnew,
    OutcomeDeteriorated,
    MeasurementDue,
    MeasurementOverdue,
    OutcomeNotFollowed,
    SuicideRiskScreenRequired,
    IntegrationCompleted,
    CareDischarged,
    CourseOpeningNoted,
    CourseCompletionNoted,
    ConsentWithdrawn,
    SafetyHoldPlaced,
    SafetyHoldLifted,
    StopNoted,
    StepRefused,
    PolicyNoted,
    AlertRaised,
    AlertAcknowledged,
    AlertEscalated,
    TransferNoted,
    EmergencyAccessNoted,
)

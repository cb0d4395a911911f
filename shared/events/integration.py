"""Events that the integration service publishes: integration sessions, goals, outcomes."""

from typing import ClassVar, Literal

from pydantic import AwareDatetime

from shared.events import base
from shared.events.base import EventData, Slug, Text
from shared.events.clinical import Instrument, Score, Value


class BaselineNoted(EventData):
    """The scores at screening, against which outcomes are measured."""

    TYPE: ClassVar[str] = "kapcare.integration.BaselineNoted.v1"
    scores: tuple[Score, ...]


class PlannedIntegration(Value):
    """One integration session to hold by a time."""

    id: str
    purpose: Literal["after_dose", "follow_up"]
    due_by: AwareDatetime
    missed_after: AwareDatetime
    """From here on it counts as missed; it may still be held."""


class IntegrationScheduled(EventData):
    """A dose was given: these integration sessions follow, the first within its window (R-28)."""

    TYPE: ClassVar[str] = "kapcare.integration.IntegrationScheduled.v1"
    dosing_session: int
    dosed_at: AwareDatetime
    planned: tuple[PlannedIntegration, ...]
    deviations: tuple[Slug, ...] = ()


class IntegrationHeld(EventData):
    """An integration session took place."""

    TYPE: ClassVar[str] = "kapcare.integration.IntegrationHeld.v1"
    id: str
    dosing_session: int
    purpose: Literal["after_dose", "follow_up"]
    held_at: AwareDatetime
    insights: tuple[Text, ...] = ()


class IntegrationOverdue(EventData):
    """An integration session was not held by its time."""

    TYPE: ClassVar[str] = "kapcare.integration.IntegrationOverdue.v1"
    id: str
    dosing_session: int
    due_by: AwareDatetime


class GoalSet(EventData):
    """A goal as a small concrete behaviour."""

    TYPE: ClassVar[str] = "kapcare.integration.GoalSet.v1"
    goal: str
    behaviour: Text
    times_per_week: int
    set_at: AwareDatetime


class GoalProgressed(EventData):
    """How often the behaviour happened in a week."""

    TYPE: ClassVar[str] = "kapcare.integration.GoalProgressed.v1"
    goal: str
    times: int
    at: AwareDatetime


class OutcomeMeasured(EventData):
    """An outcome instrument against its baseline (R-29); a missing item leaves it unscored."""

    TYPE: ClassVar[str] = "kapcare.integration.OutcomeMeasured.v1"
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


class SuicideRiskScreenRequired(EventData):
    """PHQ-9 item 9 above 0 in an outcome measurement: the C-SSRS screener is due (R-08)."""

    TYPE: ClassVar[str] = "kapcare.integration.SuicideRiskScreenRequired.v1"
    because: str


class IntegrationCompleted(EventData):
    """The course is complete and every planned integration session was held or missed; care is handed back."""

    TYPE: ClassVar[str] = "kapcare.integration.IntegrationCompleted.v1"
    held: int
    missed: int
    completed_at: AwareDatetime


class CourseCompletionNoted(EventData):
    """The session service said that the last planned session is over."""

    TYPE: ClassVar[str] = "kapcare.integration.CourseCompletionNoted.v1"
    sessions: int


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


EVENTS: tuple[type[EventData], ...] = (
    BaselineNoted,
    IntegrationScheduled,
    IntegrationHeld,
    IntegrationOverdue,
    GoalSet,
    GoalProgressed,
    OutcomeMeasured,
    SuicideRiskScreenRequired,
    IntegrationCompleted,
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
)

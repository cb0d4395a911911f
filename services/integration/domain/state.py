"""The integration of a case, and how each event changes it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from shared.events import integration as events
from shared.events.base import EventData
from shared.events.clinical import Instrument, Score
from shared.pathway import alert, stop
from shared.pathway.alert import Alerts
from shared.pathway.folding import with_parts
from shared.pathway.instruments import is_scored, score_c_ssrs
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Stops
from shared.pathway.waiting import Waiting


@dataclass(frozen=True, slots=True)
class Planned:
    """One integration session to hold; late is better than never."""

    id: str
    dosing_session: int
    purpose: Literal["after_dose", "follow_up"]
    due_by: datetime
    missed_after: datetime
    overdue: bool = False
    held: events.IntegrationHeld | None = None


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal as a small concrete behaviour, and how often it happened, week by week."""

    set: events.GoalSet
    progress: tuple[events.GoalProgressed, ...] = ()


@dataclass(frozen=True, slots=True)
class Integration:
    """What follows the doses of one case."""

    stops: Stops = field(default_factory=Stops)
    baseline: tuple[Score, ...] = ()
    planned: tuple[Planned, ...] = ()
    first_dose_at: datetime | None = None
    """When this care began; a dose after its end begins another."""
    last_dose_at: datetime | None = None
    course_over: bool = False
    """Whether the session service said that the last planned stay ended; a further dose begins again."""
    completed: bool = False
    goals: tuple[Goal, ...] = ()
    outcomes: tuple[events.OutcomeMeasured, ...] = ()
    screener_due_since: datetime | None = None
    """When PHQ-9 item 9 was positive, if no C-SSRS screener was answered so that it could be scored since (R-08)."""
    alerts: Alerts = field(default_factory=Alerts)

    @property
    def status(self) -> str:
        """A clear word for work lists."""
        if not self.planned:
            return "awaiting_dose"
        if self.completed:
            return "completed"
        return "overdue" if any(planned.overdue and planned.held is None for planned in self.planned) else "integrating"

    @property
    def deadlines(self) -> Mapping[str, datetime]:
        """Planned sessions that are not held and not yet said to be overdue; the end, if only time can still bring it; the next alert."""
        due = {f"integration_{each.id}": each.due_by for each in self.planned if each.held is None and not each.overdue}
        waits_until = self.waits_until
        if waits_until is not None:
            due["completion"] = waits_until
        return {**due, **self.alerts.deadlines}

    @property
    def waits_for(self) -> Waiting | None:
        """What integration waits for; no stop holds up care after a dose. None before the first dose and once all is done."""
        if self.screener_due:
            return Waiting("suicide_risk_screen", self.screener_due_since, "therapist")
        if self.completed or not self.planned:
            return None
        if any(each.held is None for each in self.planned):
            return Waiting("integration_session", self.last_dose_at, "therapist")
        if not self.outcome_measured:
            return Waiting("outcome", max(each.held.held_at for each in self.planned if each.held is not None), "therapist")
        return None

    @property
    def screener_due(self) -> bool:
        """Whether the C-SSRS screener must be answered (R-08)."""
        return self.screener_due_since is not None

    @property
    def waits_until(self) -> datetime | None:
        """When integration ends by time alone; None while the course goes on, after the end, and when nothing is waited for.

        Waited for are the planned sessions that are not held, until they count as missed; and one scored PHQ-9 after
        the last dose, until the last planned session counts as missed: that is its window.
        """
        if not self.course_over or self.completed:
            return None
        measured = self.outcome_measured
        return max((each.missed_after for each in self.planned if each.held is None or not measured), default=None)

    @property
    def outcome_measured(self) -> bool:
        """Whether a PHQ-9 without a missing item was answered after the last dose."""
        return any(
            outcome.instrument == "phq-9"
            and outcome.total is not None
            and (self.last_dose_at is None or outcome.measured_at > self.last_dose_at)
            for outcome in self.outcomes
        )

    def baseline_of(self, instrument: Instrument) -> int | None:
        """Return the total before treatment; None if it was not scored."""
        return next((score.total for score in self.baseline if score.instrument == instrument), None)

    def require_planned(self, planned_id: str) -> Planned:
        """Return the planned session; raise Refusal if there is none of this id."""
        planned = next((planned for planned in self.planned if planned.id == planned_id), None)
        if planned is None:
            raise Refusal("no-such-integration-session", "No integration session of this id is planned.")
        return planned

    def require_goal(self, goal_id: str) -> Goal:
        """Return the goal; raise Refusal if there is none of this id."""
        goal = next((goal for goal in self.goals if goal.set.goal == goal_id), None)
        if goal is None:
            raise Refusal("no-such-goal", "No goal of this id was set.")
        return goal


def evolve(state: Integration, event: EventData) -> Integration:
    """Fold one event; an unknown one changes nothing."""
    state = with_parts(state, stops=stop.fold(state.stops, event), alerts=alert.fold(state.alerts, event))
    match event:
        case events.BaselineNoted():
            return replace(state, baseline=event.scores)
        case events.IntegrationScheduled():
            return _scheduled(state, event)
        case events.IntegrationHeld() | events.IntegrationOverdue():
            return replace(state, planned=tuple(_of_planned(each, event) for each in state.planned))
        case events.GoalSet():
            return replace(state, goals=(*state.goals, Goal(event)))
        case events.GoalProgressed():
            return replace(state, goals=tuple(_of_goal(goal, event) for goal in state.goals))
        case events.OutcomeMeasured():
            return _measured(state, event)
        case events.SuicideRiskScreenRequired():
            positive = [outcome.measured_at for outcome in state.outcomes if outcome.instrument == "phq-9"][-1:]
            known = [at for at in (state.screener_due_since,) if at is not None]
            return replace(state, screener_due_since=max([*known, *positive], default=None))
        case events.CourseCompletionNoted():
            return replace(state, course_over=True)
        case events.IntegrationCompleted():
            return replace(state, completed=True)
        case _:
            return state


def _measured(state: Integration, event: events.OutcomeMeasured) -> Integration:
    """A screener settles what was positive before it; one that lacks an item, or was answered earlier, does not (R-08)."""
    state = replace(state, outcomes=(*state.outcomes, event))
    since = state.screener_due_since
    if event.instrument != "c-ssrs" or since is None or event.measured_at < since or not is_scored("c-ssrs", score_c_ssrs(event.answers)):
        return state
    return replace(state, screener_due_since=None)


def _scheduled(state: Integration, event: events.IntegrationScheduled) -> Integration:
    planned = tuple(Planned(each.id, event.dosing_session, each.purpose, each.due_by, each.missed_after) for each in event.planned)
    last_dose_at = event.dosed_at if state.last_dose_at is None else max(state.last_dose_at, event.dosed_at)
    first_dose_at = event.dosed_at if state.first_dose_at is None or state.completed else min(state.first_dose_at, event.dosed_at)
    state = replace(state, planned=(*state.planned, *planned), first_dose_at=first_dose_at, last_dose_at=last_dose_at)
    return replace(state, course_over=False, completed=False)


def _of_planned(planned: Planned, event: events.IntegrationHeld | events.IntegrationOverdue) -> Planned:
    if planned.id != event.id:
        return planned
    match event:
        case events.IntegrationHeld():
            return replace(planned, held=event)
        case events.IntegrationOverdue():
            return replace(planned, overdue=True)


def _of_goal(goal: Goal, event: events.GoalProgressed) -> Goal:
    return replace(goal, progress=(*goal.progress, event)) if goal.set.goal == event.goal else goal

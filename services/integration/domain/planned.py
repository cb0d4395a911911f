"""The parts of an integration: doses, the sessions and measurements planned after them, and goals, in the words of their events."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from shared.events import goals
from shared.events import integration as events
from shared.events.clinical import Intent, Route
from shared.events.integration_plan import NotFollowedBecause, PlannedIntegration, PlannedMeasurement, Purpose


@dataclass(frozen=True, slots=True)
class Dose:
    """The first dose of a dosing session. `care` counts from 1: a dose after the end of one care begins another."""

    session: int
    given_at: datetime
    care: int = 1
    route: Route | None = None
    intent: Intent | None = None


@dataclass(frozen=True, slots=True)
class Planned:
    """One integration session to hold; late is better than never."""

    id: str
    dosing_sessions: tuple[int, ...]
    """Of the doses that it integrates."""
    purpose: Purpose
    due_by: datetime
    missed_after: datetime
    window_ends: datetime
    """By when it was to be held before anyone moved it."""
    care: int = 1
    overdue: bool = False
    held: events.IntegrationHeld | None = None
    missed: tuple[events.IntegrationMissed, ...] = ()
    superseded_by: int | None = None
    """The dosing session whose own plan replaces it."""
    lost: bool = False
    """Whether it counted as missed when the patient next came: nobody waits for it any more."""

    @property
    def open(self) -> bool:
        """Whether it is still to be held."""
        return self.held is None and self.superseded_by is None and not self.lost

    @property
    def missed_at(self) -> datetime | None:
        """When it was missed, if it has no new time since."""
        return self.missed[-1].at if self.missed and self.missed[-1].rescheduled_to is None else None


@dataclass(frozen=True, slots=True)
class Measurement:
    """One time at which the outcome is to be measured."""

    id: str
    dosing_session: int
    day: int
    opens_at: datetime
    due_at: datetime
    closes_at: datetime
    lost_after: datetime
    care: int = 1
    due_said: bool = False
    overdue: bool = False
    not_followed: NotFollowedBecause | None = None
    superseded_by: int | None = None

    def covers(self, moment: datetime) -> bool:
        """Whether an answer of this moment counts as given at this time."""
        return self.opens_at <= moment <= self.closes_at


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal as a small concrete behaviour, how it changed, and how often it happened, week by week."""

    set: goals.GoalSet
    changes: tuple[goals.GoalChanged, ...] = ()
    progress: tuple[goals.GoalProgressed, ...] = ()
    closed: goals.GoalKept | goals.GoalLetGo | None = None

    @property
    def behaviour(self) -> str:
        """What is meant to happen now."""
        return self.changes[-1].behaviour if self.changes else self.set.behaviour

    @property
    def times_per_week(self) -> int:
        """How often it is meant to happen now."""
        return self.changes[-1].times_per_week if self.changes else self.set.times_per_week


def session_from(planned: PlannedIntegration, dosing_sessions: tuple[int, ...], care: int) -> Planned:
    """Return a planned session as it begins."""
    return Planned(planned.id, dosing_sessions, planned.purpose, planned.due_by, planned.missed_after, planned.due_by, care)


def measurement_from(planned: PlannedMeasurement, dosing_session: int, care: int) -> Measurement:
    """Return a planned measurement as it begins."""
    return Measurement(
        planned.id, dosing_session, planned.day, planned.opens_at, planned.due_at, planned.closes_at, planned.lost_after, care
    )


def superseded(planned: Planned, ids: Collection[str], by: int) -> Planned:
    """Return the session, replaced by another dose's plan if it is among these."""
    return replace(planned, superseded_by=by) if planned.id in ids else planned


def without_dose(planned: Planned, number: int) -> Planned | None:
    """Return the session once a dose was none: None if it was planned after that dose alone; one that was held stays as it was."""
    if planned.held is not None:
        return planned
    left = tuple(each for each in planned.dosing_sessions if each != number)
    by = None if planned.superseded_by == number else planned.superseded_by
    return replace(planned, dosing_sessions=left, superseded_by=by) if left else None


def after_holding(planned: Planned, event: events.IntegrationHeld, doses: Collection[Dose]) -> Planned:
    """Return a planned session after one was held; what had long been missed by then is not waited for any more."""
    if planned.id != event.id:
        return replace(planned, lost=True) if planned.open and planned.missed_after <= event.held_at else planned
    later = {dose.session for dose in doses if dose.given_at > event.held_at}
    return replace(planned, held=event, dosing_sessions=tuple(each for each in planned.dosing_sessions if each not in later))


def after_missing(planned: Planned, event: events.IntegrationMissed) -> Planned:
    """Return the session after it was missed; with a new time it is to be held then, also if another dose's plan had replaced it."""
    planned = replace(planned, missed=(*planned.missed, event))
    if event.rescheduled_to is None or event.missed_after is None:
        return planned
    moved = replace(planned, due_by=event.rescheduled_to, missed_after=event.missed_after)
    return replace(moved, overdue=False, lost=False, superseded_by=None)


def fold_goal(goal: Goal, event: goals.GoalProgressed | goals.GoalChanged | goals.GoalKept | goals.GoalLetGo) -> Goal:
    """Return the goal after what became of it."""
    if goal.set.goal != event.goal:
        return goal
    match event:
        case goals.GoalProgressed():
            return replace(goal, progress=(*goal.progress, event))
        case goals.GoalChanged():
            return replace(goal, changes=(*goal.changes, event))
        case goals.GoalKept() | goals.GoalLetGo():
            return replace(goal, closed=event)

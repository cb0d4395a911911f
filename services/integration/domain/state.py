"""The case as integration knows it, and how each event changes it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from shared.events import integration
from shared.events.base import EventData
from shared.events.clinical import Instrument, Score
from shared.pathway import stop
from shared.pathway.stop import Stops


@dataclass(frozen=True, slots=True)
class Planned:
    """An integration session: planned, and then held, overdue or missed."""

    id: str
    dosing_session: int
    purpose: Literal["after_dose", "follow_up"]
    due_by: datetime
    held_at: datetime | None = None
    missed_at: datetime | None = None
    """Set once it is overdue: from then on it counts as missed unless held."""

    def settled_by(self, now: datetime) -> bool:
        """Whether it was held, or counts as missed at `now`."""
        return self.held_at is not None or (self.missed_at is not None and self.missed_at <= now)


@dataclass(frozen=True, slots=True)
class Week:
    """How often a behaviour happened in the week up to `at`."""

    at: datetime
    times: int


@dataclass(frozen=True, slots=True)
class Goal:
    """A small concrete behaviour, and how it went."""

    id: str
    behaviour: str
    times_per_week: int
    set_at: datetime
    weeks: tuple[Week, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """One outcome measurement against its baseline."""

    instrument: Instrument
    total: int | None
    change: int | None
    response: bool | None
    remission: bool | None
    deterioration: bool | None
    measured_at: datetime


@dataclass(frozen=True, slots=True)
class Case:
    """One patient's integration, from the baseline at screening to the end of the course."""

    baseline: tuple[Score, ...] = ()
    planned: tuple[Planned, ...] = ()
    goals: tuple[Goal, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    dosing_sessions: tuple[int, ...] = ()
    """Dosing sessions that were planned for."""
    course_complete: bool = False
    completed_at: datetime | None = None
    risk_screen_due: bool = False
    """PHQ-9 item 9 was positive and no C-SSRS screener was answered since (R-08)."""
    stops: Stops = field(default_factory=Stops)

    @property
    def status(self) -> Literal["waiting", "integrating", "overdue", "integrated"]:
        """A clear word for work lists."""
        if self.completed_at is not None:
            return "integrated"
        if any(each.held_at is None and each.missed_at is not None for each in self.planned):
            return "overdue"
        return "integrating" if self.planned else "waiting"

    @property
    def deadlines(self) -> Mapping[str, datetime]:
        """When each open integration session is overdue, and when the last missed one lets the course end."""
        due = {f"integration:{each.id}": each.due_by for each in self.planned if each.held_at is None and each.missed_at is None}
        unheld = [each for each in self.planned if each.held_at is None]
        missing = [each.missed_at for each in unheld if each.missed_at is not None]
        if self.course_complete and self.completed_at is None and missing and len(missing) == len(unheld):
            due["completion"] = max(missing)
        return due

    def baseline_of(self, instrument: Instrument) -> int | None:
        """Return the total at screening; None where there was none."""
        return next((score.total for score in self.baseline if score.instrument == instrument), None)

    def find(self, session: str) -> Planned | None:
        """Return the planned integration session of this id."""
        return next((each for each in self.planned if each.id == session), None)


def evolve(case: Case, event: EventData) -> Case:
    """Fold one event."""
    case = replace(case, stops=stop.fold(case.stops, event))
    match event:
        case integration.BaselineNoted():
            return replace(case, baseline=event.scores)
        case integration.IntegrationScheduled():
            new = tuple(Planned(each.id, event.dosing_session, each.purpose, each.due_by) for each in event.planned)
            return replace(case, planned=case.planned + new, dosing_sessions=(*case.dosing_sessions, event.dosing_session))
        case integration.IntegrationHeld():
            return _change(case, event.id, held_at=event.held_at)
        case integration.IntegrationOverdue():
            return _change(case, event.id, missed_at=event.missed_at)
        case integration.GoalSet():
            goal = Goal(event.goal, event.behaviour, event.times_per_week, event.set_at)
            return replace(case, goals=(*case.goals, goal))
        case integration.GoalProgressed():
            week = Week(event.at, event.times)
            goals = tuple(replace(goal, weeks=(*goal.weeks, week)) if goal.id == event.goal else goal for goal in case.goals)
            return replace(case, goals=goals)
        case integration.OutcomeMeasured():
            return _measured(case, event)
        case integration.SuicideRiskScreenRequired():
            return replace(case, risk_screen_due=True)
        case integration.CourseCompletionNoted():
            return replace(case, course_complete=True)
        case integration.IntegrationCompleted():
            return replace(case, completed_at=event.completed_at)
        case _:
            return case


def _change(case: Case, session: str, *, held_at: datetime | None = None, missed_at: datetime | None = None) -> Case:
    changed = tuple(
        replace(each, held_at=held_at or each.held_at, missed_at=missed_at or each.missed_at) if each.id == session else each
        for each in case.planned
    )
    return replace(case, planned=changed)


def _measured(case: Case, event: integration.OutcomeMeasured) -> Case:
    outcome = Outcome(event.instrument, event.total, event.change, event.response, event.remission, event.deterioration, event.measured_at)
    screened = event.instrument == "c-ssrs"
    return replace(case, outcomes=(*case.outcomes, outcome), risk_screen_due=case.risk_screen_due and not screened)

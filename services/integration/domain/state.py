"""The integration of a case as the service knows it, and how each event changes it. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from services.integration.domain.planned import (
    Dose,
    Goal,
    Measurement,
    Planned,
    after_holding,
    after_missing,
    fold_goal,
    measurement_from,
    session_from,
    superseded,
    without_dose,
)
from shared.events import goals
from shared.events import integration as events
from shared.events.base import EventData, Slug
from shared.events.clinical import Instrument, Score
from shared.pathway import alert, emergency, stop
from shared.pathway.alert import Alerts
from shared.pathway.emergency import Grants
from shared.pathway.folding import with_parts
from shared.pathway.instruments import is_scored, score_c_ssrs
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Stops
from shared.pathway.waiting import Waiting


@dataclass(frozen=True, slots=True)
class Integration:
    """What follows the doses of one case."""

    stops: Stops = field(default_factory=Stops)
    emergency: Grants = field(default_factory=Grants)
    baseline: tuple[Score, ...] = ()
    next_baseline: tuple[Score, ...] | None = None
    """What was screened after the end of this care: the baseline of the next one, should there be a dose."""
    prescribers: tuple[events.PrescriberNoted, ...] = ()
    doses: tuple[Dose, ...] = ()
    care: int = 1
    """Which care this is: a dose after the end of one begins another."""
    planned: tuple[Planned, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    course_over: bool = False
    """Whether the session service said that the last planned stay ended, or that the approval did; a further approval begins again."""
    cut_short: str | None = None
    """Why the course ended with doses left."""
    maintenance_since: datetime | None = None
    completed: bool = False
    discharged: events.CareDischarged | None = None
    goals: tuple[Goal, ...] = ()
    insights: tuple[events.InsightNoted, ...] = ()
    outcomes: tuple[events.OutcomeMeasured, ...] = ()
    screener_due_since: datetime | None = None
    """When PHQ-9 item 9 was positive, if no C-SSRS screener was answered so that it could be scored since (R-08)."""
    alerts: Alerts = field(default_factory=Alerts)

    @property
    def status(self) -> str:
        """A clear word for work lists."""
        if not self.doses:
            return "awaiting_dose"
        if self.discharged is not None:
            return "discharged"
        if self.completed:
            return "completed"
        return "overdue" if self.overdue else "integrating"

    @property
    def ended(self) -> bool:
        """Whether this care is over: by itself, or because a person discharged the patient."""
        return self.completed or self.discharged is not None

    @property
    def consent_withdrawn(self) -> bool:
        """Whether the patient withdrew consent and did not give it again: no dose follows."""
        return self.stops.consent_withdrawn_at is not None and not self.stops.consented

    @property
    def doses_of_care(self) -> tuple[Dose, ...]:
        """The doses of this care."""
        return tuple(dose for dose in self.doses if dose.care == self.care)

    @property
    def last_dose(self) -> Dose | None:
        """The last dose of this care: what follow-ups are counted from."""
        return max(self.doses_of_care, key=lambda dose: dose.given_at, default=None)

    @property
    def first_dose_at(self) -> datetime | None:
        """When this care began."""
        return min((dose.given_at for dose in self.doses_of_care), default=None)

    @property
    def unheld(self) -> tuple[Planned, ...]:
        """The sessions of this care that were not held, the next one first; also after its end, when nobody waits for them."""
        return tuple(sorted((each for each in self.planned if each.open and each.care == self.care), key=lambda each: each.due_by))

    @property
    def unmeasured(self) -> tuple[Measurement, ...]:
        """The times of this care at which the outcome was not measured, and nobody said why; also after its end.

        A scored PHQ-9 of its window or later ends the wait for one, and so does a reason.
        """
        answered = (each.measured_at for each in self.outcomes if each.instrument == "phq-9" and each.total is not None)
        last = max(answered, default=None)
        return tuple(
            each
            for each in self.measurements
            if each.care == self.care
            and each.superseded_by is None
            and each.not_followed is None
            and (last is None or last < each.opens_at)
        )

    @property
    def open_sessions(self) -> tuple[Planned, ...]:
        """The sessions that are still to be held, the next one first."""
        return () if self.ended else self.unheld

    @property
    def open_measurements(self) -> tuple[Measurement, ...]:
        """The times at which the outcome is still to be measured, the next one first."""
        return () if self.ended else self.unmeasured

    @property
    def overdue(self) -> frozenset[str]:
        """The ids of what was said to be overdue and did not happen since; nothing once a person discharged the patient."""
        if self.discharged is not None:
            return frozenset()
        sessions = {each.id for each in self.unheld if each.overdue}
        return frozenset(sessions | {each.id for each in self.unmeasured if each.overdue})

    @property
    def deadlines(self) -> Mapping[str, datetime]:
        """What falls due: sessions, measurements; the end, if only time can still bring it; the next alert."""
        due = dict(self.alerts.deadlines)
        for session in self.open_sessions:
            if not session.overdue:
                due[f"integration_{session.id}"] = session.due_by
        for measurement in self.open_measurements:
            if not measurement.overdue:
                due[f"measurement_{measurement.id}"] = measurement.closes_at if measurement.due_said else measurement.due_at
        waits_until = self.waits_until
        if waits_until is not None:
            due["completion"] = waits_until
        return due

    @property
    def waits_for(self) -> Waiting | None:
        """What integration waits for; no stop holds up care after a dose. None before the first dose and once all is done."""
        if self.screener_due_since is not None:
            return Waiting("suicide_risk_screen", self.screener_due_since, "therapist")
        last_dose = self.last_dose
        if self.ended or last_dose is None:
            return None
        late = sorted(_late(self), key=lambda one: one[0])
        if late:
            since, what, on = late[0]
            return Waiting(what, since, on)
        held = (each.held.held_at for each in self.planned if each.held is not None)
        if self.open_sessions:
            return Waiting("integration_session", max([last_dose.given_at, *held]), "therapist")
        if self.open_measurements:
            return Waiting("outcome", max([last_dose.given_at, *held]), "therapist")
        return None

    @property
    def screener_due(self) -> bool:
        """Whether the C-SSRS screener must be answered (R-08)."""
        return self.screener_due_since is not None

    @property
    def waits_until(self) -> datetime | None:
        """When integration ends by time alone; None while the course goes on, after the end, and when nothing is waited for.

        Waited for are sessions until they count as missed, and measurements until they count as lost.
        """
        if self.ended or not (self.course_over or self.consent_withdrawn):
            return None
        sessions = [each.missed_after for each in self.open_sessions]
        return max([*sessions, *(each.lost_after for each in self.open_measurements)], default=None)

    def baseline_of(self, instrument: Instrument) -> int | None:
        """Return the total before treatment; None if it was not scored."""
        return next((score.total for score in self.baseline if score.instrument == instrument), None)

    def require_dose(self) -> Dose:
        """Return the last dose of this care; raise Refusal if none is known."""
        if self.last_dose is None:
            raise Refusal("not-dosed", "No dose of this case is known yet.")
        return self.last_dose

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


def _late(state: Integration) -> Iterator[tuple[datetime, Slug, Slug]]:
    """Yield what should have happened by now: since when it is waited for, what it is, and whose turn it is."""
    for session in state.open_sessions:
        if session.missed_at is not None:
            yield session.missed_at, "rescheduling", "coordinator"
        elif session.overdue:
            yield session.due_by, "integration_session", "coordinator"
    for measurement in state.open_measurements:
        if measurement.overdue or measurement.due_said:
            yield measurement.due_at, "outcome", "coordinator" if measurement.overdue else "therapist"


def evolve(state: Integration, event: EventData) -> Integration:
    """Fold one event; an unknown one changes nothing."""
    state = with_parts(
        state,
        stops=stop.fold(state.stops, event),
        alerts=alert.fold(state.alerts, event),
        emergency=emergency.fold(state.emergency, event),
    )
    match event:
        case events.IntegrationScheduled():
            return _scheduled(state, event)
        case events.IntegrationWithdrawn():
            return _withdrawn(state, event.dosing_session)
        case events.IntegrationPlanned() | events.IntegrationHeld() | events.IntegrationMissed() | events.IntegrationOverdue():
            return replace(state, planned=_planned(state, event))
        case events.OutcomeMeasured():
            return _measured(state, event)
        case events.OutcomeJudgedAnew():
            return replace(state, outcomes=tuple(_judged(each, event) for each in state.outcomes))
        case events.SuicideRiskScreenRequired():
            positive = [outcome.measured_at for outcome in state.outcomes if outcome.instrument == "phq-9"][-1:]
            known = [at for at in (state.screener_due_since,) if at is not None]
            return replace(state, screener_due_since=max([*known, *positive], default=None))
        case events.MeasurementDue() | events.MeasurementOverdue() | events.OutcomeNotFollowed():
            return replace(state, measurements=tuple(_awaited(each, event) for each in state.measurements))
        case goals.GoalSet():
            return replace(state, goals=(*state.goals, Goal(event)))
        case goals.GoalProgressed() | goals.GoalChanged() | goals.GoalKept() | goals.GoalLetGo():
            return replace(state, goals=tuple(fold_goal(goal, event) for goal in state.goals))
        case events.InsightNoted():
            return replace(state, insights=(*state.insights, event))
        case _:
            return _of_course(state, event)


def _of_course(state: Integration, event: EventData) -> Integration:
    match event:
        case events.BaselineNoted():
            return replace(state, next_baseline=event.scores) if state.ended else replace(state, baseline=event.scores)
        case events.PrescriberNoted():
            return replace(state, prescribers=(*state.prescribers, event))
        case events.CourseOpeningNoted():
            return replace(state, course_over=False, cut_short=None)
        case events.CourseCompletionNoted():
            return replace(state, course_over=True, cut_short=event.why)
        case events.MaintenanceBegan():
            return replace(state, maintenance_since=event.began_at)
        case events.IntegrationCompleted():
            return replace(state, completed=True)
        case events.CareDischarged():
            return replace(state, discharged=event)
        case _:
            return state


def _scheduled(state: Integration, event: events.IntegrationScheduled) -> Integration:
    """A dose after the end of one care begins another, with what was screened since as its baseline."""
    if state.ended:
        baseline = state.baseline if state.next_baseline is None else state.next_baseline
        state = replace(state, care=state.care + 1, baseline=baseline, next_baseline=None)
        state = replace(state, completed=False, discharged=None, maintenance_since=None)
    number = event.dosing_session
    kept = (
        replace(each, dosing_sessions=(*each.dosing_sessions, number))
        if each.id == event.covered_by
        else superseded(each, event.superseded, number)
        for each in state.planned
    )
    measurements = (replace(each, superseded_by=number) if each.id in event.superseded else each for each in state.measurements)
    return replace(
        state,
        doses=(*state.doses, Dose(number, event.dosed_at, state.care, event.route, event.intent)),
        planned=(*kept, *(session_from(each, (number,), state.care) for each in event.planned)),
        measurements=(*measurements, *(measurement_from(each, number, state.care) for each in event.measurements)),
    )


def _withdrawn(state: Integration, number: int) -> Integration:
    """The care goes on without the dose; a course that was complete with it is not over."""
    planned = tuple(left for each in state.planned if (left := without_dose(each, number)) is not None)
    measured = (each for each in state.measurements if each.dosing_session != number)
    return replace(
        state,
        doses=tuple(dose for dose in state.doses if dose.session != number),
        planned=planned,
        measurements=tuple(replace(each, superseded_by=None) if each.superseded_by == number else each for each in measured),
        course_over=state.course_over and state.cut_short is not None,
    )


def _planned(
    state: Integration,
    event: events.IntegrationPlanned | events.IntegrationHeld | events.IntegrationMissed | events.IntegrationOverdue,
) -> tuple[Planned, ...]:
    match event:
        case events.IntegrationPlanned():
            new = (session_from(each, event.dosing_sessions, state.care) for each in event.planned)
            return (*(superseded(each, event.superseded, event.dosing_sessions[-1]) for each in state.planned), *new)
        case events.IntegrationHeld():
            after = tuple(after_holding(each, event, state.doses) for each in state.planned)
            if event.purpose != "unplanned":
                return after
            at = event.held_at
            return (*after, Planned(event.id, (event.dosing_session,), event.purpose, at, at, at, state.care, held=event))
        case events.IntegrationMissed():
            return tuple(after_missing(each, event) if each.id == event.id else each for each in state.planned)
        case events.IntegrationOverdue():
            return tuple(replace(each, overdue=True) if each.id == event.id else each for each in state.planned)


def _awaited(measurement: Measurement, event: events.MeasurementDue | events.MeasurementOverdue | events.OutcomeNotFollowed) -> Measurement:
    match event:
        case events.MeasurementDue():
            return replace(measurement, due_said=True) if measurement.id == event.id else measurement
        case events.MeasurementOverdue():
            return replace(measurement, overdue=True) if measurement.id == event.id else measurement
        case events.OutcomeNotFollowed():
            return replace(measurement, not_followed=event.because) if measurement.id in event.measurements else measurement


def _measured(state: Integration, event: events.OutcomeMeasured) -> Integration:
    """A screener settles what was positive before it; one that lacks an item, or was answered earlier, does not (R-08)."""
    state = replace(state, outcomes=(*state.outcomes, event))
    since = state.screener_due_since
    if event.instrument != "c-ssrs" or since is None or event.measured_at < since or not is_scored("c-ssrs", score_c_ssrs(event.answers)):
        return state
    return replace(state, screener_due_since=None)


def _judged(outcome: events.OutcomeMeasured, event: events.OutcomeJudgedAnew) -> events.OutcomeMeasured:
    if (outcome.instrument, outcome.measured_at) != (event.instrument, event.measured_at):
        return outcome
    return outcome.model_copy(update=event.model_dump(include={"baseline", "change", "response", "remission", "deterioration"}))

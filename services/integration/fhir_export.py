"""Integration's part of a case in FHIR R4: the plan, its sessions, goals and how they go, outcomes against the baseline. Pure.

A goal is the one thing that goes out in somebody's words: R4 demands them, and patient and therapist agreed on them. Insights never do.
"""

from collections.abc import Iterator

from services.integration.domain.planned import Goal, Planned
from services.integration.domain.state import Integration
from shared.events.goals import GoalKept, GoalLetGo
from shared.events.integration import OutcomeMeasured
from shared.fhir.codes import ENCOUNTER_CLASS, SURVEY, local
from shared.fhir.corrections import Standing
from shared.fhir.elements import Element, coding, concept, period, quantity, said
from shared.fhir.instruments import Answered, instrument
from shared.fhir.observations import observation
from shared.fhir.record import Record, Resource
from shared.pathway.instruments import score_c_ssrs

PER_WEEK = "/wk"
"""UCUM."""


def export(case: str, clinic: str, patient: str, state: Integration) -> list[Resource]:
    """Return the resources of the integration as it stands."""
    record = Record(case, clinic, patient)
    return [
        record.person(simulated=any(outcome.simulated for outcome in state.outcomes)),
        record.organisation("clinic", clinic),
        *_plan(record, state),
        *(_encounter(record, planned) for planned in state.planned),
        *(resource for goal in state.goals for resource in _goal(record, goal)),
        *(resource for number, outcome in enumerate(state.outcomes, 1) for resource in _outcome(record, number, outcome)),
    ]


def _plan(record: Record, state: Integration) -> Iterator[Resource]:
    """Every session that is planned, and the goals. No stop holds up care after a dose."""
    if not state.planned:
        return
    yield record.resource(
        "CarePlan",
        "integration",
        status="completed" if state.completed else "active",
        intent="plan",
        category=[concept(local("integration"), "Integration")],
        subject=record.subject,
        period=period(state.first_dose_at, None),
        author=record.organisation_reference("clinic", record.clinic),
        goal=[record.reference("Goal", goal.set.goal) for goal in state.goals],
        activity=[_activity(record, planned) for planned in state.planned],
    )


def _activity(record: Record, planned: Planned) -> Element:
    detail = said(code=_session(planned), status=_progress(planned), scheduledPeriod=period(None, planned.due_by))
    return {"outcomeReference": [record.reference("Encounter", _key(planned))], "detail": detail}


def _progress(planned: Planned) -> str:
    """How a planned session goes; one that another dose's plan replaced, or that nobody waits for any more, is not held."""
    if planned.held is not None:
        return "completed"
    return "cancelled" if planned.superseded_by is not None or planned.lost else "scheduled"


def _encounter(record: Record, planned: Planned) -> Resource:
    """One integration session; what was understood in it stays in the room."""
    held_at = None if planned.held is None else planned.held.held_at
    return record.resource(
        "Encounter",
        _key(planned),
        status={"completed": "finished", "cancelled": "cancelled", "scheduled": "planned"}[_progress(planned)],
        type=[_session(planned)],
        subject=record.subject,
        period=period(held_at, None),
        serviceProvider=record.organisation_reference("clinic", record.clinic),
        **{"class": coding(ENCOUNTER_CLASS["clinic"])},
    )


def _key(planned: Planned) -> str:
    return f"integration/{planned.id}"


def _session(planned: Planned) -> Element:
    words = planned.purpose.replace("_", " ")
    return concept(local(f"integration-session.{planned.purpose}"), f"Integration session, {words}")


def _goal(record: Record, goal: Goal) -> Iterator[Resource]:
    """A behaviour and how often a week it is meant to happen, then how often it did, week by week."""
    yield record.resource(
        "Goal",
        goal.set.goal,
        lifecycleStatus=_lifecycle(goal),
        description={"text": goal.behaviour},
        subject=record.subject,
        target=[{"measure": _times(), "detailQuantity": quantity(goal.times_per_week, PER_WEEK)}],
        outcomeReference=[record.reference("Observation", _week(goal, number)) for number, _ in enumerate(goal.progress, 1)],
    )
    for number, week in enumerate(goal.progress, 1):
        value, focus = quantity(week.times, PER_WEEK), [record.reference("Goal", goal.set.goal)]
        kind = _week(goal, number)
        yield observation(record, Standing(), kind, _times(), SURVEY, effective=week.at, valueQuantity=value, focus=focus)


def _lifecycle(goal: Goal) -> str:
    """A goal that became a habit is completed; one that was let go is cancelled."""
    match goal.closed:
        case None:
            return "active"
        case GoalKept():
            return "completed"
        case GoalLetGo():
            return "cancelled"


def _week(goal: Goal, number: int) -> str:
    return f"goal/{goal.set.goal}/week-{number}"


def _times() -> Element:
    return concept(local("times-per-week"), "Times in the week")


def _outcome(record: Record, number: int, outcome: OutcomeMeasured) -> Iterator[Resource]:
    """An instrument as it was answered, its total beside the baseline, and what that says (R-29)."""
    band = score_c_ssrs(outcome.answers).band if outcome.instrument == "c-ssrs" else None
    standing = Standing(f"outcome-{number}")
    answered = Answered(outcome.instrument, outcome.answers, outcome.total, band, outcome.measured_at, None, standing)
    yield from instrument(record, answered, **said(interpretation=[*_says(outcome)], component=[*_against_baseline(outcome)]))


def _says(outcome: OutcomeMeasured) -> Iterator[Element]:
    """What is so; what is not so, and what cannot be said, is left out."""
    for word, so in (("response", outcome.response), ("remission", outcome.remission), ("deterioration", outcome.deterioration)):
        if so:
            yield concept(local(f"outcome.{word}"), word)


def _against_baseline(outcome: OutcomeMeasured) -> Iterator[Element]:
    for code, words, value in (
        ("baseline", "Total at the baseline", outcome.baseline),
        ("change-from-baseline", "Change from the baseline", outcome.change),
    ):
        if value is not None:
            yield {"code": concept(local(code), words), "valueQuantity": quantity(value, "{score}")}

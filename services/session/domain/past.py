"""The session room's decisions in the history of a case: what was scheduled, authorised, escalated, let go, and what rules refused. Pure.

Each is decided again by the decider that made it. What was asked of it is read off what was recorded, by the names of the fields:
off the fact or the permission, or off the request that a refusal keeps. A refusal of an earlier release, which kept none, is passed over.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial, reduce
from typing import Any, Final

from services.session.domain.authorise import AuthoriseDose, authorise_dose
from services.session.domain.check import RecordChecks, record_checks
from services.session.domain.decide_on_pressure import DecideOnPressure, decide_on_pressure
from services.session.domain.discharge import OVERRIDING_ROLE, DischargePatient, discharge_patient
from services.session.domain.dose import RecordDose, record_dose
from services.session.domain.monitor import RecordVitals, record_vitals, say_overdue
from services.session.domain.past_facts import Facts, of_course, of_dose, of_missing, of_request, of_route, of_stay
from services.session.domain.schedule import ScheduleSession, schedule_session
from services.session.domain.session import Session
from services.session.domain.state import Course, evolve
from shared.events.base import EventData
from shared.events.codec import Recorded
from shared.events.dosing import AskedDose
from shared.events.session import (
    DosingAuthorised,
    EntryCorrected,
    PreDoseChecked,
    PressureDecided,
    SessionCompleted,
    SessionDosed,
    SessionScheduled,
    StepRefused,
    VitalsRecorded,
)
from shared.events.stay import Escalated, SecondPressure, VitalOverdue
from shared.pathway.context import Context
from shared.pathway.lot import RECALLED_LOT
from shared.pathway.past import Asked, Past, Result, as_request, asked_by, commits_of
from shared.pathway.stop import Request
from shared.pathway.view import as_decided

AGAINST_ADVICE: Final = "left-against-advice"
Watched = tuple[int, datetime]
"""The pressure after a dose: its session, and when it is due."""


@dataclass(frozen=True, slots=True)
class Step:
    """One verb of the session room that a policy has a say in: its name for a reader, its request, its decider, what it looks at."""

    name: str
    request: type[Request]
    decide: Callable[[Course, Any, Context], list[EventData]]
    known: Callable[[Course, Session | None], Facts]


SCHEDULE: Final = Step("schedule a session", ScheduleSession, schedule_session, of_course)
AUTHORISE: Final = Step("authorise a dose", AuthoriseDose, authorise_dose, of_dose)
WATCH: Final = Step("watch the pressure after a dose", RecordDose, record_dose, of_route)
DISCHARGE: Final = Step("discharge", DischargePatient, discharge_patient, of_stay)
PRESSURE: Final = Step("decide on a pressure", DecideOnPressure, decide_on_pressure, of_route)

RECORDED: Final[Mapping[type[EventData], Step]] = {
    SessionScheduled: SCHEDULE,
    PressureDecided: PRESSURE,
    PreDoseChecked: Step("escalate checks", RecordChecks, record_checks, of_route),
    DosingAuthorised: AUTHORISE,
    SessionDosed: WATCH,
    VitalsRecorded: Step("escalate vitals", RecordVitals, record_vitals, of_route),
    SessionCompleted: DISCHARGE,
}
"""What each event records."""
REFUSED: Final[Mapping[str, Step]] = {
    "schedule-session": SCHEDULE,
    "decide-on-pressure": PRESSURE,
    "dose": AUTHORISE,
    "discharge": DISCHARGE,
}
"""What each refusal refused."""


def past_decisions(history: Sequence[Recorded]) -> Iterator[Past]:
    """Yield the decisions of a case, oldest first. All that one commit refused is one decision."""
    course, clinic, known = Course(), None, 0
    for committed in commits_of(history):
        yield from _decision(course, committed, clinic)
        yield from _missing(course, history[:known], committed)
        course = reduce(evolve, (recorded.data for recorded in committed), course)
        clinic, known = committed[-1].envelope.clinic, known + len(committed)


def _decision(course: Course, committed: Sequence[Recorded], clinic: str | None) -> Iterator[Past]:
    """Yield the decision that a commit records, if it records one. A correction is none: what replaces an entry is a fact."""
    if any(isinstance(recorded.data, EntryCorrected) for recorded in committed):
        return
    for recorded in committed:
        taken = _taken(course, recorded.data)
        if taken is None:
            continue
        step, asked = taken
        yield Past(
            step=step.name,
            envelope=recorded.envelope,
            policy_version=getattr(recorded.data, "policy_version", None),
            facts=(*of_request(asked), *step.known(course, course.find(asked.get("session")))),
            result=_words([each.data for each in committed]),
            decide=partial(_again, course, step, asked),
            roles=_roles(recorded.data),
            moved_from=clinic,
            views=as_decided(each.data for each in committed),
            recalled_lots=_recalled(each.data for each in committed),
        )
        return


def _taken(course: Course, event: EventData) -> tuple[Step, Asked] | None:
    """Return the step that an event records or refuses, and what was asked of it; None for any other event."""
    match event:
        case StepRefused(step=name, asked=asked) if asked and name in REFUSED:
            return REFUSED[name], _requested(REFUSED[name], asked)
        case SessionDosed(second_pressure=None):
            return None
        case _ if type(event) in RECORDED:
            return RECORDED[type(event)], _asked(course, event)
        case _:
            return None


def _requested(step: Step, asked: Asked) -> Asked:
    """Return what a decision keeps of its request, without what it says beside it of who asked."""
    return {name: value for name, value in asked.items() if name in step.request.model_fields}


def _asked(course: Course, event: EventData) -> Asked:
    """Return the request that an event records: its own fields, and those that can only have been so."""
    unsaid: Asked = {}
    match event:
        case DosingAuthorised(asked=AskedDose() as asked):
            return _requested(AUTHORISE, asked.model_dump(mode="json"))
        case DosingAuthorised(session=number):
            session = course.find(number)
            unsaid = {"booster": session is not None and session.phase == "dosed"}
        case SessionCompleted(deviations=deviations, assessed_by=assessed_by, pressure_acceptable=accepted):
            unsaid = {
                "assessed_by": None if "not-assessed" in deviations else assessed_by,
                "left_against_advice": AGAINST_ADVICE in deviations,
                "pressure_acceptable": "pressure-above-limit" not in deviations if accepted is None else accepted,
            }
        case _:
            pass
    return {**asked_by(RECORDED[type(event)].request, event), **unsaid}


def _recalled(events: Iterable[EventData]) -> Mapping[str, str]:
    """Return the lot that the decision knew to be recalled; by which recall no event says."""
    lots: dict[str, str] = {}
    for event in events:
        match event:
            case StepRefused(facts={"because": "recalled-lot", "lot": lot}):
                lots[lot] = ""
            case SessionDosed(lot=str(lot), deviations=deviations) if RECALLED_LOT in deviations:
                lots[lot] = ""
            case _:
                pass
    return lots


def _roles(event: EventData) -> frozenset[str]:
    """Only a prescriber lets a patient go where the gate does not hold, unless they left anyway, or changes the intent of a session."""
    match event:
        case SessionCompleted(override_reason=str(), deviations=deviations):
            counted = AGAINST_ADVICE not in deviations
        case DosingAuthorised(asked=AskedDose(by_prescriber=by_prescriber)):
            counted = by_prescriber
        case StepRefused(step="dose", asked=asked):
            counted = bool(asked.get("by_prescriber"))
        case _:
            counted = False
    return frozenset({OVERRIDING_ROLE}) if counted else frozenset()


def _again(course: Course, step: Step, asked: Asked, context: Context) -> Result:
    return _words(_decided(course, step, asked, context))


def _decided(course: Course, step: Step, asked: Asked, context: Context) -> list[EventData]:
    return step.decide(course, as_request(step.request, asked), context)


def _words(events: Sequence[EventData]) -> Result:
    refused = [event for event in events if isinstance(event, StepRefused)]
    if refused:
        return ("refused", *sorted(f"{refusal.rule} {refusal.facts['because']}" for refusal in refused))
    match next((event for event in events if type(event) in RECORDED), None):
        case SessionScheduled():
            return ("scheduled",)
        case DosingAuthorised(warnings=warnings):
            return ("authorised", *sorted(f"warning {warning}" for warning in warnings))
        case PressureDecided(decision=decision):
            return (decision.replace("_", " "),)
        case SessionDosed(given_at=given_at, second_pressure=SecondPressure() as times):
            return _after(given_at, times)
        case SessionCompleted(deviations=deviations):
            return ("discharged", *sorted(f"deviation {deviation}" for deviation in deviations))
        case _:
            escalations = sorted(_escalation(event) for event in events if isinstance(event, Escalated))
            return ("escalated" if escalations else "nothing to escalate", *escalations)


def _escalation(escalated: Escalated) -> str:
    return f"{escalated.rule} {', '.join(sorted(escalated.because))}{' (emergency)' if escalated.emergency else ''}"


def _after(given_at: datetime, times: SecondPressure) -> Result:
    """R-21: when the pressure after a dose is due, counts and escalates, in minutes after the dose."""
    due, earliest, latest, escalate = (
        f"{(at - given_at).total_seconds() / 60:g}" for at in (times.due_at, times.earliest, times.latest, times.escalate_at)
    )
    return ("watched", f"R-21 due after {due} min", f"R-21 counts from {earliest} to {latest} min", f"R-21 escalates after {escalate} min")


def _missing(course: Course, before: Sequence[Recorded], committed: Sequence[Recorded]) -> Iterator[Past]:
    """Yield what was said of each dose whose pressure was missing (R-21), under the policy that set its times when it was given."""
    said: dict[Watched, list[Recorded]] = {}
    for recorded in committed:
        watched = _watched(recorded.data)
        if watched is not None and isinstance(recorded.data, VitalOverdue):
            said.setdefault(watched, []).append(recorded)
    for watched, overdue in said.items():
        for dose in before:
            dosed = dose.data
            if isinstance(dosed, SessionDosed) and _watched(dosed) == watched:
                yield Past(
                    step="miss the pressure after a dose",
                    envelope=overdue[0].envelope,
                    policy_version=dosed.policy_version,
                    facts=tuple(of_missing(course, dosed)),
                    result=_how_missing(recorded.data for recorded in overdue),
                    decide=partial(_missing_again, [recorded.data for recorded in before], watched),
                    moved_from=dose.envelope.clinic,
                )
                break


def _missing_again(before: Sequence[EventData], watched: Watched, context: Context) -> Result:
    """Say what is missing at the moment it was said, with the times that this policy sets after the dose."""
    course, again = Course(), watched
    for event in before:
        told = event
        if _watched(event) == watched and isinstance(event, SessionDosed):
            (timed,) = (each for each in _decided(course, WATCH, _asked(course, event), context) if isinstance(each, SessionDosed))
            told = event.model_copy(update={"second_pressure": timed.second_pressure})
            again = _watched(told) or watched
        elif _watched(event) == watched:
            told = event.model_copy(update={"due_at": again[1]})
        course = evolve(course, told)
    return _how_missing(event for event in say_overdue(course, "", context) if _watched(event) == again)


def _watched(event: EventData) -> Watched | None:
    """Return which pressure a dose demands, and which one is said to be missing."""
    match event:
        case SessionDosed(session=session, second_pressure=SecondPressure(due_at=due_at)) | VitalOverdue(session=session, due_at=due_at):
            return session, due_at
        case _:
            return None


def _how_missing(said: Iterable[EventData]) -> Result:
    return tuple("escalated" if event.escalated else "said" for event in said if isinstance(event, VitalOverdue)) or ("not missing yet",)

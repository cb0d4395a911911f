"""Whatever is entered and corrected in whatever order counts as if the marked entries had never been (docs/decisions/0011)."""

from datetime import timedelta
from decimal import Decimal
from functools import reduce
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from services.session.domain.effects import dissociation, sedation
from services.session.domain.state import Course, evolve
from shared.events.base import EventData
from shared.events.session import (
    AlertAcknowledged,
    AlertRaised,
    CourseCompleted,
    EntryCorrected,
    Escalated,
    SessionCompleted,
    SessionDosed,
    VitalOverdue,
    VitalsRecorded,
)
from shared.events.stay import RepeatPressureOverdue
from shared.pathway.refusal import Refusal
from tests.unit.session.corrections import dose_body, vitals_body
from tests.unit.session.room import Room, approval, consent, plan

STATE = TypeAdapter(Course)


class Told(Room):
    """A room that keeps what was said."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[EventData] = []

    def take(self, events: list[EventData]) -> list[EventData]:
        self.said += events
        return super().take(events)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ("check", "authorise", "dose", "dose", "booster", "vitals", "vitals", "leave", "schedule", "prepare", "error", "error", "amend")
        ),
        st.integers(0, 20),
        st.integers(0, 3),
    ),
    max_size=22,
)
SAID_BY_THE_SERVICE = (VitalOverdue, RepeatPressureOverdue, AlertRaised, AlertAcknowledged, Escalated, CourseCompleted)


@given(STEPS)
def test_any_order_of_entries_and_corrections_counts_as_if_marked_ones_had_never_been(steps: list[tuple[str, int, int]]) -> None:
    room = Told()
    room.hear(consent())
    room.hear(approval(plan(doses=4)))
    for step, which, value in steps:
        room.later(minutes=7)
        try:
            _take(room, step, which, value)
        except Refusal:
            continue
        room.tick()
    marked = {event.entry for event in room.said if isinstance(event, EntryCorrected)}
    never = reduce(evolve, _without(room.said, marked), Course())
    quiet = reduce(evolve, (event for event in room.said if not isinstance(event, SAID_BY_THE_SERVICE)), Course())
    assert _counting(quiet) == _counting(never)
    # Counted by hand: a planned dose for each dose that is no booster, and one for boosters without any.
    given_in: dict[int, list[bool]] = {}
    for event in room.said:
        if isinstance(event, SessionDosed) and event.entry not in marked:
            given_in.setdefault(event.session, []).append(event.booster)
    assert room.course.doses_left == max(0, 4 - sum(max(1, boosters.count(False)) for boosters in given_in.values()))
    left = {event.session for event in room.said if isinstance(event, SessionCompleted) and event.entry not in marked}
    assert {session.number for session in room.course.running} == set(given_in) - left
    assert not (room.course.completed and (room.course.running or room.course.doses_left))
    assert STATE.validate_json(STATE.dump_json(room.course)) == room.course


def _take(room: Told, step: str, which: int, value: int) -> None:
    sessions = room.course.sessions
    number = sessions[which % len(sessions)].number if sessions else 1
    match step:
        case "schedule":
            room.schedule()
        case "prepare":
            room.prepare(psychoeducation=value > 0)
        case "check":
            room.check(number)
        case "authorise":
            room.authorise("200", number)
        case "dose" | "booster":
            room.dose("100", number if sessions else None, booster=step == "booster")
        case "vitals":
            room.vitals(number, (120 + 15 * value, 80), sedation=5 - value, taken_at=room.now - timedelta(minutes=which))
        case "leave":
            room.discharge(number, left_against_advice=True)
        case _:
            _correct(room, step, which, value)


def _correct(room: Told, step: str, which: int, value: int) -> None:
    marked = {event.entry for event in room.said if isinstance(event, EntryCorrected)}
    entries = [event for event in room.said if getattr(event, "entry", None) is not None and not isinstance(event, EntryCorrected)]
    standing = [event for event in entries if getattr(event, "entry") not in marked]  # noqa: B009
    if not standing:
        return
    event = standing[which % len(standing)]
    match event:
        case SessionDosed() if step == "amend":
            body = dose_body(session=event.session, given_at=room.now - timedelta(minutes=value), dose_mg=Decimal(50), booster=value == 1)
            room.correct(event.entry, "amended", dose=body)
        case VitalsRecorded() if step == "amend":
            room.correct(event.entry, "amended", vitals=vitals_body(session=event.session, taken_at=room.now, sedation=5 - value))
        case _:
            room.correct(getattr(event, "entry"))  # noqa: B009


def _without(said: list[EventData], marked: set[str]) -> list[EventData]:
    """What was said, had the marked entries never been: a replacement stands where the entry stood that it replaces."""
    kept: list[EventData] = []
    for event in said:
        if isinstance(event, (EntryCorrected, *SAID_BY_THE_SERVICE)):
            continue
        replaces = getattr(event, "replaces", None)
        places = [place for place, each in enumerate(kept) if replaces is not None and getattr(each, "entry", None) == replaces]
        kept.insert(places[0] + 1 if places else len(kept), event)
    return [event for event in kept if getattr(event, "entry", None) not in marked]


def _counting(course: Course) -> Any:
    """What counts of a course; an authorisation lapses with its checks instead, and is tested above."""
    sessions = [
        (
            session.number,
            # Without the dose that began it, nobody could have recorded anything in such a session.
            session.phase if session.scheduled is not None or session.doses else None,
            session.checks,
            session.doses,
            session.vitals,
            session.completed,
            session.pressures(),
            sedation(session),
            dissociation(session),
        )
        for session in course.sessions
        if session.scheduled is not None or session.doses or session.checks or session.vitals or session.completed is not None
    ]
    return course.doses_left, course.preparation, course.running and course.status, sessions, course.deadlines

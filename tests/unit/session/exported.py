"""Courses at every stage, and what is exported of them."""

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

from services.session.domain.adverse_event import RecordAdverseEvent, record_adverse_event
from services.session.domain.schedule import CancelSession, cancel_session
from services.session.domain.state import Course
from services.session.fhir_export import export
from shared.fhir.record import bundle_of
from tests.unit.fhir.checks import check
from tests.unit.session.room import Room, approved_room, checked_room, dosed_room, finish_session, hold, revocation, withdrawal

CASE, PATIENT = "case-" + "2" * 32, "patient-" + "d" * 32
SECRET = "he cried when he said it"


def exported(course: Course, case: str = CASE) -> dict[str, Any]:
    bundle = bundle_of(export)(case, "riverside", PATIENT, course)
    check(bundle)
    return json.loads(json.dumps(bundle))  # type: ignore[no-any-return]


def monitored_room() -> Room:
    """200 mg at T0, everything measured 40 minutes later, and a serious adverse event."""
    room = dosed_room()
    room.later(minutes=40)
    room.vitals(pressure=(138, 88), heart_rate=84, respiratory_rate=12, oxygen_saturation=97, sedation=4)
    harm(room)
    return room


def harm(room: Room, session: int | None = 1, *symptoms: str, serious: bool = True) -> None:
    body = RecordAdverseEvent(session=session, what=SECRET, symptoms=symptoms or ("chest_pain",), serious=serious, happened_at=room.now)
    room.do(record_adverse_event, body)


def boosted() -> Course:
    """A planned dose and a booster, a full hour later."""
    room = dosed_room()
    room.later(minutes=40)
    room.vitals()
    room.later(minutes=20)
    room.check()
    room.authorise("100", booster=True)
    room.dose("100", booster=True)
    finish_session(room)
    return room.course


def course_completed() -> Course:
    room = dosed_room()
    finish_session(room)
    room.later(days=14)
    room.schedule(room.now + timedelta(hours=1))
    return room.course


def every_stage() -> list[Course]:
    cancelled = approved_room()
    cancelled.schedule()
    cancelled.do(cancel_session, CancelSession(session=1, reason="patient-ill"))
    ended = approved_room()
    ended.hear(revocation())
    held, withdrawn = checked_room(), checked_room()
    held.hear(hold())
    withdrawn.hear(withdrawal())
    unplanned = Room()
    unplanned.dose("56", None, route="intranasal_esketamine")
    harm(unplanned, None, serious=False)
    rooms = [Room(), approved_room(), checked_room(weight_kg=Decimal("72.5")), dosed_room(), monitored_room(), cancelled, ended]
    rooms += [held, withdrawn, unplanned]
    return [*(room.course for room in rooms), boosted(), course_completed()]

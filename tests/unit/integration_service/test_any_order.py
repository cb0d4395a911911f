"""Whatever happens to a patient, in any order: nothing piles up, no dose is left without a session, and care comes to an end."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from services.integration.domain.discharge import DischargeFromCare, discharge_from_care
from services.integration.domain.follow_up import treated
from services.integration.domain.miss_session import RecordMissedSession, record_missed_session
from services.integration.domain.not_followed import RecordNotFollowed, record_not_followed
from services.integration.domain.state import Integration
from shared.events import intake
from shared.pathway.refusal import Refusal
from tests.unit.integration_service.story import SHIPPED, Story, course_closed, course_opened, dosed, phq9, screening

STATE = TypeAdapter(Integration)
KINDS = ["dose", "dose", "dose", "hold", "miss", "move", "measure", "lost", "close", "open", "withdraw", "discharge", "wait"]
STEPS = st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from([0.1, 0.5, 1, 2, 3, 7, 14, 40])), min_size=3, max_size=14)


def take(story: Story, step: str, number: int) -> None:
    now, sessions = story.now, story.state.open_sessions
    try:
        match step:
            case "dose":
                story.hear(dosed(number, now))
            case "hold" if sessions:
                story.hold(sessions[0].id)
            case "miss" if sessions:
                story.do(record_missed_session, RecordMissedSession(id=sessions[-1].id, because="no_show", at=now))
            case "move" if sessions:
                to = now + timedelta(days=5)
                story.do(record_missed_session, RecordMissedSession(id=sessions[0].id, because="rescheduled", at=now, rescheduled_to=to))
            case "measure":
                story.measure("phq-9", phq9(number % 24))
            case "lost":
                story.do(record_not_followed, RecordNotFollowed(because="lost_to_follow_up", at=now))
            case "close":
                story.hear(course_closed())
            case "open":
                story.hear(course_opened())
            case "withdraw":
                story.hear(intake.ConsentWithdrawn(withdrawn_at=now, said_to="intake"))
            case "discharge":
                story.do(discharge_from_care, DischargeFromCare(because="moved", discharged_at=now))
            case _:
                pass
    except Refusal:
        pass  # a step out of order is refused, and what follows must hold all the same


@given(STEPS)
def test_r28_r29_whatever_happens_nothing_piles_up_and_care_ends(steps: list[tuple[str, float]]) -> None:
    story, day = Story(SHIPPED), 0.0
    story.hear(screening(phq_9=12))
    for number, (step, later) in enumerate(steps, start=1):
        day += later
        story.on_day(day).tick()
        take(story, step, number)
        holds(story)
    assert STATE.validate_json(STATE.dump_json(story.state)) == story.state
    if not story.state.doses:
        return
    story.hear(course_closed("revoked"))
    story.on_day(day + 400).tick()
    assert story.state.ended
    assert story.state.waits_for is None or story.state.waits_for.what == "suicide_risk_screen"
    assert story.state.overdue >= {alert.about for alert in story.state.alerts.unacknowledged if alert.about is not None}
    found = treated(story.state, "riverside", "phq-9", story.now)
    assert found is not None
    assert all((point.outcome is None) == (point.reason is not None) for point in found.points.values())
    assert "not_yet_due" not in {point.reason for point in found.points.values()}


def holds(story: Story) -> None:
    state = story.state
    # Of the sessions after a dose at most one is still within its time; another one was moved by a person or is late.
    running = [each for each in state.open_sessions if each.purpose == "after_dose" and story.now < each.due_by == each.window_ends]
    assert len(running) <= 1
    # Each dose has a session after it, and no dose has two that are open.
    covered = [number for each in state.planned if each.purpose == "after_dose" for number in each.dosing_sessions]
    assert sorted(covered) == sorted(dose.session for dose in state.doses)
    # Follow-ups and measurements are those of the last dose, or were due before it.
    last = state.last_dose
    assert last is not None or not state.doses
    follow_ups = [each for each in state.open_sessions if each.purpose != "after_dose" and not each.missed]
    times = [(each.due_by, each.dosing_sessions) for each in follow_ups]
    times += [(each.due_at, (each.dosing_session,)) for each in state.open_measurements]
    assert all(last is not None and (last.session in numbers or due <= last.given_at) for due, numbers in times)
    assert len({each.id for each in state.planned}) == len(state.planned)

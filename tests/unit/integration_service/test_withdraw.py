"""A dose that was none takes its plan back. Expectations: R-28 of domain.md 5c, and docs/decisions/0011: as if it had never been."""

from datetime import timedelta
from typing import Any

import pytest

from shared.events import session
from shared.events.integration import IntegrationWithdrawn
from tests.unit.integration_service.story import T0, Story, course_over, dosed, screening


def correction(number: int | None = 1, **changes: Any) -> session.EntryCorrected:
    body = {"entry": "entry-1", "kind": "entered_in_error", "reason": "wrong chart", "corrected_at": T0, "of": "dose", "session": number}
    return session.EntryCorrected.model_validate({**body, "left_undosed": True, **changes})


def test_a_dose_that_was_none_withdraws_its_plan_and_its_deadlines() -> None:
    story = Story()
    story.hear(dosed())
    story.on_day(4).tick()
    assert story.state.alerts.unacknowledged
    (withdrawn, *_) = story.hear(correction())
    assert withdrawn == IntegrationWithdrawn(dosing_session=1, because="entered_in_error", withdrawn_at=story.now)
    assert (story.state.doses, story.state.planned, story.state.measurements) == ((), (), ())
    assert (story.state.status, dict(story.state.deadlines)) == ("awaiting_dose", {})
    assert not story.state.alerts.unacknowledged
    assert story.hear(correction()) == []


def test_what_the_plan_had_replaced_is_waited_for_again() -> None:
    story, never = Story(), Story()
    for each in (story, never):
        each.hear(screening(phq_9=18))
        each.hear(dosed(1))
    story.hear(dosed(2, T0 + timedelta(days=10)))
    story.hear(correction(2))
    assert story.state == never.state


def test_a_session_that_two_doses_share_is_held_for_the_one_that_was_given() -> None:
    story = Story()
    story.hear(dosed(1))
    story.hear(dosed(2, T0 + timedelta(days=1)))
    story.hear(correction(1))
    assert [each.dosing_sessions for each in story.state.planned if each.purpose == "after_dose"] == [(2,)]


def test_a_session_that_was_held_stays() -> None:
    story = Story()
    story.hear(dosed())
    story.on_day(1).hold()
    story.hear(correction())
    assert [each.held is not None for each in story.state.planned] == [True]


def test_a_course_that_was_complete_with_it_goes_on() -> None:
    story = Story()
    story.hear(dosed(1))
    story.hear(dosed(2, T0 + timedelta(days=10)))
    story.hear(course_over(2))
    story.hear(correction(2))
    assert not story.state.course_over


@pytest.mark.parametrize(
    "other", [correction(left_undosed=False), correction(of="vitals", left_undosed=False), correction(2), correction(None)]
)
def test_any_other_correction_leaves_the_plan(other: session.EntryCorrected) -> None:
    story = Story()
    story.hear(dosed())
    before = story.state
    assert story.hear(other) == []
    assert story.state == before


def test_r29_what_was_overdue_calls_again_once_the_dose_that_replaced_it_is_withdrawn() -> None:
    story = Story()
    story.hear(dosed(1))
    story.hold()
    story.on_day(22).tick()
    before = sorted(alert.about or "" for alert in story.state.alerts.unacknowledged)
    assert "outcome-1-day-14" in before
    story.hear(dosed(2, T0 + timedelta(days=13)))
    assert "outcome-1-day-14" not in [alert.about for alert in story.state.alerts.unacknowledged]
    story.hear(correction(2))
    assert sorted(alert.about or "" for alert in story.state.alerts.unacknowledged) == before

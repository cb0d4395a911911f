"""Maintenance: sessions at its interval for as long as doses may go on. Expectations: R-28 and R-27."""

from services.integration.domain.maintain import BeginMaintenance, begin_maintenance
from tests.unit.integration_service.plans import after, awaited, day, discharging, refused
from tests.unit.integration_service.story import (
    SHIPPED,
    T0,
    Story,
    course_opened,
    course_over,
    dosed,
    policy,
)


def in_maintenance(last_dose: float = 0) -> Story:
    story = after(last_dose)
    story.on_day(last_dose + 2).hold()
    story.hear(course_over())
    story.on_day(last_dose + 20).do(begin_maintenance, BeginMaintenance(began_at=story.now))
    return story


def test_r28_maintenance_plans_sessions_at_the_interval_as_long_as_doses_may_go_on() -> None:
    """Every 30 days; 12 weeks after the last dose a prescriber must clear the patient anew (R-27), so doses are over by then."""
    assert [(name, at) for name, at in awaited(in_maintenance()) if at > 20] == [("maintenance-1-day-30", 30), ("maintenance-1-day-60", 60)]


def test_r28_maintenance_that_begins_late_plans_nothing_in_the_past() -> None:
    story = after(0)
    story.hear(course_over())
    story.on_day(40).do(begin_maintenance, BeginMaintenance(began_at=day(35)))
    assert [name for name, _ in awaited(story) if name.startswith("maintenance")] == ["maintenance-1-day-60"]


def test_r28_a_maintenance_dose_plans_its_own_session_and_begins_the_interval_again() -> None:
    story = in_maintenance()
    story.hear(course_opened())
    story.on_day(40).hear(dosed(2, day(40)))
    assert [each for each in awaited(story) if each[1] > 40] == [
        ("after-dose-2", 43),
        ("maintenance-2-day-30", 70),
        ("maintenance-2-day-60", 100),
    ]
    assert ("maintenance-1-day-30", 30) in awaited(story)  # it was due before


def test_r28_maintenance_keeps_the_follow_ups_of_the_months_after() -> None:
    story = after(0, story=Story(SHIPPED))
    story.hear(course_over())
    story.on_day(20).do(begin_maintenance, BeginMaintenance(began_at=day(20)))
    assert [name for name, _ in awaited(story)] == [
        "after-dose-1",
        "follow-up-1-day-14",
        "maintenance-1-day-30",
        "maintenance-1-day-60",
        "follow-up-1-day-90",
        "follow-up-1-day-180",
    ]
    assert len({each.id for each in story.state.planned}) == len(story.state.planned)


def test_maintenance_ends_with_the_doses() -> None:
    story = in_maintenance()
    story.on_day(200).tick()
    assert story.state.status == "completed"
    story.on_day(300).hear(dosed(2, day(300)))
    assert story.state.maintenance_since is None
    assert [name for name, _ in awaited(story)] == ["after-dose-2", "follow-up-2-day-14"]


def test_r28_maintenance_follows_a_course_and_begins_once() -> None:
    begin = BeginMaintenance(began_at=T0)
    assert refused(Story(), begin_maintenance, begin) == "not-dosed"
    story = after(0)
    assert refused(story, begin_maintenance, begin) == "course-not-over"
    story.hear(course_over())
    assert refused(story, begin_maintenance, BeginMaintenance(began_at=day(-1))) == "before-dose"
    assert refused(story, begin_maintenance, BeginMaintenance(began_at=day(1))) == "time-in-the-future"
    story.do(begin_maintenance, begin)
    assert refused(story, begin_maintenance, begin) == "already-in-maintenance"
    discharging(other := after(0))
    other.hear(course_over())
    assert refused(other, begin_maintenance, begin) == "care-ended"


def test_r28_the_interval_is_the_policys() -> None:
    story = after(0, story=Story(policy(maintenance_session_days=20, reclearance_after_weeks=6)))
    story.hear(course_over())
    story.do(begin_maintenance, BeginMaintenance(began_at=T0))
    assert [name for name, _ in awaited(story) if name.startswith("m")] == ["maintenance-1-day-20", "maintenance-1-day-40"]


def test_a_policy_that_asks_for_no_clearance_anew_plans_no_endless_maintenance() -> None:
    story = after(0, story=Story(policy(maintenance_session_days=1, reclearance_after_weeks=100_000)))
    story.hear(course_over())
    story.do(begin_maintenance, BeginMaintenance(began_at=T0))
    assert len([name for name, _ in awaited(story) if name.startswith("maintenance")]) == 24

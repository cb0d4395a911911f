"""What the tests of the plan do again and again: a story some doses on, what it waits for, what is refused."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from services.integration.domain.discharge import DischargeFromCare, discharge_from_care
from services.integration.domain.goals import SetGoal, set_goal
from services.integration.domain.miss_session import RecordMissedSession, record_missed_session
from shared.events import intake
from shared.events.base import EventData
from shared.events.integration import CareDischarged
from shared.pathway.refusal import Refusal
from tests.unit.integration_service.story import (
    T0,
    Story,
    dosed,
)

CONSENT = intake.ConsentGiven(version="consent-1", scopes=("treatment",), given_at=T0 - timedelta(days=7))


def day(number: float) -> datetime:
    return T0 + timedelta(days=number)


def after(*doses: float, story: Story | None = None) -> Story:
    """A patient who was dosed on these days."""
    story = story or Story()
    story.hear(CONSENT)
    for number, at in enumerate(doses, start=1):
        story.on_day(at).hear(dosed(number, day(at)))
    return story


def awaited(story: Story) -> list[tuple[str, float]]:
    """What is still to be held, and by which day."""
    return [(each.id, (each.due_by - T0) / timedelta(days=1)) for each in story.state.open_sessions]


def refused(story: Story, decide: Any, command: Any) -> str:
    with pytest.raises(Refusal) as refusal:
        story.do(decide, command)
    return refusal.value.slug


def missing(story: Story, name: str = "after-dose-1", **said: Any) -> list[EventData]:
    return story.do(record_missed_session, RecordMissedSession(**{"id": name, "because": "no_show", "at": story.now, **said}))


def discharging(story: Story, **said: Any) -> CareDischarged:
    command = DischargeFromCare(**{"because": "patient_stopped", "discharged_at": story.now, **said})
    (discharged,) = [event for event in story.do(discharge_from_care, command) if isinstance(event, CareDischarged)]
    return discharged


def with_goal() -> tuple[Story, str]:
    story = after(0)
    story.do(set_goal, SetGoal(behaviour="walk to the river", times_per_week=3))
    return story, story.state.goals[0].set.goal

"""What belongs between two doses: an integration session (R-28: JC2); its absence warns, or blocks by policy."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.events import integration
from shared.events.base import EventData
from shared.events.session import DosingAuthorised, SessionDosed
from tests.unit.session.room import T0, Room, checked_room, dosed_room, finish_session, policy, rules

HELD_AT = T0 + timedelta(hours=20)


def authorised(events: list[EventData]) -> DosingAuthorised:
    (event,) = events
    assert isinstance(event, DosingAuthorised), event
    return event


def second_session(held_at: datetime | None, before: Any = "warn") -> Room:
    """Dosed at T0, checked a week later; an integration session was held in between, or not."""
    room = dosed_room(policy=policy(integration_before_next_dose=before))
    finish_session(room)
    if held_at is not None:
        room.hear(integration.IntegrationHeld(id="after-dose-1", dosing_session=1, purpose="after_dose", held_at=held_at))
    room.later(days=7)
    room.schedule()
    room.check(2)
    return room


@pytest.mark.parametrize(("held_at", "missing"), [(None, True), (T0 - timedelta(seconds=1), True), (T0, False), (HELD_AT, False)])
def test_r28_no_integration_since_the_last_dose_warns_or_blocks(held_at: datetime | None, missing: bool) -> None:
    warned = authorised(second_session(held_at).authorise(session=2))
    assert warned.warnings == (("integration-not-held",) if missing else ())
    blocked = second_session(held_at, "block").authorise(session=2)
    if missing:
        assert rules(blocked) == {("R-28", "integration-not-held")}
    else:
        assert authorised(blocked).warnings == ()


@pytest.mark.parametrize(("before", "deviation"), [("block", True), ("warn", False)])
def test_r28_a_dose_given_without_integration_is_a_deviation_where_the_policy_blocks(before: str, deviation: bool) -> None:
    given = second_session(None, before).dose(session=2)[0]
    assert isinstance(given, SessionDosed)
    assert ("integration-not-held" in given.deviations, "integration-not-held" in given.warnings) == (deviation, not deviation)


def test_r28_the_first_dose_of_a_case_needs_no_integration_before_it() -> None:
    assert authorised(checked_room(policy=policy(integration_before_next_dose="block")).authorise()).warnings == ()


@pytest.mark.parametrize("before", ["warn", "block"])
def test_r28_a_booster_follows_its_own_dose_without_integration_between(before: str) -> None:
    room = dosed_room(policy=policy(integration_before_next_dose=before))
    room.later(minutes=15)
    assert authorised(room.authorise("50", booster=True)).warnings == ()

"""The dose gate rests on what the other services said up to now (R-20); the bound is the policy's row, here 15 s as shipped."""

from datetime import timedelta

import pytest

from services.session.api import COMMANDS
from services.session.domain.authorise import HEARD, AuthoriseDose
from services.session.reactions import REACTIONS
from shared.events.session import DosingAuthorised, StepRefused
from tests.unit.session.room import POLICY, checked_room, policy, rules

BOUND = timedelta(seconds=POLICY.values.view_at_most_seconds_old)
A_MOMENT = timedelta(milliseconds=100)


@pytest.mark.parametrize("service", HEARD)
def test_r20_a_view_as_old_as_the_bound_still_allows_a_dose_and_an_older_one_does_not(service: str) -> None:
    room = checked_room()
    room.views = {**room.views, service: BOUND + A_MOMENT}
    refused = room.authorise()
    assert rules(refused) == {("R-20", "view-too-old")}
    assert [event.facts["source"] for event in refused if isinstance(event, StepRefused)] == [service]
    assert [event.facts["seconds"] for event in refused if isinstance(event, StepRefused)] == ["15.100"]
    room.views = {**room.views, service: BOUND}
    assert isinstance(room.authorise()[0], DosingAuthorised)


@pytest.mark.parametrize("service", HEARD)
def test_r20_a_service_that_was_never_heard_allows_no_dose(service: str) -> None:
    room = checked_room()
    del room.views[service]
    refused = room.authorise()
    assert rules(refused) == {("R-20", "view-too-old")}
    assert isinstance(refused[0], StepRefused)
    assert refused[0].facts["seconds"] == "never"


def test_r20_the_bound_is_the_clinics() -> None:
    room = checked_room(policy=policy(view_at_most_seconds_old=3))
    room.views = dict.fromkeys(HEARD, timedelta(seconds=4))
    assert len(room.authorise()) == len(HEARD)
    assert rules(room.authorise()) == {("R-20", "view-too-old")}


def test_r20_a_booster_is_a_dose() -> None:
    room = checked_room()
    room.authorise("100")
    room.dose("100")
    room.later(minutes=20)
    room.views = {}
    assert rules(room.authorise("100", booster=True)) == {("R-20", "view-too-old")}


def test_a_dose_that_was_given_is_recorded_however_old_the_view_is() -> None:
    room = checked_room()
    room.authorise()
    room.views = {}
    assert [type(event).__name__ for event in room.dose()] == ["SessionDosed"]


def test_the_gate_asks_after_every_service_that_session_hears() -> None:
    """From the table of reactions: one that joins it must join the gate."""
    assert set(HEARD) == {event.TYPE.split(".")[1] for event in REACTIONS}
    asking = [command for command in COMMANDS if command.views_of]
    assert [(command.body, command.views_of) for command in asking] == [(AuthoriseDose, HEARD)]

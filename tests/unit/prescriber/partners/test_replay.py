"""What an admin asks to be sent: a test, one delivery again, a range of them again."""

from typing import Any

import pytest
from pydantic import ValidationError

from services.prescriber.domain.partners.endpoints import NameEndpoint, disable, pause
from services.prescriber.domain.partners.replay import AskForTest, ReplayDeliveries, ResendDelivery, ask_for_test, replay, resend
from services.prescriber.domain.partners.standing import PartnerLeaves, leave
from shared.events.partner import DeliveriesReplayed, TestEventAsked
from shared.pathway.refusal import Refusal
from tests.unit.prescriber.partners.office import Office, read, registered

COMMANDS: list[tuple[Any, Any]] = [
    (ask_for_test, AskForTest(endpoint="main")),
    (resend, ResendDelivery(endpoint="main", sequence=3)),
    (replay, ReplayDeliveries(endpoint="main", first=1, last=10_000)),
]


def refused(office: Office, decide: Any, command: Any) -> str:
    with pytest.raises(Refusal) as reason:
        office.do(decide, command)
    return reason.value.slug


def test_a_test_event_is_due() -> None:
    (event,) = registered().do(ask_for_test, AskForTest(endpoint="main"))
    assert event == TestEventAsked(partner="north", endpoint="main", example=False)


def test_one_or_a_range_is_due_again() -> None:
    assert registered().do(resend, ResendDelivery(endpoint="main", sequence=3)) == [
        DeliveriesReplayed(partner="north", endpoint="main", first=3, last=3)
    ]
    assert registered().do(replay, read(ReplayDeliveries, endpoint="main", first=2, last=2)) == [
        DeliveriesReplayed(partner="north", endpoint="main", first=2, last=2)
    ]


@pytest.mark.parametrize("stop", [pause, disable])
def test_an_endpoint_that_is_not_sent_to_gets_no_test_but_a_replay_waits_for_it(stop: Any) -> None:
    office = registered()
    office.do(stop, NameEndpoint(endpoint="main"))
    assert refused(office, *COMMANDS[0]) == "endpoint-not-active"
    for decide, command in COMMANDS[1:]:
        assert office.do(decide, command)


@pytest.mark.parametrize(("decide", "command"), COMMANDS)
def test_nothing_is_sent_to_who_left_or_is_not_there(decide: Any, command: Any) -> None:
    office = registered()
    office.do(leave, PartnerLeaves(reason="contract ended"))
    assert refused(office, decide, command) == "partner-left"
    assert refused(Office(), decide, command) == "no-such-partner"
    assert refused(registered(), decide, command.model_copy(update={"endpoint": "nowhere"})) == "no-such-endpoint"


def test_a_sandbox_is_sent_tests() -> None:
    assert registered(sandbox=True).do(*COMMANDS[0])


@pytest.mark.parametrize(
    "values",
    [
        {"first": 0, "last": 5},
        {"first": 6, "last": 5},
        {"first": 1, "last": 10_001},
        {"first": 1, "last": 2**63},
        {"first": 2**64, "last": 2**64},
        {"first": "1", "last": 5},
        {"first": 1.0, "last": 5},
        {"last": 5},
    ],
)
def test_what_is_no_range(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read(ReplayDeliveries, endpoint="main", **values)


@pytest.mark.parametrize("sequence", [0, -1, 2**64, "1", 1.5, None])
def test_what_is_no_sequence(sequence: Any) -> None:
    with pytest.raises(ValidationError):
        read(ResendDelivery, endpoint="main", sequence=sequence)

"""What `kap partner check` sends is what the network sends, or differs from it in the one way that a check is about."""

import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from deploy.partner_kit import deliveries, forgeries
from deploy.partner_kit.checks import CHECKS, MUST_BE_REFUSED, MUST_BE_TAKEN, Check
from deploy.partner_kit.judging import refused
from deploy.partner_kit.messages import ABOUT_A_REVIEW, Outgoing
from services.prescriber.domain.partners.checkpoint import Checkpoint
from services.prescriber.partners.messages import body_of, heartbeat_of, message_of
from shared.events.base import EventData
from shared.events.codec import Recorded
from shared.events.partner import EndpointDisabled, PartnerTold, TestEventAsked
from shared.events.prescriber import ReviewAssigned
from shared.webhooks.signing import PrivateKey, PublicKey, SharedSecret, Unverified, verify
from tests.unit.partner_kit.made import NOW, PAIR, SECRET, composer
from tests.unit.prescriber.given import context

FORGERIES = [one for one in MUST_BE_REFUSED if one.judge is refused]


def raw(message: Outgoing) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in message.headers]


def verifies(message: Outgoing, key: SharedSecret | PrivateKey) -> bool:
    """By the network's own verifier, which takes what the guide says and nothing else."""
    known: SharedSecret | PublicKey = key.public if isinstance(key, PrivateKey) else key
    try:
        verify(raw(message), message.body, [known], NOW)
    except Unverified:
        return False
    return True


@pytest.mark.parametrize("key", [SECRET, PAIR], ids=["v1", "v1a"])
@pytest.mark.parametrize("check", MUST_BE_TAKEN, ids=lambda check: check.name)
def test_what_must_be_taken_is_signed_rightly_and_is_thin(check: Check, key: SharedSecret | PrivateKey) -> None:
    messages = check.compose(composer(key))
    assert messages
    for message in messages:
        assert verifies(message, key), message.label
        assert len(message.body) < 20_000
        assert json.loads(message.body).keys() >= {"type", "timestamp", "data"}


@pytest.mark.parametrize("key", [SECRET, PAIR], ids=["v1", "v1a"])
@pytest.mark.parametrize("check", FORGERIES, ids=lambda check: check.name)
def test_what_must_be_refused_does_not_hold_and_takes_no_sequence(check: Check, key: SharedSecret | PrivateKey) -> None:
    compose = composer(key)
    messages = check.compose(compose)
    assert messages
    assert not any(verifies(message, key) for message in messages)
    assert (compose.next_sequence, compose.due) == (1, [])


@pytest.mark.parametrize("key", [SECRET, PAIR], ids=["v1", "v1a"])
def test_a_forgery_would_hold_without_what_was_done_to_it(key: SharedSecret | PrivateKey) -> None:
    """Otherwise it might be refused for another reason, and the check would say nothing."""
    for message in forgeries.repeated_header(composer(key)):
        names = [name for name, _ in message.headers]
        for index in range(len(names)):
            rest = message.headers[:index] + message.headers[index + 1 :]
            if len({name for name, _ in rest}) == 3 and verifies(Outgoing(rest, message.body), key):
                break
        else:
            pytest.fail(message.label)
    (old,) = forgeries.too_old(composer(key))
    (new,) = forgeries.too_new(composer(key))
    for message, sign in ((old, 1), (new, -1)):
        known: SharedSecret | PublicKey = key.public if isinstance(key, PrivateKey) else key
        verify(raw(message), message.body, [known], NOW - sign * forgeries.TOO_OLD)


@pytest.mark.parametrize("key", [SECRET, PAIR], ids=["v1", "v1a"])
def test_loose_spellings_are_spellings_of_the_good_signature(key: SharedSecret | PrivateKey) -> None:
    messages = forgeries.loose_base64(composer(key))
    spelled = [dict(message.headers)["webhook-signature"].partition(",")[2] for message in messages]
    assert len(set(spelled)) == 3
    meant = {base64.b64decode(text.replace("!", "") + "==") for text in spelled}
    assert len(meant) == 1


def test_sequences_of_what_is_sent_have_no_gap_but_the_one_that_is_meant() -> None:
    compose = composer(first_sequence=7)
    sent: list[int] = []
    for check in CHECKS:
        bodies = [json.loads(message.body) for message in check.compose(compose) if check not in FORGERIES]
        sent += [body["sequence"] for body in bodies if "sequence" in body]
    due = [one.sequence for one in compose.due]
    assert due == list(range(7, 7 + len(due)))
    # The one that `out_of_order` leaves out.
    assert len(set(due) - set(sent)) == 1


def ids_of(messages: Sequence[Outgoing]) -> list[str]:
    return [dict(message.headers)["webhook-id"] for message in messages]


def test_a_retry_has_the_same_id_and_bytes_and_another_timestamp() -> None:
    first, second = deliveries.again(composer())
    assert ids_of([first]) == ids_of([second])
    assert first.body == second.body
    assert dict(first.headers)["webhook-timestamp"] != dict(second.headers)["webhook-timestamp"]


def test_a_burst_is_of_twenty_messages_on_ten_cases_in_order() -> None:
    messages = deliveries.burst(composer())
    assert (len(messages), len({message.lane for message in messages}), len(set(ids_of(messages)))) == (20, 10, 20)
    for lane in {message.lane for message in messages}:
        requests = [json.loads(message.body)["data"]["request"] for message in messages if message.lane == lane]
        assert requests == [1, 2]


def test_a_large_body_is_nearly_20_kb() -> None:
    (message,) = deliveries.large(composer())
    assert 19_500 < len(message.body) < 20_000


def test_a_heartbeat_has_no_sequence_and_names_the_last_one() -> None:
    compose = composer()
    compose.assigned()
    without, with_one = (json.loads(message.body) for message in deliveries.heartbeat(compose))
    assert "sequence" not in without
    assert without["data"] == {"endpoint": "main", "last_sequence": 1}
    assert with_one["data"] == {**without["data"], "checkpoint": deliveries.CHECKPOINT}
    assert Checkpoint.read(deliveries.CHECKPOINT.encode()).size == 12


def test_what_is_sent_is_what_the_network_sends() -> None:
    """The fields of each type are those that the network's own code writes."""
    at = NOW
    case = f"case-{'a' * 32}"
    events: list[EventData] = [ReviewAssigned(request=1, partner="north", due_at=at)]
    events += [PartnerTold(partner="north", told=kind, request=1) for kind in ABOUT_A_REVIEW]
    events += [
        EndpointDisabled(partner="north", endpoint="main", why="gone", disabled_at=at),
        TestEventAsked(partner="north", endpoint="main", example=False),
        TestEventAsked(partner="north", endpoint="main", example=True),
    ]
    beats = [json.loads(heartbeat_of("main", 3, "t", checkpoint)) for checkpoint in (None, deliveries.CHECKPOINT)]
    theirs = {_shape(body) for body in (*(_body_of(event, case) for event in events), *beats)}
    compose = composer()
    sent = [deliveries.one, deliveries.known_types, deliveries.test_message, deliveries.heartbeat]
    assert {_shape(json.loads(message.body)) for make in sent for message in make(compose)} == theirs


def _body_of(event: EventData, case: str) -> Any:
    recorded = Recorded(replace(context().envelope or pytest.fail("there is an envelope"), subject=case), event)
    message = message_of(recorded)
    assert message is not None
    return json.loads(body_of(message, recorded, 1))


def _shape(body: Any) -> tuple[str, frozenset[str], frozenset[str]]:
    return body["type"], frozenset(body), frozenset(body["data"])


def test_checks_have_names_of_their_own() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)

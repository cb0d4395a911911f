"""The kit's own partner: what it takes for proven, what it keeps, and what it decides on the example."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from standardwebhooks import Webhook

from deploy.partner_kit import forgeries
from deploy.partner_kit.behaviours import answer_the_request_before, named
from deploy.partner_kit.desk import Desk
from deploy.partner_kit.example_review import example_review
from deploy.partner_kit.identity import DecisionKey, Identity
from deploy.partner_kit.judgement import decide
from deploy.partner_kit.kept_checkpoint import KeptCheckpoint
from deploy.partner_kit.messages import Composer, Keys, Outgoing
from deploy.partner_kit.network import Reply
from deploy.partner_kit.office import Office
from deploy.partner_kit.receiving import NotProven, verified
from services.audit.domain.checkpoint import Checkpoint
from services.prescriber.partners.inbound import ReviewDecided
from shared.events.clinical import ScreeningSummary
from shared.pathway.policy import read_document
from shared.webhooks.signing import PublicKey, verify
from tests.unit.partner_kit.made import NOW, SECRET

LIBRARY = Webhook(SECRET.key)


def now_composer() -> Composer:
    """At this moment: the published library looks at the system's clock."""
    ids = iter(range(1, 1000))
    return Composer(Keys.around(SECRET), lambda: datetime.now(UTC), lambda: f"{next(ids):032x}")


def take(message: Outgoing) -> str:
    headers = [(name.encode(), value.encode()) for name, value in message.headers]
    return verified(headers, message.body, LIBRARY).webhook_id


def test_a_good_message_is_proven() -> None:
    compose = now_composer()
    draft = compose.assigned()
    assert take(compose.good(draft)) == draft.webhook_id


@pytest.mark.parametrize("forge", [forgeries.malformed, forgeries.loose_base64, forgeries.repeated_header, forgeries.too_many_signatures])
def test_what_the_published_library_leaves_to_its_user_is_refused(forge: object) -> None:
    assert callable(forge)
    for message in forge(now_composer()):
        with pytest.raises(NotProven):
            take(message)


def test_what_is_signed_and_no_object_is_refused() -> None:
    compose = now_composer()
    for body in (b"[]", b"1", b"{", b"\xff"):
        draft = type(compose.probe())("msg_1", body)
        with pytest.raises(NotProven):
            take(compose.good(draft))


@pytest.fixture
def desk() -> Desk:
    return Desk(Path(":memory:"))


def test_a_desk_knows_a_message_by_its_id_and_bytes(desk: Desk) -> None:
    assert desk.note("a", 1, b"x") == "new"
    assert desk.note("a", 1, b"x") == "again"
    assert desk.note("a", 1, b"y") == "another body"
    assert desk.note("b", 2, None) == "new"
    assert desk.note("b", 2, b"x") == "again"
    assert desk.note("b", 2, b"y") == "another body"
    desk.close_file()


def test_a_desk_knows_up_to_where_nothing_is_missing(desk: Desk) -> None:
    seen = []
    for number in (2, 1, 3, 6, 5, 4, None):
        desk.note(f"m{number}", number, b"")
        seen.append((desk.unbroken(), desk.newest()))
    assert seen == [(0, 2), (2, 2), (3, 3), (3, 6), (3, 6), (6, 6), (6, 6)]
    desk.close_file()


def test_what_is_put_aside_is_taken_up_as_another_attempt(desk: Desk) -> None:
    desk.take("m1", {"timestamp": "t", "data": {"case": "case-a", "request": 1}})
    desk.decide("m1", b"decision")
    desk.put_aside("m1")
    assert desk.in_hand() == []
    desk.take_up("case-a")
    (row,) = desk.in_hand()
    assert (row["attempt"], row["decision"], row["state"]) == (2, None, "taken")
    desk.close_case("case-a", "recalled")
    assert desk.still_in_hand("m1") is None
    assert desk.status()["outcomes"] == ["recalled"]
    desk.close_file()


def test_a_decision_key_signs_what_the_network_verifies() -> None:
    key = DecisionKey.generate()
    headers = [(name.encode(), value.encode()) for name, value in key.sign("decision-1", NOW, b"{}").items()]
    assert verify(headers, b"{}", [PublicKey.parse(key.public)], NOW).id == "decision-1"


def test_the_example_has_the_form_in_which_reviews_are_disclosed_and_can_be_decided() -> None:
    review = json.loads(json.dumps(example_review(1, NOW)))
    assert ScreeningSummary.model_validate_json(json.dumps(review["summary"])).clearances == ()
    decision = {"case": f"case-{'0' * 32}", "prescriber": "dr-1", **decide(review, "2026-03-02T09:00:00.000Z")}
    message = {"type": "review.decided", "timestamp": "2026-03-02T09:00:00.000Z", "data": decision}
    assert ReviewDecided.model_validate_json(json.dumps(message)).data.decision == "eligible"


def test_r15_an_approval_of_the_kit_is_no_longer_than_a_network_lets_it_be_that_adopted_no_policy_of_its_own() -> None:
    asked_at = "2026-03-02T09:00:00.000Z"
    decided = decide(json.loads(json.dumps(example_review(1, NOW))), asked_at)
    lasts = datetime.fromisoformat(decided["plan"]["expires_at"]) - datetime.fromisoformat(asked_at)
    assert lasts <= timedelta(days=read_document().at("riverside").values.approval_valid_days)


def test_a_stale_partner_answers_one_before() -> None:
    review = example_review(3, NOW)
    assert (answer_the_request_before(review, "t") or {})["request"] == 2
    first = answer_the_request_before(example_review(1, NOW), "t") or {}
    assert (first["request"], first["decision"], bool(first["items"])) == (1, "needs_clearance", True)


def test_a_surprise_is_what_a_behaviour_does_not_expect() -> None:
    forging, well = named("forging"), named("well-behaved")
    assert forging is not None
    assert well is not None
    refused = Reply(401, {"type": "urn:kapcare:problem:webhook-refused"})
    taken = Reply(200, {"events": [{"type": "kapcare.prescriber.DecisionReceived.v1"}]})
    assert forging.is_answered_as_expected(refused)
    assert not forging.is_answered_as_expected(taken)
    assert well.is_answered_as_expected(refused)
    assert taken.recorded == ("DecisionReceived",)


def told(size: int, root: bytes = b"r", origin: str = "test.example/ledger") -> str:
    private = Ed25519PrivateKey.from_private_bytes(b"s" * 32)
    return str(Checkpoint(origin, size, root * 32).signed(private))


def test_a_partner_keeps_the_largest_checkpoint_that_it_was_told_of_and_says_what_contradicts_it(tmp_path: Path, desk: Desk) -> None:
    well = named("well-behaved")
    assert well is not None
    lines: list[str] = []
    kept = KeptCheckpoint(tmp_path / "checkpoint")
    office = Office(Identity.kept_in(tmp_path, "north", "North"), desk, well, "dr-1", lines.append, kept)

    def hear(number: int, data: dict[str, object]) -> None:
        office._note(f"heartbeat-{number}", None, b"", {"type": "kapcare.heartbeat", "data": {"endpoint": "main", **data}})

    hear(0, {"last_sequence": 0})
    assert kept.newest() is None
    for number, size in enumerate((7, 7, 9), 1):
        hear(number, {"checkpoint": told(size)})
        assert kept.file.read_text() == told(size)
    assert (office.surprises, len(lines)) == (0, 2)
    contradicting: tuple[object, ...] = (told(8), told(9, b"x"), told(10, origin="another.example/ledger"), "garbage", 7, None)
    for number, note in enumerate(contradicting, 10):
        hear(number, {"checkpoint": note})
        assert kept.file.read_text() == told(9)
    assert office.surprises == len(contradicting)
    desk.close_file()

"""Thousands of messages to the running prescriber service, most of them wrong in one way (reliability, scoreboard row 7).

Over real HTTP, byte for byte. Asked of each: the status that its one fault calls for, no 5xx, a problem document for every 4xx, and not a
word of what was sent. Asked at the end, of the store itself: exactly the good ones had an effect, and each of them had.
Environment: KAPCARE_FUZZED_REQUESTS, how many; KAPCARE_FUZZ_SEED, which ones.
"""

import asyncio
import base64
import logging
import os
import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import bson
import pytest

from shared.clock import system_now
from shared.events.partner import DecisionKeyAdded, MessageQuarantined
from shared.events.prescriber import ReviewAssigned, ReviewOpened, StopNoted
from shared.log.commit import Cause
from shared.service.definition import Origin
from shared.webhooks.signing import PrivateKey
from tests import toy
from tests.faults.fuzzed_bytes import CANARY
from tests.faults.fuzzed_decisions import GOOD_EVERY, KINDS, Sent, World, messages
from tests.integration.partner_clinic import Clinic, clinic_on, decision
from tests.integration.partner_stub import PartnerStub, partner
from tests.integration.raw_http import Answer, signed, wire
from tests.unit.prescriber.given import summary

pytestmark = [
    pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning"),  # the development issuer signs with EdDSA
    pytest.mark.timeout(3_600),
]

COUNT = int(os.environ.get("KAPCARE_FUZZED_REQUESTS", "3000"))
SEED = int(os.environ.get("KAPCARE_FUZZ_SEED", "20261"))
AT_ONCE = 16
DECOYS = 20


class Lines(logging.Handler):
    """Everything that is logged, with all that belongs to it."""

    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.text.append(repr({**record.__dict__, "exc_info": repr(record.exc_info)}))


async def open_review(clinic: Clinic) -> str:
    """A consented case whose review north has."""
    case, now = f"case-{uuid.uuid4().hex}", system_now()
    scopes = ("treatment", "disclosure_to_prescriber")
    events = [
        StopNoted(kind="consent_given", at=now, noted_from="urn:kapcare:intake", consent_version="c1", scopes=scopes),
        ReviewOpened(request=1, summary=summary(), opened_at=now),
        ReviewAssigned(request=1, partner="north", due_at=now + timedelta(days=30)),
    ]
    cause, origin = Cause.http("test", "clinician", uuid.uuid4().hex, b"m" * 32), Origin("riverside", "patient-1")
    await clinic.prescriber.decisions.run(case, lambda _state, _context: events, cause, toy.CLINICIAN, origin=origin)
    return case


async def made(clinic: Clinic, north: PartnerStub, south: PartnerStub) -> World:
    """Two keys of north, the reviews it has, and some messages that were recorded."""
    newer = PrivateKey.generate()
    await clinic.say("partner-north", DecisionKeyAdded(partner="north", decision_key=str(newer.public)))
    bodies = {f"used_{number}": decision(await open_review(clinic), reasons=[CANARY]) for number in range(8)}
    good = await asyncio.gather(*(open_review(clinic) for _ in range(COUNT // GOOD_EVERY + 1)))
    decoys = await asyncio.gather(*(open_review(clinic) for _ in range(DECOYS)))

    async def known() -> bool:
        return (await clinic.decide(north, b"{}", key=newer))[0] == 422

    await toy.eventually(known)
    return World([north.private, newer], south.private, north.secret, good, decoys, bodies)


async def record(port: int, world: World) -> dict[str, Answer]:
    """Send the messages that others will repeat; returns the answer to each."""
    stamp = b"%d" % int(system_now().timestamp())
    async with wire(port) as line:
        return {
            webhook_id: await line.post(b"/partners/north/decisions", signed(world.keys[0], webhook_id.encode(), stamp, body), body)
            for webhook_id, body in world.used.items()
        }


def what_is_wrong(sent: Sent, answer: Answer, first: dict[str, Answer], forbidden: list[str]) -> str | None:
    """In a few words; None for an answer that is as it must be."""
    if answer.status not in sent.expected:
        return f"{answer.status} instead of {sorted(sent.expected)}"
    said = (answer.head + answer.body).decode("latin-1")
    if any(word in said for word in forbidden):
        return "an echo"
    if sent.plain:
        return None
    kind = answer.header("content-type")
    if kind != ("application/json" if answer.status == 200 else "application/problem+json"):
        return f"{answer.status} as {kind}"
    if answer.status == 409 and answer.slug != ("webhook-id-reused" if sent.kept else "no-open-review"):
        return answer.slug
    if sent.same_as and (answer.body, answer.header("etag")) != (first[sent.same_as].body, first[sent.same_as].header("etag")):
        return "another answer than the first one"
    return None


@dataclass
class Tally:
    """What was sent and what came of it."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    recorded: set[str] = field(default_factory=set)
    kept: set[tuple[str, bytes]] = field(default_factory=set)

    def statuses(self) -> dict[int, int]:
        """How often each status came back."""
        counted: Counter[int] = Counter()
        for (_, status), count in self.answers.items():
            counted[status] += count
        return dict(sorted(counted.items()))


async def send_all(port: int, world: World, first: dict[str, Answer], forbidden: list[str]) -> Tally:
    """Send every message, some at once, and judge each answer."""
    tally, drawn = Tally(), messages(SEED, COUNT, world)

    async def work() -> None:
        async with wire(port) as line:
            for number, kind, sent in drawn:
                answer = await line.exchange(sent.request)
                tally.answers[kind, answer.status] += 1
                wrong = what_is_wrong(sent, answer, first, forbidden)
                if wrong is not None:
                    tally.wrong.append(f"seed {SEED}, message {number}, {kind}: {wrong}")
                tally.recorded |= {sent.recorded} if sent.recorded else set()
                tally.kept |= {sent.kept} if sent.kept else set()

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return tally


async def test_fuzzed_decisions(mongo_url: str, kafka_bootstrap: str, request: pytest.FixtureRequest) -> None:
    lines = Lines()
    serving = clinic_on(mongo_url, kafka_bootstrap, webhook_failures_at_once=10 * COUNT)
    async with serving as clinic, partner("north") as north, partner("south") as south:
        for stub in (north, south):
            assert (await clinic.register(stub))[0] == 201
        logger = logging.getLogger("kapcare")
        logger.addHandler(lines)
        request.addfinalizer(lambda: logger.removeHandler(lines))
        request.addfinalizer(partial(logger.setLevel, logger.level))
        logger.setLevel("INFO")
        world = await made(clinic, north, south)
        first = await record(clinic.port, world)
        assert {answer.status for answer in first.values()} == {200}
        commits = clinic.prescriber.database["commits"]

        forbidden = [CANARY, *(str(key.public)[5:30] for key in world.keys)]
        tally = await send_all(clinic.port, world, first, forbidden)
        print(f"{COUNT} messages of seed {SEED}, by status: {tally.statuses()}")  # noqa: T201 - shown with -s
        for (kind, status), count in sorted(tally.answers.items()):
            print(f"  {kind}: {status} x {count}")  # noqa: T201

        assert tally.wrong == []
        assert {kind for kind, _ in tally.answers} == {"good", *KINDS}
        assert tally.answers["good", 200] == (COUNT + GOOD_EVERY - 1) // GOOD_EVERY

        # Exactly what was good, and what the partner was told is recorded, had an effect.
        receipts = {row["receipt"] async for row in commits.find({"receipt": {"$regex": "^webhook:"}}, projection=["receipt"])}
        assert receipts == {f"webhook:north/{webhook_id}" for webhook_id in tally.recorded | set(world.used)}
        kept = [event for event in await clinic.events("partner-north") if isinstance(event, MessageQuarantined)]
        assert len(kept) == len(tally.kept)
        assert {(event.webhook_id, base64.b64decode(event.body)) for event in kept} == tally.kept
        by_partners = await commits.count_documents({"actor": {"$regex": "^partner:"}})
        assert by_partners == len(world.used) + len(tally.recorded) + len(tally.kept)
        for case in world.decoys:
            state = await clinic.state(case)
            assert (state.status, state.plan, state.request) == ("in_review", None, 1)
        for case in world.open_cases[: tally.answers["good", 200]]:
            assert (await clinic.state(case)).status in {"approved", "declined", "awaiting_clearance"}

        # Not a word of it where it is not sealed.
        async with clinic.session.get(f"{clinic.url}/metrics") as response:
            metrics = await response.text()
        logged = "\n".join(lines.text)
        assert "a webhook was refused" in logged
        stored = [bson.encode(row) async for row in commits.find({})]
        assert [word for word in forbidden if word in metrics or word in logged or any(word.encode() in row for row in stored)] == []

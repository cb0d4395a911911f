"""A partner organisation at work: takes webhooks, asks for reviews, decides, and sends each decision until it is taken.

What came in is on disk before the network is told that it was taken; a decision keeps its webhook-id and bytes.
"""

import asyncio
import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiohttp import web
from standardwebhooks import Webhook

from deploy.partner_kit.answering import Call
from deploy.partner_kit.behaviours import Behaviour
from deploy.partner_kit.desk import Desk, Noted
from deploy.partner_kit.identity import DecisionKey, Identity
from deploy.partner_kit.kept_checkpoint import KeptCheckpoint
from deploy.partner_kit.network import Network, NotYet, Reply
from deploy.partner_kit.receiving import NotProven, verified
from deploy.partner_kit.sequels import Sent
from services.prescriber.domain.partners.checkpoint import NoCheckpoint

FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 2.0
GAP_SECONDS: Final = 1.0
"""How long a sequence may be missing before it is asked for: messages of different cases overtake one another."""
STOPPED: Final = frozenset({"safety-hold", "consent-missing", "consent-withdrawn", "consent-does-not-cover"})
"""Nothing may be decided for now; the network asks again, or says that it goes on, when it may."""
ASSIGNED: Final = "kapcare.review.assigned"
RESUMED: Final = "kapcare.review.resumed"
TAKEN_AWAY: Final = {
    "kapcare.review.reassigned": "given-to-another",
    "kapcare.review.recalled": "recalled",
    "kapcare.review.outdated": "outdated",
}
HEARTBEAT: Final = "kapcare.heartbeat"

Say = Callable[[str], None]


class Office:
    """Takes webhooks and works on each review on its own."""

    def __init__(
        self,
        identity: Identity,
        desk: Desk,
        behaviour: Behaviour,
        prescriber: str,
        say: Say = lambda _line: None,
        checkpoint: KeptCheckpoint | None = None,
    ) -> None:
        self._webhook = Webhook(identity.webhook_secret)
        self._key = DecisionKey.generate() if behaviour.forges else identity.key
        self._desk, self._behaviour, self._prescriber, self._say = desk, behaviour, prescriber, say
        self._checkpoint = checkpoint
        self._attempts: Counter[str] = Counter()
        self._under_way: set[str] = set()
        self._woken, self._gap = asyncio.Event(), asyncio.Event()
        self._announced = 0
        self.surprises = 0
        """How often the network answered otherwise than it should."""
        self.brought_to_an_end = asyncio.Event()
        """Set when the first review, or the first webhook that is never taken, is dealt with."""

    async def run(self, network: Network) -> None:
        """Work, for ever."""
        async with asyncio.TaskGroup() as group:
            if self._behaviour.heeds:
                group.create_task(self._ask_for_what_is_missing(network))
            while True:
                self._woken.clear()
                for row in self._desk.in_hand() if self._behaviour.decides else ():
                    if row["webhook_id"] not in self._under_way:
                        self._under_way.add(row["webhook_id"])
                        group.create_task(self._work_on(network, row["webhook_id"]))
                await self._woken.wait()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a webhook as this organisation does."""
        webhook_id = request.headers.get("webhook-id", "")
        self._attempts[webhook_id] += 1

        async def take() -> web.Response:
            return await self._take(request)

        try:
            response = await self._behaviour.answers(Call(request, self._attempts[webhook_id], take))
            if response.status >= 300:
                self._say(f"answered a webhook with {response.status} (attempt {self._attempts[webhook_id]})")
        except (ConnectionError, asyncio.CancelledError):
            self._say(f"the network did not wait for the answer to a webhook (attempt {self._attempts[webhook_id]})")
            raise
        finally:
            if not (self._behaviour.takes and self._behaviour.decides):
                self.brought_to_an_end.set()
        return response

    async def note_that_a_redirect_was_followed(self, _request: web.Request) -> web.Response:
        """Note a request where only a redirect leads."""
        self._say(f"the network followed a redirect{self._judged(expected=False)}")
        return web.Response(status=204)

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            received = verified(request.raw_headers, body, self._webhook)
        except NotProven as why:
            self._desk.refuse(str(why))
            self._say(f"refused a webhook: {why}")
            return web.Response(status=401)
        sequence = received.document.get("sequence")
        noted = self._note(received.webhook_id, sequence if isinstance(sequence, int) else None, body, received.document)
        match noted:
            case "another body":
                self._say("refused a webhook: its id came before with another body")
                return web.Response(status=409)
            case "again":
                self._say(f"took {_name(received.document)} again: nothing to do twice")
            case "new":
                self._say(f"took {_name(received.document)}")
        return web.Response(status=204)

    def _note(self, webhook_id: str, sequence: int | None, body: bytes | None, message: Mapping[str, Any]) -> Noted:
        """Note a message and, the first time, what follows from it; then see whether one before it is missing."""
        with self._desk.whole():
            noted = self._desk.note(webhook_id, sequence, body)
            if noted == "new":
                self._react(webhook_id, message)
        self._woken.set()
        self._look_for_a_gap()
        return noted

    def _react(self, webhook_id: str, message: Mapping[str, Any]) -> None:
        kind, data = message.get("type"), message.get("data", {})
        if kind == ASSIGNED:
            self._desk.take(webhook_id, message)
        elif self._behaviour.heeds and kind in TAKEN_AWAY:
            self._desk.close_case(str(data.get("case")), TAKEN_AWAY[kind])
        elif self._behaviour.heeds and kind == RESUMED:
            self._desk.take_up(str(data.get("case")))
        elif kind == HEARTBEAT:
            self._announced = max(self._announced, int(data.get("last_sequence", 0)))
            if self._checkpoint is not None and "checkpoint" in data:
                self._keep(self._checkpoint, data["checkpoint"])

    def _keep(self, kept: KeptCheckpoint, note: object) -> None:
        try:
            told, progress = kept.take(note)
        except NoCheckpoint as why:
            self._say(f"was told something that is no checkpoint of the ledger: {why}{self._judged(expected=False)}")
            return
        match progress:
            case "newer":
                self._say(f"keeps a checkpoint of {told.origin}, of {told.size} entries: {kept.file}")
            case "backwards" | "forked":
                self._say(f"was told a checkpoint of {told.size} entries that contradicts {kept.file}{self._judged(expected=False)}")
            case "same":
                pass

    def _look_for_a_gap(self) -> None:
        if self._desk.unbroken() < max(self._desk.newest(), self._announced):
            self._gap.set()

    async def _ask_for_what_is_missing(self, network: Network) -> None:
        while True:
            await self._gap.wait()
            self._gap.clear()
            await asyncio.sleep(GAP_SECONDS)
            after = self._desk.unbroken()
            if after == max(self._desk.newest(), self._announced):
                continue
            try:
                reply = await network.events(after)
            except NotYet:
                self._gap.set()
                continue
            if reply.status != 200:
                self._say(f"sequence {after + 1} is missing, and the network has no list of what became due ({reply.status})")
                return
            self._say(f"sequence {after + 1} is missing: asked for what became due after {after}")
            for event in reply.content["events"]:
                self._catch_up(event)
            if after < self._desk.unbroken():
                self._look_for_a_gap()

    def _catch_up(self, event: Mapping[str, Any]) -> None:
        """Take a message from the list; its bytes are not those of the webhook, so only its id says whether it came before."""
        webhook_id, message = str(event["webhook_id"]), event["message"]
        if self._note(webhook_id, event["sequence"], None, message) == "new":
            self._say(f"took {_name(message)} from the list")

    async def _work_on(self, network: Network, webhook_id: str) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not await self._step(network, webhook_id):
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        self._under_way.discard(webhook_id)
        self._woken.set()

    async def _step(self, network: Network, webhook_id: str) -> bool:
        """Ask, decide and send; False if it must be tried again."""
        row = self._desk.still_in_hand(webhook_id)
        if row is None:
            return True
        try:
            body = row["decision"] or await self._decide(network, row)
            if body is None:
                return True
            if self._behaviour.waits_until_lost and (await network.review(row["case_id"])).status != 404:
                return False
            await self._send(network, row, body)
        except NotYet:
            return False
        return True

    async def _decide(self, network: Network, row: sqlite3.Row) -> bytes | None:
        """Return the decision, kept on disk first; None if there is nothing to decide now."""
        reply = await network.review(row["case_id"])
        if reply.problem in STOPPED:
            self._put_aside(row, reply.problem)
            return None
        if reply.problem or reply.content["request"] != row["request"]:
            self._close(row, reply.problem or "superseded")
            return None
        judged = self._behaviour.judge(reply.content, row["sent_at"])
        if judged is None:
            self._put_aside(row, "left lying")
            return None
        self._say(f"fetched the review of {row['case_id']} and decided: {judged['decision']}")
        decision = {"case": row["case_id"], "prescriber": self._prescriber, **judged}
        message = {"type": "review.decided", "timestamp": row["sent_at"], "data": decision}
        body = json.dumps(message, separators=(",", ":")).encode()
        self._desk.decide(row["webhook_id"], body)
        return body

    async def _send(self, network: Network, row: sqlite3.Row, body: bytes) -> None:
        """Send the decision, and do what this behaviour does then."""
        webhook_id = f"decision-{row['webhook_id']}-{row['attempt']}"
        reply = await network.decide(webhook_id, body, self._key)
        self._say(f"sent the decision on {row['case_id']}: {_words(reply)}{self._judged(self._behaviour.is_answered_as_expected(reply))}")
        if reply.problem == "refused-by-rule" and reply.because & STOPPED:
            self._put_aside(row, "stopped")
            return
        if self._behaviour.sequel is not None and not reply.problem:
            ending = await self._behaviour.sequel(Sent(webhook_id, body, self._key, reply), network)
            self._say(f"{ending.words}{self._judged(ending.expected)}")
        self._close(row, reply.problem or json.loads(body)["data"]["decision"])

    def _judged(self, expected: bool) -> str:
        self.surprises += not expected
        return "" if expected else " - NOT as it should be"

    def _put_aside(self, row: sqlite3.Row, why: str) -> None:
        self._desk.put_aside(row["webhook_id"])
        self._say(f"put the review of {row['case_id']} aside: {why}")

    def _close(self, row: sqlite3.Row, outcome: str) -> None:
        self._desk.close(row["webhook_id"], outcome)
        self._say(f"done with request {row['request']} of {row['case_id']}: {outcome}")
        if outcome != "needs_clearance":
            self.brought_to_an_end.set()


def _words(reply: Reply) -> str:
    by_rule = f" ({reply.content['rule']})" if reply.problem == "refused-by-rule" and "rule" in reply.content else ""
    return f"{reply.status} {reply.problem or ', '.join(reply.recorded)}{by_rule}".rstrip()


def _name(message: Mapping[str, Any]) -> str:
    """Say which message it is; the network's messages hold no clinical value."""
    data = message.get("data", {})
    about = "".join(f", {name} {data[name]}" for name in ("case", "request", "due_at") if name in data)
    number = f" {message['sequence']}" if "sequence" in message else ""
    return f"{message.get('type')}{number}{about}"

"""What a partner may do with a decision that the network has taken already."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from deploy.partner_kit.identity import DecisionKey
from deploy.partner_kit.network import Network, NotYet, Reply

LATER_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Sent:
    """A decision that was sent and answered."""

    webhook_id: str
    body: bytes
    key: DecisionKey
    reply: Reply


@dataclass(frozen=True, slots=True)
class Ending:
    """What came of it, in words, and whether it is what the network should do."""

    words: str
    expected: bool


Sequel = Callable[[Sent, Network], Awaitable[Ending]]


async def send_again(sent: Sent, network: Network) -> Ending:
    """Send the same id and body with a fresh timestamp: the same answer, and no second effect."""
    reply = await _later(sent, sent.body, network)
    same = reply == sent.reply
    return Ending(f"sent the same decision again: {reply.status}, {'the same answer' if same else 'ANOTHER ANSWER'}", same)


async def send_another(sent: Sent, network: Network) -> Ending:
    """Send another decision under the same id: it is refused."""
    message = json.loads(sent.body)
    data = {name: message["data"][name] for name in ("case", "request", "prescriber")}
    message["data"] = {**data, "decision": "ineligible", "reasons": ["changed-our-mind"]}
    reply = await _later(sent, json.dumps(message).encode(), network)
    words = f"sent another decision under the same webhook-id: {reply.status} {reply.problem}".rstrip()
    return Ending(words, reply.problem == "webhook-id-reused")


async def _later(sent: Sent, body: bytes, network: Network) -> Reply:
    while True:
        await asyncio.sleep(LATER_SECONDS)
        try:
            return await network.decide(sent.webhook_id, body, sent.key)
        except NotYet:
            continue

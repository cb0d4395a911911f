"""Play the network against a partner's server, from the first message to the last."""

import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from deploy.partner_kit.checks import CHECKS
from deploy.partner_kit.conversation import NOT_SERVED, Patience, converse, not_seen
from deploy.partner_kit.examination import NOT_TRIED, Result, examine
from deploy.partner_kit.line import ANSWER_SECONDS, Line
from deploy.partner_kit.messages import Composer, Keys
from deploy.partner_kit.serving import serving
from deploy.partner_kit.stand_in import StandIn
from shared.clock import system_now
from shared.webhooks.signing import PrivateKey, PublicKey, SharedSecret

STEPS: Final = len(CHECKS) + 1


@dataclass(frozen=True, slots=True)
class Examination:
    """What is examined, and how."""

    url: str
    key: SharedSecret | PrivateKey
    """Signs what is sent."""
    patience: Patience
    decision_key: PublicKey | None = None
    """Verifies the partner's decisions."""
    serve: int | None = None
    """The port of the stand-in of the network's API; None to serve none."""
    first_sequence: int = 1
    answer_seconds: float = ANSWER_SECONDS


async def check(asked: Examination, begin: Callable[[str], None]) -> list[Result]:
    """Try everything; `begin` is told in words what is tried next."""
    line = Line(asked.url, asked.answer_seconds)
    compose = Composer(Keys.around(asked.key), system_now, lambda: uuid.uuid4().hex, asked.first_sequence)
    network = StandIn(compose.due, asked.decision_key, system_now)
    async with AsyncExitStack() as served:
        if asked.serve is not None:
            await served.enter_async_context(serving(network.application(), asked.serve))
        results = await examine(CHECKS, line, compose, lambda one: begin(one.says))
        if any(result.finding is NOT_TRIED for result in results):
            return results + not_seen(NOT_TRIED)
        if asked.serve is None:
            return results + not_seen(NOT_SERVED)
        return results + await converse(line, compose, network, asked.patience, has_key=asked.decision_key is not None, say=begin)

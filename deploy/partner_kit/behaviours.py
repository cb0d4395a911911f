"""How partner organisations behave, well and badly, and what the network does about each.

A behaviour is data: how webhooks are answered, how reviews are judged, and what happens to decisions.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from deploy.partner_kit import answering, sequels
from deploy.partner_kit.answering import Answering
from deploy.partner_kit.judgement import decide
from deploy.partner_kit.network import Reply
from deploy.partner_kit.sequels import Sequel

Judge = Callable[[Mapping[str, Any], str], dict[str, Any] | None]
"""From a review as it was disclosed and when it was asked for to the decision; None to leave it lying."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One way to be a partner."""

    name: str
    does: str
    network: str
    """What the network does about it."""
    answers: Answering = answering.at_once
    judge: Judge = decide
    takes: bool = True
    """Whether it ever takes a webhook."""
    decides: bool = True
    """Whether it works on what it took."""
    heeds: bool = True
    """Whether it asks for missing sequences, and heeds what takes a review away or lets it go on."""
    waits_until_lost: bool = False
    """Whether it keeps a decision until the review was given to another organisation."""
    forges: bool = False
    """Whether it signs with a key that is not registered."""
    expects: frozenset[str] = frozenset()
    """Problems and events of which the network should answer a decision with one; empty: with any."""
    sequel: Sequel | None = None
    """What it does after a decision was taken."""

    def is_answered_as_expected(self, reply: Reply) -> bool:
        """Return whether the network answers a decision as it should."""
        return not self.expects or bool(self.expects & {reply.problem, *reply.recorded})


def answer_the_request_before(review: Mapping[str, Any], _asked_at: str) -> dict[str, Any] | None:
    """Have something cleared first, so that there will be a second request; then answer the one before the open one."""
    if review["request"] > 1:
        return {"request": review["request"] - 1, "decision": "ineligible", "reasons": ["answers-an-older-request"]}
    items = list(review["clearances"]) or ["medication-list"]
    return {"request": review["request"], "decision": "needs_clearance", "reasons": ["clearance-before-decision"], "items": items}


BEHAVIOURS: Final = (
    Behaviour(
        "well-behaved",
        "fetches, decides and answers signed; takes each webhook-id once; asks for what is missing in the sequence",
        "records the decision",
    ),
    Behaviour(
        "silent",
        "takes every webhook and never decides",
        "gives the review to another organisation when the time to answer is over",
        decides=False,
    ),
    Behaviour(
        "slow",
        f"answers webhooks after {answering.SLOW_SECONDS:.0f} of 15 seconds",
        "waits; other partners are not held up",
        answers=answering.slowly,
    ),
    Behaviour(
        "hanging",
        "accepts connections and never answers",
        "gives up after 15 seconds and tries again, 10 times in about 3 days; others are not held up",
        answers=answering.never,
        takes=False,
    ),
    Behaviour(
        "failing",
        "answers every webhook with 500",
        "tries again, 10 times in about 3 days, one at a time; disables an endpoint that takes nothing for 5 days",
        answers=answering.failing,
        takes=False,
    ),
    Behaviour(
        "flaky",
        "answers 500 at first and takes the next attempt",
        "sends the same id and body again after about 5 seconds",
        answers=answering.every_other_time,
    ),
    Behaviour(
        "gone",
        "answers every webhook with 410",
        "disables the endpoint until an administrator resumes it",
        answers=answering.gone,
        takes=False,
    ),
    Behaviour(
        "throttling",
        f"answers 429 with Retry-After: {answering.RETRY_AFTER_SECONDS} at first, and takes the next attempt",
        "waits as asked, within once and twice its own pause",
        answers=answering.throttling,
    ),
    Behaviour(
        "redirecting",
        "answers 307 to another address",
        "follows no redirect: it counts as failed",
        answers=answering.elsewhere,
        takes=False,
    ),
    Behaviour(
        "dripping",
        "begins a good answer and sends a byte each second, without an end",
        "gives up after 15 seconds in all",
        answers=answering.byte_by_byte,
        takes=False,
    ),
    Behaviour(
        "replaying",
        "sends each decision again later, with a fresh timestamp",
        "gives the same answer, and records nothing twice",
        sequel=sequels.send_again,
    ),
    Behaviour(
        "equivocating",
        "sends another decision under the same webhook-id",
        "refuses the second one: 409 webhook-id-reused",
        sequel=sequels.send_another,
    ),
    Behaviour(
        "stale",
        "answers the request before the one that is open",
        "refuses it: 409 stale-request",
        judge=answer_the_request_before,
        expects=frozenset({"stale-request", "ClearanceRequested"}),
    ),
    Behaviour(
        "forging",
        "signs decisions with a key that is not registered",
        "refuses them: 401 webhook-refused",
        forges=True,
        expects=frozenset({"webhook-refused"}),
    ),
    Behaviour(
        "late",
        "keeps its decision until the review was given to another organisation",
        "refuses it: 409 late-decision, and records it",
        heeds=False,
        waits_until_lost=True,
        expects=frozenset({"late-decision"}),
    ),
)


def named(name: str) -> Behaviour | None:
    """Return the behaviour of this name."""
    return next((behaviour for behaviour in BEHAVIOURS if behaviour.name == name), None)

"""The decisions that partners send: signed with a key that only they hold, verified over the raw bytes before parsing.

A partner that is not registered and a signature that does not verify get the same answer. What follows from a message
is a function of its webhook id: the same id and body get the same reply for the life of the case. Once an id stands for a
message, everything else that is validly signed under it is quarantined, whatever it holds: it need not even be JSON.
The signed bytes are kept in the case's record as proof of who decided, also where the decision came too late or at the wrong
moment. What is proven and cannot be read, or was never asked for, is refused without a record, and its id stands for nothing.
"""

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import AwareDatetime, Field
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from services.prescriber.domain.decide import HEARD, Decision
from services.prescriber.domain.partners.message import SignedMessage
from services.prescriber.domain.partners.quarantine import quarantine
from services.prescriber.domain.partners.state import Organisation
from services.prescriber.domain.receive import receive
from services.prescriber.domain.state import Case
from services.prescriber.partners.answering import answer_to_partner
from services.prescriber.partners.directory import Directory
from services.prescriber.partners.messages import EXAMPLE_CASE
from services.prescriber.partners.proving import Prover
from services.prescriber.partners.sandbox import Sandbox
from shared.access.decide import Permission, Principal
from shared.events.base import EventData
from shared.events.prescriber import StepRefused
from shared.http.body import check_json, parse
from shared.http.callers import NOT_FOUND, asking
from shared.http.problems import Problem
from shared.log.commit import Cause
from shared.log.decisions import Committed
from shared.log.errors import ReceiptReused
from shared.pathway.context import Actor, Context
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request
from shared.pathway.view import VIEW_TOO_OLD
from shared.service.runtime import Runtime


class PartnerDecision(Decision):
    """A partner's decision on one case; `prescriber` is the partner's own id of who decided."""

    case: Annotated[str, Field(pattern=r"^case-[0-9a-f]{32}$")]
    prescriber: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class ReviewDecided(Request):
    """The body of a partner's webhook; `timestamp` is when the prescriber decided."""

    type: Literal["review.decided"]
    timestamp: AwareDatetime
    data: PartnerDecision


class Inbound:
    """The route on which partners answer."""

    def __init__(self, runtime: Runtime, directory: Directory) -> None:
        self._runtime = runtime
        self._prover = Prover(runtime, directory)
        self._sandbox = Sandbox(runtime)

    def router(self) -> APIRouter:
        """Return the route."""
        router = APIRouter(tags=["partners"])
        router.add_api_route(
            "/partners/{partner}/decisions",
            self.receive,
            methods=["POST"],
            summary="A partner's signed decision (Standard Webhooks, v1a)",
            response_model=None,
        )
        return router

    async def receive(self, request: HttpRequest) -> Response:
        """Take a decision signed with a `decision_key` of the partner in the headers webhook-id, -timestamp and -signature.

        Body: `{"type": "review.decided", "timestamp": ..., "data": {"case", "request", "decision", "reasons", "plan",
        "clearances", "evaluation", "follow_up_on",
        "items", "prescriber"}}`; see POST /cases/{case}/decision for the fields of a decision.
        """
        partner = str(request.path_params["partner"])
        message, sender = await self._prover.prove(partner, request)
        known = asking(request)
        known.principal = Principal(f"urn:kapcare:partner:{partner}", f"partner:{partner}", frozenset({"partner"}), frozenset(), partner)
        known.permission, known.committed = Permission.REVIEW_AS_PARTNER, True
        mac = self._runtime.mac("POST", f"/partners/{partner}/decisions", message.body)
        cause = Cause.webhook(partner, message.webhook_id, mac)
        try:
            committed = await self._runtime.decisions.earlier(cause)
            if committed is None:
                check_json(message.body)
                decided = parse(ReviewDecided, message.body).data
                if decided.case == EXAMPLE_CASE:
                    return self._sandbox.answer(partner, decided)
                committed = await self._decide(message, decided, sender, cause)
        except ReceiptReused:
            await self._quarantine(message, mac)
            raise Problem(
                409, "webhook-id-reused", "This webhook-id came before with another body; nothing follows from this one, and it is kept."
            ) from None
        return answer_to_partner(committed, self._runtime)

    async def _decide(self, message: SignedMessage, decided: PartnerDecision, sender: Organisation, cause: Cause) -> Committed:
        partner = message.partner
        waits = decided.decision != "ineligible" and await self._runtime.parking.waits(decided.case)
        views = await self._runtime.views.ages(decided.case, HEARD)

        def follow(case: Case, context: Context) -> list[EventData]:
            events = receive(case, decided, message, context, left=sender.status == "left")
            # Nothing is recorded against a partner that cannot know it: its sender comes again, under the same webhook-id.
            if waits:
                raise Problem(409, "inbox-waits", "An event of this case is held or parked here; send the decision again later.")
            if any(isinstance(event, StepRefused) and event.facts.get("because") == VIEW_TOO_OLD for event in events):
                raise Problem(503, VIEW_TOO_OLD, "Not all is known here up to now; send the decision again.", headers={"Retry-After": "2"})
            return events

        actor = Actor(f"partner:{partner}/{decided.prescriber}", frozenset({"partner"}), partner)
        try:
            return await self._runtime.run(decided.case, follow, cause, actor, views=views)
        except Refusal as refusal:
            if refusal.slug != "not-assigned":
                raise
            # What was never assigned to a partner does not exist for it.
            self._runtime.metrics.refused(refusal.slug)
            self._runtime.log.warning("a partner answered what it was never asked", partner=partner, key=message.key_id)
            raise NOT_FOUND from None

    async def _quarantine(self, message: SignedMessage, mac: bytes) -> None:
        partner = message.partner
        self._runtime.metrics.refused("webhook-id-reused")
        self._runtime.log.warning("a partner used one webhook id for two messages", partner=partner, key=message.key_id)
        await self._runtime.run(
            f"partner-{partner}",
            lambda state, context: quarantine(state, message, context),
            Cause.carried("quarantine", f"{message.webhook_id}/{mac.hex()}"),
            Actor(f"partner:{partner}", frozenset({"partner"}), partner),
        )

"""The decisions that partners send: signed with a key that only they hold, verified over the raw bytes before parsing.

A partner that is not registered and a signature that does not verify get the same answer. What follows from a message
is a function of its webhook id: the same id and body get the same reply for the life of the case, the same id with
another body is refused. The signed bytes are kept in the case's record as proof of who decided, also where the review
had been given to another organisation meanwhile and the answer comes too late.
"""

from typing import Annotated, Final, Literal

from fastapi import APIRouter
from pydantic import AwareDatetime, Field
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from services.prescriber.domain.decide import HEARD, Decision, decide_as_partner
from services.prescriber.domain.state import Case
from services.prescriber.partners.directory import Directory
from services.prescriber.partners.late import answer_to_partner
from shared.events.base import EventData
from shared.events.prescriber import DecisionReceived, StepRefused
from shared.http.body import check_json, parse, read_capped
from shared.http.callers import NOT_FOUND
from shared.http.problems import Problem
from shared.log.commit import Cause
from shared.log.errors import ReceiptReused
from shared.pathway.context import Actor, Context
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request
from shared.pathway.view import VIEW_TOO_OLD
from shared.service.runtime import Runtime
from shared.webhooks.signing import PrivateKey, PublicKey, Unverified, Verified, verify

BODY_LIMIT_BYTES: Final = 65_536


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
        self._directory = directory
        self._nobody = PrivateKey.generate().public
        """Verifies nothing: stands in for unknown partners, so that they take as long as known ones."""

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
        """Take a decision signed with the partner's `decision_key` in the headers webhook-id, -timestamp and -signature.

        Body: `{"type": "review.decided", "timestamp": ..., "data": {"case", "request", "decision", "reasons", "plan",
        "clearances", "evaluation", "follow_up_on",
        "items", "prescriber"}}`; see POST /cases/{case}/decision for the fields of a decision.
        """
        partner = str(request.path_params["partner"])
        body = await read_capped(request, BODY_LIMIT_BYTES)
        key, verified = self._verify(partner, request, body)
        check_json(body)
        decided = parse(ReviewDecided, body).data
        proof = DecisionReceived(
            partner=partner,
            webhook_id=verified.id,
            timestamp=verified.timestamp,
            signature=request.headers["webhook-signature"],
            decision_key=str(key),
            body=body.decode(),
        )
        return await self._decide(partner, decided, proof, self._runtime.mac("POST", request.url.path, body))

    def _verify(self, partner: str, request: HttpRequest, body: bytes) -> tuple[PublicKey, Verified]:
        entry = self._directory.find(partner)
        keys = [self._nobody] if entry is None else [PublicKey.parse(key) for key in entry.decision_keys]
        try:
            return keys[0], verify(request.headers.raw, body, keys, self._runtime.system_clock())
        except Unverified as error:
            self._runtime.metrics.refused(f"webhook-{error.reason}")
            self._runtime.log.warning("a webhook was refused", because=error.reason, known_partner=entry is not None)
            raise Problem(401, "webhook-refused", "The message is not proven to come from this partner.", reason=error.reason) from None

    async def _decide(self, partner: str, decided: PartnerDecision, proof: DecisionReceived, mac: bytes) -> Response:
        if decided.decision != "ineligible" and await self._runtime.parking.waits(decided.case):
            raise Problem(409, "inbox-waits", "An event of this case is held or parked here; send the decision again later.")
        views = await self._runtime.views.ages(decided.case, HEARD)

        def follow(case: Case, context: Context) -> list[EventData]:
            events = decide_as_partner(case, decided, context, by=partner, left=self._directory.has_left(partner))
            if any(isinstance(event, StepRefused) and event.facts.get("because") == VIEW_TOO_OLD for event in events):
                # Nothing is recorded against a partner that cannot know it: its sender comes again, under the same webhook-id.
                raise Problem(503, VIEW_TOO_OLD, "Not all is known here up to now; send the decision again.", headers={"Retry-After": "2"})
            return [proof, *events]

        cause = Cause.webhook(partner, proof.webhook_id, mac)
        actor = Actor(f"partner:{partner}/{decided.prescriber}", frozenset({"partner"}), partner)
        try:
            committed = await self._runtime.run(decided.case, follow, cause, actor, views=views)
        except Refusal as refusal:
            raise _as_problem(refusal) from None
        except ReceiptReused:
            self._runtime.metrics.refused("webhook-id-reused")
            self._runtime.log.warning("a partner used one webhook id for two messages", partner=partner, webhook_id=proof.webhook_id)
            raise Problem(409, "webhook-id-reused", "This webhook-id came before with another body.") from None
        return answer_to_partner(committed, self._runtime)


def _as_problem(refusal: Refusal) -> Exception:
    """What is not assigned to a partner does not exist for it."""
    return NOT_FOUND if refusal.slug == "not-assigned" else refusal

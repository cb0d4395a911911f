"""A small stand-in for the network's API for partners, on loopback: it gives what a review needs, and keeps a journal.

It takes any credentials and any slug. It holds decisions to their form and their signature, and knows no clinical rule.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from aiohttp import web

from deploy.partner_kit.example_review import example_review
from deploy.partner_kit.journal import Asked, Decided, Fetched, Record
from deploy.partner_kit.messages import ENDPOINT, Due
from services.prescriber.partners.inbound import ReviewDecided
from shared.http.body import check_json, parse
from shared.http.problems import TITLES, Problem
from shared.webhooks.signing import PublicKey, Unverified, verify

TOKEN_SECONDS: Final = 300
PAGE: Final = 100
MOST_AT_ONCE: Final = 500


@dataclass
class OpenReview:
    """A review that the partner is asked for, and how its decisions are answered."""

    request: int
    due_at: datetime
    answers: list[int]
    """The statuses of decisions that hold, in turn; the last one stays."""
    taken: dict[str, bytes] = field(default_factory=dict)
    """By webhook id the bodies that were taken."""


class StandIn:
    """Serves the routes; `journal` is what the partner did."""

    def __init__(self, due: Sequence[Due], key: PublicKey | None, now: Callable[[], datetime]) -> None:
        self.journal: list[Record] = []
        self.reviews: dict[str, OpenReview] = {}
        self._due, self._key, self._now = due, key, now
        self._token = secrets.token_urlsafe(24)
        self._changed = asyncio.Condition()

    def application(self) -> web.Application:
        """Return the routes."""
        app = web.Application()
        app.add_routes(
            [
                web.post("/partner/token", self._give_token),
                web.get("/partner/events", self._list_events),
                web.get("/partner/reviews/{case}", self._show_review),
                web.post("/partners/{slug}/decisions", self._take_decision),
            ]
        )
        return app

    async def until(self, holds: Callable[[Sequence[Record]], bool], seconds: float) -> bool:
        """Wait until the journal is as awaited; False if it was not within so many seconds."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(lambda: holds(self.journal))
        except TimeoutError:
            return False
        return True

    async def _note(self, record: Record) -> None:
        async with self._changed:
            self.journal.append(record)
            self._changed.notify_all()

    async def _give_token(self, request: web.Request) -> web.Response:
        given = await request.post()
        if given.get("grant_type") != "client_credentials":
            return web.json_response({"error": "unsupported_grant_type"}, status=400)
        if not request.headers.get("Authorization", "").startswith("Basic ") and not (
            given.get("client_id") and given.get("client_secret")
        ):
            return web.json_response({"error": "invalid_client"}, status=401)
        answer = {"access_token": self._token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS, "scope": "partner"}
        return web.json_response(answer, headers={"Cache-Control": "no-store"})

    async def _list_events(self, request: web.Request) -> web.Response:
        after, limit = (_number(request.query.get(name, default)) for name, default in (("after", "0"), ("limit", str(PAGE))))
        authorised = _is_authorised(request)
        await self._note(Asked(after if after is not None else -1, authorised))
        if not authorised:
            return _problem(401, "token-missing", "Send an access token as `Authorization: Bearer`.")
        if after is None or limit is None or request.query.get("endpoint", ENDPOINT) != ENDPOINT:
            return _problem(422, "after", "There is one endpoint, `main`; `after` and `limit` are whole numbers.")
        page = [one for one in self._due if one.sequence > after][: min(limit, MOST_AT_ONCE)]
        last = max((one.sequence for one in self._due), default=0)
        following = page[-1].sequence if page and page[-1].sequence < last else None
        return web.json_response({"endpoint": ENDPOINT, "events": _listed(page), "last_sequence": last, "next": following})

    async def _show_review(self, request: web.Request) -> web.Response:
        case, authorised = request.match_info["case"], _is_authorised(request)
        review = self.reviews.get(case)
        await self._note(Fetched(case, authorised))
        if not authorised:
            return _problem(401, "token-missing", "Send an access token as `Authorization: Bearer`.")
        if review is None:
            return _problem(404, "not-found", "There is no case of this id that you may see.")
        return web.json_response(example_review(review.request, review.due_at))

    async def _take_decision(self, request: web.Request) -> web.Response:
        body = await request.read()
        webhook_id = request.headers.get("webhook-id", "")
        unverified = self._why_unverified(request, body)
        try:
            if unverified:
                raise Problem(401, "webhook-refused", "The message is not proven to come from this partner.", reason=unverified)
            check_json(body)
            data = parse(ReviewDecided, body).data
        except Problem as refused:
            malformed = "" if unverified else _what(refused)
            await self._note(Decided("", webhook_id, body, unverified, malformed, refused.status))
            return _problem(refused.status, refused.slug, refused.detail, **refused.extra)
        status, slug, detail = self._answer(data.case, data.request, webhook_id, body)
        await self._note(Decided(data.case, webhook_id, body, "", "", status))
        if status == 200:
            return web.json_response({"version": 1, "events": [{"type": "kapcare.prescriber.DecisionReceived.v1"}]})
        return _problem(status, slug, detail)

    def _why_unverified(self, request: web.Request, body: bytes) -> str:
        if self._key is None:
            return ""
        try:
            verify(request.raw_headers, body, [self._key], self._now())
        except Unverified as error:
            return error.reason
        return ""

    def _answer(self, case: str, number: int, webhook_id: str, body: bytes) -> tuple[int, str, str]:
        review = self.reviews.get(case)
        if review is None:
            return 404, "not-found", "There is no case of this id that you may see."
        if webhook_id in review.taken:
            same = review.taken[webhook_id] == body
            return (200, "", "") if same else (409, "webhook-id-reused", "This webhook-id came before with another body.")
        if number != review.request:
            return 409, "stale-request" if number < review.request else "no-open-review", "Another request is open."
        if review.taken:
            return 409, "no-open-review", "No review with this request number is open."
        status = review.answers.pop(0) if len(review.answers) > 1 else review.answers[0]
        match status:
            case 200:
                review.taken[webhook_id] = body
                return 200, "", ""
            case 409:
                return 409, "stale-request", "A newer request replaced the one this decision answers."
            case _:
                return status, "view-too-old", "Not all is known here up to now; send the decision again."


def _listed(due: Iterable[Due]) -> list[Mapping[str, Any]]:
    return [{"sequence": one.sequence, "webhook_id": one.webhook_id, "state": "due", "message": one.message} for one in due]


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None


def _is_authorised(request: web.Request) -> bool:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == "bearer" and bool(token)


def _what(problem: Problem) -> str:
    errors = problem.extra.get("errors") or ()
    return "; ".join(f"{error['path']}: {error['what']}" for error in errors) or problem.detail


def _problem(status: int, slug: str, detail: str, **extra: Any) -> web.Response:
    document = {"type": f"urn:kapcare:problem:{slug}", "title": TITLES.get(status, "Problem"), "status": status, "detail": detail, **extra}
    return web.json_response(document, status=status, content_type="application/problem+json")

"""The policy in force, and what past decisions were, and would have been. Reading changes nothing.

`GET /policy`, `GET /cases/{case}/decisions`, `POST /policy/replay`.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

from fastapi import APIRouter
from pydantic import AwareDatetime
from pydantic_core import to_json
from pymongo import ASCENDING
from starlette.requests import Request
from starlette.responses import Response

from shared.access.decide import Permission
from shared.events.codec import Recorded, Unreadable
from shared.http.body import parse, read_json
from shared.http.callers import NOT_FOUND, admit, asking, authenticate, saw
from shared.http.commands import STREAM_ID
from shared.log.commit import Commit
from shared.pathway.past import Past, Result
from shared.pathway.policy import Document, WholeDocument
from shared.pathway.stop import Request as Body
from shared.service.runtime import Runtime
from shared.vault.port import KeyMissing

READ_AT_ONCE: Final = 1000
CASES_AT_ONCE: Final = 100


class ReplayPolicy(Body):
    """Decide again what was decided from `since` on and before `until`; without a document, each under the one it was made under."""

    document: WholeDocument | None = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None


@dataclass
class _Tally:
    """What a replay found; `unread_cases` were erased, or cannot be read."""

    decisions: int = 0
    same: int = 0
    different: list[dict[str, Any]] = field(default_factory=list)
    unread_cases: int = 0


class PolicyRoutes:
    """The routes, for services that decide."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def router(self) -> APIRouter:
        """Return the routes; those about past decisions only where the service knows its own."""
        router = APIRouter(tags=["policy"])
        router.add_api_route("/policy", self.policy, methods=["GET"], response_model=None)
        if self._runtime.definition.past is not None:
            router.add_api_route("/cases/{case}/decisions", self.decisions, methods=["GET"], response_model=None)
            router.add_api_route("/policy/replay", self.replay, methods=["POST"], response_model=None)
        return router

    async def policy(self, request: Request) -> Response:
        """Show the document in force, and every version that this service holds."""
        await authenticate(self._runtime, request)
        asking(request).shared = True
        book = self._runtime.policies
        document = book.document(self._runtime.care_now())
        return _json({"in_force": document, "versions": [known.version for known in book.documents]})

    async def decisions(self, request: Request) -> Response:
        """Explain every decision of a case: facts, rules, result, and whether deciding again gives the same."""
        principal = await authenticate(self._runtime, request)
        case = str(request.path_params["case"])
        there = STREAM_ID.fullmatch(case) is not None and case.startswith("case-")
        if there:
            saw(request, case)
        admit(request, principal, Permission.EXPLAIN)
        if not there:
            raise NOT_FOUND
        try:
            history = [recorded async for cases in self._histories({"stream": case}) for recorded in cases[1] or ()]
        except KeyMissing:
            raise NOT_FOUND from None
        if not history:
            raise NOT_FOUND
        saw(request, case, history[-1].envelope.clinic, history[-1].envelope.patient)
        return _json({"case": case, "decisions": [self._explained(past) for past in self._past(history)]})

    async def replay(self, request: Request) -> Response:
        """Decide every past decision again, under a document or under its own, and tell those that come out differently."""
        admit(request, await authenticate(self._runtime, request), Permission.EXPLAIN)
        asked = parse(ReplayPolicy, await read_json(request, self._runtime.settings.body_limit_bytes))
        tally = _Tally()
        async for case, history in self._histories({"stream": {"$gte": "case-", "$lt": "case."}}):
            if history is None:
                tally.unread_cases += 1
                continue
            for past in self._past(history):
                at = past.envelope.time
                if (asked.since is None or asked.since <= at) and (asked.until is None or at < asked.until):
                    self._compare(case, past, asked.document, tally)
                    if tally.different and tally.different[-1]["case"] == case:
                        saw(request, case, past.envelope.clinic, past.envelope.patient)
        document = None if asked.document is None else asked.document.version
        return _json({"service": self._runtime.definition.name, "under": document, **vars(tally)})

    def _past(self, history: Sequence[Recorded]) -> Sequence[Past]:
        find = self._runtime.definition.past
        assert find is not None, "the route is there only where it is"  # noqa: S101
        return list(find(history))

    def _compare(self, case: str, past: Past, document: Document | None, tally: _Tally) -> None:
        tally.decisions += 1
        made_under = self._document_of(past)
        again = self._again(past, document or made_under) or ("policy-unknown",)
        if again == past.result:
            tally.same += 1
        else:
            under = past.policy_version if made_under is None else made_under.version
            was = {"case": case, "step": past.step, "at": past.envelope.time, "event": past.envelope.id, "under": under}
            tally.different.append({**was, "was": past.result, "would_be": again})

    def _explained(self, past: Past) -> dict[str, Any]:
        document = self._document_of(past)
        again = self._again(past, document)
        return {
            "step": past.step,
            "at": past.envelope.time,
            "by": past.envelope.actor,
            "event": past.envelope.id,
            "policy_version": past.policy_version if document is None else document.version,
            "facts": [{"name": name, "value": value} for name, value in past.facts],
            "result": past.result,
            "again": again,
            "reproduced": again == past.result,
        }

    def _document_of(self, past: Past) -> Document | None:
        return self._runtime.policies.made_under(past.policy_version, past.envelope.time)

    def _again(self, past: Past, document: Document | None) -> Result | None:
        return None if document is None else past.again(self._runtime.policies.of(document, past.clinic))

    async def _histories(self, wanted: dict[str, Any]) -> AsyncIterator[tuple[str, list[Recorded] | None]]:
        """Yield each stream's whole history; None where its key is destroyed."""
        found = self._runtime.database["commits"].find(wanted, batch_size=READ_AT_ONCE)
        commits: list[Commit] = []
        async for document in found.sort([("stream", ASCENDING), ("version", ASCENDING)]):
            commit = Commit.from_document(document)
            if commits and commits[-1].stream != commit.stream and len(commits) >= CASES_AT_ONCE:
                async for history in self._opened(commits):
                    yield history
                commits = []
            commits.append(commit)
        async for history in self._opened(commits):
            yield history

    async def _opened(self, commits: Sequence[Commit]) -> AsyncIterator[tuple[str, list[Recorded] | None]]:
        await self._runtime.vault.keys({commit.stream for commit in commits})
        for stream, group in groupby(commits, key=lambda commit: commit.stream):
            try:
                yield stream, await self._runtime.open_events(list(group))
            except (KeyMissing, Unreadable):
                yield stream, None


def _json(content: Any) -> Response:
    return Response(to_json(content), media_type="application/json")

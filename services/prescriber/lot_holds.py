"""From the recall of a lot to a hold on every case that has some of it on hand, and how far that has come.

A recall in force is compared with the cases again and again, so nothing has to be remembered: what is still to be held is what
the index of lots names and no commit caused by this recall tells of. A crash in the middle only delays the rest.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from fastapi import APIRouter
from pydantic_core import to_json
from pymongo.errors import PyMongoError
from starlette.requests import Request
from starlette.responses import Response

from services.prescriber.domain.lot import hold_for_recall
from services.prescriber.domain.state import Case
from shared.access.decide import Permission
from shared.events.base import EventData, Slug
from shared.http.callers import admit, authenticate
from shared.http.problems import Problem
from shared.log.commit import Cause, Commit
from shared.log.decisions import NothingDecided
from shared.log.errors import StoreUnavailable, StreamBroken, TooContended
from shared.log.store import is_transient
from shared.log.streams import Loaded
from shared.pathway.context import Actor, Context
from shared.pathway.lot import Recall
from shared.service.recalls import PREFIX
from shared.service.runtime import Runtime
from shared.vault.port import KeyMissing

EVERY_SECONDS: Final = 1.0
AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class Found:
    """A case that has some of a recalled lot on hand, at the version at which the index shows it, and whether it was held for that."""

    case: str
    version: int
    lot: Slug
    recall: Slug
    held: bool

    @property
    def cause(self) -> Cause:
        """What lets the recall hold the case once."""
        return Cause.carried("recall", self.recall)


class LotHolds:
    """Holds cases for recalled lots, in whichever instance comes first: the cause of each hold lets it be placed once."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._actor = Actor(f"service:{runtime.definition.name}")
        self._recalled = asyncio.Event()
        self._renewed: set[Slug] = set()
        """Recalls since which the index of lots was made whole; an earlier release kept none."""
        self._settled: dict[tuple[Slug, str], int] = {}
        """(recall, case) that this process found to need no hold at a version: its dispensing placed one, or it is used up."""

    def router(self) -> APIRouter:
        """Return the route of GET /lots/{lot}."""
        router = APIRouter(tags=["prescriber"])
        summary = "A recalled lot, and how many cases are held for it"
        router.add_api_route("/lots/{lot}", self.show, methods=["GET"], summary=summary, response_model=None)
        return router

    async def show(self, request: Request) -> Response:
        """Show the recall in force and how many cases it found and held; no case and no clinic is named."""
        admit(request, await authenticate(self._runtime, request), Permission.RECALL_LOT)
        loaded = await self._load(str(request.path_params["lot"]))
        recall: Recall | None = loaded.state.recall
        found = [] if recall is None else await self._found({recall.lot: recall.id})
        held = sum(one.held for one in found)
        content = {
            "lot": loaded.stream.removeprefix(PREFIX),
            "version": loaded.version,
            "status": loaded.state.status,
            "recall": recall,
            "cases": {"on_hand": len(found), "held": held, "waiting": len(found) - held},
        }
        return Response(to_json(content), media_type="application/json", headers={"ETag": f'"{loaded.version}"'})

    async def run(self) -> None:
        """Place what is missing, at once after a recall and each second while one is in force, for ever."""
        while True:
            self._recalled.clear()
            try:
                await self.place()
            except (PyMongoError, StoreUnavailable) as error:
                if isinstance(error, PyMongoError) and not is_transient(error):
                    raise
                self._runtime.log.warning("the holds for recalled lots wait for the store", because=type(error).__name__)
            try:
                await asyncio.wait_for(self._recalled.wait(), EVERY_SECONDS)
            except TimeoutError:
                continue

    async def follow(self, commits: Sequence[Commit]) -> None:
        """Begin as soon as a lot was recalled."""
        if any(commit.stream.startswith(PREFIX) for commit in commits):
            self._recalled.set()

    async def pending(self) -> int:
        """Return how many cases are still to be held."""
        return sum(not one.held for one in await self._found(self._runtime.decisions.recalled_lots))

    async def place(self) -> None:
        """Hold every case that a recall in force finds and no commit of it tells of; then those of which the index did not know."""
        recalls = self._runtime.decisions.recalled_lots
        await self._place(recalls)
        fresh = set(recalls.values()) - self._renewed
        if fresh:
            await self._runtime.streams.renew_cache("case")
            self._renewed |= fresh
            await self._place(recalls)

    async def _place(self, recalls: Mapping[Slug, Slug]) -> None:
        waiting = [one for one in await self._found(recalls) if not one.held]
        for begin in range(0, len(waiting), AT_ONCE):
            # Together, so that they share group commits.
            await asyncio.gather(*(self._hold(one) for one in waiting[begin : begin + AT_ONCE]))
        if waiting:
            self._runtime.log.info("cases were held for recalled lots", cases=len(waiting))

    async def _hold(self, found: Found) -> None:
        try:
            await self._runtime.run(found.case, partial(_decide, found), found.cause, self._actor)
        except NothingDecided:
            self._settled[(found.recall, found.case)] = found.version
        except TooContended:
            return  # it is still waiting, and looked at again in a moment
        except (StreamBroken, KeyMissing):
            self._settled[(found.recall, found.case)] = found.version
            self._runtime.log.exception("a case cannot be held for a recalled lot", stream=found.case)

    async def _found(self, recalls: Mapping[Slug, Slug]) -> list[Found]:
        """Return the cases that have some of these lots on hand: two queries, however many recalls are in force."""
        if not recalls:
            return []
        rows = self._runtime.database["cases"].find({"last.lots": {"$in": list(recalls)}}, projection=["last.version", "last.lots"])
        shown = [
            Found(row["_id"], int(row["last"]["version"]), lot, recalls[lot], held=False)
            async for row in rows
            for lot in row["last"]["lots"]
            if lot in recalls
        ]
        told = {"stream": {"$in": list({one.case for one in shown})}, "cause": {"$in": list({one.cause.key for one in shown})}}
        commits = self._runtime.database["commits"].find(told, projection=["stream", "cause"])
        held = {(commit["stream"], commit["cause"]) async for commit in commits}
        return [replace(one, held=(one.case, one.cause.key) in held or self._is_settled(one)) for one in shown]

    def _is_settled(self, found: Found) -> bool:
        return self._settled.get((found.recall, found.case)) == found.version

    async def _load(self, lot: str) -> Loaded:
        try:
            loaded = await self._runtime.load(f"{PREFIX}{lot}")
        except KeyMissing:
            loaded = None
        if loaded is None or loaded.version == 0:
            raise Problem(404, "not-found", "No lot of this number was ever recalled.")
        return loaded


def _decide(found: Found, case: Case, context: Context) -> list[EventData]:
    return hold_for_recall(case, found.lot, found.recall, context)

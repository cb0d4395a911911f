"""From the recall of a lot to a hold on every case that has some of it on hand, and how far that has come.

A recall in force is compared with the cases again and again, so nothing has to be remembered: what is still to be held is what
the index of lots names and no commit caused by this recall tells of. A crash in the middle only delays the rest.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
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
from shared.events.base import EventData
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
    """The cases that have some of a recalled lot on hand: how many were held for it, and which are not yet, at which version."""

    held: int
    waiting: tuple[tuple[str, int], ...]


class LotHolds:
    """Holds cases for recalled lots, in whichever instance comes first: the cause of each hold lets it be placed once."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._actor = Actor(f"service:{runtime.definition.name}")
        self._recalled = asyncio.Event()
        self._renewed: set[str] = set()
        """Recalls since which the index of lots was made whole; an earlier release kept none."""
        self._settled: dict[tuple[str, str], int] = {}
        """(recall, case) that this process found to need no hold at a version: its dispensing placed one, or it is used up."""

    def router(self) -> APIRouter:
        """Return the route of GET /lots/{lot}."""
        router = APIRouter(tags=["prescriber"])
        summary = "A recalled lot, and how many cases are held for it"
        router.add_api_route("/lots/{lot}", self.show, methods=["GET"], summary=summary, response_model=None)
        return router

    async def show(self, request: Request) -> Response:
        """Show the recall in force and how many cases it found and held; no case and no clinic is named."""
        admit(await authenticate(self._runtime, request), Permission.RECALL_LOT)
        stream = f"{PREFIX}{request.path_params['lot']}"
        loaded = await self._load(stream)
        recall: Recall | None = loaded.state.recall
        found = Found(0, ()) if recall is None else await self._found(recall)
        content = {
            "lot": stream.removeprefix(PREFIX),
            "version": loaded.version,
            "status": loaded.state.status,
            "recall": recall,
            "cases": {"on_hand": found.held + len(found.waiting), "held": found.held, "waiting": len(found.waiting)},
        }
        return Response(to_json(content), media_type="application/json", headers={"ETag": f'"{loaded.version}"'})

    async def run(self) -> None:
        """Place what is missing, at once after a recall and each second while one is in force, for ever."""
        while True:
            self._recalled.clear()
            try:
                for recall in await self._in_force():
                    await self.place(recall)
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
        return sum([len((await self._found(recall)).waiting) for recall in await self._in_force()])

    async def place(self, recall: Recall) -> None:
        """Hold every case that the recall finds and no commit of it tells of."""
        if recall.id not in self._renewed:
            await self._runtime.streams.renew_cache("case")
            self._renewed.add(recall.id)
        waiting = (await self._found(recall)).waiting
        for begin in range(0, len(waiting), AT_ONCE):
            # Together, so that they share group commits.
            await asyncio.gather(*(self._hold(case, version, recall) for case, version in waiting[begin : begin + AT_ONCE]))
        if waiting:
            self._runtime.log.info("cases were held for a recalled lot", recall=recall.id, cases=len(waiting))

    async def _hold(self, case: str, version: int, recall: Recall) -> None:
        try:
            await self._runtime.run(case, partial(_decide, recall), _cause(recall), self._actor)
        except NothingDecided:
            self._settled[(recall.id, case)] = version
        except TooContended:
            return  # it is still waiting, and looked at again in a moment
        except (StreamBroken, KeyMissing):
            self._settled[(recall.id, case)] = version
            self._runtime.log.exception("a case cannot be held for a recalled lot", stream=case)

    async def _found(self, recall: Recall) -> Found:
        rows = self._runtime.database["cases"].find({"last.lots": recall.lot}, projection=["last.version"]).sort("_id")
        cases = {row["_id"]: int(row["last"]["version"]) async for row in rows}
        told = {"stream": {"$in": list(cases)}, "cause": _cause(recall).key}
        held = {row["stream"] async for row in self._runtime.database["commits"].find(told, projection=["stream"])}
        held |= {case for case, version in cases.items() if self._settled.get((recall.id, case)) == version}
        waiting = tuple((case, version) for case, version in cases.items() if case not in held)
        return Found(len(cases) - len(waiting), waiting)

    async def _in_force(self) -> list[Recall]:
        lots = self._runtime.decisions.recalled_lots
        found = await self._runtime.streams.load_many([f"{PREFIX}{lot}" for lot in lots])
        states = [loaded.state for loaded in found.values() if isinstance(loaded, Loaded)]
        return [state.recall for state in states if state.recall is not None]

    async def _load(self, stream: str) -> Loaded:
        try:
            loaded = await self._runtime.load(stream)
        except KeyMissing:
            loaded = None
        if loaded is None or loaded.version == 0:
            raise Problem(404, "not-found", "No lot of this number was ever recalled.")
        return loaded


def _cause(recall: Recall) -> Cause:
    return Cause.carried("recall", recall.id)


def _decide(recall: Recall, case: Case, context: Context) -> list[EventData]:
    return hold_for_recall(case, recall, context)

"""Carries holds between the cases of one patient, wherever they are: intake alone knows them all, since each begins here.

It follows the commits before the relay's place is saved, so a crash in the middle only repeats it; the cause of each hold lets it
be placed once. Which cases a patient has is read off the commits that began them, which never lag.
"""

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any, Final

from pymongo import ASCENDING, IndexModel

from services.intake.domain.siblings import Carried, carry, missing
from services.intake.domain.state import Case
from shared.events import intake
from shared.events.base import EventData
from shared.log.commit import Cause, Commit
from shared.log.decisions import NothingDecided
from shared.log.errors import StoreUnavailable, StreamBroken, TooContended
from shared.log.streams import Loaded
from shared.pathway.context import Actor, Context
from shared.service.runtime import Runtime
from shared.vault.port import KeyMissing

TELLING: Final = frozenset(
    event.TYPE
    for event in (intake.PatientReferred, intake.SafetyHoldPlaced, intake.SafetyHoldLifted, intake.StopNoted, intake.ConsentWithdrawn)
)
"""Events after which the cases of a patient are compared."""
PATIENT: Final = "events.0.headers.ce_patient"
INDEX: Final = IndexModel([(PATIENT, ASCENDING)], name="begun_for_patient", partialFilterExpression={"version": 1})


class SiblingHolds:
    """Compares the cases of a patient whenever one of them begins, is held or is set free."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._actor = Actor(f"service:{runtime.definition.name}")

    async def create_index(self) -> None:
        """Create what the cases of a patient are found by."""
        await self._runtime.database["commits"].create_indexes([INDEX])

    async def follow(self, commits: Sequence[Commit]) -> None:
        """Carry what these commits mean for other cases of their patients; raises StoreUnavailable and PyMongoError."""
        patients = {
            commit.patient
            for commit in commits
            if commit.stream.startswith("case-") and any(event.type in TELLING for event in commit.events)
        }
        if patients:
            for cases in await self._siblings(patients):
                await self._compare(cases)

    async def _siblings(self, patients: Collection[str]) -> list[list[str]]:
        """Return the cases of each of these patients who has more than one."""
        begun: list[dict[str, Any]] = [
            {"$match": {PATIENT: {"$in": sorted(patients)}, "version": 1}},
            {"$group": {"_id": {"$first": "$events.headers.ce_patient"}, "cases": {"$addToSet": "$stream"}}},
        ]
        rows = await (await self._runtime.database["commits"].aggregate(begun)).to_list()
        return [sorted(row["cases"]) for row in rows if len(row["cases"]) > 1]

    async def _compare(self, cases: Sequence[str]) -> None:
        found = await self._runtime.streams.load_many(cases)
        states = {stream: loaded.state for stream, loaded in found.items() if isinstance(loaded, Loaded)}
        for stream, state in states.items():
            others = {other: known for other, known in states.items() if other != stream}
            for carried in missing(state, others):
                await self._carry(stream, carried)

    async def _carry(self, stream: str, carried: Carried) -> None:
        try:
            await self._runtime.run(stream, partial(_decide, carried), Cause.carried(*carried.cause), self._actor)
        except NothingDecided:
            return  # someone was first
        except TooContended as error:
            raise StoreUnavailable from error  # the relay starts again at its saved place
        except (StreamBroken, KeyMissing):
            self._runtime.log.exception("a hold cannot be carried to a case", stream=stream)


def _decide(carried: Carried, case: Case, context: Context) -> list[EventData]:
    return carry(case, carried, context)

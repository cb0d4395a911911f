"""From an organisation that leaves or loses a licence to every case that stands with it, and how far that has come.

Where the organisations stand is compared with the cases again and again, so nothing has to be remembered: what is still to be
done is what the indexes of reviewers and approvers name. A crash in the middle only delays the rest.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pymongo.errors import PyMongoError

from services.prescriber.domain.depart import depart
from services.prescriber.domain.partners.assign import is_licensed
from services.prescriber.domain.state import Case
from services.prescriber.partners.directory import Directory
from shared.events.base import EventData
from shared.log.commit import Cause, Commit
from shared.log.decisions import NothingDecided
from shared.log.errors import StoreUnavailable, StreamBroken, TooContended
from shared.log.store import is_transient
from shared.pathway.adoption import STREAM
from shared.pathway.context import Actor, Context
from shared.service.runtime import Runtime
from shared.vault.port import KeyMissing

EVERY_SECONDS: Final = 1.0
AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class Standing:
    """Which organisations may not keep what they have, and where."""

    gone: frozenset[str] = frozenset()
    """Those that are not active: no review, and no approval that nobody has looked at."""
    barred: frozenset[tuple[str, tuple[str, ...]]] = frozenset()
    """Each other one with the clinics in whose states it is not licensed."""

    def to_query(self) -> Mapping[str, Any] | None:
        """Return what finds the cases in the cache; None where every organisation may keep all."""
        left = sorted(self.gone)
        found: list[dict[str, Any]] = [
            {"last.partner": slug, "last.clinic": {"$in": list(clinics)}} for slug, clinics in sorted(self.barred)
        ]
        if left:
            found += [{"last.partner": {"$in": left}}, {"last.approver": {"$in": left}}]
        return {"$or": found} if found else None


@dataclass(frozen=True, slots=True)
class Found:
    """A case that stands with an organisation that may not keep it, at the version at which the index shows it."""

    case: str
    version: int

    @property
    def cause(self) -> Cause:
        """The same in every process that found the case so: one of them is first. What is done already is seen in the case.

        It names the case, for the choice of another organisation goes by it: otherwise all cases would go to the same one.
        """
        return Cause.carried("departure", f"{self.case}/{self.version}")


class Departures:
    """Gives the reviews of organisations that left to others, in whichever instance comes first."""

    def __init__(self, runtime: Runtime, directory: Directory) -> None:
        self._runtime = runtime
        self._directory = directory
        self._actor = Actor(f"service:{runtime.definition.name}")
        self._changed = asyncio.Event()
        self._standing = Standing()
        self._renewed: frozenset[str] = frozenset()
        """Organisations since whose leaving the indexes were made whole; an earlier release kept none."""
        self._settled: dict[str, int] = {}
        """Cases of which nothing follows at a version, as the organisations stand: a stop keeps them, or they cannot be read."""

    async def run(self) -> None:
        """Do what is to be done, at once after a change of an organisation or of the policy and each second, for ever."""
        while True:
            self._changed.clear()
            try:
                await self.place()
            except (PyMongoError, StoreUnavailable) as error:
                if isinstance(error, PyMongoError) and not is_transient(error):
                    raise
                self._runtime.log.warning("what organisations left behind waits for the store", because=type(error).__name__)
            try:
                await asyncio.wait_for(self._changed.wait(), EVERY_SECONDS)
            except TimeoutError:
                continue

    async def follow(self, commits: Sequence[Commit]) -> None:
        """Begin as soon as an organisation changed, or a policy was adopted, which may say where a clinic lies."""
        if any(commit.stream.startswith("partner-") or commit.stream == STREAM for commit in commits):
            self._changed.set()

    async def pending(self) -> int:
        """Return how many cases are still to be looked at."""
        return len(await self._found())

    async def place(self) -> None:
        """Decide on every case that the indexes find; then on those of which they did not know."""
        await self._place()
        fresh = self._standing.gone - self._renewed
        if fresh:
            await self._runtime.streams.renew_cache("case")
            self._renewed |= fresh
            await self._place()

    async def _place(self) -> None:
        if not await self._found():
            return
        # What another process heard counts: an organisation that came back keeps what it was given since.
        await self._directory.refresh(self._runtime)
        waiting = await self._found()
        for begin in range(0, len(waiting), AT_ONCE):
            # Together, so that they share group commits.
            done = await asyncio.gather(*(self._decide(one) for one in waiting[begin : begin + AT_ONCE]))
            if any(done):
                self._runtime.log.info("cases were passed on from organisations that left", cases=sum(done))

    async def _decide(self, found: Found) -> bool:
        """Return whether anything followed."""

        def decide(case: Case, context: Context) -> list[EventData]:
            return depart(case, self._directory.partners(), context)

        try:
            await self._runtime.run(found.case, decide, found.cause, self._actor)
        except NothingDecided:
            if self._look() == self._standing:  # otherwise it was decided on other grounds than it was found on
                self._settled[found.case] = found.version
        except TooContended:
            pass  # it is still waiting, and looked at again in a moment
        except (StreamBroken, KeyMissing):
            self._settled[found.case] = found.version
            self._runtime.log.exception("a case cannot be passed on from an organisation that left", stream=found.case)
        else:
            return True
        return False

    async def _found(self) -> list[Found]:
        standing = self._look()
        if standing != self._standing:
            self._standing = standing
            self._settled.clear()
        query = standing.to_query()
        if query is None:
            return []
        rows = self._runtime.database["cases"].find(query, projection=["last.version"])
        found = [Found(row["_id"], int(row["last"]["version"])) async for row in rows]
        return [one for one in found if self._settled.get(one.case) != one.version]

    def _look(self) -> Standing:
        """Return where the organisations stand, as far as this process has heard."""
        partners = self._directory.partners()
        states = self._runtime.policies.document(self._runtime.care_now()).clinic_states
        barred = {
            partner.slug: tuple(sorted(clinic for clinic, state in states.items() if not is_licensed(partner, state)))
            for partner in partners
            if partner.status == "active"
        }
        gone = frozenset(partner.slug for partner in partners if partner.status != "active")
        return Standing(gone, frozenset((slug, clinics) for slug, clinics in barred.items() if clinics))

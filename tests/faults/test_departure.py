"""An organisation leaves while things break: every case that stands with it is passed on once, and what one process says all hear."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest_asyncio
from pydantic import SecretStr

from services.prescriber.app import define
from services.prescriber.domain.partners.state import ORIGIN
from services.prescriber.domain.review import opening
from services.prescriber.domain.stops import STOPS
from services.prescriber.partners.departures import Departures, Standing
from services.prescriber.partners.directory import Directory
from shared.clock import system_now
from shared.events.base import EventData
from shared.events.partner import PartnerLeft, PartnerRegistered, PartnerReturned
from shared.events.prescriber import ApprovingPartnerLeft, EligibilityApproved, ReviewAssigned, ReviewReassigned, StopNoted
from shared.log.commit import Cause
from shared.pathway.stop import PlaceHold
from shared.service.definition import Origin
from shared.service.runtime import Runtime
from tests import toy
from tests.faults.injected import commits_of, failing
from tests.unit.prescriber.given import CONSENT, POLICY, nobody, only, plan, screened

CASES = 24


def cause() -> Cause:
    return Cause.http("test", "clinician", uuid.uuid4().hex, b"m" * 32)


@dataclass
class Process:
    """One process of the prescriber service, as far as it deals with organisations."""

    runtime: Runtime
    directory: Directory
    departures: Departures

    async def heard(self) -> "Process":
        """It has read what became of the organisations."""
        await self.directory.refresh(self.runtime)
        return self


@dataclass
class Network:
    """A prescriber service's store, and whatever process of it a test starts."""

    runtime: Runtime

    def process(self) -> Process:
        directory = Directory()
        definition = define(directory.partners, allow_loopback=True)
        runtime = Runtime(definition, self.runtime.settings, self.runtime.client, self.runtime.log)
        runtime.decisions.watchers.append(directory.watch)
        return Process(runtime, directory, Departures(runtime, directory))

    async def say(self, stream: str, *events: EventData, origin: Origin | None = None) -> None:
        await self.runtime.decisions.run(stream, lambda _state, _context: events, cause(), toy.CLINICIAN, origin=origin)

    async def register(self, slug: str) -> None:
        url, secret = f"https://{slug}.example/hooks", SecretStr("whsec_x")
        event = PartnerRegistered(partner=slug, name=slug, webhook_url=url, webhook_secret=secret, decision_key="k")
        await self.say(f"partner-{slug}", event, origin=ORIGIN)

    async def leave(self, slug: str) -> None:
        await self.say(f"partner-{slug}", PartnerLeft(partner=slug, reason="Contract ended.", left_at=system_now()))

    async def consented(self) -> str:
        case = f"case-{uuid.uuid4().hex}"
        noted = StopNoted(
            kind="consent_given", at=CONSENT.given_at, noted_from="urn:kapcare:intake", consent_version="c1", scopes=CONSENT.scopes
        )
        await self.say(case, noted, origin=Origin("riverside", f"patient-{uuid.uuid4().hex}"))
        return case

    async def screened(self, process: Process) -> str:
        """A case whose review a process opened, and which the cache shows."""
        case = await self.consented()
        decide = opening(process.directory.partners)
        await process.runtime.decisions.run(case, lambda state, context: decide(state, screened(), context), cause(), toy.CLINICIAN)
        await toy.keep_cache(self.runtime, case)
        return case

    async def approved(self, process: Process) -> str:
        case = await self.screened(process)
        holder = (await self.runtime.load(case)).state.partner
        approval = EligibilityApproved(
            request=1,
            plan=plan(),
            reasons=("indication-met",),
            partner=holder,
            decided_by="dr-7",
            decided_at=system_now(),
            policy_version=POLICY.version,
        )
        await self.say(case, approval)
        await toy.keep_cache(self.runtime, case)
        return case

    async def count(self, case: str, kind: type[EventData]) -> int:
        opened = await self.runtime.open_events(await commits_of(self.runtime, case))
        return sum(isinstance(recorded.data, kind) for recorded in opened)

    async def holder(self, case: str) -> str:
        return str((await self.runtime.load(case)).state.partner)


@pytest_asyncio.fixture
async def network(mongo_url: str) -> AsyncIterator[Network]:
    definition = define(tuple, allow_loopback=True)
    async with toy.runtime_of(definition, toy.settings_for(mongo_url, "127.0.0.1:1", toy.unique())) as runtime:
        yield Network(runtime)


async def with_north(network: Network, cases: int) -> list[str]:
    """Cases under review at north; afterwards south and east are registered too."""
    await network.register("north")
    first = await network.process().heard()
    found = [await network.screened(first) for _ in range(cases)]
    await network.register("south")
    await network.register("east")
    return found


async def test_a_crash_half_way_leaves_no_case_behind_and_passes_none_on_twice(network: Network) -> None:
    cases = await with_north(network, CASES)
    await network.leave("north")
    dying = (await network.process().heard()).departures
    decide, done = dying._decide, 0
    half = asyncio.Event()

    async def until_half(*arguments: Any) -> bool:
        nonlocal done
        if done >= CASES // 2:
            half.set()
            await asyncio.sleep(60)
        done += 1
        return await decide(*arguments)

    dying._decide = until_half  # type: ignore[assignment, method-assign]
    task = asyncio.create_task(dying.run())
    await asyncio.wait_for(half.wait(), 20)
    await asyncio.sleep(0.3)
    await toy.kill(task)
    processes = [await network.process().heard() for _ in range(2)]
    at_once = [asyncio.create_task(process.departures.run()) for process in processes]
    try:

        async def settled() -> bool:
            await toy.keep_cache(network.runtime, *cases)  # as the relay does
            return not any([await process.departures.pending() for process in processes])

        await toy.eventually(settled)
    finally:
        for task in at_once:
            await toy.kill(task)
    assert [await network.count(case, ReviewReassigned) for case in cases] == [1] * CASES
    # Spread over both that are left: all 24 to one of two equals happens once in eight million times.
    assert {await network.holder(case) for case in cases} == {"south", "east"}


async def test_the_approvals_of_one_that_left_are_looked_at_once(network: Network) -> None:
    await network.register("north")
    approved = await network.approved(await network.process().heard())
    await network.leave("north")
    for _ in range(2):
        process = await network.process().heard()
        await process.departures.place()
        await toy.keep_cache(network.runtime, approved)
    assert await network.count(approved, ApprovingPartnerLeft) == 1
    state = (await network.runtime.load(approved)).state
    assert (state.status, [alert.why for alert in state.alerts.unacknowledged]) == ("approved", ["approving-partner-left"])


async def test_cases_of_an_earlier_release_are_found_although_its_index_names_no_organisation(network: Network) -> None:
    (case,) = await with_north(network, 1)
    await network.leave("north")
    cache = network.runtime.database["cases"]
    await cache.update_one({"_id": case}, {"$unset": {"last.partner": ""}, "$set": {"last.fingerprint": "of-another-release"}})
    process = await network.process().heard()
    assert await process.departures.pending() == 0
    await process.departures.place()
    assert await network.holder(case) in {"south", "east"}


async def test_a_case_that_a_stop_keeps_does_not_wait_for_anything_here_until_the_stop_ends(network: Network) -> None:
    (case,) = await with_north(network, 1)
    await network.runtime.decisions.run(
        case, lambda state, context: STOPS.place(state, PlaceHold(reason="clinical_concern"), context), cause(), toy.CLINICIAN
    )
    await toy.keep_cache(network.runtime, case)
    await network.leave("north")
    process = await network.process().heard()
    await process.departures.place()
    assert (await process.departures.pending(), await network.holder(case)) == (0, "north")
    # A process that did not know that north had left lifted the hold: the next look finds the review all the same.
    (hold,) = (await network.runtime.load(case)).state.stops.holds
    await network.say(case, StopNoted(kind="hold_lifted", at=system_now(), noted_from="urn:kapcare:intake", hold=hold))
    await toy.keep_cache(network.runtime, case)
    await process.departures.place()
    assert await network.holder(case) in {"south", "east"}


async def test_a_case_of_which_nothing_followed_is_looked_at_again_when_another_organisation_leaves(network: Network) -> None:
    """Approved by north and under review at south, which leaves first; a stop keeps the review."""
    await network.register("north")
    case = await network.approved(await network.process().heard())
    await network.register("south")
    again = ReviewAssigned(request=2, partner="south", due_at=system_now())
    await network.say(case, again, StopNoted(kind="hold_placed", at=system_now(), noted_from="urn:kapcare:session", hold="hold-1"))
    await toy.keep_cache(network.runtime, case)
    await network.leave("south")
    process = await network.process().heard()
    await process.departures.place()
    assert await process.departures.pending() == 0
    await network.leave("north")
    await process.heard()
    await process.departures.place()
    assert await network.count(case, ApprovingPartnerLeft) == 1


async def test_one_that_came_back_keeps_what_it_has_although_this_process_did_not_hear_of_it_yet(network: Network) -> None:
    (case,) = await with_north(network, 1)
    await network.leave("north")
    process = await network.process().heard()
    await network.say("partner-north", PartnerReturned(partner="north", returned_at=system_now()))
    assert await process.departures.pending() == 1
    await process.departures.place()
    assert (await process.departures.pending(), await network.holder(case)) == (0, "north")
    await network.leave("north")
    await process.heard()
    await process.departures.place()
    assert await network.holder(case) in {"south", "east"}


async def test_one_that_came_back_between_the_look_and_the_decision_is_looked_for_again_when_it_leaves_again(network: Network) -> None:
    (case,) = await with_north(network, 1)
    await network.leave("north")
    process = await network.process().heard()
    (found,) = await process.departures._found()
    await network.say("partner-north", PartnerReturned(partner="north", returned_at=system_now()))
    await process.heard()
    assert await process.departures._decide(found) is False
    await network.leave("north")
    await process.heard()
    await process.departures.place()
    assert await network.holder(case) in {"south", "east"}


async def test_a_store_that_fails_for_a_while_is_waited_for(network: Network) -> None:
    (case,) = await with_north(network, 1)
    await network.leave("north")
    process = await network.process().heard()
    async with failing(network.runtime, ["insert"], errorCode=189, closeConnection=False):
        task = asyncio.create_task(process.departures.run())
        await asyncio.sleep(0.5)
        assert await network.holder(case) == "north"
    try:

        async def passed_on() -> bool:
            return await network.holder(case) in {"south", "east"}

        await toy.eventually(passed_on)
    finally:
        await toy.kill(task)


async def open_reviews(process: Process) -> dict[str, int]:
    await process.heard()
    return {one.slug: one.open_reviews for one in process.directory.partners()}


async def test_open_reviews_are_counted_in_the_cache_and_what_is_not_there_yet_once(network: Network) -> None:
    await with_north(network, 3)
    process, other = await network.process().heard(), await network.process().heard()
    assert await open_reviews(process) == {"north": 3, "south": 0, "east": 0}
    case = await network.consented()
    decide = opening(lambda: tuple(one for one in process.directory.partners() if one.slug == "south"))
    await process.runtime.decisions.run(case, lambda state, context: decide(state, screened(), context), cause(), toy.CLINICIAN)
    assert {one.slug: one.open_reviews for one in process.directory.partners()} == {"north": 3, "south": 1, "east": 0}
    assert await open_reviews(process) == {"north": 3, "south": 1, "east": 0}
    assert await open_reviews(other) == {"north": 3, "south": 0, "east": 0}  # until the relay has written the cache
    await toy.keep_cache(network.runtime, case)
    assert await open_reviews(process) == await open_reviews(other) == {"north": 3, "south": 1, "east": 0}
    approved = await network.approved(await network.process().heard())
    assert (await network.runtime.load(approved)).state.status == "approved"
    assert sum((await open_reviews(process)).values()) == 4  # an approval is no open review


async def test_a_decision_that_is_never_stored_does_not_count_for_ever(network: Network, monkeypatch: Any) -> None:
    await network.register("north")
    process = await network.process().heard()
    case = await network.consented()
    loaded = await process.runtime.load(case)
    decide = opening(process.directory.partners)
    context = process.runtime.decisions.context(cause(), toy.CLINICIAN, "riverside")
    process.directory.watch(loaded, decide(loaded.state, screened(), context))
    assert await open_reviews(process) == {"north": 1}
    monkeypatch.setattr("services.prescriber.partners.directory.AHEAD_SECONDS", 0.0)
    assert await open_reviews(process) == {"north": 0}


async def test_a_review_decided_twice_before_it_is_stored_counts_where_it_goes_last(network: Network) -> None:
    """As it is where another commit was first."""
    await network.register("north")
    await network.register("south")
    process = await network.process().heard()
    loaded = await process.runtime.load(await network.consented())
    context = process.runtime.decisions.context(cause(), toy.CLINICIAN, "riverside")
    by_slug = {one.slug: one for one in process.directory.partners()}
    for slug in ("north", "south", "south"):
        process.directory.watch(loaded, opening(only(by_slug[slug]))(loaded.state, screened(), context))
    assert {one.slug: one.open_reviews for one in process.directory.partners()} == {"north": 0, "south": 1}
    process.directory.watch(loaded, opening(nobody)(loaded.state, screened(), context))
    assert await open_reviews(process) == {"north": 0, "south": 0}


async def test_reviews_and_approvals_are_found_and_counted_by_indexes(network: Network) -> None:
    find = Standing(frozenset({"a", "b"}), frozenset({("c", ("hillside",))})).to_query()
    plan_of = await network.runtime.database.command("explain", {"find": "cases", "filter": find})
    winning = str(plan_of["queryPlanner"]["winningPlan"])
    assert "'indexName': 'of_partner'" in winning
    assert "'indexName': 'of_approver'" in winning
    assert "COLLSCAN" not in winning
    count = [{"$match": {"last.partner": {"$in": ["a", "b"]}}}, {"$group": {"_id": "$last.partner", "count": {"$sum": 1}}}]
    command = {"aggregate": "cases", "pipeline": count, "cursor": {}}
    plan_of = await network.runtime.database.command("explain", command)
    assert "'indexName': 'of_partner'" in str(plan_of)
    assert "'stage': 'FETCH'" not in str(plan_of)

"""Holds are carried between the cases of a patient as the relay tells of commits: at least once, in any order, with one effect."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest_asyncio

from services.intake.app import DEFINITION
from services.intake.domain.consent import STOPS
from services.intake.sibling_holds import PATIENT, SiblingHolds
from shared.clock import system_now
from shared.events.intake import PatientReferred, SafetyHoldPlaced
from shared.log.commit import Cause
from shared.pathway.stop import LiftHold, PlaceHold
from shared.service.definition import Origin
from shared.service.runtime import Runtime
from tests import toy
from tests.faults.injected import commits_of


def cause() -> Cause:
    return Cause.http("test", "clinician", uuid.uuid4().hex, b"m" * 32)


@dataclass
class Intake:
    """Intake's store, and its cases of some patients."""

    runtime: Runtime

    async def refer(self, patient: str, clinic: str = "riverside") -> str:
        case = f"case-{uuid.uuid4().hex}"
        referred = PatientReferred(origin="json", birth_date=date(1980, 1, 1), sex="unknown", indication="other", referred_at=system_now())
        await self.runtime.decisions.run(case, lambda _state, _context: [referred], cause(), toy.CLINICIAN, origin=Origin(clinic, patient))
        return case

    async def hold(self, case: str) -> None:
        command = PlaceHold(reason="suicide_risk")
        await self.runtime.run(case, lambda state, context: STOPS.place(state, command, context), cause(), toy.CLINICIAN)

    async def lift(self, case: str) -> None:
        (hold,) = await self.holds(case)
        command = LiftHold(hold=hold, reason="Seen.")
        await self.runtime.run(case, lambda state, context: STOPS.lift(state, command, context), cause(), toy.CLINICIAN)

    async def holds(self, case: str) -> frozenset[str]:
        holds: frozenset[str] = (await self.runtime.load(case)).state.stops.holds
        return holds

    async def tell(self, follower: SiblingHolds, *cases: str) -> None:
        """Tell of all commits of these cases, as a relay that starts again does."""
        await follower.follow([commit for case in cases for commit in await commits_of(self.runtime, case)])


@pytest_asyncio.fixture
async def intake(mongo_url: str) -> AsyncIterator[Intake]:
    async with toy.runtime_of(DEFINITION, toy.settings_for(mongo_url, "127.0.0.1:1", toy.unique())) as runtime:
        await SiblingHolds(runtime).create_index()
        yield Intake(runtime)


async def test_a_hold_is_carried_to_every_case_of_the_patient_and_to_nobody_elses(intake: Intake) -> None:
    one, two, there = await intake.refer("patient-1"), await intake.refer("patient-1"), await intake.refer("patient-1", "hillside")
    other = await intake.refer("patient-2")
    await intake.hold(one)
    follower = SiblingHolds(intake.runtime)
    await intake.tell(follower, one)
    await intake.tell(follower, one, two, there, other)
    assert await intake.holds(one) == await intake.holds(two) == await intake.holds(there)
    assert await intake.holds(other) == frozenset()
    opened = await intake.runtime.open_events(await commits_of(intake.runtime, there))
    placed = [(each.envelope.clinic, each.data.carried_from) for each in opened if isinstance(each.data, SafetyHoldPlaced)]
    assert placed == [("hillside", one)]


async def test_a_case_referred_later_starts_held_and_a_lifting_reaches_it(intake: Intake) -> None:
    follower = SiblingHolds(intake.runtime)
    one = await intake.refer("patient-1")
    await intake.hold(one)
    await intake.tell(follower, one)
    two = await intake.refer("patient-1")
    await intake.tell(follower, two)
    assert await intake.holds(two) == await intake.holds(one) != frozenset()
    await intake.lift(one)
    await intake.tell(follower, one)
    assert await intake.holds(two) == frozenset()


async def test_a_crash_between_two_cases_is_made_good_when_the_relay_tells_again(intake: Intake) -> None:
    cases = [await intake.refer("patient-1") for _ in range(5)]
    await intake.hold(cases[0])
    dying = SiblingHolds(intake.runtime)
    carry, done = dying._carry, 0
    reached = asyncio.Event()

    async def until_two(*arguments: Any) -> None:
        nonlocal done
        if done == 2:
            reached.set()
            await asyncio.sleep(60)
        done += 1
        await carry(*arguments)

    dying._carry = until_two  # type: ignore[assignment, method-assign]
    task = asyncio.create_task(intake.tell(dying, cases[0]))
    await asyncio.wait_for(reached.wait(), 20)
    await toy.kill(task)
    assert sorted([len(await intake.holds(case)) for case in cases]) == [0, 0, 1, 1, 1]
    await asyncio.gather(*(intake.tell(SiblingHolds(intake.runtime), cases[0]) for _ in range(3)))
    assert [len(await intake.holds(case)) for case in cases] == [1] * 5
    versions = [len(await commits_of(intake.runtime, case)) for case in cases]
    assert versions == [2] * 5


async def test_the_cases_of_a_patient_are_found_by_an_index(intake: Intake) -> None:
    wanted = {"find": "commits", "filter": {PATIENT: {"$in": ["patient-1"]}, "version": 1}}
    plan = await intake.runtime.database.command("explain", wanted)
    assert "'indexName': 'begun_for_patient'" in str(plan["queryPlanner"]["winningPlan"])

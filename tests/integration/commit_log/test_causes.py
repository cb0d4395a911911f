"""Versions, causes and receipts: every effect once, whoever writes at once and however often."""

import asyncio
import time
import uuid
from datetime import datetime, timedelta

import pytest

from shared.events import intake
from shared.events.base import EventData
from shared.log.decisions import NothingDecided
from shared.log.errors import ReceiptReused, StaleVersion
from shared.pathway.context import Actor, Context
from shared.pathway.refusal import Refusal
from shared.service.definition import Origin
from shared.service.runtime import Runtime
from tests import toy
from tests.faults.injected import commits_of
from tests.integration.commit_log.decided import assert_sound, http, states


async def test_thirty_writers_on_one_stream_all_have_their_effect_once(runtime: Runtime) -> None:
    case = await toy.begin_case(runtime)
    codes = [f"fact-{number}" for number in range(30)]
    versions = await asyncio.gather(*(toy.add_fact(runtime, case, code) for code in codes))
    assert sorted(versions) == list(range(2, 32))
    await assert_sound(runtime, case, codes)


async def test_writers_of_several_processes_on_one_stream(runtime: Runtime) -> None:
    """So many that some are second more than twenty times in a row: each has its effect all the same."""
    case = await toy.begin_case(runtime)
    others = [Runtime(runtime.definition, runtime.settings, runtime.client, runtime.log) for _ in range(16)]
    codes = [f"fact-{number}" for number in range(48)]
    await asyncio.gather(*(toy.add_fact(others[number % 16], case, code) for number, code in enumerate(codes)))
    await assert_sound(runtime, case, codes)


async def test_commits_of_several_events_keep_sequences_contiguous(runtime: Runtime) -> None:
    case = await toy.begin_case(runtime)
    codes = [[f"{number}-{part}" for part in range(1 + number % 4)] for number in range(12)]
    await asyncio.gather(*(runtime.decisions.run(case, states(*few), http(), toy.CLINICIAN) for few in codes))
    await assert_sound(runtime, case, [code for few in codes for code in few])


async def test_what_is_recorded_is_of_the_moment_it_was_decided_at(runtime: Runtime) -> None:
    """However long it took until it was stored: decided again at that moment, it must come out the same."""
    case = await toy.begin_case(runtime)
    decided_at: list[datetime] = []

    def decide(state: toy.ToyCase, context: Context) -> list[EventData]:
        decided_at.append(context.now)
        time.sleep(0.003)
        return list(states("slow")(state, context))

    committed = await runtime.decisions.run(case, decide, http(), toy.CLINICIAN)
    assert [committed.commit.at, committed.recorded[0].envelope.time] == decided_at * 2
    (stored,) = [commit for commit in await commits_of(runtime, case) if commit.version == 2]
    assert [stored.at, datetime.fromisoformat(stored.events[0].headers["ce_time"])] == decided_at * 2


async def test_the_same_cause_at_once_and_later_is_one_commit(runtime: Runtime) -> None:
    case = await toy.begin_case(runtime)
    cause = http()
    first = await asyncio.gather(*(runtime.decisions.run(case, states("once"), cause, toy.CLINICIAN) for _ in range(8)))
    await toy.add_fact(runtime, case, "later")
    again = await runtime.decisions.run(case, states("once"), cause, toy.CLINICIAN)
    assert len({committed.commit.id for committed in (*first, again)}) == 1
    assert sum(not committed.replayed for committed in first) == 1
    assert again.replayed
    assert again.version == 2
    assert [recorded.envelope.id for recorded in again.recorded] == [recorded.envelope.id for recorded in first[0].recorded]
    await assert_sound(runtime, case, ["once", "later"])


async def test_a_case_that_begins_twice_at_once_begins_once(runtime: Runtime) -> None:
    case, cause, origin = f"case-{uuid.uuid4().hex}", http(), Origin("riverside", "patient-1")

    async def begin() -> str:
        committed = await runtime.decisions.run(case, states("begun"), cause, toy.CLINICIAN, origin=origin)
        return committed.commit.id

    assert len(set(await asyncio.gather(*(begin() for _ in range(8))))) == 1
    await assert_sound(runtime, case, ["begun"])


async def test_a_retry_gets_its_first_answer_when_its_decision_would_now_be_empty(runtime: Runtime) -> None:
    case = await toy.begin_case(runtime)
    cause = http()

    def decide(state: toy.ToyCase, context: Context) -> list[EventData]:
        return [] if "new" in state.facts else states("new")(state, context)

    first = await runtime.decisions.run(case, decide, cause, toy.CLINICIAN)
    again = await runtime.decisions.run(case, decide, cause, toy.CLINICIAN)
    assert again.replayed
    assert again.commit.id == first.commit.id
    with pytest.raises(NothingDecided):
        await runtime.decisions.run(case, decide, http(), toy.CLINICIAN)


async def test_the_same_receipt_on_another_stream_has_no_second_effect(runtime: Runtime) -> None:
    one, two = await toy.begin_case(runtime), await toy.begin_case(runtime)
    cause = http()
    first = await runtime.decisions.run(one, states("fact"), cause, toy.CLINICIAN)
    again = await runtime.decisions.run(two, states("fact"), cause, toy.CLINICIAN)
    assert again.replayed
    assert again.commit.id == first.commit.id
    await assert_sound(runtime, two, [])


async def test_receipts_on_two_streams_at_once_have_one_effect(runtime: Runtime) -> None:
    cases = [await toy.begin_case(runtime) for _ in range(6)]
    cause = http()
    all_of_them = await asyncio.gather(*(runtime.decisions.run(case, states("fact"), cause, toy.CLINICIAN) for case in cases))
    assert len({committed.commit.id for committed in all_of_them}) == 1
    assert [code for case in cases for code in (await runtime.load(case)).state.facts] == ["fact"]


async def test_the_same_key_for_another_request_is_refused(runtime: Runtime) -> None:
    case = await toy.begin_case(runtime)
    await runtime.decisions.run(case, states("fact"), http("key"), toy.CLINICIAN)
    other = http("key", mac=b"x" * 32)
    for decide in (states("another"), states("fact")):
        with pytest.raises(ReceiptReused):
            await runtime.decisions.run(case, decide, other, toy.CLINICIAN)
    with pytest.raises(ReceiptReused):
        await runtime.decisions.run(case, states("another"), other, toy.CLINICIAN, if_match=1)
    await assert_sound(runtime, case, ["fact"])


async def test_a_stale_if_match_is_refused_and_its_retry_is_not(runtime: Runtime) -> None:
    case = await toy.begin_case(runtime)
    cause = http()
    first = await runtime.decisions.run(case, states("one"), cause, toy.CLINICIAN, if_match=1)
    with pytest.raises(StaleVersion) as stale:
        await runtime.decisions.run(case, states("two"), http(), toy.CLINICIAN, if_match=1)
    assert stale.value.current == 2
    again = await runtime.decisions.run(case, states("one"), cause, toy.CLINICIAN, if_match=1)
    assert again.commit.id == first.commit.id


async def test_of_writers_with_the_same_if_match_one_wins(runtime: Runtime) -> None:
    case = await toy.begin_case(runtime)
    results = await asyncio.gather(
        *(runtime.decisions.run(case, states(f"fact-{number}"), http(), toy.CLINICIAN, if_match=1) for number in range(10)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, StaleVersion) for result in results) == 9
    assert len(await commits_of(runtime, case)) == 2


async def test_an_old_memory_never_lets_through_what_a_withdrawal_elsewhere_forbids(runtime: Runtime) -> None:
    case = await toy.begin_case(runtime)
    elsewhere = Runtime(runtime.definition, runtime.settings, runtime.client, runtime.log)
    await toy.withdraw(elsewhere, case)
    remembered = runtime.streams.remembered(case)
    assert remembered is not None
    assert not remembered.state.withdrawn, "this process has not heard of it"

    def only_under_consent(state: toy.ToyCase, context: Context) -> list[EventData]:
        if state.withdrawn:
            raise Refusal("consent-withdrawn", "No.")
        decided: list[EventData] = states("one")(state, context)
        return decided

    with pytest.raises(Refusal, match="No"):
        await runtime.decisions.run(case, only_under_consent, http(), toy.CLINICIAN)
    assert (await runtime.load(case)).version == 2


async def test_an_old_memory_never_refuses_what_is_right_by_now(runtime: Runtime) -> None:
    case = await toy.begin_case(runtime)
    elsewhere = Runtime(runtime.definition, runtime.settings, runtime.client, runtime.log)
    await toy.add_fact(elsewhere, case, "one")

    def only_after_one(state: toy.ToyCase, context: Context) -> list[EventData]:
        if "one" not in state.facts:
            raise Refusal("too-early", "Not yet.")
        decided: list[EventData] = states("two")(state, context)
        return decided

    committed = await runtime.decisions.run(case, only_after_one, http(), toy.CLINICIAN, if_match=2)
    assert committed.version == 3


async def test_the_clear_envelope_says_in_which_roles_and_under_which_policy_it_was_decided(runtime: Runtime) -> None:
    case = await toy.begin_case(runtime)
    person = Actor("doctor", frozenset({"therapist", "prescriber"}))
    in_force: list[str] = []

    def decide(state: toy.ToyCase, context: Context) -> list[EventData]:
        in_force.append(context.policy.version)
        return list(states(f"by-{context.actor.id}")(state, context))

    await runtime.decisions.run(case, decide, http(), person)
    await runtime.decisions.run(case, decide, http(), Actor("service:intake"))
    (by_person,), (by_service,) = (commit.events for commit in await commits_of(runtime, case) if commit.version > 1)
    assert by_person.headers["ce_roles"] == "prescriber,therapist"
    assert "ce_roles" not in by_service.headers
    assert [by_person.headers["ce_policyversion"], by_service.headers["ce_policyversion"]] == in_force


async def test_the_clear_envelope_says_when_it_happened_if_that_was_before(runtime: Runtime) -> None:
    case = await toy.begin_case(runtime)

    def withdrawn(_state: toy.ToyCase, context: Context) -> list[EventData]:
        now = context.now
        return [intake.ConsentWithdrawn(withdrawn_at=moment, said_to="intake") for moment in (now, now - timedelta(hours=30))]

    await toy.decide(runtime, case, withdrawn)
    at_once, before = (await commits_of(runtime, case))[-1].events
    assert "ce_happened" not in at_once.headers
    recorded, happened = (datetime.fromisoformat(before.headers[name]) for name in ("ce_time", "ce_happened"))
    assert recorded - happened == timedelta(hours=30)

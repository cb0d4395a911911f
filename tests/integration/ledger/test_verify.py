"""The ledger on a real mongod: once each, in order, without holes, whatever is delivered twice or altered by hand."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from pymongo import AsyncMongoClient

from services.audit.domain.tree import Tree, leaf_hash
from services.audit.ledger import Ledger
from services.audit.verify import Verification, verify
from shared.events.base import Envelope
from shared.events.codec import read_envelope, seal
from shared.events.intake import SuicideRiskScreenRequired
from shared.transport.arrival import Arrival
from shared.vault.port import CaseKey
from tests import toy

KEY = CaseKey(b"k" * 32)
CASE = "case-" + "a" * 32


def arrival(sequence: int, stream: str = CASE) -> Arrival:
    envelope = Envelope(
        id=f"{stream}.{sequence}",
        source="urn:kapcare:intake",
        type=SuicideRiskScreenRequired.TYPE,
        subject=stream,
        time=toy.now(),
        sequence=sequence,
        clinic="riverside",
        patient="patient-1",
        actor="clinician",
        correlation="c",
    )
    sealed = seal(SuicideRiskScreenRequired(because="test"), envelope, KEY)
    return Arrival(read_envelope(sealed.headers), sealed, "kapcare.intake.v1", 0, sequence)


@pytest_asyncio.fixture(loop_scope="session")
async def collections(mongo_url: str, database: str) -> AsyncIterator[Any]:
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(mongo_url, w="majority", journal=True, tz_aware=True)
    yield client[database]
    await client.close()


async def ledger_of(collections: Any) -> Ledger:
    ledger = Ledger(collections["entries"], collections["trees"])
    await ledger.prepare()
    return ledger


async def indexes_and_sequences(ledger: Ledger) -> list[tuple[int, int]]:
    return [(entry["_id"], entry["sequence"]) async for entry in ledger.read({})]


async def test_delivered_twice_kept_once(collections: Any) -> None:
    ledger = await ledger_of(collections)
    events = [arrival(number) for number in range(1, 8)]
    await ledger.append(events[:4])
    await ledger.append(events[2:])
    await ledger.append(events)
    assert await indexes_and_sequences(ledger) == [(number - 1, number) for number in range(1, 8)]
    assert ledger.tree == Tree().extend(leaf_hash(event.sealed.to_bytes()) for event in events)


async def test_two_appenders_leave_no_hole(collections: Any) -> None:
    one, two = await ledger_of(collections), await ledger_of(collections)
    streams = [f"case-{number:032x}" for number in range(6)]

    async def append(ledger: Ledger, some: list[str]) -> None:
        for number in range(1, 16):
            await ledger.append([arrival(number, stream) for stream in some])

    await asyncio.gather(append(one, streams[:4]), append(two, streams[2:]))
    entries = await indexes_and_sequences(one)
    assert [index for index, _ in entries] == list(range(6 * 15))
    fresh = await ledger_of(collections)
    await one.append([arrival(1, streams[0])])
    assert fresh.tree.size == 90


async def test_the_tree_is_found_again_after_a_crash_before_it_was_saved(collections: Any) -> None:
    ledger = await ledger_of(collections)
    await ledger.append([arrival(1)])
    await ledger.save_tree()
    await ledger.append([arrival(2), arrival(3)])
    again = await ledger_of(collections)
    assert again.tree == ledger.tree
    assert again.tree.size == 3


async def test_a_smaller_tree_never_replaces_a_larger_one(collections: Any) -> None:
    behind, ahead = await ledger_of(collections), await ledger_of(collections)
    await behind.append([arrival(1)])
    await ahead.append([arrival(2)])
    await ahead.save_tree()
    behind.tree = Tree().extend([leaf_hash(b"x")])
    await behind.save_tree()
    saved = await collections["trees"].find_one({"_id": "tree"})
    assert saved["size"] == 2


@pytest_asyncio.fixture(loop_scope="session")
async def service_with_heads() -> AsyncIterator[tuple[str, dict[str, int]]]:
    """A service that says its heads over HTTP."""
    heads: dict[str, int] = {}

    async def answer(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer auditor"
        return web.json_response({"heads": heads, "next": None})

    app = web.Application()
    app.router.add_get("/operations/heads", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    yield f"http://127.0.0.1:{port}", heads
    await runner.cleanup()


async def verified(ledger: Ledger, url: str | None) -> Verification:
    return await verify(ledger, {"intake": url}, "Bearer auditor")


async def test_what_holds_is_verified(collections: Any, service_with_heads: tuple[str, dict[str, int]]) -> None:
    url, heads = service_with_heads
    ledger = await ledger_of(collections)
    await ledger.append([arrival(number) for number in range(1, 6)])
    heads[CASE] = 5
    result = await verified(ledger, url)
    assert result.verified
    assert (result.size, result.root) == (5, ledger.tree.root.hex())


async def test_a_missing_tail_is_named(collections: Any, service_with_heads: tuple[str, dict[str, int]]) -> None:
    url, heads = service_with_heads
    ledger = await ledger_of(collections)
    await ledger.append([arrival(1)])
    heads[CASE] = 3
    result = await verified(ledger, url)
    assert not result.verified
    assert [(gap.kind, gap.first, gap.last) for gap in result.gaps] == [("missing_tail", 2, 3)]


async def test_a_service_that_does_not_answer_is_not_verified(collections: Any) -> None:
    ledger = await ledger_of(collections)
    result = await verified(ledger, "http://127.0.0.1:1")
    assert result.unreachable == ("intake",)
    assert not result.verified


TAMPERING: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a byte of the data": ({"_id": 2}, {"$set": {"data": b"other"}}),
    "a header": ({"_id": 2}, {"$set": {"headers.ce_actor": "someone-else"}}),
    "a field that queries use": ({"_id": 2}, {"$set": {"actor": "someone-else"}}),
    "the clinic that queries use": ({"_id": 2}, {"$set": {"clinic": "elsewhere"}}),
    "the leaf": ({"_id": 2}, {"$set": {"leaf": b"\x00" * 32}}),
    "the time that queries use": ({"_id": 2}, {"$set": {"time": toy.now()}}),
}


@pytest.mark.parametrize("what", TAMPERING)
async def test_an_altered_entry_is_named(collections: Any, service_with_heads: tuple[str, dict[str, int]], what: str) -> None:
    url, heads = service_with_heads
    heads[CASE] = 5
    ledger = await ledger_of(collections)
    await ledger.append([arrival(number) for number in range(1, 6)])
    wanted, change = TAMPERING[what]
    assert (await collections["entries"].update_one(wanted, change)).modified_count == 1
    result = await verified(ledger, url)
    assert not result.verified
    assert result.first_bad == 2


async def test_a_removed_entry_is_found(collections: Any, service_with_heads: tuple[str, dict[str, int]]) -> None:
    url, heads = service_with_heads
    heads[CASE] = 5
    ledger = await ledger_of(collections)
    await ledger.append([arrival(number) for number in range(1, 6)])
    await collections["entries"].delete_one({"_id": 3})
    result = await verified(ledger, url)
    assert not result.verified
    assert [(gap.kind, gap.first, gap.last) for gap in result.gaps] == [("hole", 4, 4)]
    assert not result.root_holds


async def test_a_cut_off_end_is_found(collections: Any, service_with_heads: tuple[str, dict[str, int]]) -> None:
    url, heads = service_with_heads
    heads[CASE] = 5
    ledger = await ledger_of(collections)
    await ledger.append([arrival(number) for number in range(1, 6)])
    await collections["entries"].delete_one({"_id": 4})
    result = await verified(ledger, url)
    assert not result.verified
    assert [(gap.kind, gap.first, gap.last) for gap in result.gaps] == [("missing_tail", 5, 5)]
    assert not result.root_holds

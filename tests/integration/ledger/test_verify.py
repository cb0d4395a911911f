"""The ledger verifies itself on a real mongod: what was altered by hand is named, and what a service has and the ledger lacks."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from bson import Binary

from services.audit.domain.tree import leaf_hash
from services.audit.verify import Verification, heads_over_http, verify
from tests import toy
from tests.integration.ledger.kept import CASE, KEY, Kept, arrival, arrivals, case_names


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


async def verified(kept: Kept, url: str | None) -> Verification:
    return await verify(kept.ledger, kept.checkpoints, KEY.public, {"intake": heads_over_http(url, "Bearer auditor")})


async def five_signed(kept: Kept) -> None:
    """Five entries, three of them signed once already."""
    await kept.append([arrival(number) for number in range(1, 4)])
    await kept.sign()
    await kept.append([arrival(4), arrival(5)])
    await kept.sign()


async def test_what_holds_is_verified(kept: Kept, service_with_heads: tuple[str, dict[str, int]]) -> None:
    url, heads = service_with_heads
    await five_signed(kept)
    await kept.append([arrival(6)])
    heads[CASE] = 6
    result = await verified(kept, url)
    assert result.verified
    assert (result.size, result.signed, result.root) == (6, 5, (await kept.log()).edge(6)[0].tree.root.hex())


async def test_many_streams_over_many_batches_are_verified(
    kept: Kept, service_with_heads: tuple[str, dict[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.audit.verify.READ_AT_ONCE", 64)
    for begin in range(0, 700, 100):
        await kept.append(arrivals(700)[begin : begin + 100])
        await kept.sign()
    result = await verified(kept, service_with_heads[0])
    assert (result.verified, result.size, result.signed) == (True, 700, 700)


async def test_what_nobody_signed_is_not_verified(kept: Kept, service_with_heads: tuple[str, dict[str, int]]) -> None:
    url, heads = service_with_heads
    assert (await verified(kept, url)).verified, "an empty ledger lacks nothing"
    await kept.append([arrival(1)])
    heads[CASE] = 1
    result = await verified(kept, url)
    assert (result.verified, result.root_holds, result.signed) == (False, False, 0)


async def test_a_missing_tail_is_named(kept: Kept, service_with_heads: tuple[str, dict[str, int]]) -> None:
    url, heads = service_with_heads
    await kept.append([arrival(1)])
    await kept.sign()
    heads[CASE] = 3
    result = await verified(kept, url)
    assert not result.verified
    assert [(gap.kind, gap.first, gap.last) for gap in result.gaps] == [("missing_tail", 2, 3)]


async def test_a_service_that_does_not_answer_is_not_verified(kept: Kept) -> None:
    await kept.append([arrival(1)])
    await kept.sign()
    result = await verified(kept, "http://127.0.0.1:1")
    assert result.unreachable == ("intake",)
    assert not result.verified


def replaced(sequence: int) -> dict[str, Any]:
    """Another entry's bytes with their own leaf, as whoever knows the format would put them there."""
    other = arrival(sequence, data=b"other").sealed
    entry = b"{}" + other.data
    return {"entry": Binary(entry), "leaf": Binary(leaf_hash(entry))}


TAMPERING: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "the bytes": ({"_id": 2}, {"$set": {"entry": b"other"}}),
    "the bytes and the leaf": ({"_id": 2}, {"$set": replaced(3)}),
    "a field that queries use": ({"_id": 2}, {"$set": {"actor": "someone-else"}}),
    "the clinic that queries use": ({"_id": 2}, {"$set": {"clinic": "elsewhere"}}),
    "the case that queries use": ({"_id": 2}, {"$set": {"stream": "case-other"}}),
    "the leaf": ({"_id": 2}, {"$set": {"leaf": b"\x00" * 32}}),
    "the time that queries use": ({"_id": 2}, {"$set": {"time": toy.now()}}),
    "what finds a range of time": ({"_id": 2}, {"$set": {"newest": toy.now()}}),
    "a mark of being late": ({"_id": 2}, {"$set": {"late": True}}),
    "when it happened": ({"_id": 2}, {"$set": {"happened": toy.now()}}),
    "a mark of being apart": ({"_id": 2}, {"$set": {"apart": "before"}}),
}


@pytest.mark.parametrize("what", TAMPERING)
async def test_an_altered_entry_is_named(kept: Kept, service_with_heads: tuple[str, dict[str, int]], what: str) -> None:
    url, heads = service_with_heads
    heads[CASE] = 5
    await five_signed(kept)
    wanted, change = TAMPERING[what]
    assert (await kept.database["entries"].update_one(wanted, change)).modified_count == 1
    result = await verified(kept, url)
    assert not result.verified
    assert result.first_bad == 2
    assert result.first_bad_checkpoint == (3 if what.startswith("the bytes") else None)


async def test_a_chain_that_leaves_an_entry_out_is_named(kept: Kept, service_with_heads: tuple[str, dict[str, int]]) -> None:
    """Entry 2 appended by hand as if entry 1 were not of its case: signed, so only what it says can tell."""
    await kept.append([arrival(1), arrival(2)])
    kept.ledger._last[CASE] = 0
    await kept.append([arrival(3)])
    await kept.sign()
    service_with_heads[1][CASE] = 3
    result = await verified(kept, service_with_heads[0])
    assert (result.verified, result.first_bad, result.first_bad_checkpoint) == (False, 2, None)


@pytest.mark.parametrize("field", ["note", "frontier"])
async def test_an_altered_checkpoint_is_named(kept: Kept, service_with_heads: tuple[str, dict[str, int]], field: str) -> None:
    url, heads = service_with_heads
    heads[CASE] = 5
    await five_signed(kept)
    other: Any = (await kept.log()).checkpoint(2).decode() if field == "note" else [Binary(bytes(32))] * 2
    assert (await kept.database["checkpoints"].update_one({"_id": 3}, {"$set": {field: other}})).modified_count == 1
    result = await verified(kept, url)
    assert (result.verified, result.entries_hold, result.root_holds, result.first_bad_checkpoint) == (False, True, False, 3)


async def test_a_removed_entry_is_found(kept: Kept, service_with_heads: tuple[str, dict[str, int]]) -> None:
    url, heads = service_with_heads
    heads[CASE] = 5
    await five_signed(kept)
    await kept.database["entries"].delete_one({"_id": 3})
    result = await verified(kept, url)
    assert not result.verified
    assert [(gap.kind, gap.first, gap.last) for gap in result.gaps] == [("hole", 4, 4)]
    assert (result.root_holds, result.first_bad_checkpoint) == (False, 5)


async def test_a_cut_off_end_is_found(kept: Kept, service_with_heads: tuple[str, dict[str, int]]) -> None:
    url, heads = service_with_heads
    heads[CASE] = 5
    await five_signed(kept)
    await kept.database["entries"].delete_one({"_id": 4})
    result = await verified(kept, url)
    assert not result.verified
    assert [(gap.kind, gap.first, gap.last) for gap in result.gaps] == [("missing_tail", 5, 5)]
    assert (result.root_holds, result.first_bad_checkpoint) == (False, 5)


async def test_a_cut_off_end_that_was_filled_up_again_is_found(kept: Kept, service_with_heads: tuple[str, dict[str, int]]) -> None:
    """With events of another case, so that the number of entries is what was signed."""
    url, heads = service_with_heads
    await five_signed(kept)
    await kept.database["entries"].delete_many({"_id": {"$gte": 3}})
    heads[CASE] = 3
    after = Kept(kept.database)
    await after.append([arrival(1, stream) for stream in case_names(2)])
    result = await verified(after, url)
    assert (result.verified, result.entries_hold, result.first_bad_checkpoint) == (False, True, 5)

"""The signer on a real mongod: what it signs, what it refuses to sign over, and that appending goes on meanwhile (faults F8, F35)."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from bson import Binary

from services.audit import signing as module
from services.audit.domain.checkpoint import open_checkpoint
from services.audit.domain.tree import leaf_hash
from services.audit.signing import LogKey
from tests import toy
from tests.integration.ledger.kept import KEY, ORIGIN, Kept, arrivals, everything_signed_holds, refused, signing


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look again soon after a refusal, and give up the lease soon."""
    monkeypatch.setattr(module, "LOOK_AGAIN_SECONDS", 0.2)


async def test_what_was_appended_is_signed(kept: Kept) -> None:
    events = arrivals(40)
    async with signing(kept.signer()):
        await kept.append(events[:3])
        first = await kept.signed(3)
        await kept.append(events[3:])
        last = await kept.signed(40)
    log = await kept.log()
    for checkpoint in (first, last):
        signed = open_checkpoint(checkpoint.text.encode(), KEY.public)
        assert (signed.checkpoint.origin, signed.checkpoint.size) == (ORIGIN, checkpoint.size)
        assert signed.checkpoint.root == log.edge(checkpoint.size)[0].tree.root
    await everything_signed_holds(kept)


async def test_an_empty_ledger_is_not_signed(kept: Kept) -> None:
    async with signing(kept.signer()) as signer:
        await asyncio.sleep(3 * module.SIGN_EVERY_SECONDS)
        assert await kept.checkpoints.latest() is None
        assert signer.refusal is None


async def test_a_backlog_is_signed_in_parts(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENTRIES_AT_ONCE", 100)
    await kept.append(arrivals(1050))
    async with signing(kept.signer()):
        await kept.signed(1050)
    assert [checkpoint.size async for checkpoint in kept.checkpoints.read()] == [*range(100, 1001, 100), 1050]
    await everything_signed_holds(kept)


async def test_one_instance_signs_and_another_takes_over(kept: Kept, another: Callable[[], Kept]) -> None:
    events = arrivals(60)
    first, second = kept.signer(), another().signer()
    async with signing(second):
        async with signing(first):
            await kept.append(events[:20])
            await kept.signed(20)
        await kept.append(events[20:])
        await kept.signed(60)
    await everything_signed_holds(kept)


async def test_two_that_both_think_they_hold_the_lease_sign_the_same(kept: Kept, another: Callable[[], Kept]) -> None:
    """The lease is of names of their own here, as if both held it."""

    class AlwaysHeld:
        async def acquire(self, _give_up: asyncio.Event) -> dict[str, Any]:
            return {}

        async def renew(self) -> None:
            await asyncio.Event().wait()

        async def release(self) -> None:
            return

    processes = [kept, another()]
    signers = [process.signer() for process in processes]
    for signer in signers:
        signer._lease = AlwaysHeld()  # type: ignore[assignment]
    events = arrivals(400)
    async with signing(signers[0]), signing(signers[1]):
        for begin in range(0, 400, 20):
            await kept.append(events[begin : begin + 20])
            await asyncio.sleep(0.05)
        await kept.signed(400)
        assert [signer.refusal for signer in signers] == [None, None]
    await everything_signed_holds(kept)


async def change_entry(kept: Kept, index: int, **fields: Any) -> None:
    assert (await kept.database["entries"].update_one({"_id": index}, {"$set": fields})).modified_count == 1


async def change_checkpoint(kept: Kept, **fields: Any) -> None:
    assert (await kept.database["checkpoints"].update_one({"_id": 300}, {"$set": fields})).modified_count == 1


async def entry_changed(kept: Kept) -> None:
    await change_entry(kept, 280, entry=b"other")


async def entry_changed_with_its_leaf(kept: Kept) -> None:
    await change_entry(kept, 280, entry=b"other", leaf=Binary(leaf_hash(b"other")))


async def entry_removed(kept: Kept) -> None:
    await kept.database["entries"].delete_one({"_id": 290})


async def end_cut_off(kept: Kept) -> None:
    await kept.database["entries"].delete_many({"_id": {"$gte": 250}})


async def tile_changed(kept: Kept) -> None:
    place = {"_id": {"level": 0, "index": 0}}
    await kept.database["tiles"].update_one(place, {"$set": {"root": Binary(bytes(32))}})


async def frontier_changed(kept: Kept) -> None:
    await change_checkpoint(kept, frontier=[Binary(bytes(32))] * 4)


async def note_changed(kept: Kept) -> None:
    other = (await kept.log()).checkpoint(299).decode()
    await change_checkpoint(kept, note=other)


async def note_without_signature(kept: Kept) -> None:
    await change_checkpoint(kept, note=f"{ORIGIN}\n300\nabc\n")


CHANGES: dict[str, tuple[Callable[[Kept], Any], str, int | None]] = {
    "an entry": (entry_changed, "entries-do-not-give-the-checkpoint", 280),
    "an entry with its leaf": (entry_changed_with_its_leaf, "entries-do-not-give-the-checkpoint", None),
    "an entry was removed": (entry_removed, "entry-missing", 290),
    "the end was cut off": (end_cut_off, "entry-missing", 256),
    "a tile": (tile_changed, "entries-do-not-give-the-checkpoint", None),
    "the tree beside the note": (frontier_changed, "checkpoint-of-another-tree", None),
    "the note is of another size": (note_changed, "checkpoint-of-another-tree", None),
    "the note is none": (note_without_signature, "checkpoint-note-without-signatures", None),
}


@pytest.mark.parametrize("what", CHANGES)
async def test_nothing_is_signed_over_what_was_changed(kept: Kept, another: Callable[[], Kept], what: str) -> None:
    change, reason, index = CHANGES[what]
    events = arrivals(320)
    await kept.append(events[:300])
    await kept.sign()
    await change(kept)
    after = another()
    async with signing(after.signer()) as signer:
        await refused(signer, reason)
        await after.append(events[300:])
        found = [line for line in after.logged if line["event"].startswith("the ledger is inconsistent")]
        assert (found[0]["log_level"], found[0]["reason"], found[0]["entry"]) == ("error", reason, index)
        assert b'kapcare_ledger_refused{service="audit"} 1.0' in after.metrics.text()
    last = await after.checkpoints.latest()
    assert last is not None
    assert last.size == 300
    assert await after.database["entries"].count_documents({"_id": {"$gte": 300}}) == 20 or what == "the end was cut off"


@pytest.mark.parametrize("index", [310, 299])
async def test_an_entry_changed_before_it_was_signed_or_just_after_is_noticed_at_once(kept: Kept, index: int) -> None:
    """The running signer hashes what it signs, and with it the last entry that it signed."""
    events = arrivals(340)
    async with signing(kept.signer()) as signer:
        await kept.append(events[:300])
        await kept.signed(300)
        if index < 300:
            await change_entry(kept, index, entry=b"other")
            await kept.append(events[300:])
        else:
            documents = kept.ledger._documents(events[300:], {})  # as append makes them, and then changed on the way
            documents[index - 300]["entry"] = b"other"
            await kept.database["entries"].insert_many(documents)
        await refused(signer, "entry-changed")
        found = next(line for line in kept.logged if line["log_level"] == "error")
        assert found["entry"] == index
    last = await kept.checkpoints.latest()
    assert last is not None
    assert last.size == 300


async def test_a_hole_is_not_signed_over(kept: Kept) -> None:
    await kept.append(arrivals(20))
    await kept.database["entries"].delete_one({"_id": 7})
    async with signing(kept.signer()) as signer:
        await refused(signer, "entry-missing")
        assert next(line for line in kept.logged if line["log_level"] == "error")["entry"] == 7
    assert await kept.checkpoints.latest() is None


async def test_a_checkpoint_that_is_taken_away_is_not_signed_anew(kept: Kept) -> None:
    """With other entries in the place of those it covered, there would be two roots of one size."""
    events = arrivals(60)
    async with signing(kept.signer()) as signer:
        await kept.append(events[:20])
        await kept.signed(20)
        await kept.append(events[20:40])
        await kept.signed(40)
        await kept.database["checkpoints"].delete_one({"_id": 40})
        await kept.append(events[40:])
        await refused(signer, "checkpoint-missing-or-changed")
        await toy.eventually(lambda: has_reason(signer, "checkpoint-missing"))
        await asyncio.sleep(0.5)
    last = await kept.checkpoints.latest()
    assert last is not None
    assert last.size == 20


async def has_reason(signer: module.Signer, reason: str | None) -> bool:
    return signer.refusal == reason


async def test_another_checkpoint_of_the_same_size_is_found(kept: Kept) -> None:
    """Put there by hand, and signed with the stolen key, over other entries."""
    await kept.append(arrivals(20))
    other = type(await kept.log())([b"x"] * 20, KEY.private, ORIGIN)
    tree = other.edge(20)[0].tree
    frontier = [Binary(node) for node in tree.frontier]
    forged = {"_id": 20, "note": other.checkpoint(20).decode(), "frontier": frontier, "at": toy.now(), "cosignatures": []}
    await kept.database["checkpoints"].insert_one(forged)
    async with signing(kept.signer()) as signer:
        await refused(signer, "entries-do-not-give-the-checkpoint")


async def test_another_key_signs_nothing_on_top(kept: Kept, another: Callable[[], Kept]) -> None:
    await kept.append(arrivals(10))
    await kept.sign()
    for key in (LogKey.of_seed(ORIGIN, b"t" * 32), LogKey.of_seed("other.example/ledger", b"s" * 32)):
        async with signing(another().signer(key)) as signer:
            await refused(signer, "checkpoint-not-signed-by-the-log")


async def test_once_what_was_changed_is_put_back_signing_goes_on(kept: Kept, another: Callable[[], Kept]) -> None:
    events = arrivals(50)
    await kept.append(events[:30])
    await kept.sign()
    taken = await kept.database["entries"].find_one_and_delete({"_id": 29})
    after = another()
    async with signing(after.signer()) as signer:
        await refused(signer, "entry-missing")
        assert taken is not None
        await kept.database["entries"].insert_one(taken)
        await after.append(events[30:])
        await after.signed(50)
        # Said once the checkpoint is durable, which may have been seen first.
        await toy.eventually(lambda: has_reason(signer, None))
    assert b'kapcare_ledger_refused{service="audit"} 0.0' in after.metrics.text()
    await everything_signed_holds(after)

"""One behaviour suite for whatever holds the case keys (`shared.vault.port.Vault`); today that is MongoDB.

Expectations: a key stays the same until it is destroyed, is another for each case, and never comes back (design, section 6).
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from pymongo import AsyncMongoClient

from shared.vault.mongo import REMEMBERED_SECONDS, MongoVault
from shared.vault.port import KeyMissing, Unsealable, Vault

MakeVault = Callable[..., Vault]
PLACE = b"urn:kapcare:intake|type|case|id"


@pytest_asyncio.fixture(params=["mongo"])
async def make(request: pytest.FixtureRequest, mongo_url: str, database: str) -> AsyncIterator[MakeVault]:
    """Makes vaults over one store, as several service processes have them."""
    client: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(mongo_url, w="majority", readConcernLevel="majority") as client:
        yield lambda master=b"m" * 32: MongoVault(client[database]["keys"], master)


async def test_a_key_stays_the_same_for_everybody(make: MakeVault) -> None:
    made = await make().create("case-1", "riverside")
    sealed = made.seal(b"plain", PLACE)
    vault = make()
    assert (await vault.create("case-1", "riverside")).open(sealed, PLACE) == b"plain"
    assert (await vault.keys(["case-1"]))["case-1"].open(sealed, PLACE) == b"plain"
    assert (await make().keys(["case-1"]))["case-1"].open(sealed, PLACE) == b"plain"


async def test_made_by_many_at_once_it_is_one_key(make: MakeVault) -> None:
    keys = await asyncio.gather(*(make().create("case-1", "riverside") for _ in range(12)))
    sealed = keys[0].seal(b"plain", PLACE)
    assert [key.open(sealed, PLACE) for key in keys] == [b"plain"] * 12


async def test_each_case_has_its_own_key_and_each_seal_its_own_bytes(make: MakeVault) -> None:
    vault = make()
    one, two = await vault.create("case-1", "riverside"), await vault.create("case-2", "riverside")
    sealed = one.seal(b"plain", PLACE)
    assert one.seal(b"plain", PLACE) != sealed
    assert b"plain" not in sealed
    with pytest.raises(Unsealable):
        two.open(sealed, PLACE)


async def test_sealed_bytes_open_in_their_place_alone_and_unaltered(make: MakeVault) -> None:
    key = await make().create("case-1", "riverside")
    sealed = key.seal(b"plain", PLACE)
    for elsewhere in (b"", PLACE + b"x", PLACE[:-1], PLACE.replace(b"case", b"cash")):
        with pytest.raises(Unsealable):
            key.open(sealed, elsewhere)
    for bit in range(len(sealed) * 8):
        altered = bytearray(sealed)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Unsealable):
            key.open(bytes(altered), PLACE)
    for length in range(len(sealed)):
        with pytest.raises(Unsealable):
            key.open(sealed[:length], PLACE)


async def test_keys_that_never_were_are_not_made_by_asking(make: MakeVault) -> None:
    vault = make()
    await vault.create("case-1", "riverside")
    assert set(await vault.keys(["case-1", "case-2", "case-2"])) == {"case-1"}
    assert await vault.keys([]) == {}
    assert set(await make().keys(["case-2"])) == set()


async def test_a_destroyed_key_is_gone_and_never_comes_back(make: MakeVault) -> None:
    vault, other = make(), make()
    await vault.create("case-1", "riverside")
    await vault.create("case-2", "riverside")
    await vault.destroy("case-1")
    await vault.destroy("case-1")  # again: the same
    await vault.destroy("case-never")
    for one in (vault, other):
        assert set(await one.keys(["case-1", "case-2"])) == {"case-2"}
        for stream in ("case-1", "case-never"):
            with pytest.raises(KeyMissing):
                await one.create(stream, "riverside")
    assert set(await make().keys(["case-1", "case-never"])) == set()


async def test_another_process_forgets_a_destroyed_key_within_a_minute(make: MakeVault, monkeypatch: pytest.MonkeyPatch) -> None:
    vault, other = make(), make()
    await vault.create("case-1", "riverside")
    assert set(await other.keys(["case-1"])) == {"case-1"}
    await vault.destroy("case-1")
    assert REMEMBERED_SECONDS <= 60
    monkeypatch.setattr("shared.vault.mongo.REMEMBERED_SECONDS", 0.0)
    assert set(await other.keys(["case-1"])) == set()


async def test_what_is_stored_is_wrapped_and_of_no_use_under_another_master_key(make: MakeVault, mongo_url: str, database: str) -> None:
    key = await make().create("case-1", "riverside")
    sealed = key.seal(b"plain", PLACE)
    assert set(await make(b"x" * 32).keys(["case-1"])) == set()
    client: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(mongo_url) as client:
        keys: Any = client[database]["keys"]
        stored = await keys.find_one({"_id": "case-1"})
    assert stored is not None
    assert set(stored) == {"_id", "clinic", "wrapped"}
    assert len(stored["wrapped"]) == 12 + 32 + 16  # nonce, key, tag
    assert key.open(sealed, PLACE) == b"plain"


async def test_a_key_moved_to_another_case_or_clinic_is_no_key(make: MakeVault, mongo_url: str, database: str) -> None:
    vault = make()
    for stream in ("case-1", "case-2", "case-3"):
        await vault.create(stream, "riverside")
    client: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(mongo_url) as client:
        keys: Any = client[database]["keys"]
        moved = await keys.find_one({"_id": "case-1"})
        assert moved is not None
        await keys.update_one({"_id": "case-2"}, {"$set": {"wrapped": moved["wrapped"]}})
        await keys.update_one({"_id": "case-1"}, {"$set": {"clinic": "hillside"}})
    assert set(await make().keys(["case-1", "case-2", "case-3"])) == {"case-3"}

"""The ledger on the wire: what services publish becomes entries, and a ledger that was dropped is filled again from their commits."""

from typing import Any

from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from services.audit.app import build
from services.audit.domain.entry import read_entry
from tests import toy
from tests.faults.injected import events_of
from tests.integration.frame.served import served
from tests.integration.ledger.kept import ORIGIN, Kept, everything_signed_holds
from tests.integration.ledger.served import SEED


async def test_a_dropped_ledger_is_filled_again_from_the_commits(mongo_url: str, kafka_bootstrap: str) -> None:
    given: dict[str, Any] = {"ledger_origin": ORIGIN, "ledger_signing_key": SEED}
    client: AsyncMongoClient[dict[str, Any]]
    async with (
        toy.stage_on(mongo_url, kafka_bootstrap, **given) as stage,
        AsyncMongoClient(mongo_url, w="majority", journal=True, readConcernLevel="majority", tz_aware=True) as client,
        toy.relaying(stage.intake) as relay,
    ):
        database: AsyncDatabase[dict[str, Any]] = client[f"{stage.settings.database_prefix}_audit"]
        cases = [await stage.case("one", "two", "three") for _ in range(4)]
        with toy.untold():
            async with served(build(stage.settings)):
                await Kept(database).signed(16)
        await everything_signed_holds(Kept(database))
        await client.drop_database(database.name)
        more = await stage.case("four")
        with toy.untold():
            async with served(build(stage.settings.model_copy(update={"ledger_origin": "test.example/ledger-2"}))):
                await toy.eventually(lambda: is_caught_up(relay))
                relay.refill()
                await toy.eventually(lambda: has(database, 18))
                last = await Kept(database).signed(18)
        assert last.note.startswith("test.example/ledger-2\n18\n")
        found = [read_entry(entry) for entry in await Kept(database).entries()]
        for case in (*cases, more):
            own = [entry for entry in found if entry.headers["ce_subject"] == case]
            assert [(entry.headers, entry.data) for entry in own] == [
                (dict(e.headers), e.data) for e in await events_of(stage.intake, case)
            ]


async def is_caught_up(relay: Any) -> bool:
    return bool(relay.caught_up)


async def has(database: Any, count: int) -> bool:
    return bool(await database["entries"].count_documents({}) == count)

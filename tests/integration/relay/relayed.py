"""What the relay published, and how far it says that it has come."""

from collections import defaultdict
from typing import Any

from tests import toy
from tests.faults.injected import read_topic


async def published(stage: toy.Stage) -> dict[str, list[int]]:
    """The sequences in the topic, by stream, in the order of the wire."""
    found: dict[str, list[int]] = defaultdict(list)
    for record in await read_topic(stage.settings.kafka_bootstrap, stage.topic):
        found[record.key.decode()].append(int(dict(record.headers)["ce_sequence"]))
    return found


def first_times(sequences: list[int]) -> list[int]:
    return list(dict.fromkeys(sequences))


async def until_published(stage: toy.Stage, cases: dict[str, int], seconds: float = 30.0) -> dict[str, list[int]]:
    """Wait until each case's events 1..n are in the topic; they must be there in order, at first sight."""

    async def reached() -> Any:
        found = await published(stage)
        return found if all(len(set(found.get(case, []))) >= count for case, count in cases.items()) else None

    found: dict[str, list[int]] = await toy.eventually(reached, seconds, every=0.2)
    for case, count in cases.items():
        assert first_times(found[case]) == list(range(1, count + 1))
    return found


async def lease_of(stage: toy.Stage) -> Any:
    return await stage.intake.database["leases"].find_one({"_id": "relay"})


async def until_place_saved(stage: toy.Stage) -> Any:
    async def saved() -> Any:
        lease = await lease_of(stage)
        return lease if lease and lease["place"].get("token") and lease["place"]["acknowledged"] else None

    return await toy.eventually(saved)


async def leads(relay: Any) -> bool:
    return bool(relay.caught_up)

"""What waits, health, and failure, as a caller sees them."""

import asyncio

import pytest

from shared.service.runtime import Background, Extension
from tests import toy
from tests.faults.injected import commits_of, failing
from tests.integration.frame.served import (
    CANARY,
    Client,
    Keys,
    client_of,
    settings_of,
    token,
)


async def test_while_an_event_is_parked_nothing_is_disclosed_and_facts_go_on(client: Client) -> None:
    case = await client.case()
    done = await client.post(f"/cases/{case}/disclosures", {"code": "before"}, idempotency_key="before")
    assert done.status == 200
    parked = client.runtime.database["parked"]
    row = {"lane": f"x|{case}", "source": "x", "stream": case, "sequence": 1, "state": "parked", "type": "t", "reason": "r", "attempts": 1}
    await parked.insert_one({"_id": "x/1", **row, "seen_at": toy.now()})
    refused = await client.post(f"/cases/{case}/disclosures", {"code": "after"})
    assert (refused.status, refused.slug) == (409, "inbox-waits")
    assert (await client.get(f"/cases/{case}/disclosed")).status == 409
    again = await client.post(f"/cases/{case}/disclosures", {"code": "before"}, idempotency_key="before")
    assert (again.status, again.body) == (200, done.body)  # what was done stays done
    assert (await client.post(f"/cases/{case}/facts", {"code": "fact"})).status == 200
    await parked.update_one({"_id": "x/1"}, {"$set": {"state": "discarded"}})
    assert (await client.post(f"/cases/{case}/disclosures", {"code": "after"})).status == 200


async def test_operations_are_the_operators_and_discards_want_a_reason(client: Client) -> None:
    admin = f"Bearer {token(client.keys, roles=['admin'])}"
    assert (await client.get("/operations/parked")).status == 403
    assert (await client.get("/operations/parked", authorization=admin)).json() == {"parked": []}
    missing = await client.post("/operations/parked/urn:kapcare:intake/none.0/discard", {"reason": "x"}, authorization=admin)
    assert (missing.status, missing.slug) == (409, "not-parked")
    assert (await client.post("/operations/parked/a/b/discard", {}, authorization=admin)).status == 422
    row = {"lane": "y|case-y", "source": "y", "stream": "case-y", "sequence": 1, "state": "parked", "type": "t", "reason": "r"}
    await client.runtime.database["parked"].insert_one({"_id": "y/1.0", **row, "attempts": 1, "seen_at": toy.now(), "data": b"sealed"})
    listed = (await client.get("/operations/parked", authorization=admin)).json()["parked"]
    assert [(item["id"], item["reason"]) for item in listed] == [("y/1.0", "r")]
    assert "data" not in listed[0]
    assert (await client.post("/operations/parked/y/1.0/discard", {"reason": "a test"}, authorization=admin)).status == 200
    assert (await client.post("/operations/care-clock", {"to": "2030-01-01T00:00:00Z"}, authorization=admin)).status == 404


async def test_heads_and_progress(client: Client) -> None:
    case = await client.case()
    await client.post(f"/cases/{case}/facts", {"code": "one"})
    auditor = f"Bearer {token(client.keys, roles=['auditor'])}"
    heads = (await client.get("/operations/heads", authorization=auditor)).json()
    assert heads["heads"][case] == 2
    progress = (await client.get("/operations/progress", authorization=auditor)).json()
    assert progress["service"] == "intake"
    assert progress["committed"] == sum(last for stream, last in heads["heads"].items() if not stream.startswith("access-"))
    assert any(stream.startswith("access-") for stream in heads["heads"])


async def test_health_and_metrics(client: Client) -> None:
    assert (await client.get("/health/live", authorization=None)).json() == {"live": True}
    assert (await client.get("/health/ready", authorization=None)).json() == {"ready": True}
    metrics = await client.get("/metrics", authorization=None)
    assert metrics.headers["content-type"].startswith("text/plain")
    assert b"kapcare_published_events_total" in metrics.body
    assert b"case-" not in metrics.body


async def test_the_document_says_what_commands_take(client: Client) -> None:
    document = (await client.get("/openapi.json", authorization=None)).json()
    operation = document["paths"]["/cases/{case}/facts"]["post"]
    assert {parameter["name"] for parameter in operation["parameters"]} == {"case", "Idempotency-Key", "If-Match"}
    reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    assert document["components"]["schemas"][reference]["additionalProperties"] is False


async def test_a_store_that_is_down_is_a_503_with_retry_and_the_same_key_works_later(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.log.store.RESEND_SECONDS", 0.5)
    case = await client.case()
    async with failing(client.runtime, ["insert"], errorCode=189):
        answer = await client.post(f"/cases/{case}/facts", {"code": "one"}, idempotency_key="later")
    assert (answer.status, answer.slug, answer.headers["retry-after"]) == (503, "store-unavailable", "1")
    assert (await client.post(f"/cases/{case}/facts", {"code": "one"}, idempotency_key="later")).status == 200
    assert len(await commits_of(client.runtime, case)) == 2


async def test_a_background_task_that_dies_makes_the_service_unready_and_end(
    mongo_url: str, kafka_bootstrap: str, keys: tuple[Keys, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    signals: list[tuple[int, int]] = []
    monkeypatch.setattr("shared.service.tasks.os.kill", lambda process, signal: signals.append((process, signal)))
    die = asyncio.Event()

    async def dying() -> None:
        await die.wait()
        raise OSError(CANARY)

    extension = Extension(tasks={"dying": Background(dying)})
    async with client_of(settings_of(mongo_url, kafka_bootstrap, keys[1]), keys[0], extension) as client:
        assert (await client.get("/health/ready", authorization=None)).status == 200
        die.set()
        await asyncio.sleep(0.1)
        unready = await client.get("/health/ready", authorization=None)
        assert (unready.status, unready.slug) == (503, "task-ended")
        assert CANARY.encode() not in unready.body
        assert (await client.get("/health/live", authorization=None)).status == 200
        assert len(signals) == 1
        assert signals[0][1] == 15  # SIGTERM, to this process

"""The log of deliveries as an admin reads it: by sequence, page by page, and narrowed by what it knows alone."""

import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from bson import Binary

from shared.clock import system_now
from tests.integration.partner.desk import Desk
from tests.integration.partner_clinic import Clinic

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
"""The development issuer signs with EdDSA, which newer texts call Ed25519."""


def row(partner: str, endpoint: str, sequence: int, state: str, stream: str = "case-" + "a" * 32) -> dict[str, Any]:
    """A row as the delivery log keeps it."""
    now = system_now()
    return {
        "_id": f"{partner}/{endpoint}/{uuid.uuid4().hex}.0",
        "endpoint": f"{partner}/{endpoint}",
        "partner": partner,
        "stream": stream,
        "sequence": sequence,
        "type": "kapcare.review.assigned",
        "webhook_id": f"{uuid.uuid4().hex}-0",
        "body": Binary(b'{"type":"kapcare.review.assigned"}'),
        "state": state,
        "attempts": 1,
        "tries": [{"at": now, "outcome": 503, "seconds": 0.25}],
        "created_at": now,
        "next_at": now + timedelta(seconds=5),
        "settled_at": None,
    }


async def test_the_delivery_log_by_sequence_and_page_by_page(clinic: Clinic, desk: Desk) -> None:
    rows = [row(desk.slug, "main", sequence, "dead" if sequence % 3 == 0 else "done") for sequence in range(12, 0, -1)]
    rows += [row(desk.slug, "backup", sequence, "due", f"partner-{desk.slug}") for sequence in (1, 2)]
    rows += [row(f"{desk.slug}-2", "main", 1, "due"), row(f"{desk.slug}0", "main", 1, "due")]
    await clinic.prescriber.database["endpoint_deliveries"].insert_many(rows)

    async def log(**narrowed: Any) -> list[tuple[str, int]]:
        found, after = [], None
        while True:
            query = "&".join(f"{name}={value}" for name, value in {**narrowed, "after": after}.items() if value is not None)
            page = await desk.get(f"/deliveries?{query}")
            assert len(page["deliveries"]) <= narrowed.get("limit", 100)
            found += [(one["endpoint"], one["sequence"]) for one in page["deliveries"]]
            after = page["next"]
            if after is None:
                return found

    main, backup = [("main", sequence) for sequence in range(1, 13)], [("backup", 1), ("backup", 2)]
    assert await log(endpoint="main") == await log(endpoint="main", limit=5) == await log(endpoint="main", limit=12) == main
    assert await log() == await log(limit=1) == await log(limit=3) == await log(limit=200) == [*backup, *main]
    assert await log(endpoint="main", state="dead", limit=2) == [("main", 3), ("main", 6), ("main", 9), ("main", 12)]
    assert await log(state="due") == backup
    assert await log(endpoint="nowhere") == []

    shown = (await desk.get("/deliveries?endpoint=main&after=11"))["deliveries"][0]
    kept = rows[0]
    assert (shown["webhook_id"], shown["type"], shown["case"]) == (kept["webhook_id"], kept["type"], kept["stream"])
    assert (shown["state"], shown["attempts"]) == ("dead", 1)
    assert shown["tries"][0]["outcome"] == 503
    assert datetime.fromisoformat(shown["next_at"]) - kept["next_at"] < timedelta(milliseconds=1)
    assert "body" not in shown
    assert (await desk.get("/deliveries?endpoint=backup"))["deliveries"][0]["case"] is None


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=201", "limit=x", "limit=-1", "limit=9999999", "state=withheld", "state[$ne]=x", "endpoint=A", "endpoint[$gt]=",
        "after=x", "after=1", "after=main/x", "endpoint=main&after=-1", "endpoint=main&after=main/1", "endpoint=main&after=" + "9" * 30,
        "page=2",
    ],
)  # fmt: skip
async def test_b19_b31_what_does_not_narrow_the_log(desk: Desk, query: str) -> None:
    problem = await desk.get(f"/deliveries?{query}", status=422)
    assert set(problem) >= {"type", "title", "status", "detail"}


async def test_parameters_that_are_not_known(clinic: Clinic, desk: Desk) -> None:
    await desk.get("?secrets=true", status=422)
    assert (await clinic.get("/partners?status=active", "admin"))[0] == 422

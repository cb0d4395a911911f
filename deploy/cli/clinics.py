"""Which clinics a case has belonged to: only a token of its present clinic may read it, and the ledger says in clear which there were."""

from pathlib import Path

from deploy.cli.service_calls import calls_as
from deploy.local.failure import StackError


async def clinics_of(case: str, data: Path) -> list[str]:
    """Return the clinics of a case, in the order it came to them; raise StackError for a case that the ledger does not know.

    A transferred case moves to its new clinic in each service at its own moment, so all of them are needed.
    """
    found: dict[str, None] = {}
    query = {"case": case, "limit": "500"}
    async with calls_as("auditor", data) as calls:
        while True:
            page = await calls.get("audit", "/ledger/events", query)
            found |= dict.fromkeys(event["clinic"] for event in page["events"])
            if page["next"] is None:
                break
            query = {**query, "cursor": str(page["next"])}
    if not found:
        raise StackError("the ledger knows no event of this case")
    return list(found)

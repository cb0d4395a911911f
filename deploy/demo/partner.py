"""The demo's prescriber organisation, in a process of its own: `python -m deploy.demo.partner FOLDER`.

It shares nothing with the network but the protocol: it verifies webhooks with the `standardwebhooks` package, asks for
the review with its own token, decides by rules of its own, and answers with a webhook signed by its own ed25519 key.
"""

import argparse
import asyncio
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp import web

from deploy.partner_kit.behaviours import Behaviour
from deploy.partner_kit.desk import Desk
from deploy.partner_kit.identity import Identity
from deploy.partner_kit.judgement import decide
from deploy.partner_kit.network import Network
from deploy.partner_kit.office import Office
from deploy.partner_kit.serving import serving

SLUG: Final = "north-ketamine-medical"
NAME: Final = "North Ketamine Medical Group"
PRESCRIBER: Final = "np-11"
MISLAID_ONE_IN: Final = 16
PLAN_DAYS: Final = 120
"""So that a patient who comes back late is still within the plan: this network adopts a policy that lets an approval hold longer."""


def judge(review: Mapping[str, Any], asked_at: str) -> dict[str, Any] | None:
    """Decide, but leave a mislaid review lying."""
    return None if is_mislaid(review) else decide(review, asked_at, PLAN_DAYS)


def is_mislaid(review: Mapping[str, Any]) -> bool:
    """Now and then a first request is left lying, and the network gives it to another; the same one each time."""
    if review["request"] > 1:
        return False
    scores = sorted((score["instrument"], score["total"]) for score in review["summary"]["scores"])
    facts = json.dumps([review["summary"]["age"], str(review["summary"]["weight_kg"]), scores])
    return int.from_bytes(hashlib.sha256(facts.encode()).digest()[:4]) % MISLAID_ONE_IN == 0


async def run(folder: Path) -> None:
    """Serve and work, for ever."""
    identity = Identity.kept_in(folder, SLUG, NAME)
    where = json.loads((folder / "network.json").read_text())
    desk = Desk(folder / "desk.sqlite")
    # It goes by assignments alone, so that what it does never depends on which of two messages came first.
    behaviour = Behaviour("demo", "mislays a review now and then", "gives it to another organisation", judge=judge, heeds=False)
    office = Office(identity, desk, behaviour, PRESCRIBER)

    async def show_status(_request: web.Request) -> web.Response:
        return web.json_response(desk.status())

    app = web.Application()
    app.add_routes([web.post("/webhooks", office.answer), web.get("/status", show_status)])
    async with serving(app, identity.port), aiohttp.ClientSession() as session:
        await office.run(Network(session, where["prescriber_url"], SLUG, lambda: where["token"]))


def main() -> None:
    """Run the organisation's office."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    asyncio.run(run(parser.parse_args().folder))


if __name__ == "__main__":
    main()

"""Run one partner organisation against the local stack that is up: it registers itself, and says what happens."""

import asyncio
import uuid
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import web

from deploy.local.data import DataDirectory
from deploy.local.failure import StackError
from deploy.local.issuer import Issuer
from deploy.local.running import RunningStack
from deploy.partner_kit.behaviours import Behaviour
from deploy.partner_kit.desk import Desk
from deploy.partner_kit.identity import Identity
from deploy.partner_kit.kept_checkpoint import KeptCheckpoint
from deploy.partner_kit.network import Network, Reply
from deploy.partner_kit.office import Office, Say
from deploy.partner_kit.serving import serving

PRESCRIBER: Final = "dr-1"
TOKEN_LIFETIME: Final = timedelta(hours=1)


async def simulate(behaviour: Behaviour, slug: str, port: int | None, data: Path, say: Say, *, once: bool) -> bool:
    """Be this partner until cancelled, or `once` until a review was dealt with; False if the network did what it should not."""
    directory = DataDirectory(data)
    url = RunningStack.found_in(directory).url("prescriber")
    issuer = Issuer.kept_at(directory.issuer)
    folder = directory.root / "partners" / slug
    is_new = not (folder / "identity.json").exists()
    identity = Identity.kept_in(folder, slug, f"{slug} (simulated)", port)
    if port not in {None, identity.port}:
        raise StackError(f"{slug} is registered at port {identity.port}: leave --port out, or choose another --slug")

    async with aiohttp.ClientSession() as session:
        known = await register(session, url, identity, issuer.mint("kap-admin", ["admin"], lifetime=TOKEN_LIFETIME))
        if known and is_new:
            raise StackError(f"{slug} is registered already, with keys that are not here: choose another --slug")
        say(f"{slug} {'was' if known else 'is now'} registered, and serves {identity.url}/webhooks; {behaviour.name}: {behaviour.does}")
        token = lambda: issuer.mint(PRESCRIBER, ["partner"], organisation=slug, lifetime=TOKEN_LIFETIME)  # noqa: E731
        desk = Desk(folder / "desk.sqlite")
        office = Office(identity, desk, behaviour, PRESCRIBER, say, KeptCheckpoint(folder / "checkpoint"))
        await be(office, identity, Network(session, url, slug, token), once=once)
        return office.surprises == 0


async def register(session: aiohttp.ClientSession, url: str, identity: Identity, admin_token: str) -> bool:
    """Register the organisation as an administrator; True if it was registered before, and its endpoint resumed if it had to be."""

    async def ask(path: str, body: Mapping[str, str]) -> Reply:
        headers = {"Authorization": f"Bearer {admin_token}", "Idempotency-Key": uuid.uuid4().hex}
        async with session.post(f"{url}{path}", json=dict(body), headers=headers) as response:
            return Reply(response.status, await response.json(content_type=None))

    reply = await ask("/partners", identity.registration())
    if reply.problem == "partner-exists":
        # Refused where it is not disabled, which is what is wanted.
        await ask(f"/partners/{identity.slug}/endpoints/resume", {"endpoint": "main"})
        return True
    if reply.problem:
        raise StackError(f"{identity.slug} cannot be registered: {reply.content.get('detail', reply.status)}")
    return False


async def be(office: Office, identity: Identity, network: Network, *, once: bool) -> None:
    """Serve and work, for ever, or `once` until a review was dealt with."""
    app = web.Application()
    app.add_routes([web.post("/webhooks", office.answer), web.post("/elsewhere", office.note_that_a_redirect_was_followed)])
    async with serving(app, identity.port):
        work = asyncio.create_task(office.run(network))
        end = asyncio.create_task(office.brought_to_an_end.wait())
        try:
            await asyncio.wait({work, end} if once else {work}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
        finally:
            work.cancel()
            end.cancel()
            await asyncio.gather(work, end, return_exceptions=True)

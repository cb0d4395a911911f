"""The partner organisation as a child process, and what can be asked of it from outside."""

import asyncio
import base64
import os
import secrets
import sys
import time
from pathlib import Path
from typing import Any, Final

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploy.demo.calls import TOKEN_LIFETIME
from deploy.demo.partner import SLUG
from deploy.local.children import Child, start_child, until_ready
from deploy.local.data import ROOT, DataDirectory
from deploy.local.failure import StackError
from deploy.local.issuer import Issuer
from deploy.local.ports import free_port
from deploy.local.private import kept, replace
from deploy.local.running import RunningStack

READY_PATIENCE: Final = 30.0
AWAY_PATIENCE: Final = 120.0
"""How long the office may be away before the demo gives up."""


class PartnerOffice:
    """Starts and stops the organisation's process; its identity and records are in a folder of their own."""

    slug = SLUG

    def __init__(self, data: DataDirectory, session: aiohttp.ClientSession) -> None:
        self._data = data
        self._folder: Path = data.root / "partner"
        self._session = session
        self._identity = kept(self._folder / "identity.json", _new_identity)
        self._child: Child | None = None

    async def start(self) -> None:
        """Start the process, with an access token of its own and where the network answers now."""
        network = RunningStack.found_in(self._data).url("prescriber")
        token = Issuer.kept_at(self._data.issuer).mint("np-11", ["partner"], organisation=SLUG, lifetime=TOKEN_LIFETIME)
        replace(self._folder / "network.json", {"prescriber_url": network, "token": token})
        command = [sys.executable, "-P", "-m", "deploy.demo.partner", str(self._folder)]
        self._child = await start_child("partner", command, self._data.log("partner"), {**os.environ, "PYTHONPATH": str(ROOT)}, ROOT)
        await until_ready(self._child, self._answers, READY_PATIENCE)

    async def stop(self) -> None:
        """End the process."""
        if self._child is not None:
            await self._child.stop()

    async def kill(self) -> None:
        """End the process with SIGKILL."""
        if self._child is not None:
            await self._child.kill()

    def registration(self) -> dict[str, str]:
        """What the organisation registers with."""
        private = Ed25519PrivateKey.from_private_bytes(base64.b64decode(self._identity["signing_seed"]))
        public = base64.b64encode(private.public_key().public_bytes_raw()).decode()
        return {
            "slug": SLUG,
            "name": "North Ketamine Medical Group",
            "webhook_url": f"{self._url}/webhooks",
            "webhook_secret": self._identity["webhook_secret"],
            "decision_key": f"whpk_{public}",
        }

    async def status(self) -> dict[str, Any]:
        """How much is in hand; while the process is away, it is asked again."""
        deadline = time.monotonic() + AWAY_PATIENCE
        while True:
            try:
                async with self._session.get(f"{self._url}/status") as answer:
                    status: dict[str, Any] = await answer.json()
                    return status
            except (aiohttp.ClientError, TimeoutError):
                if time.monotonic() > deadline:
                    raise StackError(f"the partner organisation did not answer within {AWAY_PATIENCE:.0f} s") from None
                await asyncio.sleep(0.1)

    @property
    def _url(self) -> str:
        return f"http://127.0.0.1:{self._identity['port']}"

    async def _answers(self) -> bool:
        try:
            async with self._session.get(f"{self._url}/status") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False


def _new_identity() -> dict[str, Any]:
    """The port, the shared webhook secret and the private signing key."""
    return {
        "port": free_port(),
        "webhook_secret": f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}",
        "signing_seed": base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode(),
    }

"""The partner organisation as a child process, and what can be asked of it from outside."""

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp

from deploy.demo.calls import TOKEN_LIFETIME
from deploy.demo.partner import NAME, PRESCRIBER, SLUG
from deploy.local.children import Child, start_child, until_ready
from deploy.local.data import ROOT, DataDirectory
from deploy.local.failure import StackError
from deploy.local.issuer import Issuer
from deploy.local.private import replace
from deploy.local.running import RunningStack
from deploy.partner_kit.identity import Identity

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
        self._identity = Identity.kept_in(self._folder, SLUG, NAME)
        self._child: Child | None = None

    async def start(self) -> None:
        """Start the process, with an access token of its own and where the network answers now."""
        network = RunningStack.found_in(self._data).url("prescriber")
        token = Issuer.kept_at(self._data.issuer).mint(PRESCRIBER, ["partner"], organisation=SLUG, lifetime=TOKEN_LIFETIME)
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

    def registration(self) -> Mapping[str, str]:
        """What the organisation registers with."""
        return self._identity.registration()

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
        return self._identity.url

    async def _answers(self) -> bool:
        try:
            async with self._session.get(f"{self._url}/status") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

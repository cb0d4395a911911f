"""Fetch the ledger's newest checkpoint, which goes along in heartbeats: so each partner holds what the ledger said of itself.

A ledger that shows one history to some and another to others, or takes back what it showed, is found out by any two who kept
their checkpoints. Nothing that goes wrong here holds up a delivery.
"""

import asyncio
from typing import Any, Final, Literal

import aiohttp
from pymongo.errors import DuplicateKeyError, PyMongoError

from services.prescriber.domain.partners.checkpoint import Checkpoint, NoCheckpoint, Progress
from shared.log.store import is_transient
from shared.service.runtime import Runtime
from shared.transport.ending import asked_to_end

PATH: Final = "/ledger/tlog/checkpoint"
ANSWER_LIMIT_BYTES: Final = 8_192
PATIENCE: Final = aiohttp.ClientTimeout(total=5, connect=2)
AGAIN_SECONDS: Final = 5.0
"""The pause after a failure, where heartbeats are not more frequent anyway."""


class LedgerCheckpoint:
    """The newest checkpoint that is known of the ledger. The largest one is stored, so that no instance and no restart falls behind it."""

    def __init__(self, runtime: Runtime, audit_url: str, patience: aiohttp.ClientTimeout = PATIENCE) -> None:
        self._runtime = runtime
        self._url = audit_url.rstrip("/") + PATH
        self._patience = patience
        self._rows = runtime.database["ledger_checkpoint"]
        self._newest: Checkpoint | None = None
        self._said: str | None = None
        """Why none was had the last time, so that the log says it once."""

    @property
    def newest(self) -> str | None:
        """Return the signed note; None while none is known."""
        return None if self._newest is None else self._newest.note

    async def run(self) -> None:
        """Fetch as often as an idle endpoint gets a heartbeat, until cancelled."""
        every = self._runtime.settings.webhook_heartbeat_seconds
        async with aiohttp.ClientSession(
            timeout=self._patience,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            headers={"User-Agent": "kapcare", "Accept-Encoding": "identity"},
        ) as session:
            while not asked_to_end():
                goes_on = await self._hear(session)
                await asyncio.sleep(every if goes_on else min(every, AGAIN_SECONDS))

    async def _hear(self, session: aiohttp.ClientSession) -> bool:
        """Fetch once, and count what became of it; True if a checkpoint came that goes on from what is known."""
        try:
            found = Checkpoint.read(await self._fetch(session))
            progress = await self._keep(found)
        except NoCheckpoint as reason:
            return self._failed(str(reason))
        except (aiohttp.ClientError, OSError) as error:
            return self._failed(type(error).__name__)
        except PyMongoError as error:
            if not is_transient(error):
                raise
            return self._failed(type(error).__name__)
        self._said = None
        self._runtime.metrics.checkpoint_heard(progress)
        if progress in ("backwards", "forked"):
            self._runtime.log.error("the ledger contradicts what it signed before", how=progress, size=found.size)
            return False
        return True

    def _failed(self, why: str) -> Literal[False]:
        self._runtime.metrics.checkpoint_heard("failed")
        if why != self._said:
            self._said = why
            self._runtime.log.warning("no checkpoint of the ledger is had", because=why)
        return False

    async def _fetch(self, session: aiohttp.ClientSession) -> bytes:
        async with session.get(self._url, allow_redirects=False) as response:
            if response.status != 200:
                raise NoCheckpoint(f"it was answered with {response.status}")
            content = b""
            while len(content) <= ANSWER_LIMIT_BYTES and (chunk := await response.content.read(ANSWER_LIMIT_BYTES + 1 - len(content))):
                content += chunk
            return content

    async def _keep(self, found: Checkpoint) -> Progress:
        """Store it unless one as large is stored, and tell of the largest from now on."""
        fields = {"size": found.size, "root": found.root, "note": found.note}
        try:
            await self._rows.update_one({"_id": found.origin, "size": {"$lt": found.size}}, {"$set": fields}, upsert=True)
        except DuplicateKeyError:
            kept = _checkpoint(await self._rows.find_one({"_id": found.origin}))
            progress = found.after(kept)
            # Of the same tree the later note may have more signatures.
            self._newest = found if progress == "same" else kept
            return progress
        self._newest = found
        return "newer"


def _checkpoint(stored: dict[str, Any] | None) -> Checkpoint | None:
    return None if stored is None else Checkpoint(stored["_id"], stored["size"], stored["root"], stored["note"])

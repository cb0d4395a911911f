"""The policy in force, in the memory of each process: read off the service's own stream of adoptions, and read again as it grows."""

import asyncio
from collections.abc import Sequence
from typing import Final

from pymongo.errors import PyMongoError

from shared.log.commit import Commit
from shared.log.store import is_transient
from shared.pathway.adoption import STREAM, Adoptions, evolve
from shared.pathway.policy import Book
from shared.service.definition import StreamKind
from shared.service.runtime import Runtime
from shared.vault.port import KeyMissing

POLICY: Final = StreamKind("policy", Adoptions(), evolve)
"""The kind of stream in which every service that decides keeps what was adopted."""
REFRESH_SECONDS: Final = 1.0


class AdoptedPolicies:
    """Keeps a runtime's book of policies at what its service has folded."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._shipped = runtime.policies.documents[0]
        self._version = 0

    async def refresh(self) -> None:
        """Read what was adopted since the last time."""
        try:
            loaded = await self._runtime.load(STREAM)
        except KeyMissing:
            return  # nothing was ever adopted
        if loaded.version != self._version:
            self._runtime.policies = Book(self._shipped, loaded.state.documents)
            self._version = loaded.version

    async def keep_fresh(self) -> None:
        """Refresh each second, for ever: another instance may have taken note."""
        while True:
            try:
                await self.refresh()
            except PyMongoError as error:
                if not is_transient(error):
                    raise
                self._runtime.log.warning("the policy in force waits for the store", because=type(error).__name__)
            await asyncio.sleep(REFRESH_SECONDS)

    async def follow(self, commits: Sequence[Commit]) -> None:
        """Refresh as soon as something was adopted here."""
        if any(commit.stream == STREAM for commit in commits):
            await self.refresh()

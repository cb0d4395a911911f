"""How other processes find a stack that is up."""

import json
from dataclasses import asdict, dataclass, field
from typing import Literal

from deploy.local.data import DataDirectory
from deploy.local.failure import StackError
from deploy.local.private import replace

PORT_BASE = 8100
CareClock = Literal["system", "movable"]
SERVICES = ("intake", "prescriber", "session", "integration", "audit")


@dataclass(frozen=True)
class RunningStack:
    """Where everything of a stack answers."""

    services: dict[str, str]
    mongo: str
    kafka: str
    issuer: str
    jwks: str
    pid: int
    pids: dict[str, int] = field(default_factory=dict)

    def write(self, data: DataDirectory) -> None:
        """Let other processes find it."""
        replace(data.running, asdict(self))

    @classmethod
    def found_in(cls, data: DataDirectory) -> "RunningStack":
        """The stack that is up on this folder."""
        try:
            content = json.loads(data.running.read_text())
        except FileNotFoundError:
            content = None
        # A stack that was killed leaves its file behind, but not its lock.
        if content is None or not data.in_use:
            raise StackError(f"no stack is up on {data.root}: start one with `./kap up`")
        return cls(**content)

    def url(self, service: str) -> str:
        """Where a service answers."""
        if service not in self.services:
            raise StackError(f"there is no service {service}; there are {', '.join(self.services)}")
        return self.services[service]

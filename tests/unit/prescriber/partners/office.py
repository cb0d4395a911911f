"""A partner organisation under its commands: what an admin asks is decided, recorded and folded."""

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any, TypeVar

from pydantic import BaseModel

from services.prescriber.domain.partners.endpoints import AddEndpoint, adding
from services.prescriber.domain.partners.keys import Fresh
from services.prescriber.domain.partners.register import RegisterPartner, registering
from services.prescriber.domain.partners.secrets import RotateSecret, rotating
from services.prescriber.domain.partners.state import Endpoint, Organisation, Partner, Partners, evolve_partner
from shared.events.base import EventData
from shared.events.registry import BY_TYPE
from shared.pathway.context import Context
from shared.service.definition import Decide
from shared.webhooks.signing import PrivateKey
from tests.unit.prescriber.given import NOW, context, nobody

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KEY = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
OTHER_KEY = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
URL = "https://north.example/hooks"
SYSTEM_NOW = NOW - timedelta(days=100)
"""System time, far from care time: what is by one clock must not be by the other."""
Body = TypeVar("Body", bound=BaseModel)


def read(model: type[Body], **values: Any) -> Body:
    """Read a command as the service does: from JSON bytes."""
    return model.model_validate_json(json.dumps(values))


def key_of(seed: int) -> str:
    """A decision key of its own."""
    return str(PrivateKey(seed.to_bytes(32, "big")).public)


@dataclass
class Office:
    """One organisation, told of nothing but its own events, as they are stored."""

    partner: Partner = field(default_factory=Partner)
    at: datetime = SYSTEM_NOW
    others: Partners = nobody
    _random: Any = field(default_factory=lambda: count(1))

    def context(self) -> Context:
        return context(seed=f"http:test/admin/{next(self._random)}")

    def do(self, decide: Decide, command: Any) -> list[EventData]:
        """Decide and fold; the events make the way through storage."""
        events = decide(self.partner, command, self.context())
        for event in events:
            stored = BY_TYPE[event.TYPE].model_validate_json(event.model_dump_json())
            self.partner = evolve_partner(self.partner, stored)
        return events

    def make(self, decide: Decide, asked: Any) -> list[EventData]:
        """Decide on a command that is given fresh random bytes and system time."""
        random = hashlib.sha256(str(next(self._random)).encode()).digest()
        return self.do(decide, Fresh(asked, random, self.at))

    def add(self, endpoint: str, **values: Any) -> list[EventData]:
        return self.make(adding(self.others, allow_loopback=False), read(AddEndpoint, endpoint=endpoint, webhook_url=URL, **values))

    def rotate(self, endpoint: str = "main", **values: Any) -> list[EventData]:
        return self.make(rotating(self.others), read(RotateSecret, endpoint=endpoint, **values))

    @property
    def entry(self) -> Organisation:
        assert self.partner.entry is not None
        return self.partner.entry

    def endpoint(self, slug: str = "main") -> Endpoint:
        found = self.entry.endpoint(slug)
        assert found is not None
        return found

    def signing(self, slug: str = "main") -> tuple[str, ...]:
        """The secrets that sign now."""
        return self.endpoint(slug).secrets_at(self.at)


def registered(**changed: Any) -> Office:
    """An organisation with its endpoint `main`."""
    office = Office()
    values = {"slug": "north", "name": "North", "webhook_url": URL, "webhook_secret": SECRET, "decision_key": KEY, **changed}
    office.do(registering(nobody, allow_loopback=False), read(RegisterPartner, **values))
    return office

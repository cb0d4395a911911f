"""What a decision may know beside state and command: care time, who acts, the policy in force, fresh identifiers."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from shared.events.base import Envelope
from shared.pathway.policy import Policy


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: an opaque identifier and the roles of the access token; a service acts as `service:<name>`."""

    id: str
    roles: frozenset[str] = frozenset()
    organisation: str | None = None
    clinics: frozenset[str] = frozenset()
    """The clinics that the access token names."""


@dataclass(frozen=True, slots=True)
class Context:
    """Everything a pure decision is given; `now` is care time, `seed` is the cause of the decision."""

    now: datetime
    actor: Actor
    policy: Policy
    seed: str
    envelope: Envelope | None = None
    """The envelope of the event reacted to; None for commands and ticks."""
    clinic: str = ""
    """The clinic that the case belongs to."""
    stream: str = ""
    """The stream that is decided on."""
    views: Mapping[str, timedelta] = field(default_factory=dict)
    """How old the view of each service is that the command asks for (`Command.views_of`); one never heard is not in it."""
    recalled_lots: Mapping[str, str] = field(default_factory=dict)
    """The lots whose recall is in force as far as this service knows, each with the id of that recall."""

    @property
    def today(self) -> date:
        """The day it is at the clinic."""
        return self.day_of(self.now)

    def day_of(self, moment: datetime) -> date:
        """Return the day on which a moment lies at the clinic."""
        return moment.astimezone(ZoneInfo(self.policy.time_zone)).date()

    def start_of(self, day: date) -> datetime:
        """Return the moment, in UTC, at which a day begins at the clinic."""
        return datetime.combine(day, time.min, ZoneInfo(self.policy.time_zone)).astimezone(UTC)

    def noon_of(self, day: date) -> datetime:
        """Return the moment, in UTC, at which it is noon of a day at the clinic."""
        return datetime.combine(day, time(12), ZoneInfo(self.policy.time_zone)).astimezone(UTC)

    def new_id(self, prefix: str) -> str:
        """Return an identifier that is the same each time the same cause is decided again."""
        return f"{prefix}-{hashlib.sha256(f'{self.seed}|{prefix}'.encode()).hexdigest()[:16]}"

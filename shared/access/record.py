"""What is recorded of a request: which access event it is, and for which purpose. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from shared.access.decide import Permission, Principal
from shared.events import access
from shared.events.base import EventData

Purpose = Literal["TREAT", "ETREAT", "HOPERAT", "HCOMPL", "HQUALIMP", "HSYSADMIN"]
"""HL7 v3 PurposeOfUse: treatment, emergency treatment, operations, compliance, quality improvement, system administration."""
PURPOSES: Final[tuple[Purpose, ...]] = get_args(Purpose)
EMERGENCY: Final[Purpose] = "ETREAT"
UNKNOWN: Final[Purpose] = "HOPERAT"
"""Of what was refused before it was known what for."""

OTHER_PURPOSES: Final[Mapping[Permission, Purpose]] = {
    Permission.OPEN_EMERGENCY_ACCESS: EMERGENCY,
    Permission.REVIEW_EMERGENCY_ACCESS: "HCOMPL",
    Permission.EXPLAIN: "HQUALIMP",
    Permission.READ_OUTCOMES: "HQUALIMP",
    Permission.READ_NETWORK_OUTCOMES: "HQUALIMP",
    Permission.QUERY_LEDGER: "HCOMPL",
    Permission.READ_PROGRESS: "HSYSADMIN",
    Permission.OPERATE: "HSYSADMIN",
    Permission.MANAGE_PARTNERS: "HSYSADMIN",
    Permission.ADOPT_POLICY: "HOPERAT",
}
"""What a permission is for, where that is not treatment."""

EMERGENCIES: Final = frozenset({Permission.OPEN_EMERGENCY_ACCESS, Permission.REVIEW_EMERGENCY_ACCESS})
UNRECORDED: Final = frozenset({Permission.READ_PROGRESS})
"""Counts of events and the last numbers of streams: asked many times a minute, and about nobody."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A stream that a request is about, as far as the clear shows it."""

    stream: str
    clinic: str
    patient: str


@dataclass(slots=True)
class Asking:
    """What becomes known of a request while it is answered."""

    principal: Principal | None = None
    permission: Permission | None = None
    emergency: bool = False
    """Whether it is let in by an emergency access (R-32)."""
    committed: bool = False
    """Whether it is a command: what it led to is an event of its own."""
    shared: bool = False
    """Whether what it asks for is the same for everyone with a token: a form, the policy."""
    query: bool = False
    """Whether its query was read, and holds nothing else."""
    recorded: bool = False
    """Whether it was recorded before it was done."""
    seen: dict[str, Seen] = field(default_factory=dict)
    token_issued: bool = False
    """Whether the answer is an access token, for a credential of the principal."""

    @property
    def purpose(self) -> Purpose:
        """What the request is for."""
        if self.emergency:
            return EMERGENCY
        return UNKNOWN if self.permission is None else OTHER_PURPOSES.get(self.permission, "TREAT")


def access_event(asking: Asking, status: int) -> EventData | None:
    """Return the access event that an answered request is; None for what shows nothing of anyone, or is an event already.

    Refused for its form or its moment, a request showed nothing; refused by a clinical rule, it is recorded as that. Of what is about an
    emergency access, every refusal is recorded.
    """
    if status in (401, 429):
        return access.LoginFailed()
    if asking.principal is None or asking.recorded:
        return None
    if asking.token_issued:
        return access.TokenIssued()
    if status in (403, 404) or (asking.permission in EMERGENCIES and 400 <= status < 500):
        return access.AccessRefused()
    if status >= 400 or asking.committed or asking.shared or asking.permission in UNRECORDED:
        return None
    return access.RecordRead()

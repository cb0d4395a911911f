"""Events by which every service tells who accessed what. What an auditor asks for stands in the clear (`Access`); no value that was
read is here."""

from typing import ClassVar, Final

from shared.events.base import EventData, Text

STREAM_PREFIX: Final = "access-"
"""What the name of every stream of accesses begins with."""


class InstanceStarted(EventData):
    """A stream of accesses begins: a process of the service started, or lost sight of its last one. `detail`: a digest of its settings."""

    TYPE: ClassVar[str] = "kapcare.access.InstanceStarted.v1"


class RecordRead(EventData):
    """Something was shown to someone: a case, a list, an answer of the ledger, an export."""

    TYPE: ClassVar[str] = "kapcare.access.RecordRead.v1"


class AccessRefused(EventData):
    """Someone known asked for what is not theirs, or for what is not there."""

    TYPE: ClassVar[str] = "kapcare.access.AccessRefused.v1"


class LoginFailed(EventData):
    """Someone who did not prove who they are asked for something, or too often, perhaps several times within a second."""

    TYPE: ClassVar[str] = "kapcare.access.LoginFailed.v1"


class TokenIssued(EventData):
    """A partner's credential was used: its software got an access token for it."""

    TYPE: ClassVar[str] = "kapcare.access.TokenIssued.v1"


class OperationAsked(EventData):
    """An operator is about to do something that is no event of a case; `detail` names to what."""

    TYPE: ClassVar[str] = "kapcare.access.OperationAsked.v1"
    reason: Text | None = None


EVENTS: tuple[type[EventData], ...] = (InstanceStarted, RecordRead, AccessRefused, LoginFailed, TokenIssued, OperationAsked)

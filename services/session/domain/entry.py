"""How a fact is entered: its name for corrections, what it replaces, when it was recorded, and what follows from its being late."""

from datetime import datetime, timedelta
from typing import TypedDict

from shared.pathway.context import Context


class Entry(TypedDict):
    """The fields that every entry of the room has."""

    entry: str
    replaces: str | None
    recorded_at: datetime
    policy_version: str
    rest_expected_by: datetime | None


def entered(happened_at: datetime, context: Context, replaces: str | None = None) -> Entry:
    """Return the fields of an entry that is made now.

    One that is made more than [15] minutes after it happened is late, as when paper records are entered after a downtime: it pages
    nobody at once, and what followed it has [60] minutes to be entered before it is said to be missing. Both numbers are the site's.
    """
    policy = context.policy.values
    late = context.now - happened_at > timedelta(minutes=policy.late_entry_minutes)
    grace = timedelta(minutes=policy.late_entry_grace_minutes)
    return {
        "entry": context.new_id("entry"),
        "replaces": replaces,
        "recorded_at": context.now,
        "policy_version": context.policy.version,
        "rest_expected_by": context.now + grace if late else None,
    }


def not_before(at: datetime, rest_expected_by: datetime | None) -> datetime:
    """Return when something is due after an entry: one that is late leaves time to enter what followed it."""
    return at if rest_expected_by is None else max(at, rest_expected_by)

"""What an entry is found by: fields made from the clear envelope alone, so that anyone can make them again from what is kept."""

from dataclasses import asdict
from typing import Any, Final

from shared.events.base import Envelope

REFUSALS: Final = frozenset(
    {
        *("StepRefused", "DecisionRefused", "LateDecisionReceived", "MessageQuarantined", "ReviewWithheld", "CourseWithheld"),
        *("AccessRefused", "LoginFailed"),
    }
)
"""Names of events that say that what was asked was not done. A clinical no (screened out, declined) is a decision that was made."""

CLEAR_FIELDS: Final = (
    *("source", "stream", "sequence", "event", "type", "time", "happened", "clinic", "patient", "actor"),
    *("correlation", "outcome", "causation", "policy", "roles", "partners", "recipient"),
    *("about", "route", "status", "purpose", "address", "detail", "times"),
)
"""Every field that `clear_fields` can make."""

IN_HOUSE: Final = "in-house"
"""The recipient of what the network's own prescribers are asked."""

_PARTNER_ACTOR: Final = "partner:"
_PARTNER_STREAM: Final = "partner-"


def outcome_of(event_type: str) -> str:
    """Return `refused` or `done` for a type such as `kapcare.session.StepRefused.v1`."""
    return "refused" if event_type.rpartition(".")[0].rpartition(".")[2] in REFUSALS else "done"


def partners_of(envelope: Envelope) -> list[str]:
    """Return the slugs of the organisation that acted, that the stream is about, or that was told of the case.

    An organisation acts as `partner:<slug>` or `partner:<slug>/<prescriber>` where it signed, and as its client id
    `<slug>.<credential>` where it came with a token of ours. Slugs may hold dots themselves: every beginning that can be the slug
    is taken, so that nothing is missing from an organisation's own list.
    """
    found: dict[str, None] = {}
    if envelope.actor.startswith(_PARTNER_ACTOR):
        found[envelope.actor.removeprefix(_PARTNER_ACTOR).partition("/")[0]] = None
    elif "partner" in envelope.roles:
        parts = envelope.actor.split(".")
        found |= dict.fromkeys(".".join(parts[:end]) for end in range(1, len(parts)))
    if envelope.subject.startswith(_PARTNER_STREAM):
        found[envelope.subject.removeprefix(_PARTNER_STREAM)] = None
    if envelope.recipient not in (None, IN_HOUSE):
        found[envelope.recipient] = None
    return list(found)


def clear_fields(envelope: Envelope) -> dict[str, Any]:
    """Return the fields; one that would say nothing (no roles, no partner, no cause) is left out.

    An access of cases of several clinics or patients has lists of them; an access event alone has what comes after `recipient`.
    """
    access = envelope.access
    accessed: dict[str, Any] = {} if access is None else asdict(access)
    fields: dict[str, Any] = {
        "source": envelope.source,
        "stream": envelope.subject,
        "sequence": envelope.sequence,
        "event": envelope.id,
        "type": envelope.type,
        "time": envelope.time,
        "happened": envelope.happened or envelope.time,
        "clinic": _one_or_several(envelope.clinic),
        "patient": _one_or_several(envelope.patient),
        "actor": envelope.actor,
        "correlation": envelope.correlation,
        "outcome": outcome_of(envelope.type),
        "causation": envelope.causation,
        "policy": envelope.policy_version,
        "roles": sorted(envelope.roles),
        "partners": partners_of(envelope),
        "recipient": envelope.recipient,
        **{name: list(value) if isinstance(value, tuple) else value for name, value in accessed.items()},
    }
    return {name: value for name, value in fields.items() if value not in (None, [])}


def _one_or_several(names: str) -> str | list[str]:
    several = names.split(",")
    return several[0] if len(several) == 1 else several

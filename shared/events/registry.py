"""Every event type that exists, by its literal name on the wire."""

from shared.events import access, intake, integration, prescriber, session
from shared.events.base import EventData

PUBLISHED: dict[str, tuple[type[EventData], ...]] = {
    "intake": intake.EVENTS,
    "prescriber": prescriber.EVENTS,
    "session": session.EVENTS,
    "integration": integration.EVENTS,
    "access": access.EVENTS,
}
"""Which service publishes which events; those under `access` are published by each of them, about itself."""

BY_TYPE: dict[str, type[EventData]] = {event.TYPE: event for events in PUBLISHED.values() for event in events}


def family_of(type_name: str) -> str:
    """Return the type name without its major version: `kapcare.intake.PatientReferred`."""
    return type_name.rpartition(".v")[0]

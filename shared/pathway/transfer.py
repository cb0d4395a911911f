"""A case goes to another clinic of the network: intake says so, and every service follows. Pure.

From then on the case's events, work lists and access belong to the new clinic. The old one sees it no more, but for what the ledger
shows an auditor.
"""

from typing import Any

from shared.events import base, intake
from shared.events.base import EventData
from shared.pathway.context import Context
from shared.service.definition import Reaction


def clinic_after(event: EventData) -> str | None:
    """Return the clinic that the case belongs to from this event on; None for an event that moves nothing."""
    return event.to_clinic if isinstance(event, base.CaseTransferred | base.TransferNoted) else None


def noting(noted: type[base.TransferNoted]) -> Reaction:
    """Return a service's reaction to a transfer: follow at once."""

    def note(_state: Any, event: intake.CaseTransferred, _context: Context) -> list[EventData]:
        """Follow the case to its new clinic."""
        return [noted(to_clinic=event.to_clinic, transferred_at=event.transferred_at)]

    return note

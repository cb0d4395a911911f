"""Send again, or send a test: what an admin asks of one endpoint."""

from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from services.prescriber.domain.partners.state import Endpoint, Organisation, Partner
from shared.events.base import EventData, Slug
from shared.events.partner import DeliveriesReplayed, TestEventAsked
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request

WIDEST: Final = 10_000
"""Deliveries of one replay."""
Sequence = Annotated[int, Field(ge=1, le=1_000_000_000_000)]
"""The place of a delivery among all that one endpoint was ever due, from 1."""


class AskForTest(Request):
    """Send a test event to the endpoint."""

    endpoint: Slug


class ResendDelivery(Request):
    """Send one delivery again, whatever had become of it."""

    endpoint: Slug
    sequence: Sequence


class ReplayDeliveries(Request):
    """Send a range of deliveries again, from `first` to `last`, both included."""

    endpoint: Slug
    first: Sequence
    last: Sequence

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if not 0 <= self.last - self.first < WIDEST:
            raise ValueError(f"from first up to last, at most {WIDEST} deliveries")
        return self


def ask_for_test(partner: Partner, command: AskForTest, _context: Context) -> list[EventData]:
    """Make a test event due. Raises Refusal unless the endpoint is sent to."""
    return [_asked(partner, command, example=False)]


def ask_for_example(partner: Partner, command: AskForTest, _context: Context) -> list[EventData]:
    """Announce an example review, to be fetched and decided like a real one. Raises Refusal as `ask_for_test`."""
    return [_asked(partner, command, example=True)]


def resend(partner: Partner, command: ResendDelivery, _context: Context) -> list[EventData]:
    """Make one delivery due again; while the endpoint is paused or disabled, it waits. Raises Refusal."""
    return _replayed(partner, command.endpoint, command.sequence, command.sequence)


def replay(partner: Partner, command: ReplayDeliveries, _context: Context) -> list[EventData]:
    """Make a range of deliveries due again; while the endpoint is paused or disabled, they wait. Raises Refusal."""
    return _replayed(partner, command.endpoint, command.first, command.last)


def _asked(partner: Partner, command: AskForTest, *, example: bool) -> TestEventAsked:
    entry, endpoint = _sent_to(partner, command.endpoint)
    if endpoint.status != "active":
        raise Refusal("endpoint-not-active", f"This endpoint is {endpoint.status}; resume it first.")
    return TestEventAsked(partner=entry.slug, endpoint=endpoint.slug, example=example)


def _replayed(partner: Partner, slug: Slug, first: int, last: int) -> list[EventData]:
    entry, endpoint = _sent_to(partner, slug)
    return [DeliveriesReplayed(partner=entry.slug, endpoint=endpoint.slug, first=first, last=last)]


def _sent_to(partner: Partner, slug: Slug) -> tuple[Organisation, Endpoint]:
    """Return the organisation and its endpoint. Raises Refusal if nothing is sent to the organisation any more."""
    entry = partner.require_entry()
    if entry.status == "left":
        raise Refusal("partner-left", "This organisation left the network; nothing is sent to it.")
    return entry, entry.require_endpoint(slug)

"""Ask for a test event to an endpoint, to try the whole way without a patient."""

from services.prescriber.domain.partners.state import Partner
from shared.events.base import EventData, Slug
from shared.events.partner import TestEventAsked
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request


class AskForTest(Request):
    """Which endpoint is to get it."""

    endpoint: Slug


def ask_for_test(partner: Partner, command: AskForTest, _context: Context) -> list[EventData]:
    """Have a `kapcare.test` sent to an endpoint. Raises Refusal for one that is not there, and for an organisation that left."""
    return [_asked(partner, command, example=False)]


def ask_for_example(partner: Partner, command: AskForTest, _context: Context) -> list[EventData]:
    """Have an example review announced to an endpoint, to be fetched and decided like a real one. Raises Refusal as `ask_for_test`."""
    return [_asked(partner, command, example=True)]


def _asked(partner: Partner, command: AskForTest, *, example: bool) -> TestEventAsked:
    entry = partner.entry
    if entry is None:
        raise Refusal("no-such-partner", "No organisation of this slug is registered.")
    if entry.status == "left":
        raise Refusal("partner-left", "The organisation has left the network.")
    if entry.endpoint(command.endpoint) is None:
        raise Refusal("no-such-endpoint", "The organisation has no endpoint of this name.")
    return TestEventAsked(partner=entry.slug, endpoint=command.endpoint, example=example)

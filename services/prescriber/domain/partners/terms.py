"""What an organisation undertakes: where its prescribers are licensed, how much it takes on, how soon it answers."""

from typing import Annotated

from pydantic import Field

from services.prescriber.domain.partners.state import Partner
from shared.events.base import EventData
from shared.events.partner import PartnerTermsChanged
from shared.events.partner import State as StateCode
from shared.pathway.context import Context
from shared.pathway.stop import Request


class Terms(Request):
    """The terms of an organisation."""

    licensed_states: Annotated[tuple[StateCode, ...], Field(max_length=60)] = ()
    """Postal codes of states in which its prescribers are licensed."""
    capacity: Annotated[int, Field(ge=0, le=100_000)] | None = None
    """Open reviews at a time; left out: as many as there are."""
    answer_hours: Annotated[int, Field(ge=1, le=1_000)] | None = None
    """Within how many hours it answers; left out: as long as the policy allows."""


def change_terms(partner: Partner, command: Terms, _context: Context) -> list[EventData]:
    """State all terms anew. Raises Refusal for an organisation that is not registered."""
    return [
        PartnerTermsChanged(
            partner=partner.require_entry().slug,
            licensed_states=tuple(dict.fromkeys(command.licensed_states)),
            capacity=command.capacity,
            answer_hours=command.answer_hours,
        )
    ]

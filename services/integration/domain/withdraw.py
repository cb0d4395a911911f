"""A dose that was entered in error: what was planned after it is taken back. What was held is a fact and stays."""

from services.integration.domain.complete import concluded
from services.integration.domain.state import Integration
from shared.events.base import EventData
from shared.events.integration import IntegrationWithdrawn
from shared.events.session import EntryCorrected
from shared.pathway.context import Context


def withdraw_integration(state: Integration, event: EntryCorrected, context: Context) -> list[EventData]:
    """React to a correction that leaves a dosing session without any dose; one that was amended was given all the same."""
    number = event.session
    if not event.left_undosed or number is None or all(dose.session != number for dose in state.doses):
        return []
    return concluded(state, [IntegrationWithdrawn(dosing_session=number, because=event.kind, withdrawn_at=context.now)], context)

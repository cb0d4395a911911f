"""An outcome got worse than the baseline: whoever prescribes must know before the next dose (R-29)."""

from services.prescriber.domain.alerts import with_alerts
from services.prescriber.domain.state import Case
from shared.events.base import EventData
from shared.events.integration import OutcomeDeteriorated
from shared.events.prescriber import DeteriorationNoted
from shared.pathway.context import Context


def note_deterioration(_case: Case, event: OutcomeDeteriorated, context: Context) -> list[EventData]:
    """R-29: note that the patient got worse, and call a prescriber of the network; a partner sees it only under the rules for reviews."""
    noted = DeteriorationNoted(instrument=event.instrument, baseline=event.baseline, total=event.total, measured_at=event.measured_at)
    return with_alerts([noted], context)

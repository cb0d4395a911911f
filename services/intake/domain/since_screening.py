"""What is recorded while a screening stands, and would have changed it: an exclusion holds the case; all else calls a prescriber,
who approves nothing more on that screening (R-14).
"""

from services.intake.domain.alerts import changed_alert, with_late_alert
from services.intake.domain.rules import Findings, excluding, findings
from services.intake.domain.screen import chart_of
from services.intake.domain.state import Case, Referral, evolve
from shared.events import intake
from shared.events.base import EventData
from shared.pathway.context import Context


def since_screening(case: Case, recorded: EventData, context: Context) -> list[EventData]:
    """Return what follows from an entry that the screening which stands did not know; nothing where none stands.

    While another screening is under way only what excludes is said: the prescriber is shown the rest when it is completed.
    """
    if case.outcome is None or case.outcome.kind != "completed":
        return []
    referral = case.require_referral()
    before, after = _findings(case, referral, context), _findings(evolve(case, recorded), referral, context)
    excluded = {finding.item for finding in excluding(before)}
    items = [finding.item for finding in excluding(after) if finding.item not in excluded]
    events = _hold(items, context) if items else []
    known = {(finding.item, finding.weight) for finding in before}
    new = [finding for finding in after if finding not in excluding(after) and (finding.item, finding.weight) not in known]
    if new and case.renewing_since is None:
        outdated = intake.ScreeningOutdated(items=tuple(dict.fromkeys(finding.item for finding in new)), outdated_at=context.now)
        events += [outdated, changed_alert(recorded, context)]
    return events


def _hold(items: list[str], context: Context) -> list[EventData]:
    note = f"Stated after the screening was completed: {', '.join(items)}."
    placed = intake.SafetyHoldPlaced(hold=context.new_id("hold"), reason="clinical_concern", note=note, placed_at=context.now)
    return with_late_alert(placed, context)


def _findings(case: Case, referral: Referral, context: Context) -> Findings:
    return findings(chart_of(case, referral, context))

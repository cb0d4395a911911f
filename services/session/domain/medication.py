"""What was taken before a dose: it warns, and is for the prescriber to consider; nothing here advises to stop anything."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from shared.events.base import Slug
from shared.events.dosing import MedicationTaken
from shared.pathway.context import Context
from shared.pathway.policy import PolicyValues


def medication_warnings(taken: Sequence[MedicationTaken], at: datetime, policy: PolicyValues, context: Context) -> Iterator[Slug]:
    """R-34: a benzodiazepine within [24] hours, alcohol or cannabis within [48], others on the day (JC11); never a refusal."""
    for medication in taken:
        word = medication.kind.replace("_", "-")
        last = medication.last_taken_at
        hours = _hours(medication, policy)
        if hours is not None and (last is None or at - last < timedelta(hours=hours)):
            yield f"{word}-recent"
        if medication.kind in policy.same_day_warn_medications and (last is None or context.day_of(last) == context.day_of(at)):
            yield f"{word}-today"


def _hours(medication: MedicationTaken, policy: PolicyValues) -> int | None:
    match medication.kind:
        case "benzodiazepine":
            return policy.benzodiazepine_warn_hours
        case "alcohol" | "cannabis":
            return policy.alcohol_cannabis_warn_hours
        case _:
            return None

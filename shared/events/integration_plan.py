"""What integration plans after a dose, and the reasons it gives, as its events carry them."""

from typing import Literal

from pydantic import AwareDatetime

from shared.events.clinical import Value

Purpose = Literal["after_dose", "follow_up", "maintenance", "discharge", "unplanned"]
"""Why an integration session is held. `unplanned`: nobody had planned it, and it took place."""
MissedBecause = Literal["no_show", "patient_cancelled", "clinic_cancelled", "rescheduled", "other"]
NotFollowedBecause = Literal["declined", "lost_to_follow_up", "moved", "died", "other"]
DischargedBecause = Literal["course_complete", "patient_stopped", "referred_on", "moved", "lost_to_follow_up", "died", "other"]


class PlannedIntegration(Value):
    """One integration session to hold by a time."""

    id: str
    purpose: Purpose
    due_by: AwareDatetime
    missed_after: AwareDatetime
    """From here on it counts as missed; it may still be held."""


class PlannedMeasurement(Value):
    """One time at which the outcome is to be measured, so many days after a dose (R-29)."""

    id: str
    day: int
    opens_at: AwareDatetime
    """From here on an answer counts as given at this time."""
    due_at: AwareDatetime
    closes_at: AwareDatetime
    """Until here an answer counts as given at this time; a later one is only better than none."""
    lost_after: AwareDatetime
    """From here on nobody waits for it any more."""

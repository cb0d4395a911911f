"""A blood pressure as a request states it."""

from pydantic import ConfigDict

from shared.events.clinical import BloodPressure


class StatedPressure(BloodPressure):
    """Millimetres of mercury; exact types and no unknown fields."""

    model_config = ConfigDict(strict=True, extra="forbid")

    def to_event(self) -> BloodPressure:
        """Return the value that events carry."""
        return BloodPressure(systolic=self.systolic, diastolic=self.diastolic)

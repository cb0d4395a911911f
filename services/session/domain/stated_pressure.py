"""A blood pressure as a request states it."""

from typing import Final

from pydantic import BaseModel, ConfigDict

from shared.events.clinical import BloodPressure
from shared.pathway.refusal import Refusal

SYSTOLIC: Final = (40, 300)
DIASTOLIC: Final = (20, 200)


class StatedPressure(BaseModel):
    """Millimetres of mercury; exact types and no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True)

    systolic: int | float
    diastolic: int | float

    def to_event(self, rule: str = "R-19") -> BloodPressure:
        """Return the value that events carry; raise Refusal for one that no patient has, or that was measured in another unit."""
        systolic = in_range("systolic pressure", self.systolic, SYSTOLIC, "mmHg", rule)
        diastolic = in_range("diastolic pressure", self.diastolic, DIASTOLIC, "mmHg", rule)
        if diastolic >= systolic:
            raise Refusal("out-of-range", "The diastolic pressure lies below the systolic.", rule=rule)
        return BloodPressure(systolic=systolic, diastolic=diastolic)


def in_range(name: str, value: float, bounds: tuple[int, int], unit: str, rule: str) -> int:
    """Return a measured value; raise Refusal with the rule's id for one out of range, or with a fraction: that is another unit."""
    lowest, highest = bounds
    if value != int(value):
        raise Refusal("wrong-unit", f"The {name} is a whole number of {unit}.", rule=rule)
    if not lowest <= value <= highest:
        raise Refusal("out-of-range", f"The {name} is {lowest} to {highest} {unit}.", rule=rule)
    return int(value)

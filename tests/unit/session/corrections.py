"""What replaces an entry of the first session, for tests of corrections."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from services.session.domain.dose import RecordDose
from services.session.domain.monitor import RecordVitals
from services.session.domain.stated_pressure import StatedPressure
from tests.unit.session.room import T0, Room


def vitals_body(**changes: Any) -> RecordVitals:
    return RecordVitals(
        **{"session": 1, "taken_at": T0 + timedelta(minutes=40), "blood_pressure": StatedPressure(systolic=120, diastolic=80), **changes}
    )


def dose_body(**changes: Any) -> RecordDose:
    return RecordDose(**{"session": 1, "dose_mg": Decimal(200), "route": "sublingual", "given_at": T0, **changes})


def only_dose(room: Room, session: int = 1) -> str | None:
    (dose,) = room.course.require(session).doses
    return dose.entry

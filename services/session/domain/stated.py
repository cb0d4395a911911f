"""What requests state of a dose's surroundings: the values of events, with exact types and no unknown fields."""

from typing import TypeVar

from pydantic import ConfigDict

from shared.events.clinical import Value
from shared.events.dosing import Chaperone, GroupInRoom, HomeSafety, LastIntake, MedicationTaken, SetAndSetting

EXACT = ConfigDict(strict=True, extra="forbid")
ValueT = TypeVar("ValueT", bound=Value)


class StatedSetAndSetting(SetAndSetting):
    """Set and setting."""

    model_config = EXACT


class StatedMedication(MedicationTaken):
    """A medication or substance taken before a dose."""

    model_config = EXACT


class StatedIntake(LastIntake):
    """The last food, drink and nasal spray."""

    model_config = EXACT


class StatedChaperone(Chaperone):
    """The chaperone of a remote session."""

    model_config = EXACT


class StatedHomeSafety(HomeSafety):
    """What was confirmed before a dose at home; the distance in kilometres."""

    model_config = EXACT


class StatedGroup(GroupInRoom):
    """The patients and monitors of a group session."""

    model_config = EXACT


def value(kind: type[ValueT], stated: Value | None) -> ValueT | None:
    """Return the value that events carry; None where nothing was stated."""
    return None if stated is None else kind.model_validate(stated.model_dump())

"""What was taken before a dose (R-34; Journey Clinical: benzodiazepines 24 h, alcohol and THC 48 h, others on the day): it warns and
calls the prescriber, and never refuses."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from services.session.domain.stated import StatedMedication
from shared.events.dosing import MedicationTaken
from shared.events.session import AlertRaised, DosingAuthorised, PrescriberAsked
from tests.unit.session.room import T0, Room, checked_room, policy

SECOND = timedelta(seconds=1)
NOON = T0.replace(hour=17)
"""Noon in New York."""


def room_with(*taken: StatedMedication, at: datetime = NOON, **values: Any) -> Room:
    room = checked_room(policy=policy(**values)) if values else checked_room()
    room.now = at
    room.check(medications_taken=taken)
    return room


def warnings(room: Room) -> set[str]:
    permission = room.authorise()[0]
    assert isinstance(permission, DosingAuthorised), permission
    return set(permission.warnings)


def took(kind: Any, ago: timedelta | None) -> StatedMedication:
    return StatedMedication(kind=kind, last_taken_at=None if ago is None else NOON - ago)


@pytest.mark.parametrize(
    ("kind", "ago", "warning"),
    [
        ("benzodiazepine", timedelta(hours=24), None),
        ("benzodiazepine", timedelta(hours=24) - SECOND, "benzodiazepine-recent"),
        ("alcohol", timedelta(hours=48), None),
        ("alcohol", timedelta(hours=48) - SECOND, "alcohol-recent"),
        ("cannabis", timedelta(hours=48), None),
        ("cannabis", timedelta(hours=48) - SECOND, "cannabis-recent"),
        ("stimulant", timedelta(hours=12), "stimulant-today"),
        ("stimulant", timedelta(hours=12) + SECOND, None),
        ("opioid", timedelta(hours=12), "opioid-today"),
        ("opioid", timedelta(hours=12) + SECOND, None),
        ("muscle_relaxant", timedelta(hours=1), "muscle-relaxant-today"),
        ("hypnotic", timedelta(hours=11), "hypnotic-today"),
        ("maoi", timedelta(hours=4), "maoi-today"),
        ("benzodiazepine", None, "benzodiazepine-recent"),
        ("stimulant", None, "stimulant-today"),
    ],
)
def test_r34_what_was_taken_too_shortly_before_a_dose_warns_and_asks_a_prescriber(
    kind: str, ago: timedelta | None, warning: str | None
) -> None:
    room = checked_room()
    room.now = NOON
    events = room.check(medications_taken=(took(kind, ago),))
    because = [event.because for event in events if isinstance(event, PrescriberAsked)]
    assert because == ([] if warning is None else [(warning,)])
    assert [event.role for event in events if isinstance(event, AlertRaised)] == ([] if warning is None else ["prescriber"])
    assert warnings(room) == (set() if warning is None else {warning})


def test_r34_however_much_was_taken_the_dose_is_not_refused() -> None:
    everything = tuple(took(kind, SECOND) for kind in ("benzodiazepine", "hypnotic", "opioid", "stimulant", "maoi", "alcohol", "cannabis"))
    assert len(warnings(room_with(*everything))) == len(everything)


def test_r34_what_is_said_never_advises_to_stop() -> None:
    events = checked_room().check(medications_taken=(StatedMedication(kind="benzodiazepine"),))
    written = " ".join(event.model_dump_json() for event in events)
    assert "stop" not in written
    assert "hold" not in written


def test_r34_time_that_passes_after_the_checks_counts() -> None:
    room = room_with(took("benzodiazepine", timedelta(hours=23)))
    assert warnings(room) == {"benzodiazepine-recent"}
    room.later(hours=1)
    assert warnings(room) == set()


def test_r34_the_hours_and_kinds_are_the_policys() -> None:
    assert warnings(room_with(took("benzodiazepine", timedelta(hours=48)), benzodiazepine_warn_hours=72)) == {"benzodiazepine-recent"}
    assert warnings(room_with(took("opioid", SECOND), same_day_warn_medications=())) == set()


def test_r34_not_to_have_asked_is_not_the_same_as_nothing_taken() -> None:
    room = checked_room(medications_taken=None)
    assert warnings(room) == {"medications-not-asked"}
    assert room.course.require(1).checks[0].medications_taken is None
    room.check(medications_taken=())
    assert warnings(room) == set()


def test_r34_what_was_taken_is_kept_with_the_checks() -> None:
    room = room_with(took("opioid", timedelta(hours=30)))
    assert room.course.require(1).checks[-1].medications_taken == (
        MedicationTaken(kind="opioid", last_taken_at=NOON - timedelta(hours=30)),
    )

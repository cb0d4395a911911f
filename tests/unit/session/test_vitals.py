"""What vitals can be, and what they say of sedation and dissociation. Expectations: R-22, R-35 of domain.md 5c; RM1."""

from datetime import timedelta
from typing import Any

import pytest

from services.session.domain.effects import sedation
from services.session.show import show_course
from shared.events.session import VitalsRecorded
from shared.pathway.refusal import Refusal
from tests.unit.session.room import (
    T0,
    approved_room,
    dosed_room,
    policy,
)

# What no patient has, and what was measured in another unit


@pytest.mark.parametrize(
    ("changes", "slug"),
    [
        ({"oxygen_saturation": 0.97}, "wrong-unit"),
        ({"oxygen_saturation": 1}, "wrong-unit"),
        ({"oxygen_saturation": 101}, "out-of-range"),
        ({"oxygen_saturation": -1}, "out-of-range"),
        ({"heart_rate": 36.6}, "wrong-unit"),
        ({"heart_rate": 301}, "out-of-range"),
        ({"respiratory_rate": 98.6}, "wrong-unit"),
        ({"respiratory_rate": 81}, "out-of-range"),
        ({"pressure": (16.4, 10.7)}, "wrong-unit"),
        ({"pressure": (16, 10)}, "out-of-range"),
        ({"pressure": (301, 80)}, "out-of-range"),
        ({"pressure": (120, 201)}, "out-of-range"),
        ({"pressure": (80, 120)}, "out-of-range"),
        ({"pressure": (120, 120)}, "out-of-range"),
        ({"taken_at": T0 + timedelta(seconds=1)}, "time-in-the-future"),
        ({"taken_at": T0 - timedelta(days=1)}, "out-of-range"),
        ({"pressure": None}, "malformed"),
    ],
)
def test_r22_vitals_that_cannot_be_are_refused_under_the_rule_and_never_clamped(changes: dict[str, Any], slug: str) -> None:
    room = dosed_room()
    with pytest.raises(Refusal) as refused:
        room.vitals(**changes)
    assert (refused.value.slug, refused.value.rule) == (slug, "R-22")
    assert room.course.require(1).vitals == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"oxygen_saturation": 0},
        {"oxygen_saturation": 2},
        {"oxygen_saturation": 100},
        {"heart_rate": 0},
        {"heart_rate": 300},
        {"respiratory_rate": 0},
        {"respiratory_rate": 80},
        {"pressure": (40, 20)},
        {"pressure": (300, 200)},
        {"heart_rate": 37.0},
        {"taken_at": T0 - timedelta(minutes=30)},  # in the room, before the dose
    ],
)
def test_r22_what_can_be_is_recorded_arrest_among_it(changes: dict[str, Any]) -> None:
    assert isinstance(dosed_room().vitals(**changes)[0], VitalsRecorded)


def test_r19_a_pressure_in_the_checks_is_held_to_the_same_under_its_own_rule() -> None:
    room = approved_room()
    room.schedule()
    with pytest.raises(Refusal) as refused:
        room.check(pressure=(80, 120))
    assert (refused.value.slug, refused.value.rule) == ("out-of-range", "R-19")


# dissociation


@pytest.mark.parametrize(
    ("stated", "dissociated"),
    [
        ({"cadss": 5}, True),
        ({"cadss": 4}, False),
        ({"cadss": 0}, False),
        ({"dissociation": True}, True),
        ({"dissociation": False, "cadss": 20}, False),
        ({}, None),
    ],
)
def test_r35_dissociation_is_what_was_seen_or_what_the_cadss_says(stated: dict[str, Any], dissociated: bool | None) -> None:
    recorded = dosed_room().vitals(**stated)[0]
    assert isinstance(recorded, VitalsRecorded)
    assert (recorded.dissociation, recorded.cadss) == (dissociated, stated.get("cadss"))


def test_r35_the_total_that_says_so_is_the_policys() -> None:
    recorded = dosed_room(policy=policy(dissociation_cadss_above=10)).vitals(cadss=10)[0]
    assert isinstance(recorded, VitalsRecorded)
    assert recorded.dissociation is False


@pytest.mark.parametrize(
    ("levels", "onset", "resolution"),
    [
        ([], None, None),
        ([5, 5], None, None),
        ([5, 4, 3, 5, 5], 20, 40),
        ([4, 5, 4, 5], 10, 40),
        ([5, 4], 20, None),
    ],
)
def test_r35_onset_is_the_first_sign_and_resolution_the_entry_from_which_on_there_is_none(
    levels: list[int], onset: int | None, resolution: int | None
) -> None:
    room = dosed_room()
    room.later(minutes=50)
    for place in reversed(range(len(levels))):  # entered in the wrong order
        room.vitals(taken_at=T0 + timedelta(minutes=10 * (place + 1)), sedation=levels[place])
    effect = sedation(room.course.require(1))
    expected = [None if minute is None else T0 + timedelta(minutes=minute) for minute in (onset, resolution)]
    assert [effect.onset, effect.resolution] == expected
    shown = show_course(room.course)["sessions"][0]["sedation"]
    assert (shown["onset"], shown["resolution"], shown["looked_for"]) == (effect.onset, effect.resolution, bool(levels))

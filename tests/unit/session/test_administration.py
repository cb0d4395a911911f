"""How a dose is given: infusions over 40 minutes (OL1), lozenges in the mouth (doc 003), esketamine devices of 28 mg five minutes apart
(SP5, R-18)."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from services.session.domain.administration import RecordAdministrationEnd, record_administration_end
from shared.events.base import EventData
from shared.events.session import AdministrationEnded, DosingAuthorised, SessionDosed
from shared.pathway.refusal import Refusal
from tests.unit.session.room import T0, Room, checked_room, dosed_room, plan

INTRAVENOUS = plan(route="intravenous", dose_mg_low=Decimal(1), dose_mg_high=Decimal(140), mg_per_kg_high=Decimal(10))
ESKETAMINE = plan(route="intranasal_esketamine", dose_mg_low=Decimal(56), dose_mg_high=Decimal(84), mg_per_kg_high=Decimal(5))
SECOND = timedelta(seconds=1)


def authorised(events: list[EventData]) -> DosingAuthorised:
    (event,) = events
    assert isinstance(event, DosingAuthorised), event
    return event


def dosed(events: list[EventData]) -> SessionDosed:
    assert isinstance(events[0], SessionDosed)
    return events[0]


# Infusions and lozenges


@pytest.mark.parametrize(
    ("minutes", "warning"), [(40, None), (60, None), (39, "infusion-shorter-than-usual"), (None, "infusion-time-not-stated")]
)
def test_r18_an_infusion_runs_over_forty_minutes_or_warns(minutes: int | None, warning: str | None) -> None:
    permission = authorised(checked_room(INTRAVENOUS).authorise("35", infusion_minutes=minutes))
    assert permission.warnings == (() if warning is None else (warning,))


@pytest.mark.parametrize(("minutes", "warnings"), [(40, ()), (39, ("infusion-shorter-than-usual",))])
def test_r18_an_infusion_is_recorded_with_its_start_and_end(minutes: int, warnings: tuple[str, ...]) -> None:
    room = checked_room(INTRAVENOUS)
    room.authorise("35")
    room.later(minutes=45)
    given = dosed(room.dose("35", route="intravenous", given_at=T0, ended_at=T0 + timedelta(minutes=minutes)))
    assert (given.given_at, given.ended_at, given.warnings, given.deviations) == (T0, T0 + timedelta(minutes=minutes), warnings, ())


def ending(room: Room, **changes: Any) -> list[EventData]:
    return room.do(record_administration_end, RecordAdministrationEnd(**{"session": 1, "ended_at": room.now, **changes}))


def test_the_end_of_an_infusion_is_recorded_when_it_comes() -> None:
    room = checked_room(INTRAVENOUS)
    room.authorise("35")
    assert dosed(room.dose("35", route="intravenous")).ended_at is None
    room.later(minutes=25)
    assert ending(room, whole=False) == [AdministrationEnded(session=1, given_at=T0, ended_at=T0 + timedelta(minutes=25), whole=False)]
    assert len(room.course.require(1).administrations_ended) == 1


@pytest.mark.parametrize("remainder", ["swallowed", "spat"])
def test_what_became_of_a_lozenge_is_recorded_with_the_dose_or_after_it(remainder: Any) -> None:
    room = dosed_room()
    room.later(minutes=15)
    (ended,) = ending(room, remainder=remainder)
    assert isinstance(ended, AdministrationEnded)
    assert (ended.given_at, ended.ended_at, ended.remainder) == (T0, T0 + timedelta(minutes=15), remainder)
    charted = checked_room()
    charted.later(minutes=15)
    given = dosed(charted.dose(given_at=T0, ended_at=T0 + timedelta(minutes=12), remainder=remainder))
    assert (given.ended_at, given.remainder) == (T0 + timedelta(minutes=12), remainder)


def test_an_end_belongs_to_the_dose_begun_last_before_it() -> None:
    room = dosed_room()
    room.later(minutes=30)
    room.dose("50", booster=True)
    room.dose("50", booster=True, given_at=T0 + timedelta(minutes=5))
    for minutes, begun in ((4, 0), (10, 5), (30, 30)):
        (ended,) = ending(room, ended_at=T0 + timedelta(minutes=minutes))
        assert isinstance(ended, AdministrationEnded)
        assert ended.given_at == T0 + timedelta(minutes=begun)


@pytest.mark.parametrize(
    ("changes", "slug"),
    [
        ({"ended_at": T0 + SECOND}, "time-in-the-future"),
        ({"ended_at": T0 - SECOND}, "not-dosed"),
        ({"session": 9}, "no-such-session"),
    ],
)
def test_an_end_without_a_beginning_is_refused(changes: dict[str, Any], slug: str) -> None:
    with pytest.raises(Refusal) as refused:
        ending(dosed_room(), **changes)
    assert refused.value.slug == slug


def test_only_a_lozenge_is_swallowed_or_spat_out() -> None:
    room = checked_room(INTRAVENOUS)
    with pytest.raises(Refusal) as at_once:
        room.dose("35", route="intravenous", remainder="spat")
    room.dose("35", route="intravenous")
    with pytest.raises(Refusal) as later:
        ending(room, remainder="swallowed")
    assert (at_once.value.slug, later.value.slug) == ("malformed", "malformed")


# Devices


def devices(*minutes: float) -> tuple[Any, ...]:
    return tuple(T0 + timedelta(minutes=minute) for minute in minutes)


@pytest.mark.parametrize(
    ("dose_mg", "minutes", "deviations"),
    [
        ("56", (0, 5), ()),
        ("84", (0, 5, 10), ()),
        ("56", (0, 4.99), ("devices-too-close",)),
        ("84", (0, 5, 9), ("devices-too-close",)),
        ("84", (0, 5), ("devices-differ",)),
        ("56", (0, 5, 10), ("devices-differ",)),
        ("56", (), ()),
    ],
)
def test_r18_esketamine_comes_in_devices_of_28_milligrams_five_minutes_apart(
    dose_mg: str, minutes: tuple[float, ...], deviations: tuple[str, ...]
) -> None:
    room = checked_room(ESKETAMINE)
    room.authorise(dose_mg)
    room.later(minutes=15)
    given = dosed(room.dose(dose_mg, route="intranasal_esketamine", given_at=T0, devices=devices(*minutes)))
    assert (given.devices, given.deviations) == (devices(*minutes), deviations)


@pytest.mark.parametrize(
    ("minutes", "slug"),
    [((5, 10), "out-of-range"), ((0, 10, 5), "out-of-range"), ((0, 16), "time-in-the-future")],
    ids=["not from the start", "out of order", "not yet"],
)
def test_devices_that_cannot_have_been_are_refused(minutes: tuple[float, ...], slug: str) -> None:
    room = checked_room(ESKETAMINE)
    room.later(minutes=15)
    with pytest.raises(Refusal) as refused:
        room.dose("84", route="intranasal_esketamine", given_at=T0, devices=devices(*minutes))
    assert refused.value.slug == slug


def test_no_other_route_has_devices_and_nothing_ends_before_it_began() -> None:
    room = checked_room()
    with pytest.raises(Refusal) as no_device:
        room.dose(devices=(T0,))
    with pytest.raises(Refusal) as before:
        room.dose(ended_at=T0 - SECOND)
    assert (no_device.value.slug, before.value.slug) == ("malformed", "out-of-range")

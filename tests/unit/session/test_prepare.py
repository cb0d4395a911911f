"""Preparation, and what surrounds a session. Expectations: domain.md 1.3 and 2.4 (what is held in a session), R-27 (12 weeks)."""

import json
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from pydantic_core import to_json

from services.session.domain.prepare import RecordPreparation, RecordSetAndSetting, record_set_and_setting
from services.session.domain.stated import StatedSetAndSetting
from services.session.show import show_course
from shared.events.base import EventData
from shared.events.dosing import SetAndSetting
from shared.events.session import DosingAuthorised, PreparationCompleted, SessionDosed, SetAndSettingRecorded
from shared.pathway.policy import Policy
from shared.pathway.refusal import Refusal
from tests.unit.session.room import (
    POLICY,
    T0,
    Room,
    approval,
    approved_room,
    checked_room,
    dosed_room,
    entry_of,
    finish_session,
    hold,
    plan,
    policy,
    rules,
    run_session,
)

WEEKS = timedelta(weeks=12)
LONG = plan(expires_at=T0 + timedelta(days=400))
QUIET = StatedSetAndSetting(
    music="Strings, no words.",
    eye_mask=True,
    approaches=("emdr", "parts-work"),
    present=("therapist-1",),
    touch_agreement="A hand on mine.",
)


def test_a_preparation_keeps_topics_intentions_and_setting() -> None:
    room = approved_room()
    (prepared,) = room.prepare(topics=("driving", "side-effects"), intentions=("Meet my grief.",), set_and_setting=QUIET)
    assert prepared == PreparationCompleted(
        psychoeducation=True,
        topics=("driving", "side-effects"),
        intentions=("Meet my grief.",),
        set_and_setting=SetAndSetting.model_validate(QUIET.model_dump()),
        completed_at=T0,
        recorded_at=T0,
        policy_version=POLICY.version,
        entry=entry_of([prepared]),
    )


def test_no_stop_keeps_a_preparation_out_of_the_record() -> None:
    room = approved_room()
    room.hear(hold())
    assert isinstance(room.prepare()[0], PreparationCompleted)


@pytest.mark.parametrize("body", ['{"eye_mask": "yes"}', '{"approaches": ["Somatic Work"]}', '{"lights": "low"}', '{"music": ""}'])
def test_a_setting_is_stated_in_exact_words(body: str) -> None:
    with pytest.raises(ValidationError):
        RecordPreparation.model_validate_json(
            f'{{"psychoeducation": true, "completed_at": "2026-03-02T09:00:00Z", "set_and_setting": {body}}}'
        )


def surround(room: Room, **changes: Any) -> list[EventData]:
    body: dict[str, Any] = {"session": 1, "intentions": ("Listen.",), "set_and_setting": QUIET, "recorded_at": room.now}
    return room.do(record_set_and_setting, RecordSetAndSetting(**{**body, **changes}))


def test_each_session_has_its_own_intentions_and_setting_and_both_are_shown() -> None:
    room = approved_room()
    room.prepare(intentions=("Meet my grief.",))
    room.schedule()
    (recorded,) = surround(room)
    assert isinstance(recorded, SetAndSettingRecorded)
    shown = json.loads(to_json(show_course(room.course)))
    assert shown["preparation"]["intentions"] == ["Meet my grief."]
    (line,) = [line for line in shown["sessions"][0]["timeline"] if line["event"] == "SetAndSettingRecorded"]
    assert (line["intentions"], line["set_and_setting"]["approaches"]) == (["Listen."], ["emdr", "parts-work"])


def test_all_of_it_is_optional_but_something_must_be_said_of_a_session_that_is() -> None:
    room = checked_room()
    assert isinstance(surround(room, set_and_setting=None)[0], SetAndSettingRecorded)
    assert isinstance(surround(room, intentions=())[0], SetAndSettingRecorded)
    for changes in ({"intentions": (), "set_and_setting": None}, {"session": 9}, {"recorded_at": T0 + timedelta(seconds=1)}):
        with pytest.raises(Refusal):
            surround(room, **changes)


# prepared again


def long_after(policy_in_force: Policy, gap: timedelta) -> Room:
    """A dose at T0 and another after the gap; a prescriber cleared the patient again in between."""
    room = dosed_room(LONG, policy_in_force)
    finish_session(room)
    room.now = T0 + gap - timedelta(days=1)
    room.hear(approval(LONG, request=2, decided_at=room.now))
    room.now = T0 + gap
    room.schedule()
    room.check(2)
    return room


@pytest.mark.parametrize(("gap", "long"), [(WEEKS, False), (WEEKS + timedelta(seconds=1), True)])
def test_r27_after_the_weeks_of_a_clearance_preparation_is_asked_for_again(gap: timedelta, long: bool) -> None:
    blocked = long_after(policy(preparation_again="block"), gap)
    decided = blocked.authorise(session=2)
    if long:
        assert rules(decided) == {("R-27", "preparation-long-ago")}
        given = blocked.dose(session=2)[0]
        assert isinstance(given, SessionDosed)
        assert "preparation-long-ago" in given.deviations
    else:
        assert isinstance(decided[0], DosingAuthorised)
    for words, expected in (("warn", long), ("off", False)):
        permission = long_after(policy(preparation_again=words), gap).authorise(session=2)[0]
        assert isinstance(permission, DosingAuthorised)
        assert ("preparation-long-ago" in permission.warnings) is expected


def test_r27_a_new_preparation_settles_it() -> None:
    room = long_after(policy(preparation_again="block"), timedelta(weeks=20))
    room.prepare()
    assert isinstance(room.authorise(session=2)[0], DosingAuthorised)


def test_r27_a_preparation_long_before_a_first_dose_is_asked_for_again_too() -> None:
    room = approved_room(LONG, policy(preparation_again="block"))
    room.prepare()
    room.now = T0 + WEEKS + timedelta(seconds=1)
    room.schedule()
    room.check()
    assert rules(room.authorise()) == {("R-27", "preparation-long-ago")}


def test_r27_a_dose_within_the_weeks_keeps_a_patient_prepared() -> None:
    """Prepared and dosed at T0, dosed again 10 weeks later; 10 weeks after that the preparation alone lies too far back."""
    room = dosed_room(LONG, policy(preparation_again="block"))
    finish_session(room)
    room.now = T0 + timedelta(weeks=10)
    run_session(room, 2)
    room.now = T0 + timedelta(weeks=20)
    room.hear(approval(LONG, request=2, decided_at=room.now))
    room.schedule()
    room.check(3)
    assert isinstance(room.authorise(session=3)[0], DosingAuthorised)


def test_a_preparation_held_after_a_dose_did_not_prepare_for_it() -> None:
    room = approved_room()
    room.schedule()
    room.check()
    room.later(minutes=30)
    room.prepare()
    given = room.dose(given_at=T0 + timedelta(minutes=5))[0]
    assert isinstance(given, SessionDosed)
    assert "not-prepared" in given.deviations
    assert "not-prepared" not in room.dose("50", booster=True)[0].model_dump()["deviations"]

"""The service as data: routes, permissions, views that JSON can carry."""

import json
from datetime import timedelta

import pytest

from services.intake.api import COMMANDS, FORMS, VIEWS, show_case, show_entries
from services.intake.app import DEFINITION
from services.intake.domain.alerts import ALERT
from services.intake.domain.consent import STOPS
from services.intake.domain.correct import CorrectEntry, correct_entry
from services.intake.domain.state import Case
from services.intake.domain.state_facts import StatedFact
from services.intake.domain.state_score import StateScore, state_score
from shared.access.decide import Permission
from shared.pathway.stop import PlaceHold, Request
from tests.unit.intake.cases import NOW, after, answer, fold, ready, referred, screen, state


def test_routes_are_distinct_and_only_referrals_begin_a_case() -> None:
    assert len({command.path for command in COMMANDS}) == len(COMMANDS) == 17
    assert {command.path for command in COMMANDS if command.begins} == {"/cases", "/referrals/fhir"}
    assert all(("{case}" in command.path) is (command.begins is None) for command in COMMANDS)


def test_every_body_is_strict_and_forbids_unknown_fields() -> None:
    assert all(issubclass(command.body, Request) for command in COMMANDS)


def test_only_the_screening_discloses_and_so_waits_for_the_inbox() -> None:
    assert {command.path for command in COMMANDS if command.waits_for_inbox} == {"/cases/{case}/screening"}


def test_only_prescribers_and_monitors_may_lift_a_hold() -> None:
    assert {command.path: command.permission for command in COMMANDS}["/cases/{case}/holds/lift"] is Permission.LIFT_HOLD


def test_the_definition_publishes_every_event_that_intake_decides() -> None:
    published = {event.TYPE for event in DEFINITION.publishes}
    assert {STOPS.withdrawn.TYPE, STOPS.placed.TYPE, STOPS.lifted.TYPE, STOPS.noted.TYPE} <= published
    assert {ALERT.raised.TYPE, ALERT.acknowledged.TYPE, ALERT.escalated.TYPE} <= published
    assert len(published) == len(DEFINITION.publishes)
    assert DEFINITION.kinds[0].initial == Case()


def test_the_case_is_shown_as_json_at_every_stage() -> None:
    held = after(ready(), STOPS.place, PlaceHold(reason="other"))
    out = state(ready(), StatedFact(kind="condition", system="snomed", code="5602001"))
    for case in (Case(), referred(), ready(), held, fold(out, [screen(out)]), fold(ready(), [screen(ready())])):
        shown, entries = (json.loads(json.dumps(view.render(case))) for view in VIEWS[:2])
        assert shown["status"] == case.status
        assert len(entries["entries"]) == len(case.entries)


def test_the_view_says_what_screening_still_needs() -> None:
    needed = show_case(answer(referred(sex="male"), "phq-9", [0] * 8 + [1]))["still_needed"]
    assert needed["instruments"] == ["gad-7", "audit-c", "c-ssrs"]
    assert "glaucoma" in needed["answers"]
    assert "pregnancy" not in needed["answers"]
    assert show_case(ready())["still_needed"] == {"instruments": [], "answers": []}


def test_the_view_shows_the_screening_and_its_deferral() -> None:
    case = state(ready(), alcohol_use_disorder=True)
    shown = show_case(fold(case, [screen(case)]))
    assert shown["status"] == "deferred"
    assert shown["screening"]["deferred_until"] == "2026-09-15"
    assert [finding["rule"] for finding in shown["screening"]["findings"]] == ["R-05"]


def test_the_view_shows_no_date_of_birth_and_no_facts() -> None:
    assert "1990" not in json.dumps(show_case(ready()))


def test_static_forms_are_json_and_hold_every_question() -> None:
    shown = json.loads(json.dumps(FORMS))
    assert len(shown["/instruments"]["phq-9"]["items"]) == 9
    assert set(shown["/questionnaire"]) == set(show_case(referred())["still_needed"]["answers"])


def test_entries_are_shown_with_their_names_so_that_a_person_can_correct_them() -> None:
    case = answer(state(ready(), StatedFact(kind="condition", system="snomed", code="5602001")), "c-ssrs", [1, 0, 0, 0, 0, 0])
    name = case.entries[6].entry
    assert name is not None
    case = after(case, correct_entry, CorrectEntry(entry=name, kind="entered_in_error", reason="another chart"))
    shown = json.loads(json.dumps(show_entries(case)))["entries"]
    assert [entry["entry"] for entry in shown] == [entry.entry for entry in case.entries]
    assert [entry["counts"] for entry in shown] == [True] * 6 + [False, True]
    assert shown[6]["corrected"] == {"kind": "entered_in_error", "reason": "another chart", "at": NOW.isoformat()}
    assert [fact["code"] for fact in shown[6]["facts"]] == ["5602001"]
    assert (shown[7]["answers"]["band"], shown[7]["answers"]["answers"]) == ("low", [1, 0, 0, 0, 0, 0])
    assert shown[1]["consent_version"] == "2026-1"


@pytest.mark.parametrize(("hours_ago", "late"), [(1, False), (24, False), (24.001, True)])
def test_what_was_recorded_more_than_a_day_later_is_shown_with_both_times(hours_ago: float, late: bool) -> None:
    case = answer(referred(), "gad-7", [1] * 7, hours_ago=hours_ago)
    case = after(case, state_score, StateScore(instrument="madrs", total=9, answered_at=NOW - timedelta(hours=hours_ago)))
    shown = show_case(case)
    for score in (*shown["scores"], *shown["stated_scores"]):
        assert score.get("recorded_at") == (NOW.isoformat() if late else None)
        assert score["entry"] in {entry.entry for entry in case.entries}
    assert shown["scores"][0]["answered_at"] == (NOW - timedelta(hours=hours_ago)).isoformat()
    both = show_entries(case)["entries"][1]
    assert (both["happened_at"], both["recorded_at"]) == (shown["scores"][0]["answered_at"], NOW.isoformat())

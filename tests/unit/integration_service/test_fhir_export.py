"""What integration exports: the plan and its sessions, goals and how they go, outcomes beside the baseline.

Expectations: FHIR R4 (4.0.1) pages of the resources; domain tables 3.1 and 3.2; R-29 by hand.
"""

import json
from typing import Any

from shared.fhir.codes import LOCAL_SYSTEM
from tests.unit.fhir.checks import by_code, coded, of_kind
from tests.unit.integration_service.exported import dosed_story, every_stage, exported, full
from tests.unit.integration_service.story import T0, phq9


def only(bundle: dict[str, Any], kind: str) -> dict[str, Any]:
    (found,) = of_kind(bundle, kind)
    return found


def total(bundle: dict[str, Any]) -> dict[str, Any]:
    return by_code(bundle, "44261-6")


def parts(observation: dict[str, Any]) -> dict[str, int]:
    return {coded(part["code"])[1]: part["valueQuantity"]["value"] for part in observation.get("component", [])}


def said(observation: dict[str, Any]) -> list[str]:
    return [coded(each)[1] for each in observation.get("interpretation", [])]


def test_every_stage_is_a_sound_bundle_without_insights() -> None:
    for state in every_stage():
        assert "I can rest" not in json.dumps(exported(state))


def test_each_planned_session_is_an_activity_and_an_encounter() -> None:
    bundle = exported(full())
    encounters, plan = of_kind(bundle, "Encounter"), only(bundle, "CarePlan")
    assert (encounters[0]["status"], {each["status"] for each in encounters[1:]}) == ("finished", {"planned"})
    assert encounters[0]["period"]["start"] == dosed_story().on_day(2).now.isoformat()
    assert [activity["detail"]["status"] for activity in plan["activity"]] == ["completed"] + ["scheduled"] * (len(encounters) - 1)
    assert [activity["outcomeReference"] for activity in plan["activity"]] == [
        [{"reference": f"urn:uuid:{each['id']}"}] for each in encounters
    ]
    first, *_ = dosed_story().state.planned
    assert plan["activity"][0]["detail"]["scheduledPeriod"] == {"end": first.due_by.isoformat()}
    assert (plan["status"], plan["period"]) == ("active", {"start": T0.isoformat()})
    assert only(exported(every_stage()[4]), "CarePlan")["status"] == "completed"


def test_before_a_dose_there_is_no_plan() -> None:
    assert of_kind(exported(every_stage()[0]), "CarePlan") == []


def test_a_goal_says_how_often_and_how_it_went() -> None:
    bundle = exported(full())
    goal = only(bundle, "Goal")
    assert (goal["lifecycleStatus"], goal["description"]) == ("active", {"text": "walk to the river"})
    (target,) = goal["target"]
    assert (target["detailQuantity"]["value"], target["detailQuantity"]["code"]) == (3, "/wk")
    weeks = [each for each in of_kind(bundle, "Observation") if coded(each["code"])[1] == "times-per-week"]
    assert [each["valueQuantity"]["value"] for each in weeks] == [2, 4]
    assert goal["outcomeReference"] == [{"reference": f"urn:uuid:{each['id']}"} for each in weeks]
    assert all(each["focus"] == [{"reference": f"urn:uuid:{goal['id']}"}] for each in weeks)
    assert only(bundle, "CarePlan")["goal"] == [{"reference": f"urn:uuid:{goal['id']}"}]


def test_r29_an_outcome_stands_beside_its_baseline() -> None:
    """From 20 to 4: a drop of 16 is more than half, and 4 is below 5 from a baseline of at least 10."""
    observed = total(exported(full()))
    assert observed["valueQuantity"]["value"] == 4
    assert parts(observed) == {"baseline": 20, "change-from-baseline": -16}
    assert said(observed) == ["outcome.response", "outcome.remission"]
    assert coded(observed["interpretation"][0]) == (LOCAL_SYSTEM, "outcome.response")


def test_r29_a_deterioration_says_so_and_what_is_not_so_is_left_out() -> None:
    story = dosed_story().on_day(7)
    story.measure("phq-9", phq9(25, 1))
    assert said(total(exported(story.state))) == ["outcome.deterioration"]
    story = dosed_story().on_day(7)
    story.measure("phq-9", phq9(20))
    assert said(total(exported(story.state))) == []
    assert parts(total(exported(story.state))) == {"baseline": 20, "change-from-baseline": 0}


def test_r07_an_outcome_with_a_missing_item_has_no_total() -> None:
    bundle = exported(full())
    gad7 = [each for each in of_kind(bundle, "QuestionnaireResponse") if each["questionnaire"].endswith("gad-7")]
    assert [each["status"] for each in gad7] == ["in-progress"]
    assert "70274-6" not in {coded(each["code"])[1] for each in of_kind(bundle, "Observation")}


def test_r09_a_screener_after_treatment_says_its_level() -> None:
    bundle = exported(full())
    assert coded(by_code(bundle, "93374-7")["valueCodeableConcept"]) == (LOCAL_SYSTEM, "c-ssrs.low")
    assert coded(only(bundle, "RiskAssessment")["code"])[1] == "225337009"


def test_two_outcomes_of_one_instrument_are_two() -> None:
    story = dosed_story().on_day(7)
    story.measure("phq-9", phq9(10))
    story.measure("phq-9", phq9(9))
    bundle = exported(story.state)
    assert [each["valueQuantity"]["value"] for each in of_kind(bundle, "Observation") if coded(each["code"])[1] == "44261-6"] == [10, 9]

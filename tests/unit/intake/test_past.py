"""Past decisions: found in a history, the same again under their own policy, different where another policy says so."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest

from services.intake.domain.answer import AnswerInstrument, answer_instrument
from services.intake.domain.codes import QUESTIONS
from services.intake.domain.past import past_decisions
from services.intake.domain.screen import CompleteScreening, complete_screening
from services.intake.domain.state import Case
from shared.events import intake
from shared.events.base import Envelope, EventData
from shared.events.codec import Recorded
from shared.pathway.past import Past
from shared.pathway.policy import Policy
from tests.unit.intake import cases
from tests.unit.intake.cases import NOTHING, NOW, POLICY, at, policy_with


def recorded(events: Sequence[EventData]) -> list[Recorded]:
    return [
        Recorded(
            Envelope(
                id=f"e{number}",
                source="urn:kapcare:intake",
                type=event.TYPE,
                subject="case-1",
                time=NOW,
                sequence=number,
                clinic="north",
                patient="patient-1",
                actor="therapist-1",
                correlation=f"e{number}",
            ),
            event,
        )
        for number, event in enumerate(events, start=1)
    ]


def story(gad7: Sequence[int] = (1,) * 7, policy: Policy = POLICY) -> list[EventData]:
    """Everything from the referral to the screening, as a service would have committed it."""
    told: list[EventData] = []
    case = Case()

    def tell(events: Sequence[EventData]) -> None:
        nonlocal case
        told.extend(events)
        case = cases.fold(case, list(events))

    referral = intake.PatientReferred(origin="json", birth_date=date(1990, 1, 1), sex="female", indication="depression", referred_at=NOW)
    tell([referral])
    given: Any = intake.ConsentGiven(version="v1", scopes=("treatment", "disclosure_to_prescriber"), given_at=NOW)
    tell([given])
    tell([intake.FactsStated(facts=tuple(cases.no(question) for question in QUESTIONS))])
    for instrument, answers in (*NOTHING.items(), ("gad-7", gad7)):
        command = AnswerInstrument(instrument=instrument, answers=tuple(answers), answered_at=NOW)
        tell(answer_instrument(case, command, at(policy=policy)))
    tell(complete_screening(case, CompleteScreening(note="for the prescriber"), at(policy=policy)))
    return told


def past(events: Sequence[EventData]) -> dict[str, Past]:
    return {f"{one.step}/{one.envelope.id}": one for one in past_decisions(recorded(events))}


@pytest.mark.parametrize("gad7", [(1,) * 7, (2,) * 7], ids=["below", "positive"])
def test_under_its_own_policy_every_decision_comes_out_as_it_was_recorded(gad7: Sequence[int]) -> None:
    found = past(story(gad7))
    assert [one.step for one in found.values()] == ["score phq-9", "score gad-7", "score audit-c", "score gad-7", "screening"]
    for one in found.values():
        assert one.again(POLICY) == one.result
        assert one.policy_version == POLICY.version


def test_a_stricter_threshold_changes_the_scoring_and_the_screening_that_rest_on_it_and_nothing_else() -> None:
    found = past(story((1,) * 7))  # GAD-7 total 7: negative at 10, positive at 5
    stricter = policy_with(gad7_positive=5)
    differing = {one.step: one.again(stricter) for one in found.values() if one.again(stricter) != one.result}
    assert differing == {
        "score gad-7": ("mild", "total 7", "positive"),
        "screening": ("completed", "R-11 anxiety_screen_positive review because gad-7"),
    }


def test_a_minimum_age_above_the_patients_would_have_screened_the_patient_out() -> None:
    screening = next(one for one in past(story()).values() if one.step == "screening")
    assert screening.result == ("completed",)
    assert screening.again(policy_with(minimum_age_years=40)) == ("screened out", "R-01 age absolute because birth_date")


def test_a_refusal_is_a_decision_too_and_tells_its_rule() -> None:
    events = story()[:-1]
    refused = complete_screening(cases.fold(Case(), [events[0], *events[2:]]), CompleteScreening(), at())
    found = list(past_decisions(recorded([events[0], *events[2:], *refused])))
    assert found[-1].step == "screening"
    assert found[-1].result[:2] == ("refused", "R-20")
    assert found[-1].again(POLICY) == found[-1].result


def test_the_facts_of_a_screening_are_those_it_was_decided_on() -> None:
    screening = next(one for one in past(story()).values() if one.step == "screening")
    facts = dict(screening.facts)
    assert facts["birth date"] == "1990-01-01"
    assert facts["gad-7"].startswith("total 7, mild")
    assert sum(name.startswith("statement kapcare ") for name in facts) == len(QUESTIONS)

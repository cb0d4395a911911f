"""A patient who got worse. Expectation: R-29, and the rule that a partner sees of a case what an open review needs, and no more."""

from services.prescriber.api import show_case, show_review
from services.prescriber.domain.deterioration import note_deterioration
from services.prescriber.domain.review import opening
from services.prescriber.domain.state import Case, evolve_case
from shared.events.integration import OutcomeDeteriorated
from tests.unit.prescriber import given

WORSE = OutcomeDeteriorated(instrument="phq-9", baseline=10, total=15, measured_at=given.NOW)


def test_r29_the_networks_prescribers_see_a_deterioration_and_a_partner_does_not() -> None:
    case = evolve_case(Case(), given.CONSENT)
    for event in opening(given.partners)(case, given.screened(), given.context()):
        case = evolve_case(case, event)
    for event in note_deterioration(case, WORSE, given.context()):
        case = evolve_case(case, event)
    assert [(each.instrument, each.total) for each in show_case(case)["deteriorations"]] == [("phq-9", 15)]
    assert set(show_review(case, "riverside", given.POLICY)) == {
        *("request", "due_at", "summary", "clearances", "answers"),
        *("withheld", "why_withheld", "redisclosure"),
    }
    assert case.alerts.roles == ["prescriber"]


def test_r29_a_deterioration_can_be_the_first_word_on_a_case() -> None:
    assert [type(event).__name__ for event in note_deterioration(Case(), WORSE, given.context())] == ["DeteriorationNoted", "AlertRaised"]

"""R-14: nothing is approved on facts that changed since the screening; an approval in force is for people to judge."""

import pytest

from services.prescriber.domain.ask_again import AskForReview, asking_again
from services.prescriber.domain.decide import decide_in_house
from services.prescriber.domain.recall import recall
from services.prescriber.domain.state import Case
from services.prescriber.reactions import table
from shared.events import intake
from shared.events.base import EventData
from shared.events.prescriber import EligibilityApproved, EligibilityDeclined, OutdatedScreeningNoted, ReviewWithheld, StepRefused
from shared.pathway.refusal import Refusal
from tests.unit.prescriber.given import CONSENT, NOW, approved, context, decision, finding, in_review, nobody, screened, summary, told

OUTDATED = intake.ScreeningOutdated(items=("seizure",), outdated_at=NOW)


def hear(case: Case, event: EventData) -> Case:
    return told(case, table(nobody)[type(event)](case, event, context()))


def test_r14_nothing_is_approved_on_facts_that_changed_since() -> None:
    case = hear(in_review(), OUTDATED)
    (refusal,) = decide_in_house(case, decision(), context())
    assert isinstance(refusal, StepRefused)
    assert (refusal.rule, refusal.facts) == ("R-14", {"because": "screening-outdated", "items": "seizure"})
    assert refusal.plan is not None, "so that it can be decided again"
    assert isinstance(decide_in_house(case, decision("ineligible"), context())[0], EligibilityDeclined)
    assert case.waits_for is not None
    assert case.waits_for.what == "renewed_screening"


def test_r14_a_renewed_screening_is_decided_on() -> None:
    case = hear(hear(in_review(), OUTDATED), screened(finding("seizure")))
    assert case.outdated == ()
    answered = decision(clearances=[{"item": "seizure", "cleared": True, "note": "None for years."}], request=case.request)
    assert isinstance(decide_in_house(case, answered, context())[0], EligibilityApproved)


def test_an_approval_in_force_stays_and_is_not_continued() -> None:
    case = hear(approved(), OUTDATED)
    assert case.plan is not None
    with pytest.raises(Refusal) as refused:
        asking_again(nobody)(case, AskForReview(), context())
    assert (refused.value.slug, refused.value.rule) == ("screening-outdated", "R-14")


def test_what_was_withheld_is_as_outdated_when_it_is_released() -> None:
    withheld = told(Case(), [ReviewWithheld(why="consent-missing", summary=summary())])
    case = hear(hear(withheld, OUTDATED), CONSENT)
    assert (case.status, case.outdated) == ("in_review", ("seizure",))


def test_it_is_noted_once_and_only_of_a_screening_that_is_known() -> None:
    assert told(Case(), table(nobody)[intake.ScreeningOutdated](Case(), OUTDATED, context())) == Case()
    case = hear(in_review(), OUTDATED)
    assert table(nobody)[intake.ScreeningOutdated](case, OUTDATED, context()) == []
    more = OUTDATED.model_copy(update={"items": ("seizure", "glaucoma")})
    (noted,) = table(nobody)[intake.ScreeningOutdated](case, more, context())
    assert noted == OutdatedScreeningNoted(items=("glaucoma",), outdated_at=NOW)
    reopened = intake.ScreeningReopened(reason="amended", reopened_at=NOW)
    assert told(case, recall(case, reopened, context())).outdated == ()

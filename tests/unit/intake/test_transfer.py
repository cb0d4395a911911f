"""A case goes to another clinic: who may be told, and what is refused."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.intake.domain.consent import STOPS
from services.intake.domain.state import Case
from services.intake.domain.transfer import TransferCase, transfer_case
from shared.events import intake, prescriber
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from shared.pathway.stop import PlaceHold, WithdrawConsent
from shared.pathway.transfer import clinic_after, noting
from tests.unit.intake.cases import NOW, POLICY, after, at, consent, referred


def here() -> Context:
    known = POLICY.model_copy(update={"clinics": frozenset({"north", "south"})})
    return replace(at(policy=known), clinic="north")


def transferred(case: Case, to: str = "south") -> intake.CaseTransferred:
    (event,) = transfer_case(case, TransferCase(to_clinic=to, reason="The patient moved."), here())
    assert isinstance(event, intake.CaseTransferred)
    return event


def refusal(case: Case, to: str = "south") -> Refusal:
    with pytest.raises(Refusal) as refused:
        transferred(case, to)
    return refused.value


def test_a_transfer_names_both_clinics_and_the_reason() -> None:
    event = transferred(consent(referred()))
    assert (event.from_clinic, event.to_clinic, event.reason, event.transferred_at) == ("north", "south", "The patient moved.", NOW)
    assert clinic_after(event) == "south"


def test_r20_another_clinic_is_told_only_under_consent_to_treatment() -> None:
    assert refusal(referred()).rule == "R-20"
    assert refusal(consent(referred(), "disclosure_to_prescriber")).rule == "R-20"
    withdrawn = after(consent(referred()), STOPS.withdraw, WithdrawConsent(withdrawn_at=NOW - timedelta(minutes=1)))
    assert refusal(withdrawn).rule == "R-20"


def test_a_safety_hold_goes_along() -> None:
    held = after(consent(referred()), STOPS.place, PlaceHold(reason="suicide_risk"))
    assert transferred(held).to_clinic == "south"


@pytest.mark.parametrize(("to", "slug"), [("north", "already-there"), ("nowhere", "no-such-clinic")])
def test_only_to_another_clinic_that_the_policy_names(to: str, slug: str) -> None:
    assert refusal(consent(referred()), to).slug == slug


def test_nothing_else_moves_a_case_and_other_services_follow() -> None:
    event = transferred(consent(referred()))
    (noted,) = noting(prescriber.TransferNoted)(None, event, here())
    assert clinic_after(noted) == "south"
    assert clinic_after(intake.ScreeningReopened(reason="amended", reopened_at=NOW)) is None

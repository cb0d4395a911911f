"""Consent at intake, and the stops of other services. Expectations: R-20, and the folding rules of shared.pathway.stop."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.intake.domain.consent import STOPS, GiveConsent, give_consent
from services.intake.domain.state import Case, evolve
from services.intake.reactions import REACTIONS
from shared.events import base, intake, integration, prescriber, session
from shared.events.base import Envelope, EventData
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from shared.pathway.stop import LiftHold, WithdrawConsent
from tests.unit.intake.cases import NOW, POLICY, after, at, consent, fold, referred

BOTH: tuple[Any, ...] = ("treatment", "disclosure_to_prescriber")


def giving(hours_ago: float) -> GiveConsent:
    return GiveConsent(version="2026-1", scopes=BOTH, given_at=NOW - timedelta(hours=hours_ago))


def test_r20_consent_is_recorded_as_given() -> None:
    (event,) = give_consent(referred(), giving(1), at())
    assert event == intake.ConsentGiven(
        version="2026-1", scopes=BOTH, given_at=NOW - timedelta(hours=1), entry=at().new_id("entry"), recorded_at=NOW
    )


def test_r33_a_consent_may_cover_the_disclosure_of_substance_use_records_besides() -> None:
    scopes = [*BOTH, "substance_use_disclosure"]
    body = {"version": "2026-1", "scopes": scopes, "given_at": (NOW - timedelta(hours=1)).isoformat()}
    case = after(referred(), give_consent, GiveConsent.model_validate_json(json.dumps(body)))
    assert case.stops.consent_scopes == set(scopes)
    for wrong in ([*scopes, "treatment"], [*BOTH, "research"], []):
        with pytest.raises(ValidationError):
            GiveConsent.model_validate_json(json.dumps(body | {"scopes": wrong}))


def test_r33_a_service_that_takes_note_of_a_consent_notes_all_its_scopes() -> None:
    scopes: tuple[Any, ...] = (*BOTH, "substance_use_disclosure")
    given_elsewhere = intake.ConsentGiven(version="2026-1", scopes=scopes, given_at=NOW)
    (noted,) = STOPS.note(Case(), given_elsewhere, reacting("intake"))
    assert isinstance(noted, intake.StopNoted)
    assert evolve(Case(), noted).stops.consent_scopes == set(scopes)


def test_r20_consent_from_the_future_is_refused() -> None:
    assert give_consent(referred(), giving(0), at())
    with pytest.raises(Refusal) as refused:
        give_consent(referred(), giving(-0.001), at())
    assert (refused.value.slug, refused.value.rule) == ("time-in-the-future", "R-20")


@pytest.mark.parametrize(("hours_ago", "accepted"), [(3, False), (2, False), (1.9, True)])
def test_r20_only_a_later_consent_changes_anything(hours_ago: float, accepted: bool) -> None:
    case = consent(referred())  # given two hours ago
    if accepted:
        assert give_consent(case, giving(hours_ago), at())
        return
    with pytest.raises(Refusal) as refused:
        give_consent(case, giving(hours_ago), at())
    assert refused.value.slug == "consent-superseded"


def test_r20_consent_older_than_the_withdrawal_is_refused() -> None:
    case = after(consent(referred()), STOPS.withdraw, WithdrawConsent(withdrawn_at=NOW - timedelta(hours=1)))
    assert case.status == "consent_withdrawn"
    with pytest.raises(Refusal):
        give_consent(case, giving(1.5), at())
    assert after(case, give_consent, giving(0.5)).status == "referred"


def test_every_stop_of_every_other_service_is_noted() -> None:
    stops = (base.ConsentWithdrawn, base.SafetyHoldPlaced, base.SafetyHoldLifted)
    published = (*prescriber.EVENTS, *session.EVENTS, *integration.EVENTS)
    noted = {event for event in published if issubclass(event, stops)}
    assert set(REACTIONS) == noted | {prescriber.PolicyAdopted}
    assert len(noted) == 9


def reacting(source: str) -> Context:
    envelope = Envelope("e1", f"urn:kapcare:{source}", "t", "case-1", NOW, 1, "north", "p", "a", "c")
    return Context(now=NOW, actor=at().actor, policy=POLICY, seed="event:1", envelope=envelope)


@pytest.mark.parametrize("source", [prescriber, session, integration])
def test_a_stop_is_noted_once_and_even_as_the_first_event_of_a_case(source: Any) -> None:
    name = source.__name__.rpartition(".")[2]
    withdrawn = source.ConsentWithdrawn(withdrawn_at=NOW, said_to=name)
    placed = source.SafetyHoldPlaced(hold="hold-1", reason="other", placed_at=NOW)
    lifted = source.SafetyHoldLifted(hold="hold-1", reason="seen", lifted_at=NOW)
    case = Case()
    for event in (withdrawn, placed, lifted):
        (noted,) = REACTIONS[type(event)](case, event, reacting(name))
        assert isinstance(noted, intake.StopNoted)
        assert noted.noted_from == f"urn:kapcare:{name}"
        case = evolve(case, noted)
        assert REACTIONS[type(event)](case, event, reacting(name)) == []
    assert case.stops.lifted == {"hold-1"}
    assert case.status == "consent_withdrawn"


HOURS = st.integers(0, 5).map(lambda hours: NOW - timedelta(hours=hours))
HOLDS = st.sampled_from(["hold-1", "hold-2"])
SAID: st.SearchStrategy[EventData] = st.one_of(
    st.builds(session.ConsentWithdrawn, withdrawn_at=HOURS, said_to=st.just("session")),
    st.builds(intake.SafetyHoldPlaced, hold=HOLDS, reason=st.just("other"), placed_at=HOURS),
    st.builds(prescriber.SafetyHoldLifted, hold=HOLDS, reason=st.just("seen"), lifted_at=HOURS),
    st.builds(intake.ConsentGiven, version=st.just("v1"), scopes=st.just(BOTH), given_at=HOURS),
    st.builds(intake.StopNoted, kind=st.just("hold_placed"), at=HOURS, noted_from=st.just("x"), hold=HOLDS),
)


@given(st.lists(SAID, max_size=6).flatmap(lambda events: st.tuples(st.just(events), st.permutations(events))))
def test_stops_said_in_any_order_come_to_the_same(orders: tuple[list[EventData], list[EventData]]) -> None:
    said, shuffled = orders
    assert fold(Case(), said).stops == fold(Case(), shuffled).stops


@pytest.mark.parametrize("when", [datetime(1926, 6, 15, tzinfo=UTC), datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))])
def test_r20_a_withdrawal_in_an_impossible_year_is_refused(when: datetime) -> None:
    """Taken as said, a mistyped year would lie before the consent, which would stay in force."""
    with pytest.raises(Refusal) as refused:
        STOPS.withdraw(consent(referred()), WithdrawConsent(withdrawn_at=when), at())
    assert (refused.value.slug, refused.value.rule) == ("out-of-range", "R-20")


@pytest.mark.parametrize("words", ["", " ", "\t\n"])
def test_r10_a_hold_is_not_lifted_for_a_blank_reason(words: str) -> None:
    with pytest.raises(ValidationError):
        LiftHold.model_validate_json(json.dumps({"hold": "hold-1", "reason": words}))

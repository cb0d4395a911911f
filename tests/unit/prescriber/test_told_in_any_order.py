"""In whatever order things come, an organisation with a review or an approval knows whether the case is stopped, and when it lost either.

The oracle keeps what each organisation was told last, and takes who has what and what stops from the events that were recorded; it asks
neither the state nor the rules of the service. That a review is assigned says that nothing stops it, unless `stopped` comes with it.
"""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule, run_state_machine_as_test
from typing_extensions import override

from services.prescriber.domain.revoke import Revoke, revoke
from services.prescriber.domain.stops import STOPS, lifting
from shared.events import intake
from shared.events.base import EventData, SafetyHoldLifted, SafetyHoldPlaced, StopNoted
from shared.events.integration import OutcomeDeteriorated
from shared.events.partner import PartnerTold
from shared.events.prescriber import (
    DeteriorationNoted,
    EligibilityApproved,
    EligibilityDeclined,
    EligibilityExpired,
    EligibilityRevoked,
    OutdatedScreeningNoted,
    ReviewAssigned,
    ReviewOpened,
    ReviewReassigned,
    ReviewRecalled,
    ReviewWithheld,
)
from shared.pathway.stop import LiftHold, PlaceHold
from tests.unit.prescriber.given import CONSENT, partners
from tests.unit.prescriber.test_any_order import AnyOrder

OUTSIDE = ("north", "south")
SCOPES = {"treatment", "disclosure_to_prescriber"}
SLUG = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


def having(history: list[EventData]) -> tuple[str | None, str | None]:
    """Whose review is open, and whose approval is in force."""
    reviewer = approver = None
    for event in history:
        match event:
            case ReviewAssigned():
                reviewer = event.partner
            case ReviewOpened() | ReviewRecalled() | ReviewWithheld():
                reviewer = None
            case EligibilityApproved():
                reviewer, approver = None, event.partner
            case EligibilityDeclined():
                reviewer = approver = None
            case EligibilityExpired() | EligibilityRevoked():
                approver = None
            case _:
                continue
    return reviewer, approver


def stopped(history: list[EventData]) -> bool:
    """Whether a hold is in force, or consent to all that it is asked for is not."""
    notes = [event for event in history if isinstance(event, StopNoted)]
    held = {event.hold for event in history if isinstance(event, SafetyHoldPlaced)} | {n.hold for n in notes if n.kind == "hold_placed"}
    free = {event.hold for event in history if isinstance(event, SafetyHoldLifted)} | {n.hold for n in notes if n.kind == "hold_lifted"}
    spoken = sorted((n for n in notes if n.kind.startswith("consent")), key=lambda n: (n.at, n.kind == "consent_withdrawn"))
    return bool(held - free) or not spoken or spoken[-1].kind == "consent_withdrawn" or set(spoken[-1].scopes) != SCOPES


class ToldInAnyOrder(AnyOrder):
    """The same case, with what else organisations hear of."""

    def __init__(self) -> None:
        super().__init__()
        self.believes: dict[str, bool] = {}
        """Of each organisation with a review or an approval, whether it was told last that the case is stopped."""

    @override
    def take(self, decided: Callable[[], list[EventData]], by: str | None = None) -> list[EventData]:
        earlier = list(self.history)
        events = super().take(decided, by)
        told = {(event.partner, event.told) for event in events if isinstance(event, PartnerTold)}
        assert len(told) == sum(isinstance(event, PartnerTold) for event in events), "each once"
        assert {partner for partner, _ in told} <= set(OUTSIDE)
        self.hear_of_stops(events)
        self.believes = {partner: self.believes[partner] for partner in having(self.history) if partner in OUTSIDE}
        rest = {word for word in told if word[1] not in {"kapcare.review.stopped", "kapcare.review.resumed"}}
        assert rest == {word for word in expected(earlier, events, by) if word[0] in OUTSIDE}
        return events

    def hear_of_stops(self, events: list[EventData]) -> None:
        """What each organisation hears, in order: of a stop only where it knew of none, of its end only where it did."""
        for event in events:
            match event:
                case ReviewAssigned():
                    self.believes[event.partner] = False
                case PartnerTold(told="kapcare.review.stopped"):
                    assert self.believes[event.partner] is False
                    self.believes[event.partner] = True
                case PartnerTold(told="kapcare.review.resumed"):
                    assert self.believes[event.partner] is True
                    self.believes[event.partner] = False
                case _:
                    continue

    @override
    @initialize(reached=st.sampled_from(["nothing", "review", "approval", "both", "both", "in-house"]))
    def begin(self, reached: str) -> None:
        """Begin also with an approval in force and a later review open, or with an approval of the network's own."""
        if reached not in {"both", "in-house"}:
            super().begin(reached=reached)
            return
        super().begin(reached="review")
        if reached == "in-house":
            self.reassigned(to="in-house")
        self.decided(by=None, kind="eligible", back=0, days=60)
        if reached == "both":
            self.asked_again()

    @rule(scope=st.sampled_from(sorted(SCOPES)))
    def consent_became_less(self, scope: str) -> None:
        self.now += timedelta(seconds=1)
        self.hear(CONSENT.model_copy(update={"given_at": self.now, "scopes": (scope,)}))

    @rule()
    def held_here(self) -> None:
        self.take(lambda: STOPS.place(self.case, PlaceHold(reason="other"), self.context()))

    @rule()
    def lifted_here(self) -> None:
        for hold in sorted(self.case.stops.holds)[:1]:
            command = LiftHold(hold=hold, reason="assessed")
            self.take(lambda command=command: lifting(partners)(self.case, command, self.context()))  # type: ignore[misc]

    @rule(by=st.sampled_from(OUTSIDE))
    def revoked_by_an_organisation(self, by: str) -> None:
        self.take(lambda: revoke(self.case, Revoke(reason="new-finding"), self.context()), by)

    @rule(item=st.sampled_from(["seizure", "glaucoma"]))
    def outdated(self, item: str) -> None:
        self.hear(intake.ScreeningOutdated(items=(item,), outdated_at=self.now))

    @rule()
    def screened_out(self) -> None:
        self.hear(intake.ScreenedOut(reasons=(), screened_at=self.now, policy_version="test-1"))

    @rule()
    def got_worse(self) -> None:
        self.hear(OutcomeDeteriorated(instrument="phq-9", baseline=10, total=15, measured_at=self.now))

    @invariant()
    def r10_r20_whoever_has_a_review_or_an_approval_knows_whether_the_case_is_stopped(self) -> None:
        for partner in having(self.history):
            if partner in OUTSIDE:
                assert self.believes[partner] is stopped(self.history)

    @invariant()
    def a_notice_holds_slugs_and_the_number_of_a_request_that_this_organisation_had(self) -> None:
        had = {(event.partner, event.request) for event in self.history if isinstance(event, ReviewAssigned)}
        for event in self.history:
            if isinstance(event, PartnerTold):
                values = event.model_dump(mode="json")
                assert set(values) == {"partner", "told", "request"}
                assert SLUG.fullmatch(values["partner"])
                assert SLUG.fullmatch(values["told"])
                assert (event.partner, event.request) in had


def expected(earlier: list[EventData], events: list[EventData], by: str | None) -> set[tuple[Any, str]]:
    """What must be told beside stops, by who had what before and after."""
    reviewer, approver = having(earlier)
    reviewer_after, approver_after = having([*earlier, *events])
    kinds = {type(event) for event in events}
    due: set[tuple[Any, str]] = set()
    if reviewer != reviewer_after and not kinds & {EligibilityApproved, EligibilityDeclined}:
        due.add((reviewer, f"kapcare.review.{'reassigned' if ReviewReassigned in kinds else 'recalled'}"))
    if approver != approver_after and approver != by:
        due.add((approver, f"kapcare.approval.{'expired' if EligibilityExpired in kinds else 'revoked'}"))
    if OutdatedScreeningNoted in kinds:
        due.add((reviewer, "kapcare.review.outdated"))
    if DeteriorationNoted in kinds:
        due.add((approver if approver in OUTSIDE else reviewer, "kapcare.outcome.deteriorated"))
    return due


def test_r10_r20_r29_nobody_is_left_in_the_dark_in_any_order() -> None:
    run_state_machine_as_test(ToldInAnyOrder, settings=settings(stateful_step_count=25, database=None))

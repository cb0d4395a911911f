"""Whatever comes, in whatever order: one organisation at a time has the review, and an approval never outlives its grounds.

The oracle is written from the events that were recorded, R-14 to R-16 and R-30; it asks the service nothing.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from pydantic import TypeAdapter

from services.prescriber.domain.alerts import ALERT
from services.prescriber.domain.ask_again import AskForReview, asking_again
from services.prescriber.domain.clearance import AnswerClearances, answering
from services.prescriber.domain.decide import decide_as_partner, decide_in_house
from services.prescriber.domain.depart import depart
from services.prescriber.domain.partners.state import Organisation
from services.prescriber.domain.reassign import Reassign, reassigning
from services.prescriber.domain.revoke import Revoke, revoke
from services.prescriber.domain.state import Case
from services.prescriber.domain.told import notices
from services.prescriber.reactions import falling_due, table
from shared.events import intake
from shared.events.base import EventData
from shared.events.prescriber import (
    EligibilityApproved,
    EligibilityDeclined,
    EligibilityExpired,
    EligibilityRevoked,
    LateDecisionReceived,
    ReviewAssigned,
    ReviewOpened,
    ReviewReassigned,
    ReviewRecalled,
)
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from tests.unit.alerting import without_alerts
from tests.unit.prescriber.given import CONSENT, NORTH, NOW, SOUTH, decision, finding, in_state, screened, told

STATE = TypeAdapter(Case)
CHANGES: list[dict[str, Any]] = [
    {"status": "left"},
    {"status": "active"},
    {"licensed_states": ("WA",)},
    {"licensed_states": ("OR",)},
    {"capacity": 0},
    {"capacity": None},
]
"""What may become of an organisation; the clinic lies in Oregon."""
ORGANISATIONS = ["north", "south", "in-house", "east"]


class AnyOrder(RuleBasedStateMachine):
    """One case: what intake says, what people ask for, and time."""

    def __init__(self) -> None:
        super().__init__()
        self.case = Case()
        self.now = NOW
        self.history: list[EventData] = []
        self.causes = 0
        self.organisations = {one.slug: replace(one, licensed_states=("OR",)) for one in (NORTH, SOUTH)}
        self.reactions = table(self.partners)

    def partners(self) -> tuple[Organisation, ...]:
        return tuple(self.organisations.values())

    def context(self) -> Context:
        self.causes += 1
        return replace(in_state("OR", seed=f"cause-{self.causes}"), now=self.now)

    def take(self, decided: Callable[[], list[EventData]], by: str | None = None) -> list[EventData]:
        """Fold what was decided, and what organisations are told of it; `by` is the organisation that decided, if one did."""
        before = self.case
        try:
            events = decided()
        except Refusal:
            return []
        events = [*events, *notices(before, events, by)]
        asked_before = max((event.request for event in self.history if isinstance(event, ReviewAssigned)), default=0)
        for event in events:
            stored = type(event).model_validate_json(event.model_dump_json())
            self.case = told(self.case, [stored])
            self.history.append(stored)
            if isinstance(event, ReviewAssigned):
                assert event.request > asked_before  # a number is asked once
                assert self.case.stops.why_stopped("disclosure_to_prescriber") is None
                self.may_be_asked(event.partner, before.partner)
            if isinstance(event, ReviewReassigned):
                assert event.partner != event.from_partner == before.partner
        return events

    def may_be_asked(self, asked: str, before: str | None) -> None:
        """Nobody is asked who left or is not licensed in the clinic's state, and of the full only who was asked before."""
        if asked != "in-house":
            organisation = self.organisations[asked]
            assert (organisation.status, organisation.licensed_states) == ("active", ("OR",))
            assert organisation.capacity is None or asked == before

    def hear(self, event: EventData) -> None:
        self.take(lambda: self.reactions[type(event)](self.case, event, self.context()))

    @initialize(reached=st.sampled_from(["nothing", "review", "approval", "approval"]))
    def begin(self, reached: str) -> None:
        """Begin with nothing, an open review or an approval."""
        if reached != "nothing":
            self.hear(CONSENT)
            self.hear(screened())
        if reached == "approval":
            self.decided(by=None, kind="eligible", back=0, days=60)

    @rule(items=st.sampled_from([(), ("cystitis",)]))
    def screening_completed(self, items: tuple[str, ...]) -> None:
        self.hear(screened(*[finding(item) for item in items]))

    @rule()
    def screening_reopened(self) -> None:
        self.hear(intake.ScreeningReopened(reason="entered-in-error", reopened_at=self.now))

    @rule(withdrawn=st.booleans())
    def consent_changed(self, withdrawn: bool) -> None:
        self.now += timedelta(seconds=1)
        if withdrawn:
            self.hear(intake.ConsentWithdrawn(withdrawn_at=self.now, said_to="intake"))
        else:
            self.hear(CONSENT.model_copy(update={"given_at": self.now}))

    @rule(name=st.sampled_from(["a", "b"]), lifted=st.booleans())
    def hold_changed(self, name: str, lifted: bool) -> None:
        if lifted:
            self.hear(intake.SafetyHoldLifted(hold=name, reason="reviewed", lifted_at=self.now))
        else:
            self.hear(intake.SafetyHoldPlaced(hold=name, reason="adverse_event", placed_at=self.now))

    @rule(
        by=st.sampled_from([None, None, None, *ORGANISATIONS]),
        kind=st.sampled_from(["eligible", "eligible", "needs_clearance", "ineligible"]),
        back=st.sampled_from([0, 0, 0, 1, 2, -1]),
        days=st.integers(1, 60),
    )
    def decided(self, by: str | None, kind: str, back: int, days: int) -> None:
        """None: the one that has the review decides."""
        by = by or self.case.partner or "in-house"
        more: dict[str, Any] = {"items": ["cardiac"]} if kind == "needs_clearance" else {}
        if kind == "eligible":
            more = {"plan_changed": {"expires_at": self.now + timedelta(days=days)}, "evaluation": {"mode": "in_person"}}
            more["clearances"] = [{"item": item, "cleared": True, "note": "letter"} for item in self.case.clearances]
        request = self.case.request - back
        if request < 1:
            return
        command = decision(kind, request=request, **more)
        before = self.case
        if by == "in-house":
            events = self.take(lambda: decide_in_house(self.case, command, self.context()))
        else:
            events = self.take(lambda: decide_as_partner(self.case, command, self.context(), by=by), by)
        if by != before.partner:
            assert all(isinstance(event, LateDecisionReceived) for event in without_alerts(events))
            assert replace(self.case, alerts=before.alerts) == before
        if by == "east":
            assert events == []
        if any(isinstance(event, EligibilityApproved | EligibilityDeclined) for event in events):
            assert (before.status, before.partner, before.request) == ("in_review", by, request)

    @rule()
    def cleared(self) -> None:
        given = [{"item": item, "cleared": True, "note": "letter"} for item in self.case.to_clear]
        if given:
            command = AnswerClearances.model_validate({"answers": tuple(given)}, strict=False)
            self.take(lambda: answering(self.partners)(self.case, command, self.context()))

    @rule(to=st.sampled_from([None, *ORGANISATIONS]))
    def reassigned(self, to: str | None) -> None:
        self.take(lambda: reassigning(self.partners)(self.case, Reassign(reason="too-busy", partner=to), self.context()))

    @rule(slug=st.sampled_from(["north", "south"]), changed=st.sampled_from(CHANGES), seen=st.booleans())
    def organisation_changed(self, slug: str, changed: dict[str, Any], seen: bool) -> None:
        """Unless nobody saw it yet, what has to follow does."""
        self.organisations[slug] = replace(self.organisations[slug], **changed)
        if not seen:
            return
        before = self.case
        self.take(lambda: depart(self.case, self.partners(), self.context()))
        if self.case.status == "in_review" and self.case.stops.why_stopped("disclosure_to_prescriber") is None:
            self.may_be_asked(str(self.case.partner), before.partner)
        assert self.case.plan == before.plan
        assert depart(self.case, self.partners(), self.context()) == []

    @rule()
    def revoked(self) -> None:
        self.take(lambda: revoke(self.case, Revoke(reason="new-finding"), self.context()))

    @rule()
    def asked_again(self) -> None:
        self.take(lambda: asking_again(self.partners)(self.case, AskForReview(), self.context()))

    @rule(hours=st.sampled_from([1, 71, 72, 24 * 30]))
    def time_passed(self, hours: int) -> None:
        self.now += timedelta(hours=hours)
        due = {name: at for name, at in self.case.deadlines.items() if at <= self.now}
        for name, at in due.items():
            if self.case.deadlines.get(name) == at:
                self.take(lambda name=name: ALERT.beside(falling_due(self.partners))(self.case, name, self.context()))  # type: ignore[misc]
        assert all(at > self.now for at in self.case.deadlines.values())

    @invariant()
    def an_approval_is_in_force_until_something_ended_it(self) -> None:
        in_force = 0
        for event in self.history:
            if isinstance(event, EligibilityApproved):
                in_force = event.request
            elif isinstance(event, EligibilityDeclined | EligibilityExpired | EligibilityRevoked):
                in_force = 0
        assert (self.case.plan_request if self.case.plan is not None else 0) == in_force

    @invariant()
    def nothing_stands_on_a_screening_that_was_reopened(self) -> None:
        told_of = [event for event in self.history if isinstance(event, ReviewOpened | ReviewRecalled)]
        if told_of and isinstance(told_of[-1], ReviewRecalled) and self.case.status != "withheld":
            assert (self.case.status, self.case.plan, self.case.partner) == ("recalled", None, None)

    @invariant()
    def an_open_review_has_one_organisation_and_a_time_or_was_said_to_be_overdue(self) -> None:
        if self.case.status == "in_review":
            assert self.case.partner in {"north", "south", "in-house"}
            assert self.case.overdue != ("partner_answer" in self.case.deadlines)

    def teardown(self) -> None:
        """State survives storage."""
        assert STATE.validate_json(STATE.dump_json(self.case)) == self.case


def test_no_order_gives_a_review_to_two_or_leaves_an_approval_without_grounds() -> None:
    run_state_machine_as_test(AnyOrder, settings=settings(stateful_step_count=25, database=None))

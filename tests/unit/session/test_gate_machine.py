"""Whatever comes, in whatever order, however late and often: the gate opens exactly where the rules let it, and no fact is kept out.

Other services say things in lanes: each lane keeps its order, lanes overtake one another, what was said can be heard late and again.
The oracle is the model in `gate_model.py`, which asks the service nothing.
"""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from itertools import product
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from pydantic import TypeAdapter

from services.session.domain.adverse_event import RecordAdverseEvent, record_adverse_event
from services.session.domain.authorise import AuthoriseDose, authorise_dose
from services.session.domain.dose import RecordDose, record_dose
from services.session.domain.schedule import CancelSession, cancel_session
from services.session.domain.session import Session
from services.session.domain.state import Course
from services.session.domain.stated import StatedChaperone, StatedHomeSafety, StatedIntake
from shared.events import intake, integration, prescriber
from shared.events.base import EventData
from shared.events.clinical import Route
from shared.events.session import (
    AdverseEventRecorded,
    DosingAuthorised,
    PreDoseChecked,
    PreparationCompleted,
    SafetyHoldPlaced,
    SessionCompleted,
    SessionDosed,
    VitalsRecorded,
)
from shared.pathway.refusal import Refusal
from tests.unit.session.gate_model import AT_HOME, BEGINNINGS, DEFECTS, DOSES, PRESSURES, ROUTES_OF, SOON, Checked, Said
from tests.unit.session.room import Room, approval, consent, decline, expiry, plan, policy, revocation, rules

STATE = TypeAdapter(Course)


class GateMachine(RuleBasedStateMachine):
    """One case: three services that speak, people in the room, and time."""

    def __init__(self) -> None:
        super().__init__()
        self.room = Room(policy(integration_before_next_dose="block"))
        self.said = Said("sublingual")
        self.lanes: dict[str, list[tuple[EventData, Callable[[], None]]]] = {"intake": [], "prescriber": [], "integration": []}
        self.heard: list[tuple[EventData, Callable[[], None]]] = []
        self.approved_requests: set[int] = set()
        self.opened = 0

    @initialize(beginning=st.sampled_from(BEGINNINGS), route=st.sampled_from(list(DOSES)), home=st.booleans())
    def begin(self, beginning: str, route: Route, home: bool) -> None:
        """Begin with nothing, or a step before the dose, with one thing wrong: random steps alone would seldom come so far."""
        self.said.route = ROUTES_OF.get(beginning, route)
        if beginning == "nothing":
            return
        self.consent_given("consent-1")
        self.approves(1, soon=beginning == "expired")
        self.delivered("intake")
        if beginning != "approval not heard":
            self.delivered("prescriber")
        self.prepared(told=beginning != "not told")
        self.enrolled(certified=beginning != "not certified")
        if beginning == "approval not heard":
            return
        if beginning == "not integrated":
            self.dosed(known=False, booster=False, late=0)
            self.time_passed(45)
            self.left()
        self.scheduled(home=self.said.route == "sublingual" and (home or beginning in AT_HOME))
        held = {"held": 2, "held by the lower number": 3, "decided": 2, "decided once": 2, "not today": 2, "higher after all": 2}
        self.checked(beginning if beginning in DEFECTS else None, held.get(beginning, 0), 0)
        self.then_in_the_room(beginning)
        self.then_outside(beginning)

    def then_in_the_room(self, beginning: str) -> None:
        """What follows a pressure that is held, or good checks."""
        match beginning:
            case "decided" | "decided once" | "higher after all":
                self.prescriber_decides("proceed", 10)
                self.time_passed(15 if beginning == "decided once" else 1)
                if beginning == "higher after all":
                    self.monitored(4, awake=True)
            case "not today":
                self.prescriber_decides("no_dose_today", 10)
                self.time_passed(10)
                self.checked(None, 0, 0)
            case "this morning":
                self.time_passed(300)
            case "given and gone":
                self.dosed(known=True, booster=False, late=0)
                self.left()
            case "just dosed" | "well dosed" | "emergency":
                self.authorised()
                self.dosed(known=True, booster=False, late=0)
                if beginning != "just dosed":
                    self.time_passed(15)
                    self.monitored(0, awake=beginning == "well dosed")
            case _:
                pass

    def then_outside(self, beginning: str) -> None:
        """What other services say, or time brings, once the checks are good."""
        match beginning:
            case "expired":
                self.time_passed(300)
                self.checked(None, 0, 0)
            case "elsewhere running":
                self.dosed(known=False, booster=False, late=0)
                self.integration_held(0)
                self.delivered("integration")
            case "another hold lifted":
                self.hold(lifted=False, name="a", lane="intake")
                self.hold(lifted=True, name="b", lane="intake")
                self.delivered("intake")
                self.delivered("intake")
            case "ended" | "declined, and the approval heard again":
                self.approval_ends_as("revoked" if beginning == "ended" else "declined", 1)
                self.delivered("prescriber")
                self.first_approval_heard_again()
            case "replaced":
                self.approves(2, soon=True)
                self.delivered("prescriber")
                self.time_passed(300)
                self.checked(None, 0, 0)
                self.first_approval_heard_again()
            case "never heard" | "heard too long ago":
                self.silent("intake", 16 if beginning == "heard too long ago" else None)
            case "version changed":
                self.consent_given("consent-2")
                self.delivered("intake")
            case _:
                pass

    def first_approval_heard_again(self) -> None:
        self.room.hear(next(event for event, _ in self.heard if isinstance(event, prescriber.EligibilityApproved)))

    # What other services say, in their lanes

    def say(self, lane: str, event: EventData, note: Callable[[], None]) -> None:
        self.lanes[lane].append((event, note))

    @rule(version=st.sampled_from(["consent-1", "consent-2"]))
    def consent_given(self, version: str) -> None:
        self.room.later(seconds=1)
        at = self.room.now
        self.say("intake", consent(version=version, given_at=at), lambda: self.said.given.append((at, version)))

    @rule(lane=st.sampled_from(["intake", "prescriber", "integration"]))
    def consent_withdrawn(self, lane: str) -> None:
        self.room.later(seconds=1)
        at, service = self.room.now, {"intake": intake, "prescriber": prescriber, "integration": integration}[lane]
        self.say(lane, service.ConsentWithdrawn(withdrawn_at=at, said_to=lane), lambda: self.said.withdrawn.append(at))

    @rule(lifted=st.booleans(), name=st.sampled_from(["a", "b"]), lane=st.sampled_from(["intake", "integration"]))
    def hold(self, lifted: bool, name: str, lane: str) -> None:
        """A lift may overtake the hold that it lifts."""
        service = intake if lane == "intake" else integration
        if lifted:
            self.say(lane, service.SafetyHoldLifted(hold=name, reason="seen", lifted_at=self.room.now), lambda: self.said.lifted.add(name))
        else:
            placed = service.SafetyHoldPlaced(hold=name, reason="suicide_risk", placed_at=self.room.now)
            self.say(lane, placed, lambda: self.said.placed.add(name))

    @rule(request=st.integers(1, 3), soon=st.booleans())
    def approves(self, request: int, soon: bool) -> None:
        if request in self.approved_requests:
            return  # one decision for one request
        self.approved_requests.add(request)
        expires_at = self.room.now + (SOON if soon else timedelta(days=90))
        low, high = (Decimal(bound) for bound in DOSES[self.said.route][:2])
        under = plan(route=self.said.route, dose_mg_low=low, dose_mg_high=high, mg_per_kg_high=Decimal(9), doses=12, expires_at=expires_at)

        def note() -> None:
            if self.said.stopped or self.said.running:
                self.said.doubtful = True
            self.said.approvals[request] = expires_at

        self.say("prescriber", approval(under, request=request, decided_at=self.room.now), note)

    @precondition(lambda self: self.approved_requests)
    @rule(word=st.sampled_from(["declined", "expired", "revoked"]), data=st.data())
    def approval_ends(self, word: str, data: st.DataObject) -> None:
        """A decline is the answer to another request; the end of an approval names its own."""
        self.approval_ends_as(word, data.draw(st.sampled_from(sorted(self.approved_requests))))

    def approval_ends_as(self, word: str, request: int) -> None:
        if word == "declined":
            answered = max(self.approved_requests) + 1
            self.approved_requests.add(answered)
            self.say("prescriber", decline(request=answered), lambda: self.said.closed.add(answered))
            return
        event = expiry(request=request) if word == "expired" else revocation(request=request)
        self.say("prescriber", event, lambda: self.said.closed.add(request))

    @rule(back=st.integers(0, 600))
    def integration_held(self, back: int) -> None:
        at = self.room.now - timedelta(minutes=back)

        def note() -> None:
            self.said.held_at = at if self.said.held_at is None else max(self.said.held_at, at)

        self.say("integration", integration.IntegrationHeld(id="a", dosing_session=1, purpose="after_dose", held_at=at), note)

    @rule(service=st.sampled_from(["intake", "prescriber", "integration"]), age=st.sampled_from([None, 0, 15, 16, 0]))
    def silent(self, service: str, age: int | None) -> None:
        """A service was heard last so many seconds ago; nothing that it said is lost or comes sooner for that."""
        self.said.ages[service] = age
        self.room.views = {name: timedelta(seconds=known) for name, known in self.said.ages.items() if known is not None}

    @rule(lane=st.sampled_from(["intake", "prescriber", "integration"]))
    def delivered(self, lane: str) -> None:
        """The next event of a lane is heard."""
        if not self.lanes[lane]:
            return
        event, note = self.lanes[lane].pop(0)
        note()
        self.heard.append((event, note))
        self.room.hear(event)

    @precondition(lambda self: self.heard)
    @rule(data=st.data())
    def delivered_again(self, data: st.DataObject) -> None:
        self.room.hear(data.draw(st.sampled_from([event for event, _ in self.heard])))

    # What is done in the room

    @rule(told=st.booleans())
    def prepared(self, told: bool) -> None:
        self.said.prepared = told
        assert isinstance(self.room.prepare(psychoeducation=told)[0], PreparationCompleted)

    @rule(certified=st.booleans())
    def enrolled(self, certified: bool) -> None:
        self.said.enrolled = certified
        self.room.enrol(setting_certified=certified)

    @rule(home=st.booleans())
    def scheduled(self, home: bool) -> None:
        """Only a lozenge is scheduled at home; a refusal under R-20 is recorded, others are not."""
        try:
            events = self.room.schedule(setting="home" if home else "clinic")
        except Refusal:
            return
        if home and self.said.route != "sublingual":
            assert rules(events) == {("R-20", "route-not-at-home")}
        else:
            self.said.home[self.last.number] = home

    @precondition(lambda self: self.room.course.sessions)
    @rule(defect=st.sampled_from(DEFECTS), pressure=st.integers(0, len(PRESSURES) - 1), late=st.sampled_from([0, 0, 3]))
    def checked(self, defect: str | None, pressure: int, late: int) -> None:
        at, session = self.room.now - timedelta(minutes=late), self.last.number
        version = "consent-0" if defect == "version" else max(self.said.given, default=(None, "consent-1"))[1]
        there = at - timedelta(minutes=5 if defect == "late" else 30)
        changes: dict[str, Any] = {
            "checked_at": at,
            "consent_version": version,
            "consent_reaffirmed": defect != "consent",
            "monitor": None if defect == "monitor" else "monitor-1",
            "monitor_adult": defect != "minor",
            "escort_named": defect != "escort",
            "fasting": defect != "fasting",
            "last_intake": StatedIntake(food_at=at - timedelta(hours=1 if defect == "ate" else 12), drink_at=at - timedelta(hours=2)),
            "chaperone": None if defect == "chaperone" else StatedChaperone(id="c", adult=True, present_since=there),
            "home": StatedHomeSafety(
                emergency_contact_confirmed=True, address_confirmed=defect != "address", kilometres_to_emergency_care=Decimal(3)
            ),
            "weighed_at": at - timedelta(days=31 if defect == "weight" else 0),
        }
        assert isinstance(self.room.check(session, PRESSURES[pressure], **changes)[0], PreDoseChecked)
        known = self.said.checked.get(session)
        if known is None or at >= known.at:
            self.said.checked[session] = Checked(at, defect, version)
        self.said.readings.setdefault(session, []).append((at, PRESSURES[pressure]))

    @precondition(lambda self: self.room.course.sessions)
    @rule(word=st.sampled_from(["proceed", "repeat", "no_dose_today"]), minutes=st.sampled_from([10, 90]))
    def prescriber_decides(self, word: str, minutes: int) -> None:
        session, until = self.last.number, self.room.now + timedelta(minutes=minutes)
        try:
            self.room.decide(word, session, until if word == "proceed" else None)
        except Refusal:
            return
        last_at = max(at for at, _ in self.said.readings[session])
        last = [pressure for at, pressure in self.said.readings[session] if at == last_at]
        highest = (max(each[0] for each in last), max(each[1] for each in last))
        self.said.decided[session] = (word, until if word == "proceed" else self.room.now, highest)

    @precondition(lambda self: self.room.course.sessions)
    @rule()
    def authorised(self) -> None:
        booster = self.last.phase == "dosed"
        try:
            self.room.authorise(DOSES[self.said.route][2], self.last.number, booster=booster)
        except Refusal:
            return

    @precondition(lambda self: self.room.course.sessions and self.last.phase == "scheduled")
    @rule()
    def cancelled(self) -> None:
        self.room.do(cancel_session, CancelSession(session=self.last.number, reason="patient-ill"))

    # What happened: never refused

    @rule(known=st.booleans(), booster=st.booleans(), late=st.sampled_from([0, 0, 2]))
    def dosed(self, known: bool, booster: bool, late: int) -> None:
        session = self.last.number if known and self.room.course.sessions else None
        at, dose_mg = self.room.now - timedelta(minutes=late), DOSES[self.said.route][2]
        recorded = self.room.dose(dose_mg, session, booster=booster, route=self.said.route, given_at=at)[0]
        assert isinstance(recorded, SessionDosed)
        self.said.doses.append((recorded.session, at, Decimal(dose_mg)))
        if recorded.session not in self.said.left:
            self.said.running.add(recorded.session)

    @precondition(lambda self: self.room.course.sessions)
    @rule(pressure=st.integers(0, len(PRESSURES) - 1), awake=st.sampled_from([True, True, True, False]))
    def monitored(self, pressure: int, awake: bool) -> None:
        session = self.last.number
        events = self.room.vitals(session, PRESSURES[pressure], sedation=5 if awake else 0)
        assert isinstance(events[0], VitalsRecorded)
        self.said.readings.setdefault(session, []).append((self.room.now, PRESSURES[pressure]))
        if not awake:
            self.said.emergencies.add(session)

    @rule(serious=st.booleans())
    def suffered(self, serious: bool) -> None:
        command = RecordAdverseEvent(what="vomited", serious=serious, happened_at=self.room.now)
        events = self.room.do(record_adverse_event, command)
        assert isinstance(events[0], AdverseEventRecorded)
        self.said.placed |= {event.hold for event in events if isinstance(event, SafetyHoldPlaced)}

    @precondition(lambda self: self.room.course.sessions and self.last.phase != "completed")
    @rule()
    def left(self) -> None:
        assert isinstance(self.room.discharge(self.last.number, left_against_advice=True)[0], SessionCompleted)
        self.said.left.add(self.last.number)
        self.said.running.discard(self.last.number)

    # Time

    @rule(minutes=st.sampled_from([1, 10, 15, 45, 300, 1440]))
    def time_passed(self, minutes: int) -> None:
        self.room.later(minutes=minutes)
        self.room.tick()

    @property
    def last(self) -> Session:
        return self.room.course.sessions[-1]

    @invariant()
    def the_gate_opens_where_the_rules_let_it_and_nowhere_else(self) -> None:
        now, open_sessions = self.room.now, [each for each in self.room.course.sessions if each.phase in {"scheduled", "dosed"}]
        for session, dose_mg in product(open_sessions, DOSES[self.said.route][2:]):
            booster = session.phase == "dosed"
            command = AuthoriseDose(session=session.number, dose_mg=Decimal(dose_mg), booster=booster, intent="psycholytic")
            opened = isinstance(authorise_dose(self.room.course, command, self.room.context())[0], DosingAuthorised)
            self.opened += opened
            allowed = self.said.young and self.said.allows(session.number, Decimal(dose_mg), booster, now)
            assert not opened or (allowed and self.said.approved(now))
            assert opened or not (allowed and self.said.surely_approved(now))

    @invariant()
    def a_dose_is_recorded_as_covered_only_where_the_rules_let_it_be_given(self) -> None:
        number = self.last.number if self.room.course.sessions else None
        dose_mg = Decimal(DOSES[self.said.route][2])
        command = RecordDose(session=number, dose_mg=dose_mg, route=self.said.route, given_at=self.room.now)
        recorded = record_dose(self.room.course, command, self.room.context())[0]
        assert isinstance(recorded, SessionDosed)
        covered = self.said.approved(self.room.now) and self.said.allows(recorded.session, dose_mg, False, self.room.now)
        assert recorded.deviations or covered

    @invariant()
    def sessions_are_numbered_without_a_gap(self) -> None:
        assert [session.number for session in self.room.course.sessions] == list(range(1, len(self.room.course.sessions) + 1))

    def teardown(self) -> None:
        assert STATE.validate_json(STATE.dump_json(self.room.course)) == self.room.course


@pytest.mark.parametrize("home", [False, True])
@pytest.mark.parametrize("route", DOSES)
@pytest.mark.parametrize("beginning", dict.fromkeys(BEGINNINGS))
def test_each_beginning_alone_opens_the_gate_where_the_rules_let_it(beginning: str, route: Route, home: bool) -> None:
    machine = GateMachine()
    machine.begin(beginning, route, home)
    machine.the_gate_opens_where_the_rules_let_it_and_nowhere_else()
    machine.a_dose_is_recorded_as_covered_only_where_the_rules_let_it_be_given()
    assert machine.opened or beginning != "well", "a machine whose gate never opens proves nothing"


def test_no_order_delay_or_repetition_opens_the_gate_wrongly_or_keeps_a_fact_out() -> None:
    run_state_machine_as_test(GateMachine, settings=settings(stateful_step_count=8, database=None))

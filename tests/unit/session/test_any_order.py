"""Whatever comes, in whatever order and however often: no dose is authorised without its grounds, no fact is kept out.

The oracle below is written from R-10, R-14, R-15, R-19 and R-20 and from what the machine itself said; it asks the service nothing.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from pydantic import TypeAdapter

from services.session.domain.adverse_event import RecordAdverseEvent, record_adverse_event
from services.session.domain.authorise import AuthoriseDose, authorise_dose
from services.session.domain.dose import RecordDose, record_dose
from services.session.domain.session import Session
from services.session.domain.state import Course
from shared.events import intake, integration, prescriber
from shared.events.base import EventData
from shared.events.session import (
    AdverseEventRecorded,
    DosingAuthorised,
    PreDoseChecked,
    SafetyHoldPlaced,
    SessionCompleted,
    SessionDosed,
    VitalsRecorded,
)
from shared.pathway.refusal import Refusal
from tests.unit.session.room import PLAN, Room, approval, consent, decline, expiry, plan, revocation

STATE = TypeAdapter(Course)
EXPIRED_SOON = timedelta(hours=3)
DOSES_MG = (Decimal(50), Decimal(99), Decimal(100), Decimal(300), Decimal(301))


@dataclass
class Checked:
    """What was said of a session in its last checks."""

    at: datetime
    grounds: bool
    version: str


@dataclass
class Said:
    """What the outside world said so far."""

    approvals: dict[int, datetime] = field(default_factory=dict)
    declines: set[int] = field(default_factory=set)
    ended: set[int] = field(default_factory=set)
    given: list[tuple[datetime, str]] = field(default_factory=list)
    withdrawn: list[datetime] = field(default_factory=list)
    placed: set[str] = field(default_factory=set)
    lifted: set[str] = field(default_factory=set)
    prepared: bool = False
    checked: dict[int, Checked] = field(default_factory=dict)

    def grounds_for_a_dose(self, session: int, now: datetime) -> bool:
        """Whether a dose may be authorised in this session."""
        if not self.given or self.placed - self.lifted or session not in self.checked:
            return False
        given_at, version = max(self.given, key=lambda consent: consent[0])
        checks = self.checked[session]
        return (
            all(withdrawn_at < given_at for withdrawn_at in self.withdrawn)
            and any(request > max(self.declines | self.ended, default=0) and now < expires for request, expires in self.approvals.items())
            and self.prepared
            and checks.grounds
            and checks.version == version
            and checks.at.date() == now.date()
        )


class AnyOrder(RuleBasedStateMachine):
    """One case: events of other services, requests of clinicians, and time."""

    def __init__(self) -> None:
        super().__init__()
        self.room = Room()
        self.said = Said()
        self.heard: list[EventData] = []

    @initialize(missing=st.sampled_from(["nothing", "nothing", "everything", "preparation", "escort", "version", "time"]))
    def begin(self, missing: str) -> None:
        """Begin one step away from a dose, on it, or with nothing at all."""
        if missing == "everything":
            return
        self.consent_given("consent-1")
        self.approved(1, soon=missing == "time")
        self.prepared(told=missing != "preparation")
        self.scheduled()
        if missing == "time":
            self.time_passed(300)
        self.checked(complete=missing != "escort", version="consent-2" if missing == "version" else "consent-1")

    def hear(self, event: EventData) -> None:
        self.heard.append(event)
        self.room.hear(event)

    # What other services say

    @rule(version=st.sampled_from(["consent-1", "consent-2"]))
    def consent_given(self, version: str) -> None:
        if self.said.given and max(self.said.given)[0] == self.room.now:
            self.room.later(seconds=1)
        self.said.given.append((self.room.now, version))
        self.hear(consent(version=version, given_at=self.room.now))

    @rule(service=st.sampled_from([intake, prescriber, integration]))
    def consent_withdrawn(self, service: type[intake]) -> None:  # type: ignore[valid-type]
        self.said.withdrawn.append(self.room.now)
        self.hear(service.ConsentWithdrawn(withdrawn_at=self.room.now, said_to="somewhere"))  # type: ignore[attr-defined]

    @rule(name=st.sampled_from(["a", "b"]))
    def hold_placed(self, name: str) -> None:
        self.said.placed.add(name)
        self.hear(integration.SafetyHoldPlaced(hold=name, reason="suicide_risk", placed_at=self.room.now))

    @rule(name=st.sampled_from(["a", "b"]))
    def hold_lifted(self, name: str) -> None:
        self.said.lifted.add(name)
        self.hear(integration.SafetyHoldLifted(hold=name, reason="reviewed", lifted_at=self.room.now))

    @rule(request=st.integers(1, 4), soon=st.booleans())
    def approved(self, request: int, soon: bool) -> None:
        if request in self.said.approvals or request in self.said.declines:
            return  # one decision for one request
        expires_at = self.room.now + EXPIRED_SOON if soon else PLAN.expires_at
        self.said.approvals[request] = expires_at
        self.hear(approval(plan(expires_at=expires_at), request=request, decided_at=self.room.now))

    @rule(request=st.integers(1, 4))
    def declined(self, request: int) -> None:
        if request in self.said.approvals:
            return
        self.said.declines.add(request)
        self.hear(decline(request=request))

    @precondition(lambda self: self.said.approvals)
    @rule(revoked=st.booleans(), data=st.data())
    def approval_ended(self, revoked: bool, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(sorted(self.said.approvals)))
        self.said.ended.add(request)
        self.hear(revocation(request=request) if revoked else expiry(request=request))

    @precondition(lambda self: self.heard)
    @rule(data=st.data())
    def heard_again(self, data: st.DataObject) -> None:
        self.room.hear(data.draw(st.sampled_from(self.heard)))

    # What is asked for

    @rule(told=st.booleans())
    def prepared(self, told: bool) -> None:
        self.said.prepared = told
        self.room.prepare(psychoeducation=told)

    @rule()
    def scheduled(self) -> None:
        try:
            self.room.schedule()
        except Refusal:
            return

    @precondition(lambda self: self.room.course.sessions)
    @rule(complete=st.booleans(), version=st.sampled_from(["consent-1", "consent-2"]))
    def checked(self, complete: bool, version: str) -> None:
        session = self.last.number
        self.said.checked[session] = Checked(self.room.now, complete, version)
        recorded = self.room.check(session, consent_version=version, escort_named=complete)[0]
        assert isinstance(recorded, PreDoseChecked)

    @precondition(lambda self: self.room.course.sessions)
    @rule(booster=st.booleans())
    def authorised(self, booster: bool) -> None:
        try:
            self.room.authorise("100", self.last.number, booster=booster)
        except Refusal:
            return

    # What happened

    @rule(known=st.booleans(), booster=st.booleans())
    def dosed(self, known: bool, booster: bool) -> None:
        session = self.last.number if known and self.room.course.sessions else None
        recorded = self.room.dose("200", session, booster=booster)[0]
        assert isinstance(recorded, SessionDosed)

    @precondition(lambda self: self.room.course.sessions)
    @rule(systolic=st.sampled_from([120, 200]))
    def monitored(self, systolic: int) -> None:
        assert isinstance(self.room.vitals(self.last.number, (systolic, 80))[0], VitalsRecorded)

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

    # Time

    @rule(minutes=st.sampled_from([1, 15, 45, 300, 1440]))
    def time_passed(self, minutes: int) -> None:
        self.room.later(minutes=minutes)
        self.room.tick()

    @property
    def last(self) -> Session:
        return self.room.course.sessions[-1]

    @invariant()
    def no_dose_would_be_authorised_without_grounds(self) -> None:
        for session in self.room.course.sessions:
            if session.phase not in {"scheduled", "dosed"}:
                continue
            for dose_mg in DOSES_MG:
                command = AuthoriseDose(session=session.number, dose_mg=dose_mg, booster=session.phase == "dosed")
                if isinstance(authorise_dose(self.room.course, command, self.room.context())[0], DosingAuthorised):
                    assert self.said.grounds_for_a_dose(session.number, self.room.now)
                    assert PLAN.dose_mg_low <= session.dosed_mg + dose_mg <= PLAN.dose_mg_high

    @invariant()
    def no_dose_would_be_recorded_as_covered_without_grounds(self) -> None:
        for number in (None, *(session.number for session in self.room.course.sessions)):
            command = RecordDose(session=number, dose_mg=Decimal(100), route="sublingual", given_at=self.room.now)
            recorded = record_dose(self.room.course, command, self.room.context())[0]
            assert isinstance(recorded, SessionDosed)
            assert recorded.deviations or self.said.grounds_for_a_dose(recorded.session, self.room.now)

    @invariant()
    def state_survives_storage(self) -> None:
        assert STATE.validate_json(STATE.dump_json(self.room.course)) == self.room.course

    @invariant()
    def sessions_are_numbered_without_a_gap(self) -> None:
        assert [session.number for session in self.room.course.sessions] == list(range(1, len(self.room.course.sessions) + 1))


def test_no_order_or_repetition_authorises_a_dose_without_grounds_or_keeps_a_fact_out() -> None:
    run_state_machine_as_test(AnyOrder, settings=settings(max_examples=80, stateful_step_count=25, deadline=None, database=None))

"""A session room to test in: one course, one clock, and every event stored and read again as the service would."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from services.session.domain.alerts import ALERT
from services.session.domain.authorise import HEARD, AuthoriseDose, authorise_dose
from services.session.domain.chaperone import RecordChaperoneCheck, record_chaperone_check
from services.session.domain.check import RecordChecks, record_checks
from services.session.domain.correct import CorrectEntry, correct_entry
from services.session.domain.decide_on_pressure import DecideOnPressure, decide_on_pressure
from services.session.domain.discharge import DischargePatient, discharge_patient
from services.session.domain.dose import RecordDose, record_dose
from services.session.domain.emergency import RecordEmergencyResponse, record_emergency_response
from services.session.domain.enrol import RecordEnrolment, record_enrolment
from services.session.domain.monitor import RecordVitals, record_vitals, say_overdue
from services.session.domain.prepare import RecordPreparation, record_preparation
from services.session.domain.rems_form import SubmitRemsForm, submit_rems_form
from services.session.domain.schedule import ScheduleSession, schedule_session
from services.session.domain.state import Course, evolve
from services.session.domain.stated import StatedChaperone, StatedHomeSafety, StatedIntake
from services.session.domain.stated_pressure import StatedPressure
from services.session.reactions import REACTIONS
from shared.events import intake, prescriber
from shared.events.base import Envelope, EventData, StepRefused
from shared.events.clinical import BloodPressure, MonitoringLimits, Route, TreatmentPlan
from shared.pathway.context import Actor, Context
from shared.pathway.policy import Policy, read_policy

T0 = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
POLICY = read_policy()
TICK = ALERT.beside(say_overdue)
PLAN = TreatmentPlan(
    route="sublingual",
    intent="psycholytic",
    dose_mg_low=Decimal(100),
    dose_mg_high=Decimal(300),
    mg_per_kg_high=Decimal(5),
    doses=2,
    limits=MonitoringLimits(
        hold_above=BloodPressure(systolic=140, diastolic=90), second_pressure_after_minutes=40, minimum_stay_minutes=120
    ),
    expires_at=T0 + timedelta(days=90),
)


def plan(**changes: Any) -> TreatmentPlan:
    return TreatmentPlan.model_validate({**PLAN.model_dump(), **changes})


def policy(**changes: Any) -> Policy:
    return POLICY.model_copy(update={"values": POLICY.values.model_copy(update=changes)})


def policy_on(route: Route, **changes: Any) -> Policy:
    """The policy with other values for one route."""
    return POLICY.model_copy(update={"by_route": {route: POLICY.values.model_copy(update=changes)}})


def approval(approved: TreatmentPlan = PLAN, *, request: int = 1, decided_at: datetime = T0) -> prescriber.EligibilityApproved:
    return prescriber.EligibilityApproved(
        request=request,
        plan=approved,
        reasons=("meets-criteria",),
        partner="in-house",
        decided_by="prescriber-1",
        decided_at=decided_at,
        policy_version=POLICY.version,
    )


def decline(*, request: int = 2) -> prescriber.EligibilityDeclined:
    return prescriber.EligibilityDeclined(
        request=request, reasons=("risk",), partner="in-house", decided_by="prescriber-1", decided_at=T0, policy_version=POLICY.version
    )


def expiry(*, request: int = 1) -> prescriber.EligibilityExpired:
    return prescriber.EligibilityExpired(request=request, expires_at=PLAN.expires_at)


def revocation(*, request: int = 1) -> prescriber.EligibilityRevoked:
    return prescriber.EligibilityRevoked(request=request, reason="new-finding", revoked_by="prescriber-1", revoked_at=T0)


def consent(
    *, version: str = "consent-1", given_at: datetime = T0 - timedelta(days=7), scopes: Any = ("treatment",)
) -> intake.ConsentGiven:
    return intake.ConsentGiven(version=version, scopes=scopes, given_at=given_at)


def withdrawal(at: datetime = T0) -> intake.ConsentWithdrawn:
    return intake.ConsentWithdrawn(withdrawn_at=at, said_to="intake")


def hold(name: str = "hold-x") -> intake.SafetyHoldPlaced:
    return intake.SafetyHoldPlaced(hold=name, reason="clinical_concern", placed_at=T0)


def lifting(name: str = "hold-x") -> intake.SafetyHoldLifted:
    return intake.SafetyHoldLifted(hold=name, reason="reviewed", lifted_at=T0)


def rules(events: list[EventData]) -> set[tuple[str, str]]:
    """The rule and the reason of each recorded refusal; fails if anything but refusals is there."""
    assert all(isinstance(event, StepRefused) for event in events), events
    return {(event.rule, event.facts["because"]) for event in events if isinstance(event, StepRefused)}


class Room:
    """A course, and a clock that only the test moves."""

    def __init__(self, policy: Policy = POLICY) -> None:
        self.course = Course()
        self.now = T0
        self.policy = policy
        self.causes = 0
        self.ticked: set[tuple[str, datetime]] = set()
        self.views = dict.fromkeys(HEARD, timedelta())
        self.recalled_lots: dict[str, str] = {}

    def context(self, *roles: str) -> Context:
        self.causes += 1
        envelope = Envelope(
            id="e1",
            source="urn:kapcare:intake",
            type="t",
            subject="case-1",
            time=self.now,
            sequence=1,
            clinic="riverside",
            patient="p1",
            actor="a",
            correlation="e1",
        )
        return Context(
            self.now,
            Actor("actor-1", frozenset(roles)),
            self.policy,
            f"cause-{self.causes}",
            envelope,
            views=self.views,
            recalled_lots=self.recalled_lots,
        )

    def take(self, events: list[EventData]) -> list[EventData]:
        for event in events:
            stored = type(event).model_validate_json(event.model_dump_json())
            assert stored == event
            self.course = evolve(self.course, stored)
        return events

    def hear(self, event: EventData) -> list[EventData]:
        return self.take(REACTIONS[type(event)](self.course, event, self.context()))

    def do(self, decide: Callable[[Any, Any, Context], list[EventData]], command: Any, *roles: str) -> list[EventData]:
        return self.take(decide(self.course, command, self.context(*roles)))

    @property
    def pressures_due(self) -> list[datetime]:
        """When the next word on a missing pressure after a dose is due."""
        return [at for name, at in self.course.deadlines.items() if name.startswith("second_pressure")]

    def later(self, **duration: float) -> None:
        self.now += timedelta(**duration)

    def tick(self) -> list[EventData]:
        """Decide what is due, as the ticker would: what was due must not be due any more afterwards."""
        due = {name: at for name, at in self.course.deadlines.items() if at <= self.now}
        said: list[EventData] = []
        for name, at in due.items():
            if self.course.deadlines.get(name) == at:
                assert (name, at) not in self.ticked, "the cause of a tick is its deadline's name and time: it decides once"
                self.ticked.add((name, at))
                said += self.take(TICK(self.course, name, self.context()))
        assert not set(due.items()) & set(self.course.deadlines.items())
        assert all(at > self.now for name, at in self.course.deadlines.items() if name in due)
        return said

    def prepare(self, *, psychoeducation: bool = True, **changes: Any) -> list[EventData]:
        body: dict[str, Any] = {"psychoeducation": psychoeducation, "completed_at": self.now}
        return self.do(record_preparation, RecordPreparation(**{**body, **changes}))

    def enrol(self, **changes: Any) -> list[EventData]:
        body: dict[str, Any] = {"enrolled_on": self.context().today, "setting_certified": True}
        return self.do(record_enrolment, RecordEnrolment(**{**body, **changes}))

    def schedule(self, starts_at: datetime | None = None, **changes: Any) -> list[EventData]:
        body: dict[str, Any] = {"starts_at": starts_at or self.now, "setting": "clinic"}
        return self.do(schedule_session, ScheduleSession(**{**body, **changes}))

    def check(self, session: int = 1, pressure: tuple[int, int] = (120, 80), **changes: Any) -> list[EventData]:
        body: dict[str, Any] = {
            "session": session,
            "consent_reaffirmed": True,
            "consent_version": "consent-1",
            "monitor": "monitor-1",
            "monitor_adult": True,
            "escort_named": True,
            "fasting": True,
            "last_intake": StatedIntake(food_at=self.now - timedelta(hours=12), drink_at=self.now - timedelta(hours=2)),
            "medications_taken": (),
            "weight_kg": Decimal(70),
            "weighed_at": self.now,
            "blood_pressure": StatedPressure(systolic=pressure[0], diastolic=pressure[1]),
            "checked_at": self.now,
        }
        return self.do(record_checks, RecordChecks(**{**body, **changes}))

    def decide(self, decision: str, session: int = 1, until: datetime | None = None) -> list[EventData]:
        """A prescriber decides on the pressure; what goes on does so for an hour, unless another end is named."""
        until = until or (self.now + timedelta(hours=1) if decision == "proceed" else None)
        body: dict[str, Any] = {"session": session, "decision": decision, "until": until, "reason": "Known white-coat pressure."}
        return self.do(decide_on_pressure, DecideOnPressure(**body), "prescriber")

    def authorise(self, dose_mg: str = "200", session: int = 1, role: str = "medical_monitor", **changes: Any) -> list[EventData]:
        """Ask for a dose with the plan's intent, and for an infusion over forty minutes."""
        plan = self.course.plan or PLAN
        over = 40 if plan.route == "intravenous" else None
        body: dict[str, Any] = {"session": session, "dose_mg": Decimal(dose_mg), "intent": plan.intent, "infusion_minutes": over}
        return self.do(authorise_dose, AuthoriseDose(**{**body, **changes}), role)

    def dose(self, dose_mg: str = "200", session: int | None = 1, **changes: Any) -> list[EventData]:
        body: dict[str, Any] = {"session": session, "dose_mg": Decimal(dose_mg), "route": "sublingual", "given_at": self.now}
        return self.do(record_dose, RecordDose(**{**body, **changes}))

    def vitals(self, session: int = 1, pressure: tuple[float, float] | None = (120, 80), **changes: Any) -> list[EventData]:
        stated = None if pressure is None else StatedPressure(systolic=pressure[0], diastolic=pressure[1])
        body: dict[str, Any] = {"session": session, "taken_at": self.now, "blood_pressure": stated}
        return self.do(record_vitals, RecordVitals(**{**body, **changes}))

    def discharge(self, session: int = 1, *roles: str, **changes: Any) -> list[EventData]:
        body: dict[str, Any] = {
            "session": session,
            "discharged_at": self.now,
            "assessed_by": "monitor-1",
            "at_baseline": True,
            "escort_present": True,
            "no_driving_instruction": True,
            "aftercare_contact": "on-call-1",
        }
        return self.do(discharge_patient, DischargePatient(**{**body, **changes}), *roles)

    def chaperone(self, session: int = 1, *, visible: bool = True, responsive: bool = True, at: datetime | None = None) -> list[EventData]:
        body = {"session": session, "chaperone": "chaperone-1", "visible": visible, "responsive": responsive, "checked_at": at or self.now}
        return self.do(record_chaperone_check, RecordChaperoneCheck.model_validate(body))

    def respond(self, session: int | None = 1, *, resolved: bool = True, at: datetime | None = None) -> list[EventData]:
        command = RecordEmergencyResponse(
            session=session,
            emergency_services_called=True,
            transported=False,
            resolved=resolved,
            outcome="Seen by the paramedics; recovered.",
            responded_at=at or self.now,
        )
        return self.do(record_emergency_response, command)

    def submit_form(self, session: int = 1, **changes: Any) -> list[EventData]:
        body: dict[str, Any] = {"session": session, "submitted_at": self.now, "reference": "receipt-1"}
        return self.do(submit_rems_form, SubmitRemsForm(**{**body, **changes}))

    def correct(self, entry: str | None, kind: Any = "entered_in_error", **replacement: Any) -> list[EventData]:
        assert entry is not None
        return self.do(correct_entry, CorrectEntry(entry=entry, kind=kind, reason="wrong chart", **replacement))

    @property
    def calls(self) -> list[str]:
        """Why each alert calls that nobody took on and nothing settled."""
        return [alert.why for alert in self.course.alerts.unacknowledged]


def entry_of(events: list[EventData]) -> str | None:
    """The name of the first entry among the events."""
    return next((str(entry) for event in events if (entry := getattr(event, "entry", None)) is not None), None)


def approved_room(approved: TreatmentPlan = PLAN, policy: Policy = POLICY) -> Room:
    """Consent is given, an approval opened the course."""
    room = Room(policy)
    room.hear(consent())
    room.hear(approval(approved))
    return room


def checked_room(approved: TreatmentPlan = PLAN, policy: Policy = POLICY, **checks: Any) -> Room:
    """Prepared, enrolled, scheduled and checked: whatever the checks allow can be authorised."""
    room = approved_room(approved, policy)
    room.prepare()
    room.enrol()
    room.schedule()
    room.check(**checks)
    return room


def dosed_room(approved: TreatmentPlan = PLAN, policy: Policy = POLICY) -> Room:
    """200 mg were authorised and given at T0."""
    room = checked_room(approved, policy)
    room.authorise()
    room.dose()
    return room


def remote_room(policy: Policy = POLICY) -> Room:
    """200 mg were authorised and given at T0 at the patient's home."""
    room = approved_room(policy=policy)
    room.prepare()
    room.schedule(setting="home")
    chaperone = StatedChaperone(id="chaperone-1", adult=True, present_since=T0 - timedelta(minutes=15))
    near: dict[str, Any] = {"emergency_contact_confirmed": True, "address_confirmed": True, "kilometres_to_emergency_care": Decimal(4)}
    room.check(chaperone=chaperone, home=StatedHomeSafety(**near))
    room.authorise()
    room.dose()
    return room


def esketamine_room(setting: Any = "clinic", at: datetime = T0) -> Room:
    """56 mg of esketamine were authorised and given at `at`."""
    spray = plan(route="intranasal_esketamine", dose_mg_low=Decimal(56), dose_mg_high=Decimal(84))
    room = approved_room(spray)
    room.now = at
    room.enrol()
    room.prepare()
    room.schedule(setting=setting)
    room.check()
    room.authorise("56")
    room.dose("56", route="intranasal_esketamine")
    return room


def finish_session(room: Room, session: int = 1, **changes: Any) -> list[EventData]:
    """Carry a dosed session to a regular discharge two hours later."""
    room.later(minutes=40)
    room.vitals(session)
    room.later(minutes=80)
    room.vitals(session)
    return room.discharge(session, **changes)


def run_session(room: Room, session: int, dose_mg: str = "200") -> list[EventData]:
    """Carry a whole session through; returns what the discharge said."""
    room.schedule()
    room.check(session)
    room.authorise(dose_mg, session)
    room.dose(dose_mg, session)
    return finish_session(room, session)


def with_limits(systolic: int, diastolic: int, after: int = 40, stay: int = 120) -> TreatmentPlan:
    limits = MonitoringLimits(
        hold_above=BloodPressure(systolic=systolic, diastolic=diastolic), second_pressure_after_minutes=after, minimum_stay_minutes=stay
    )
    return PLAN.model_copy(update={"limits": limits})

"""An integration to test in: one state, one clock, and every event stored and read again as the service would."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from services.integration.domain.alerts import ALERT
from services.integration.domain.complete import say_overdue
from services.integration.domain.hold_session import RecordIntegrationSession, record_integration_session
from services.integration.domain.measure import MeasureOutcome, measure_outcome
from services.integration.domain.state import Integration, evolve
from services.integration.reactions import REACTIONS
from shared.events import intake, prescriber, session
from shared.events.base import Envelope, EventData
from shared.events.clinical import (
    BloodPressure,
    Instrument,
    Intent,
    MonitoringLimits,
    Route,
    Score,
    ScreeningSummary,
    TreatmentPlan,
)
from shared.pathway.context import Actor, Context
from shared.pathway.policy import Policy, read_policy

T0 = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SHIPPED = read_policy()


def changed(policy: Policy, **changes: Any) -> Policy:
    return policy.model_copy(update={"values": policy.values.model_copy(update=changes)})


POLICY = changed(SHIPPED, integration_follow_up_days=(14,), outcome_measurement_days=(14,))
"""A site that follows up once: day 14, for sessions and outcomes; all else as shipped."""
TICK = ALERT.beside(say_overdue)


def policy(**changes: Any) -> Policy:
    return changed(POLICY, **changes)


def phq9(total: int, item9: int = 0) -> tuple[int | None, ...]:
    """Answers that sum to the total, with this item 9."""
    answers: list[int | None] = []
    left = total - item9
    for _ in range(8):
        answers.append(min(3, left))
        left -= min(3, left)
    assert left == 0, "not a PHQ-9"
    return (*answers, item9)


def screening(**totals: int | None) -> intake.ScreeningCompleted:
    """A screening with these totals, by instrument: `phq_9=18`."""
    named: dict[str, Instrument] = {"phq_9": "phq-9", "gad_7": "gad-7", "pcl_5": "pcl-5", "audit_c": "audit-c", "c_ssrs": "c-ssrs"}
    summary = ScreeningSummary(
        indication="depression",
        age=40,
        sex="female",
        route="sublingual",
        weight_kg=None,
        scores=tuple(Score(instrument=named[name], total=total, band="any", answered_at=T0) for name, total in totals.items()),
        risk=None,
        findings=(),
        medications=(),
    )
    return intake.ScreeningCompleted(summary=summary, completed_at=T0, policy_version=POLICY.version)


def dosed(
    number: int = 1, given_at: datetime = T0, *, booster: bool = False, route: Route = "sublingual", intent: Intent | None = None
) -> session.SessionDosed:
    return session.SessionDosed(
        session=number, dose_mg=Decimal(200), route=route, intent=intent, booster=booster, given_at=given_at, given_by="monitor-1"
    )


def course_over(sessions: int = 1) -> session.CourseCompleted:
    return session.CourseCompleted(sessions=sessions, completed_at=T0)


def course_closed(why: str = "expired") -> session.CourseClosed:
    return session.CourseClosed(why=why, request=1, closed_at=T0)


def course_opened(request: int = 2) -> session.CourseOpened:
    return session.CourseOpened(plan=treatment_plan(), request=request, opened_at=T0)


def approval(partner: str = "north", request: int = 1, decided_at: datetime = T0 - timedelta(days=3)) -> prescriber.EligibilityApproved:
    return prescriber.EligibilityApproved(
        request=request,
        plan=treatment_plan(),
        reasons=("indication-met",),
        partner=partner,
        decided_by="prescriber-1",
        decided_at=decided_at,
        policy_version=POLICY.version,
    )


def treatment_plan() -> TreatmentPlan:
    return TreatmentPlan(
        route="sublingual",
        intent="psychedelic",
        dose_mg_low=Decimal(100),
        dose_mg_high=Decimal(200),
        mg_per_kg_high=Decimal(3),
        doses=2,
        limits=MonitoringLimits(
            hold_above=BloodPressure(systolic=140, diastolic=90), second_pressure_after_minutes=40, minimum_stay_minutes=120
        ),
        expires_at=T0 + timedelta(days=60),
    )


class Story:
    """An integration, and a clock that only the test moves."""

    def __init__(self, policy: Policy = POLICY) -> None:
        self.state = Integration()
        self.now = T0
        self.policy = policy
        self.causes = 0

    def context(self) -> Context:
        self.causes += 1
        envelope = Envelope(
            id="e1",
            source="urn:kapcare:session",
            type="t",
            subject="case-1",
            time=self.now,
            sequence=1,
            clinic="riverside",
            patient="p1",
            actor="a",
            correlation="e1",
        )
        return Context(self.now, Actor("therapist-1"), self.policy, f"cause-{self.causes}", envelope)

    def take(self, events: list[EventData]) -> list[EventData]:
        for event in events:
            stored = type(event).model_validate_json(event.model_dump_json())
            assert stored == event
            self.state = evolve(self.state, stored)
        return events

    def hear(self, event: EventData) -> list[EventData]:
        return self.take(REACTIONS[type(event)](self.state, event, self.context()))

    def do(self, decide: Callable[[Any, Any, Context], list[EventData]], command: Any) -> list[EventData]:
        return self.take(decide(self.state, command, self.context()))

    def on_day(self, day: float) -> "Story":
        self.now = T0 + timedelta(days=day)
        return self

    def tick(self) -> list[EventData]:
        """Decide what is due, as the ticker would: what was due must not be due any more afterwards."""
        due = {name: at for name, at in self.state.deadlines.items() if at <= self.now}
        said: list[EventData] = []
        for name, at in sorted(due.items(), key=lambda item: item[1]):
            if self.state.deadlines.get(name) == at:
                said += self.take(TICK(self.state, name, self.context()))
        assert not set(due.items()) & set(self.state.deadlines.items())
        return said

    def hold(self, planned: str = "after-dose-1", held_at: datetime | None = None) -> list[EventData]:
        command = RecordIntegrationSession(id=planned, held_at=held_at or self.now, insights=("I can rest",))
        return self.do(record_integration_session, command)

    def measure(self, instrument: Instrument, answers: tuple[int | None, ...], measured_at: datetime | None = None) -> list[EventData]:
        command = MeasureOutcome(instrument=instrument, answers=answers, measured_at=measured_at or self.now)
        return self.do(measure_outcome, command)

"""The course of a case as the session service knows it, and how each event changes it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal

from shared.events import session as events
from shared.events.base import EventData
from shared.events.clinical import BloodPressure, MonitoringLimits, Route, TreatmentPlan
from shared.pathway import alert, stop
from shared.pathway.alert import Alerts
from shared.pathway.folding import with_parts
from shared.pathway.policy import PolicyValues
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Stops
from shared.pathway.waiting import Waiting, for_stop


@dataclass(frozen=True, slots=True)
class Session:
    """One dosing session, in the words of its own events."""

    number: int
    scheduled: events.SessionScheduled | None = None
    """None for a session that began with a dose that nobody had scheduled."""
    checks: tuple[events.PreDoseChecked, ...] = ()
    authorisations: tuple[events.DosingAuthorised, ...] = ()
    unused_authorisation: bool = False
    """Whether the last authorisation still waits for its dose; each covers one."""
    checks_when_authorised: int = 0
    """How many checks were known at the last authorisation: it rests on none that came later, be it in the same minute."""
    doses: tuple[events.SessionDosed, ...] = ()
    vitals: tuple[events.VitalsRecorded, ...] = ()
    overdue: tuple[events.VitalOverdue, ...] = ()
    cancelled: events.SessionCancelled | None = None
    completed: events.SessionCompleted | None = None

    @property
    def phase(self) -> Literal["scheduled", "dosed", "completed", "cancelled"]:
        """Where the session stands; `dosed` is between a dose and the discharge."""
        if self.completed is not None:
            return "completed"
        if self.doses:
            return "dosed"
        return "scheduled" if self.cancelled is None else "cancelled"

    @property
    def latest_checks(self) -> events.PreDoseChecked | None:
        """The checks made last; of two made at the same time, the one recorded last."""
        return max(reversed(self.checks), key=lambda checks: checks.checked_at, default=None)

    @property
    def authorisation(self) -> events.DosingAuthorised | None:
        """The authorisation that waits for its dose."""
        return self.authorisations[-1] if self.unused_authorisation else None

    @property
    def dosed_mg(self) -> Decimal:
        """Milligrams given in this session so far."""
        return sum((dose.dose_mg for dose in self.doses), start=Decimal(0))

    @property
    def last_dose_at(self) -> datetime | None:
        """When the last dose was given."""
        return max((dose.given_at for dose in self.doses), default=None)

    def pressures(self) -> list[tuple[datetime, BloodPressure]]:
        """Return every blood pressure with its time, the latest last."""
        checked = [(checks.checked_at, checks.blood_pressure) for checks in self.checks]
        monitored = [(vitals.taken_at, vitals.blood_pressure) for vitals in self.vitals if vitals.blood_pressure is not None]
        return sorted([*checked, *monitored], key=lambda entry: entry[0])

    def pressure_deadline(self, window: events.SecondPressure) -> datetime | None:
        """Return when the absence of the pressure after a dose must next be said; None if it needs no word (R-21).

        A pressure inside the window settles it; a late one only spares the escalation; after the discharge nothing more falls due.
        """
        taken = [at for at, _ in self.pressures()]
        if any(window.earliest <= at <= window.latest for at in taken):
            return None
        said = [overdue for overdue in self.overdue if overdue.due_at == window.due_at]
        if not said:
            at = window.latest
        elif any(overdue.escalated for overdue in said) or any(at > window.latest for at in taken):
            return None
        else:
            at = window.escalate_at
        return None if self.completed is not None and self.completed.discharged_at < at else at


@dataclass(frozen=True, slots=True)
class Approval:
    """What a prescriber approved on a numbered request."""

    plan: TreatmentPlan
    request: int
    decided_at: datetime | None


@dataclass(frozen=True, slots=True)
class Course:
    """The course of one case; sessions count from 1 across all its plans."""

    stops: Stops = field(default_factory=Stops)
    approval: Approval | None = None
    """The newest approval that opened."""
    opened_at: datetime | None = None
    doses_before: int = 0
    """Doses already given when it opened."""
    waiting: Approval | None = None
    """An approval that opens once nothing forbids it any more."""
    closed_request: int = 0
    """The newest request on which a prescriber declined, or whose approval expired or was revoked."""
    preparation: events.PreparationCompleted | None = None
    sessions: tuple[Session, ...] = ()
    escalations: tuple[events.Escalated, ...] = ()
    adverse_events: tuple[events.AdverseEventRecorded, ...] = ()
    integration_held_at: datetime | None = None
    uncovered: tuple[events.DoseFoundUncovered, ...] = ()
    completed: bool = False
    awaited_transfer: events.TransferAwaited | None = None
    """Where the case goes once the patient was discharged."""
    alerts: Alerts = field(default_factory=Alerts)

    @property
    def status(self) -> str:
        """A clear word for work lists. A patient under a dose comes before all else, then a stop."""
        if self.running:
            return "monitoring"
        if self.stops.holds:
            return "on_hold"
        if self.stops.consent_withdrawn_at is not None and not self.stops.consented:
            return "consent_withdrawn"
        if self.completed:
            return "completed"
        if self.plan is None:
            return "not_approved" if self.waiting is None else "withheld"
        if any(session.phase == "scheduled" for session in self.sessions):
            return "scheduled"
        return "preparing" if self.preparation is None else "ready"

    @property
    def deadlines(self) -> Mapping[str, datetime]:
        """The blood pressures that are missing after a dose (R-21), and when the next alert must be acknowledged."""
        due = dict(self.alerts.deadlines)
        for session in self.sessions:
            for number, dose in enumerate(session.doses, start=1):
                at = None if dose.second_pressure is None else session.pressure_deadline(dose.second_pressure)
                if at is not None:
                    due[f"second_pressure_{session.number}_{number}"] = at
        return due

    @property
    def waits_for(self) -> Waiting | None:
        """What the course waits for; a patient under a dose comes before all else, then a stop.

        None without an approval, unless a session is still in the diary: someone must tell the patient not to come.
        """
        if self.running:
            return Waiting("discharge", self.last_dose_at(), "medical_monitor")
        scheduled = any(session.phase == "scheduled" for session in self.sessions)
        if self.plan is None and self.waiting is None and scheduled:
            return Waiting("cancellation", None, "coordinator")
        if self.completed or (self.plan is None and self.waiting is None):
            return None
        stopped = for_stop(self.stops, ("treatment",))
        if stopped is not None or self.plan is None:
            return stopped
        if self.preparation is None:
            return Waiting("preparation", self.opened_at, "therapist")
        discharged = (session.completed.discharged_at for session in self.sessions if session.completed is not None)
        since = max([self.preparation.completed_at, *discharged])
        if scheduled:
            return Waiting("session", since, "therapist")
        return Waiting("scheduling", since, "coordinator")

    @property
    def plan(self) -> TreatmentPlan | None:
        """The plan in force: the newest one opened, unless it ended or a prescriber declined since."""
        return None if self.approval is None or self.approval.request <= self.closed_request else self.approval.plan

    @property
    def newest_request(self) -> int:
        """The newest request whose answer is known; 0 before the first."""
        approved = (known.request for known in (self.approval, self.waiting) if known is not None)
        return max([self.closed_request, *approved])

    def limits(self, policy: PolicyValues) -> MonitoringLimits:
        """Return the limits the prescriber sent for this patient, which outlive the plan's end; the policy's where none came."""
        if self.approval is not None:
            return self.approval.plan.limits
        return MonitoringLimits(
            hold_above=BloodPressure(systolic=policy.hold_systolic_above, diastolic=policy.hold_diastolic_above),
            second_pressure_after_minutes=policy.second_pressure_after_minutes,
            minimum_stay_minutes=policy.minimum_stay_minutes,
        )

    @property
    def running(self) -> tuple[Session, ...]:
        """Sessions between a dose and its discharge."""
        return tuple(session for session in self.sessions if session.phase == "dosed")

    @property
    def open_sessions(self) -> tuple[Session, ...]:
        """Sessions that are scheduled or running."""
        return tuple(session for session in self.sessions if session.phase in {"scheduled", "dosed"})

    @property
    def doses_given(self) -> int:
        """Planned doses used in the whole case; a booster belongs to the dose it follows."""
        return sum(max(1, sum(not dose.booster for dose in session.doses)) for session in self.sessions if session.doses)

    @property
    def doses_left(self) -> int:
        """Doses that the plan in force still allows."""
        return 0 if self.plan is None else max(0, self.plan.doses - (self.doses_given - self.doses_before))

    def last_dose_at(self, *, before_session: int | None = None) -> datetime | None:
        """Return when the last dose of the case was given, or the last one of all other sessions."""
        return max(
            (session.last_dose_at for session in self.sessions if session.last_dose_at is not None and session.number != before_session),
            default=None,
        )

    def route_of(self, session: Session | None) -> Route | None:
        """Return the route whose policy counts in a session: that of the last dose given in it, or else that of the plan in force."""
        if session is not None and session.doses:
            return session.doses[-1].route
        return None if self.plan is None else self.plan.route

    def find(self, number: int | None) -> Session | None:
        """Return the session of this number, if there is one."""
        return next((session for session in self.sessions if session.number == number), None)

    def require(self, number: int) -> Session:
        """Return the session of this number; raise Refusal if there is none."""
        session = self.find(number)
        if session is None:
            raise Refusal("no-such-session", "The case has no session of this number.")
        return session

    @property
    def next_number(self) -> int:
        """The number of the next session."""
        return max((session.number for session in self.sessions), default=0) + 1


def evolve(course: Course, event: EventData) -> Course:
    """Fold one event; an unknown one changes nothing."""
    course = with_parts(course, stops=stop.fold(course.stops, event), alerts=alert.fold(course.alerts, event))
    match event:
        case events.CourseOpened() | events.CourseWithheld() | events.CourseClosed() | events.CourseCompleted():
            return _of_approval(course, event)
        case events.PreparationCompleted():
            return replace(course, preparation=event)
        case events.TransferAwaited() | events.TransferNoted():
            return replace(course, awaited_transfer=event if isinstance(event, events.TransferAwaited) else None)
        case events.AdverseEventRecorded():
            return replace(course, adverse_events=(*course.adverse_events, event))
        case events.Escalated():
            return replace(course, escalations=(*course.escalations, event))
        case events.DoseFoundUncovered():
            return replace(course, uncovered=(*course.uncovered, event))
        case events.IntegrationNoted():
            known = course.integration_held_at
            return replace(course, integration_held_at=event.held_at if known is None else max(known, event.held_at))
        case (
            events.SessionScheduled()
            | events.PreDoseChecked()
            | events.DosingAuthorised()
            | events.SessionDosed()
            | events.VitalsRecorded()
            | events.VitalOverdue()
            | events.SessionCancelled()
            | events.SessionCompleted()
        ):
            course = _with(course, _in_session(course.find(event.session) or Session(event.session), event))
            return replace(course, completed=course.completed and not course.running)
        case _:
            return course


def _of_approval(
    course: Course, event: events.CourseOpened | events.CourseWithheld | events.CourseClosed | events.CourseCompleted
) -> Course:
    match event:
        case events.CourseOpened():
            approval = Approval(event.plan, event.request, event.decided_at)
            before = course.doses_given
            return replace(course, approval=approval, opened_at=event.opened_at, doses_before=before, waiting=None, completed=False)
        case events.CourseWithheld():
            return replace(course, waiting=Approval(event.plan, event.request, event.decided_at))
        case events.CourseClosed():
            return replace(course, waiting=None, closed_request=max(course.closed_request, event.request))
        case events.CourseCompleted():
            return replace(course, completed=True)


def _in_session(session: Session, event: EventData) -> Session:
    match event:
        case events.SessionScheduled():
            return replace(session, scheduled=event)
        case events.PreDoseChecked():
            return replace(session, checks=(*session.checks, event))
        case events.DosingAuthorised():
            authorised = replace(session, authorisations=(*session.authorisations, event), unused_authorisation=True)
            return replace(authorised, checks_when_authorised=len(session.checks))
        case events.SessionDosed():
            return replace(session, doses=(*session.doses, event), unused_authorisation=False)
        case events.VitalsRecorded():
            return replace(session, vitals=(*session.vitals, event))
        case events.VitalOverdue():
            return replace(session, overdue=(*session.overdue, event))
        case events.SessionCancelled():
            return replace(session, cancelled=event)
        case events.SessionCompleted():
            return replace(session, completed=event)
        case _:
            return session


def _with(course: Course, session: Session) -> Course:
    others = (other for other in course.sessions if other.number != session.number)
    return replace(course, sessions=tuple(sorted((*others, session), key=lambda each: each.number)))

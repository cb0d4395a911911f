"""The course of a case as the session service knows it, and how each event changes it. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from services.session.domain.session import Corrections, Session, evolve_session, standing
from services.session.domain.watch import Watch, approval_name, end_of_emergency, gap_name, watches_of
from shared.events import session as events
from shared.events import stay
from shared.events.base import EventData
from shared.events.clinical import BloodPressure, MonitoringLimits, Route, TreatmentPlan
from shared.pathway import alert, emergency, stop
from shared.pathway.alert import Alerts
from shared.pathway.emergency import Grants
from shared.pathway.entry import Correction, placed
from shared.pathway.folding import with_parts
from shared.pathway.policy import PolicyValues
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Stops
from shared.pathway.waiting import Waiting, for_stop


@dataclass(frozen=True, slots=True)
class Approval:
    """What a prescriber approved on a numbered request."""

    plan: TreatmentPlan
    request: int
    decided_at: datetime | None
    expiry_warning_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Course:
    """The course of one case; sessions count from 1 across all its plans."""

    stops: Stops = field(default_factory=Stops)
    emergency: Grants = field(default_factory=Grants)
    approval: Approval | None = None
    """The newest approval that opened."""
    opened_at: datetime | None = None
    waiting: Approval | None = None
    """An approval that opens once nothing forbids it any more."""
    closed_request: int = 0
    """The newest request on which a prescriber declined, or whose approval expired or was revoked."""
    recorded_preparations: tuple[events.PreparationCompleted, ...] = ()
    enrolment: events.EnrolmentRecorded | None = None
    lots: frozenset[str] = frozenset()
    """Lots that were dispensed for the case, as far as is known here."""
    sessions: tuple[Session, ...] = ()
    escalations: tuple[events.Escalated, ...] = ()
    recorded_adverse_events: tuple[events.AdverseEventRecorded, ...] = ()
    recorded_responses: tuple[stay.EmergencyResponded, ...] = ()
    """What was done about emergencies."""
    reclearances_due: tuple[stay.ReclearanceDue, ...] = ()
    approvals_expiring: tuple[stay.ApprovalExpiring, ...] = ()
    corrected: Corrections = field(default_factory=dict)
    """Of the entries that no session holds."""
    integration_held_at: datetime | None = None
    uncovered: tuple[stay.DoseFoundUncovered, ...] = ()
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
        if self.consent_withdrawn:
            return "consent_withdrawn"
        if self.completed:
            return "completed"
        if self.plan is None:
            return "not_approved" if self.waiting is None else "withheld"
        if any(session.phase == "scheduled" for session in self.sessions):
            return "scheduled"
        return "preparing" if self.preparation is None else "ready"

    @property
    def consent_withdrawn(self) -> bool:
        """Whether the patient withdrew consent and did not give it again: no dose follows, and nobody waits for one."""
        return self.stops.consent_withdrawn_at is not None and not self.stops.consented

    @property
    def preparation(self) -> events.PreparationCompleted | None:
        """The newest preparation that counts; of two held at one time, the one that stands later."""
        prepared = standing(self.recorded_preparations, self.corrected)
        return max(reversed(prepared), key=lambda preparation: preparation.completed_at, default=None)

    def prepared_by(self, moment: datetime) -> events.PreparationCompleted | None:
        """Return the newest preparation that counts of those held until a moment."""
        prepared = standing(self.recorded_preparations, self.corrected)
        held = (preparation for preparation in reversed(prepared) if preparation.completed_at <= moment)
        return max(held, key=lambda preparation: preparation.completed_at, default=None)

    @property
    def adverse_events(self) -> tuple[events.AdverseEventRecorded, ...]:
        """The adverse events that count."""
        return standing(self.recorded_adverse_events, self.corrected)

    @property
    def open_emergencies(self) -> tuple[events.Escalated, ...]:
        """The emergencies of which nobody recorded since how they ended (R-22, R-35); that what led to one was an error ends none."""
        ended = [each for each in standing(self.recorded_responses, self.corrected) if each.resolved]
        return tuple(
            emergency
            for emergency in self.escalations
            if emergency.emergency and not any(end.session == emergency.session and end.responded_at >= emergency.at for end in ended)
        )

    @property
    def watches(self) -> Iterator[Watch]:
        """What is waited for: in each session, how an emergency ends, and of the approval."""
        limit = None if self.approval is None else self.approval.plan.limits.hold_above
        for session in self.sessions:
            yield from watches_of(session, limit)
        for open_one in self.open_emergencies:
            yield end_of_emergency(open_one)
        if self.doses_left and not self.completed and not self.consent_withdrawn:
            yield from self._watched_approval()
            yield from self._watched_gap()

    @property
    def overdue(self) -> frozenset[str]:
        """The names of what was said to be missing and still is."""
        return frozenset(watch.name for watch in self.watches if watch.overdue is not None)

    @property
    def deadlines(self) -> Mapping[str, datetime]:
        """When the absence of what is waited for must be said, and when the next alert must be acknowledged."""
        return {**self.alerts.deadlines, **{watch.name: watch.at for watch in self.watches if watch.at is not None}}

    @property
    def waits_for(self) -> Waiting | None:
        """What the course waits for; an emergency and a patient under a dose come before all else, then a stop.

        None without an approval, unless a session is still in the diary: someone must tell the patient not to come.
        """
        if self.open_emergencies:
            return Waiting("emergency_response", self.open_emergencies[0].at, "medical_monitor")
        if self.running:
            return Waiting("discharge", self.last_dose_at(), "medical_monitor")
        step = self._next_step()
        form = next((session for session in self.sessions if session.forms_due and session.form is None and session.doses), None)
        if form is not None and (step is None or step.what in {"preparation", "scheduling", "session"}):
            return Waiting("rems_form", form.last_dose_at, "medical_monitor")
        return step

    def _next_step(self) -> Waiting | None:
        scheduled = any(session.phase == "scheduled" for session in self.sessions)
        if self.plan is None and self.waiting is None and scheduled:
            return Waiting("cancellation", None, "coordinator")
        if self.completed or (self.plan is None and self.waiting is None):
            return None
        stopped = for_stop(self.stops, ("treatment",))
        if stopped is not None or self.plan is None:
            return stopped
        if self.doses_left and any(watch.overdue is not None for watch in self._watched_gap()):
            return Waiting("reclearance", self.reclearances_due[-1].due_at, "coordinator")
        if self.preparation is None:
            return Waiting("preparation", self.opened_at, "therapist")
        discharged = (session.completed.discharged_at for session in self.sessions if session.completed is not None)
        since = max([self.preparation.completed_at, *discharged])
        if scheduled:
            return Waiting("session", since, "therapist")
        return Waiting("scheduling", since, "coordinator")

    def _watched_approval(self) -> Iterator[Watch]:
        """R-15: that the approval ends soon is said once, while doses are left under it."""
        approval = self.approval
        if approval is None or approval.expiry_warning_at is None:
            return
        said = next((expiring for expiring in self.approvals_expiring if expiring.request == approval.request), None)
        say = partial(stay.ApprovalExpiring, request=approval.request, expires_at=approval.plan.expires_at)
        yield Watch(approval_name(approval.request), approval.expiry_warning_at if said is None else None, said, say)

    def _watched_gap(self) -> Iterator[Watch]:
        """R-27: weeks after the last dose, or after the approval that came since, a prescriber clears the patient anew."""
        doses = [dose for session in self.sessions for dose in session.doses]
        last = max(doses, key=lambda dose: dose.given_at, default=None)
        if last is None or last.reclear_by is None or self.approval is None:
            return
        since = max(last.given_at, self.approval.decided_at or last.given_at)
        due_at = since + (last.reclear_by - last.given_at)
        said = next((due for due in self.reclearances_due if due.since == since), None)
        say = partial(stay.ReclearanceDue, since=since, due_at=due_at)
        yield Watch(gap_name(since), due_at if said is None else None, said, say)

    @property
    def groups(self) -> list[str]:
        """The group sessions that sessions of the case are part of, each once."""
        return sorted({session.group for session in self.sessions if session.group is not None})

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
    def doses_left(self) -> int:
        """Doses that the plan in force still allows."""
        return 0 if self.plan is None else max(0, self.plan.doses - self.doses_used_under_plan)

    @property
    def doses_used_under_plan(self) -> int:
        """Planned doses used since the plan in force opened."""
        return sum(session.doses_used_under_plan for session in self.sessions)

    def last_dose_at(self, *, outside: int | None = None, by: datetime | None = None) -> datetime | None:
        """Return when the last dose of the case was given: outside one session, and until a moment, where these are named."""
        doses = (dose.given_at for session in self.sessions if session.number != outside for dose in session.doses)
        return max((given_at for given_at in doses if by is None or given_at <= by), default=None)

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
    course = with_parts(
        course,
        stops=stop.fold(course.stops, event),
        alerts=alert.fold(course.alerts, event),
        emergency=emergency.fold(course.emergency, event),
    )
    match event:
        case events.CourseOpened() | events.CourseWithheld() | events.CourseClosed() | events.CourseCompleted():
            return _of_approval(course, event)
        case events.TransferAwaited() | events.TransferNoted():
            return replace(course, awaited_transfer=event if isinstance(event, events.TransferAwaited) else None)
        case events.Escalated():
            # One that is said again, since what had settled it was an error, is the same one.
            return course if event in course.escalations else replace(course, escalations=(*course.escalations, event))
        case stay.DoseFoundUncovered():
            return replace(course, uncovered=(*course.uncovered, event))
        case events.IntegrationNoted():
            known = course.integration_held_at
            return replace(course, integration_held_at=event.held_at if known is None else max(known, event.held_at))
        case (
            events.SessionScheduled()
            | events.PreDoseChecked()
            | events.SetAndSettingRecorded()
            | events.PrescriberAsked()
            | events.PressureDecided()
            | events.DosingAuthorised()
            | events.SessionDosed()
            | events.AdministrationEnded()
            | events.VitalsRecorded()
            | events.VitalOverdue()
            | events.SessionCancelled()
            | events.SessionCompleted()
            | stay.ChaperoneChecked()
            | stay.RepeatPressureOverdue()
            | stay.ChaperoneCheckOverdue()
            | stay.RemsFormDue()
            | stay.RemsFormOverdue()
            | stay.RemsFormSubmitted()
        ):
            course = _with(course, evolve_session(course.find(event.session) or Session(event.session), event))
            return replace(course, completed=course.completed and not course.running)
        case events.EntryCorrected():
            return _corrected(course, event)
        case _:
            return _recorded(course, event)


def _recorded(course: Course, event: EventData) -> Course:
    """Fold what belongs to no session; an unknown event changes nothing."""
    match event:
        case events.PreparationCompleted():
            return replace(course, recorded_preparations=placed(course.recorded_preparations, event, event.replaces))
        case events.EnrolmentRecorded():
            return replace(course, enrolment=event)
        case events.SupplyNoted():
            return replace(course, lots=course.lots | {event.lot})
        case events.AdverseEventRecorded():
            return replace(course, recorded_adverse_events=placed(course.recorded_adverse_events, event, event.replaces))
        case stay.EmergencyResponded():
            return replace(course, recorded_responses=placed(course.recorded_responses, event, event.replaces))
        case stay.ReclearanceDue():
            return replace(course, reclearances_due=(*course.reclearances_due, event))
        case stay.ApprovalExpiring():
            return replace(course, approvals_expiring=(*course.approvals_expiring, event))
        case _:
            return course


def _of_approval(
    course: Course, event: events.CourseOpened | events.CourseWithheld | events.CourseClosed | events.CourseCompleted
) -> Course:
    match event:
        case events.CourseOpened():
            approval = Approval(event.plan, event.request, event.decided_at, event.expiry_warning_at)
            sessions = tuple(replace(session, doses_of_earlier_plans=len(session.recorded_doses)) for session in course.sessions)
            return replace(course, approval=approval, opened_at=event.opened_at, sessions=sessions, waiting=None, completed=False)
        case events.CourseWithheld():
            return replace(course, waiting=Approval(event.plan, event.request, event.decided_at))
        case events.CourseClosed():
            return replace(course, waiting=None, closed_request=max(course.closed_request, event.request))
        case events.CourseCompleted():
            return replace(course, completed=True)


def _corrected(course: Course, event: events.EntryCorrected) -> Course:
    """Mark an entry where it is held; a course is complete only while its doses and discharges stand."""
    if event.session is None or event.of in {"preparation", "adverse_event", "emergency_response"}:
        correction = Correction(event.kind, event.reason, event.corrected_at)
        return replace(course, corrected={**course.corrected, event.entry: correction})
    course = _with(course, evolve_session(course.find(event.session) or Session(event.session), event))
    done = course.approval is not None and course.doses_used_under_plan >= course.approval.plan.doses
    return replace(course, completed=course.completed and not course.running and done)


def _with(course: Course, session: Session) -> Course:
    others = (other for other in course.sessions if other.number != session.number)
    return replace(course, sessions=tuple(sorted((*others, session), key=lambda each: each.number)))

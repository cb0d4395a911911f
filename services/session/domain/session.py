"""One dosing session as the course holds it, and how its own events change it. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal

from shared.events import session as events
from shared.events.base import EventData
from shared.events.clinical import BloodPressure


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


def evolve_session(session: Session, event: EventData) -> Session:
    """Fold one event of a session; any other changes nothing."""
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

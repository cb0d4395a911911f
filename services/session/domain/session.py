"""One dosing session as the course holds it, and how its own events change it. Pure.

Entries are marked and replaced, never changed or dropped (docs/decisions/0011): what was recorded is kept whole, and what counts is
read off it. A replacement stands where the entry stood that it replaces.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal

from shared.events import session as events
from shared.events import stay
from shared.events.base import EventData
from shared.events.clinical import BloodPressure
from shared.pathway.entry import Correction, EntryT, Named, placed

Corrections = Mapping[str, Correction]


@dataclass(frozen=True, slots=True)
class Reading:
    """A blood pressure, and when it was measured."""

    at: datetime
    pressure: BloodPressure


@dataclass(frozen=True, slots=True)
class Authorised:
    """An authorisation, the entry of the checks that it rests on, and how much was known when it was given."""

    event: events.DosingAuthorised
    rests_on: str | None
    checks_known: int
    """It rests on none that came later, be it in the same minute."""
    doses_known: int


@dataclass(frozen=True, slots=True)
class Session:
    """One dosing session, in the words of its own events; `recorded_*` hold what was marked too."""

    number: int
    scheduled: events.SessionScheduled | None = None
    """None for a session that began with a dose that nobody had scheduled."""
    recorded_checks: tuple[events.PreDoseChecked, ...] = ()
    authorised: tuple[Authorised, ...] = ()
    prescriber_asked: tuple[events.PrescriberAsked, ...] = ()
    pressure_decisions: tuple[events.PressureDecided, ...] = ()
    recorded_doses: tuple[events.SessionDosed, ...] = ()
    doses_of_earlier_plans: int = 0
    """How many doses were known when the plan in force opened."""
    administrations_ended: tuple[events.AdministrationEnded, ...] = ()
    surroundings: tuple[events.SetAndSettingRecorded, ...] = ()
    recorded_vitals: tuple[events.VitalsRecorded, ...] = ()
    recorded_chaperone_checks: tuple[stay.ChaperoneChecked, ...] = ()
    overdue: tuple[events.VitalOverdue, ...] = ()
    repeats_overdue: tuple[stay.RepeatPressureOverdue, ...] = ()
    chaperone_overdue: tuple[stay.ChaperoneCheckOverdue, ...] = ()
    forms_due: tuple[stay.RemsFormDue, ...] = ()
    forms_overdue: tuple[stay.RemsFormOverdue, ...] = ()
    recorded_forms: tuple[stay.RemsFormSubmitted, ...] = ()
    cancelled: events.SessionCancelled | None = None
    recorded_discharges: tuple[events.SessionCompleted, ...] = ()
    corrected: Corrections = field(default_factory=dict)

    @property
    def checks(self) -> tuple[events.PreDoseChecked, ...]:
        """The checks that count."""
        return standing(self.recorded_checks, self.corrected)

    @property
    def doses(self) -> tuple[events.SessionDosed, ...]:
        """The doses that count."""
        return standing(self.recorded_doses, self.corrected)

    @property
    def vitals(self) -> tuple[events.VitalsRecorded, ...]:
        """The vitals that count."""
        return standing(self.recorded_vitals, self.corrected)

    @property
    def chaperone_checks(self) -> tuple[stay.ChaperoneChecked, ...]:
        """The chaperone's checks that count."""
        return standing(self.recorded_chaperone_checks, self.corrected)

    @property
    def completed(self) -> events.SessionCompleted | None:
        """The discharge that counts."""
        discharges = standing(self.recorded_discharges, self.corrected)
        return discharges[-1] if discharges else None

    @property
    def form(self) -> stay.RemsFormSubmitted | None:
        """The REMS form as submitted."""
        forms = standing(self.recorded_forms, self.corrected)
        return forms[-1] if forms else None

    @property
    def phase(self) -> Literal["scheduled", "dosed", "completed", "cancelled"]:
        """Where the session stands; `dosed` is between a dose and the discharge.

        One that was never scheduled and of which every dose was an error does not take place, as if cancelled.
        """
        if self.completed is not None:
            return "completed"
        if self.doses:
            return "dosed"
        void = self.scheduled is None and bool(self.recorded_doses)
        return "scheduled" if self.cancelled is None and not void else "cancelled"

    @property
    def latest_checks(self) -> events.PreDoseChecked | None:
        """The checks made last; of two made at the same time, the one recorded last."""
        return max(reversed(self.checks), key=lambda checks: checks.checked_at, default=None)

    def checks_by(self, moment: datetime) -> events.PreDoseChecked | None:
        """Return the checks made last until a moment; of two made at the same time, the one recorded last."""
        made = (checks for checks in reversed(self.checks) if checks.checked_at <= moment)
        return max(made, key=lambda checks: checks.checked_at, default=None)

    @property
    def at_home(self) -> bool:
        """Whether the session takes place outside a clinic."""
        return self.scheduled is not None and self.scheduled.setting == "home"

    @property
    def group(self) -> str | None:
        """The group session that it is part of."""
        return None if self.scheduled is None else self.scheduled.group

    @property
    def authorisations(self) -> tuple[events.DosingAuthorised, ...]:
        """Every authorisation that was given."""
        return tuple(each.event for each in self.authorised)

    @property
    def authorisation(self) -> events.DosingAuthorised | None:
        """The authorisation that waits for its dose; each covers one, and lapses with the checks that it rests on."""
        if not self.authorised:
            return None
        last = self.authorised[-1]
        lapsed = last.rests_on is not None and last.rests_on in self.corrected
        return None if lapsed or self.used(len(self.authorised) - 1) else last.event

    def used(self, place: int) -> bool:
        """Whether a dose was given on the authorisation at this place, before the next one was given."""
        here = self.authorised[place].doses_known
        until = self.authorised[place + 1].doses_known if place + 1 < len(self.authorised) else None
        return bool(standing(self.recorded_doses[here:until], self.corrected))

    @property
    def checks_since_authorisation(self) -> tuple[events.PreDoseChecked, ...]:
        """The checks that count and were not known at the last authorisation."""
        known = self.authorised[-1].checks_known if self.authorised else 0
        return standing(self.recorded_checks[known:], self.corrected)

    def dosed_mg_by(self, moment: datetime) -> Decimal:
        """Return the milligrams given in this session until a moment."""
        return sum((dose.dose_mg for dose in self.doses if dose.given_at <= moment), start=Decimal(0))

    @property
    def doses_used(self) -> int:
        """Planned doses used; a booster belongs to the dose it follows."""
        return _used(self.doses)

    @property
    def doses_used_under_plan(self) -> int:
        """Planned doses used since the plan in force opened."""
        earlier = standing(self.recorded_doses[: self.doses_of_earlier_plans], self.corrected)
        return self.doses_used - _used(earlier)

    @property
    def first_dose_at(self) -> datetime | None:
        """When the first dose was given."""
        return min((dose.given_at for dose in self.doses), default=None)

    @property
    def last_dose_at(self) -> datetime | None:
        """When the last dose was given."""
        return max((dose.given_at for dose in self.doses), default=None)

    def pressures(self) -> list[Reading]:
        """Return every blood pressure, the latest last."""
        checked = [Reading(checks.checked_at, checks.blood_pressure) for checks in self.checks]
        monitored = [Reading(vitals.taken_at, vitals.blood_pressure) for vitals in self.vitals if vitals.blood_pressure is not None]
        return sorted([*checked, *monitored], key=lambda reading: reading.at)


def whole_minutes(start: datetime, end: datetime) -> int:
    """Return the minutes between two moments, rounded down."""
    return int((end - start).total_seconds() // 60)


def above(pressure: BloodPressure, limit: BloodPressure) -> bool:
    """Whether either number is above the limit's."""
    return pressure.systolic > limit.systolic or pressure.diastolic > limit.diastolic


def standing(recorded: tuple[EntryT, ...], corrected: Corrections) -> tuple[EntryT, ...]:
    """Return the entries that count."""
    return tuple(each for each in recorded if each.entry not in corrected) if corrected else recorded


def evolve_session(session: Session, event: EventData) -> Session:
    """Fold one event of a session; any other changes nothing."""
    match event:
        case events.SessionScheduled():
            return replace(session, scheduled=event)
        case events.PreDoseChecked() | events.SessionDosed() | events.VitalsRecorded() | events.SessionCompleted():
            return _recorded(session, event)
        case events.DosingAuthorised():
            return _authorised(session, event)
        case events.PrescriberAsked():
            return replace(session, prescriber_asked=(*session.prescriber_asked, event))
        case events.PressureDecided():
            return replace(session, pressure_decisions=(*session.pressure_decisions, event))
        case events.SetAndSettingRecorded():
            return replace(session, surroundings=(*session.surroundings, event))
        case events.AdministrationEnded():
            return replace(session, administrations_ended=(*session.administrations_ended, event))
        case stay.ChaperoneChecked():
            return replace(session, recorded_chaperone_checks=placed(session.recorded_chaperone_checks, event, event.replaces))
        case stay.RemsFormSubmitted():
            return replace(session, recorded_forms=placed(session.recorded_forms, event, event.replaces))
        case events.SessionCancelled():
            return replace(session, cancelled=event)
        case events.EntryCorrected():
            correction = Correction(event.kind, event.reason, event.corrected_at)
            return replace(session, corrected={**session.corrected, event.entry: correction})
        case _:
            return _said(session, event)


def _recorded(
    session: Session, event: events.PreDoseChecked | events.SessionDosed | events.VitalsRecorded | events.SessionCompleted
) -> Session:
    match event:
        case events.PreDoseChecked():
            checks = session.recorded_checks
            known = (replace(each, checks_known=_still_known(each.checks_known, checks, event.replaces)) for each in session.authorised)
            return replace(session, recorded_checks=placed(checks, event, event.replaces), authorised=tuple(known))
        case events.SessionDosed():
            return _dosed(session, event)
        case events.VitalsRecorded():
            return replace(session, recorded_vitals=placed(session.recorded_vitals, event, event.replaces))
        case events.SessionCompleted():
            return replace(session, recorded_discharges=placed(session.recorded_discharges, event, event.replaces))


def _dosed(session: Session, event: events.SessionDosed) -> Session:
    doses = session.recorded_doses
    return replace(
        session,
        recorded_doses=placed(doses, event, event.replaces),
        authorised=tuple(replace(each, doses_known=_still_known(each.doses_known, doses, event.replaces)) for each in session.authorised),
        doses_of_earlier_plans=_still_known(session.doses_of_earlier_plans, doses, event.replaces),
    )


def _authorised(session: Session, event: events.DosingAuthorised) -> Session:
    checks = session.latest_checks
    given = Authorised(event, None if checks is None else checks.entry, len(session.recorded_checks), len(session.recorded_doses))
    return replace(session, authorised=(*session.authorised, given))


def _said(session: Session, event: EventData) -> Session:
    """Fold a word on what is missing."""
    match event:
        case events.VitalOverdue():
            return replace(session, overdue=(*session.overdue, event))
        case stay.RepeatPressureOverdue():
            return replace(session, repeats_overdue=(*session.repeats_overdue, event))
        case stay.ChaperoneCheckOverdue():
            return replace(session, chaperone_overdue=(*session.chaperone_overdue, event))
        case stay.RemsFormDue():
            return replace(session, forms_due=(*session.forms_due, event))
        case stay.RemsFormOverdue():
            return replace(session, forms_overdue=(*session.forms_overdue, event))
        case _:
            return session


def _still_known(count: int, recorded: Sequence[Named], replaces: str | None) -> int:
    """Return how many of the first entries were known then, once a replacement of one of them stands among them."""
    return count + (replaces is not None and any(each.entry == replaces for each in recorded[:count]))


def _used(doses: Sequence[events.SessionDosed]) -> int:
    return max(1, sum(not dose.booster for dose in doses)) if doses else 0

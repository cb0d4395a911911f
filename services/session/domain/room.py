"""What the room must show before a dose: checks of the day, consent, who watches over the patient, fasting, and the place itself."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from services.session.domain.check import of_the_day
from services.session.domain.dose_in_question import DoseInQuestion
from services.session.domain.objection import Objection
from services.session.domain.state import Course
from shared.events.base import Slug
from shared.events.clinical import Route
from shared.events.dosing import LastIntake
from shared.events.session import PreDoseChecked
from shared.pathway.context import Context
from shared.pathway.policy import PolicyValues


def room_objections(course: Course, dose: DoseInQuestion, context: Context) -> Iterator[Objection]:
    """R-19: no checks, no dose; R-20: consent in the room, an adult who watches, escort, fasting, a place for this route (JC8-JC10)."""
    checks, policy = dose.checks, context.policy.on(dose.route or course.route_of(dose.session))
    if checks is None or not of_the_day(checks, dose.at, context):
        facts = {} if checks is None else {"checked_at": checks.checked_at.isoformat()}
        yield Objection("R-19", "no-checks", "The checks before a dose, blood pressure among them, were not made today.", facts)
    elif dose.at - checks.checked_at > timedelta(minutes=policy.checks_valid_minutes):
        detail = f"The checks before a dose were made more than {policy.checks_valid_minutes} minutes ago."
        yield Objection("R-19", "checks-too-old", detail, {"checked_at": checks.checked_at.isoformat()})
    if dose.session.at_home and dose.route is not None:
        yield from home_objections(dose.route, policy)
    if checks is None:
        return
    yield from _consent(course, checks, dose.at)
    yield from _at_home(checks, dose.at, policy) if dose.session.at_home else _in_the_clinic(checks)
    if dose.session.group is not None:
        yield from _in_a_group(checks, policy)
    if not checks.escort_named:
        yield Objection("R-20", "no-escort", "No escort is named for the way home.")
    if dose.route in policy.fasting_routes:
        yield from _fasting(checks, dose.at, policy)


def home_objections(route: Route, policy: PolicyValues) -> Iterator[Objection]:
    """R-20: what the policy does not let be given outside a clinic."""
    if route not in policy.home_routes:
        yield Objection("R-20", "route-not-at-home", "By this route nothing is given outside a clinic.", {"route": route})


def _consent(course: Course, checks: PreDoseChecked, at: datetime) -> Iterator[Objection]:
    if not checks.consent_reaffirmed:
        yield Objection("R-20", "consent-not-reaffirmed", "The patient did not reaffirm consent in the room.")
    given_at = course.stops.consent_given_at
    if (given_at is None or given_at <= at) and checks.consent_version != course.stops.consent_version:
        facts = {"reaffirmed": checks.consent_version, "in_force": str(course.stops.consent_version)}
        yield Objection("R-20", "consent-version", "The consent reaffirmed is not the version in force.", facts)


def _in_the_clinic(checks: PreDoseChecked) -> Iterator[Objection]:
    if checks.monitor is None:
        yield Objection("R-20", "no-monitor", "No adult is named who monitors the patient.")
    elif checks.monitor_adult is False:
        yield Objection("R-20", "monitor-not-adult", "It was not said that who monitors is 18 or older.")


def _at_home(checks: PreDoseChecked, at: datetime, policy: PolicyValues) -> Iterator[Objection]:
    """A chaperone of 18 or older, there [15] minutes before (JC9), and help that would find the patient."""
    chaperone, home = checks.chaperone, checks.home
    if chaperone is None:
        yield Objection("R-20", "no-chaperone", "No chaperone is with the patient.")
    else:
        if not chaperone.adult:
            yield Objection("R-20", "chaperone-not-adult", "It was not said that the chaperone is 18 or older.")
        if at - chaperone.present_since < timedelta(minutes=policy.chaperone_before_minutes):
            detail = f"The chaperone must be there {policy.chaperone_before_minutes} minutes before."
            yield Objection("R-20", "chaperone-too-late", detail, {"present_since": chaperone.present_since.isoformat()})
    if home is None or not home.emergency_contact_confirmed:
        yield Objection("R-20", "no-emergency-contact", "No emergency contact was confirmed.")
    if home is None or not home.address_confirmed:
        yield Objection("R-20", "address-not-confirmed", "The address that help would be sent to was not confirmed.")
    if home is None or home.kilometres_to_emergency_care is None:
        yield Objection("R-20", "distance-not-stated", "How far emergency care is was not stated.")


def _in_a_group(checks: PreDoseChecked, policy: PolicyValues) -> Iterator[Objection]:
    group = checks.group
    if group is None:
        yield Objection("R-20", "group-not-stated", "How many patients there are, and how many who monitor them, was not stated.")
    elif group.patients > group.monitors * policy.patients_per_monitor:
        facts = {"patients": str(group.patients), "monitors": str(group.monitors), "patients_per_monitor": str(policy.patients_per_monitor)}
        yield Objection("R-20", "too-few-monitors", "Too few people monitor this group.", facts)


def _fasting(checks: PreDoseChecked, at: datetime, policy: PolicyValues) -> Iterator[Objection]:
    """Food [2] hours, drink [30] minutes, a nasal steroid or decongestant [1] hour before esketamine (MA1, IA1)."""
    if not checks.fasting:
        yield Objection("R-20", "not-fasting", "The patient has not fasted as this route asks.")
    last = checks.last_intake
    if last is None:
        return
    if last.food_at is None or last.drink_at is None:
        yield Objection("R-20", "fasting-times-unknown", "When the patient last ate and drank was not stated.")
    for because, what, taken_at, minutes in _intake(last, policy):
        if taken_at is not None and at - taken_at < timedelta(minutes=minutes):
            detail = f"{what}: {minutes} minutes must lie before this dose."
            yield Objection("R-20", because, detail, {"last": taken_at.isoformat()})


def _intake(last: LastIntake, policy: PolicyValues) -> Iterator[tuple[Slug, str, datetime | None, int]]:
    yield "food-too-recent", "Food", last.food_at, policy.fasting_food_minutes
    yield "drink-too-recent", "Drink", last.drink_at, policy.fasting_drink_minutes
    yield "nasal-spray-too-recent", "A nasal steroid or decongestant", last.nasal_spray_at, policy.fasting_nasal_spray_minutes

"""Enrolment in the programme that esketamine asks for: a fact, recorded whatever it says."""

from collections.abc import Iterator
from datetime import date

from services.session.domain.dose_in_question import DoseInQuestion
from services.session.domain.objection import Objection
from services.session.domain.state import Course
from shared.events.base import EventData
from shared.events.session import EnrolmentRecorded
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request


class RecordEnrolment(Request):
    """The day at the clinic on which the patient was enrolled, and whether the setting of care is certified."""

    enrolled_on: date
    setting_certified: bool


def record_enrolment(_course: Course, command: RecordEnrolment, context: Context) -> list[EventData]:
    """Record the enrolment. Raises Refusal for a day in the future."""
    if command.enrolled_on > context.today:
        raise Refusal("time-in-the-future", "enrolled_on lies in the future.", rule="R-26")
    return [EnrolmentRecorded(enrolled_on=command.enrolled_on, setting_certified=command.setting_certified, recorded_at=context.now)]


def enrolment_objections(course: Course, dose: DoseInQuestion, context: Context) -> Iterator[Objection]:
    """R-26: before esketamine the patient is enrolled, and the setting certified, which no home is (REMS form)."""
    if dose.route != "intranasal_esketamine":
        return
    enrolment = course.enrolment
    if enrolment is None or enrolment.enrolled_on > context.day_of(dose.at):
        yield Objection("R-26", "not-enrolled", "The patient was not enrolled by the day of this dose of esketamine.")
    if enrolment is None or not enrolment.setting_certified or dose.session.at_home:
        yield Objection("R-26", "setting-not-certified", "Esketamine is given in a certified setting only.")

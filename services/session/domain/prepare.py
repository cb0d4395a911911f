"""Preparation: what the patient was told and means to do, before the first dose, and what surrounds them in each session."""

from datetime import timedelta
from typing import Annotated

from pydantic import AwareDatetime, Field

from services.session.domain.dose_in_question import DoseInQuestion
from services.session.domain.entry import entered
from services.session.domain.objection import Objection
from services.session.domain.state import Course
from services.session.domain.stated import StatedSetAndSetting, value
from shared.events.base import EventData, Slug, Text
from shared.events.dosing import SetAndSetting
from shared.events.session import PreparationCompleted, SetAndSettingRecorded
from shared.pathway.context import Context
from shared.pathway.happened import require_happened
from shared.pathway.policy import PolicyValues
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request

Intentions = Annotated[tuple[Text, ...], Field(max_length=20)]


class RecordPreparation(Request):
    """The preparation as held, with the topics it covered; without psychoeducation it allows no dose."""

    psychoeducation: bool
    topics: Annotated[tuple[Slug, ...], Field(max_length=40)] = ()
    intentions: Intentions = ()
    set_and_setting: StatedSetAndSetting | None = None
    completed_at: AwareDatetime


class RecordSetAndSetting(Request):
    """What surrounds the patient in one session, and the intentions they bring to it."""

    session: int
    intentions: Intentions = ()
    set_and_setting: StatedSetAndSetting | None = None
    recorded_at: AwareDatetime


def record_preparation(_course: Course, command: RecordPreparation, context: Context, replaces: str | None = None) -> list[EventData]:
    """Record the preparation: a conversation that took place, so no stop refuses it. Raises Refusal for impossible times."""
    require_happened("completed_at", command.completed_at, context.now)
    return [
        PreparationCompleted(
            psychoeducation=command.psychoeducation,
            topics=command.topics,
            intentions=command.intentions,
            set_and_setting=value(SetAndSetting, command.set_and_setting),
            completed_at=command.completed_at,
            **entered(command.completed_at, context, replaces),
        )
    ]


def record_set_and_setting(course: Course, command: RecordSetAndSetting, context: Context) -> list[EventData]:
    """Record what surrounds the patient in a session. Raises Refusal for an unknown session, an impossible time, or nothing said."""
    course.require(command.session)
    require_happened("recorded_at", command.recorded_at, context.now)
    if not command.intentions and command.set_and_setting is None:
        raise Refusal("malformed", "Intentions or a set and setting are needed.")
    return [
        SetAndSettingRecorded(
            session=command.session,
            intentions=command.intentions,
            set_and_setting=value(SetAndSetting, command.set_and_setting),
            recorded_at=command.recorded_at,
        )
    ]


def not_prepared(course: Course, dose: DoseInQuestion) -> Objection | None:
    """No dose without a preparation that told the patient what comes."""
    held = course.prepared_by(dose.at)
    if held is not None and held.psychoeducation:
        return None
    return Objection("preparation", "not-prepared", "No preparation with psychoeducation was recorded.")


def prepared_long_ago(course: Course, dose: DoseInQuestion, policy: PolicyValues) -> Objection | None:
    """R-27: once neither a preparation nor a dose lies within the weeks of a re-clearance, the patient is prepared again."""
    held = course.prepared_by(dose.at)
    if held is None or policy.preparation_again == "off":
        return None
    last_dose_at = course.last_dose_at(by=dose.at)
    since = held.completed_at if last_dose_at is None else max(held.completed_at, last_dose_at)
    if dose.at - since <= timedelta(weeks=policy.reclearance_after_weeks):
        return None
    detail = f"More than {policy.reclearance_after_weeks} weeks passed since the preparation and the last dose; prepare again."
    return Objection("R-27", "preparation-long-ago", detail, {"since": since.isoformat()})

"""Referring a patient: typed in, or as a FHIR R4 bundle. The patient's identifier is never kept."""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from services.intake.domain.chart import age_on, latest_day
from services.intake.domain.fhir import read_bundle
from services.intake.domain.state import Case
from services.intake.domain.state_facts import StatedFact, facts_as_stated
from shared.events import intake
from shared.events.base import EventData, Slug
from shared.events.clinical import Fact, Indication, Route, Sex
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request

OLDEST = 125
"""Full years; a greater age is a mistyped date of birth."""


class PatientIdentifier(Request):
    """Who the patient is in the referrer's system: turned into the network's pseudonym, never stored."""

    system: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    value: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class ReferPatient(Request):
    """A referral typed in by a therapist or coordinator."""

    clinic: Slug
    patient: PatientIdentifier
    birth_date: date
    sex: Sex
    indication: Indication
    route: Route | None = None
    facts: Annotated[tuple[StatedFact, ...], Field(max_length=200)] = ()
    simulated: bool = False


class ReferBundle(Request):
    """A referral as a FHIR R4 bundle of one patient."""

    clinic: Slug
    indication: Indication
    route: Route | None = None
    bundle: dict[str, Any]
    simulated: bool = False


def refer_patient(case: Case, command: ReferPatient, context: Context) -> list[EventData]:
    """Begin a case from what was typed in."""
    facts = facts_as_stated(command.facts, context)
    return _refer(case, command, "json", command.birth_date, command.sex, facts, context)


def refer_bundle(case: Case, command: ReferBundle, context: Context) -> list[EventData]:
    """Begin a case from a bundle."""
    read = read_bundle(command.bundle, latest_day(context.now))
    return _refer(case, command, "fhir", read.birth_date, read.sex, read.facts, context)


def _refer(
    case: Case,
    command: ReferPatient | ReferBundle,
    origin: Literal["json", "fhir"],
    birth_date: date,
    sex: Sex,
    facts: tuple[Fact, ...],
    context: Context,
) -> list[EventData]:
    if case.referral is not None:
        raise Refusal("already-referred", "A patient was referred under this case already.")
    if birth_date > latest_day(context.now):
        raise Refusal("time-in-the-future", "The date of birth lies in the future.", rule="R-01")
    if age_on(context.today, birth_date) > OLDEST:
        raise Refusal("out-of-range", f"The date of birth would make the patient older than {OLDEST}.", rule="R-01")
    return [
        intake.PatientReferred(
            origin=origin,
            birth_date=birth_date,
            sex=sex,
            indication=command.indication,
            route=command.route,
            facts=facts,
            simulated=command.simulated,
            referred_at=context.now,
            entry=context.new_id("entry"),
        )
    ]

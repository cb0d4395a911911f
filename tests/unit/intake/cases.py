"""Cases to decide on: a day, the shipped policy, and a case brought to the door of its screening."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from services.intake.domain.answer import AnswerInstrument, answer_instrument
from services.intake.domain.chart import Chart
from services.intake.domain.codes import QUESTIONS
from services.intake.domain.consent import GiveConsent, give_consent
from services.intake.domain.refer import PatientIdentifier, ReferPatient, refer_patient
from services.intake.domain.screen import CompleteScreening, complete_screening
from services.intake.domain.state import Case, evolve
from services.intake.domain.state_facts import StatedFact, StateFacts, state_facts
from shared.events.base import EventData
from shared.events.clinical import Fact, Indication, Instrument, Sex
from shared.pathway.context import Actor, Context
from shared.pathway.instruments import Answers, Scored, score
from shared.pathway.policy import Policy, PolicyValues, read_policy

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
TODAY = NOW.date()
POLICY = read_policy()
NO_TO_ALL = dict.fromkeys(QUESTIONS, False)
NOTHING: Mapping[Instrument, Answers] = {"phq-9": [0] * 9, "gad-7": [0] * 7, "audit-c": [0] * 3}


def at(now: datetime = NOW, policy: Policy = POLICY, seed: str = "http:test/1") -> Context:
    return Context(now=now, actor=Actor("therapist-1"), policy=policy, seed=seed)


def policy_with(**values: Any) -> Policy:
    changed = PolicyValues.model_validate({**POLICY.values.model_dump(), **values})
    return POLICY.model_copy(update={"version": "test-2", "values": changed})


def fold(case: Case, events: list[EventData]) -> Case:
    for event in events:
        case = evolve(case, event)
    return case


def after(case: Case, decide: Callable[[Case, Any, Context], list[EventData]], command: Any, context: Context | None = None) -> Case:
    """Decide and fold; each request is another cause."""
    return fold(case, decide(case, command, context or at(seed=f"http:test/{len(case.entries) + 1}")))


def referred(
    *,
    birth_date: date = date(1990, 1, 1),
    sex: Sex = "female",
    indication: Indication = "depression",
    facts: tuple[StatedFact, ...] = (),
) -> Case:
    patient = PatientIdentifier(system="urn:example:mrn", value="12345")
    command = ReferPatient(clinic="north", patient=patient, birth_date=birth_date, sex=sex, indication=indication, facts=facts)
    return after(Case(), refer_patient, command)


def answer(case: Case, instrument: Instrument, answers: Answers, hours_ago: float = 1) -> Case:
    when = NOW - timedelta(hours=hours_ago)
    return after(case, answer_instrument, AnswerInstrument(instrument=instrument, answers=tuple(answers), answered_at=when))


def consent(case: Case, *scopes: Any) -> Case:
    covering = scopes or ("treatment", "disclosure_to_prescriber")
    return after(case, give_consent, GiveConsent(version="2026-1", scopes=covering, given_at=NOW - timedelta(hours=2)))


def state(case: Case, *facts: StatedFact, **answers: bool) -> Case:
    return after(case, state_facts, StateFacts(answers=answers, facts=facts))


def ready(**referral: Any) -> Case:
    """A case with consent, a questionnaire full of noes, and instruments full of zeros: screening accepts it."""
    case = state(consent(referred(**referral)), **NO_TO_ALL)
    for instrument, answers in NOTHING.items():
        case = answer(case, instrument, answers)
    return case


def screen(case: Case, context: Context | None = None) -> EventData:
    (event,) = complete_screening(case, CompleteScreening(), context or at())
    return event


def chart(
    *facts: Fact,
    birth_date: date = date(1990, 1, 1),
    sex: Sex = "female",
    policy: Policy = POLICY,
    scored: Mapping[Instrument, Answers] | None = None,
) -> Chart:
    scores: dict[Instrument, Scored] = {name: score(name, answers, policy.values, sex) for name, answers in (scored or {}).items()}
    return Chart(today=TODAY, birth_date=birth_date, sex=sex, facts=facts, scored=scores, policy=policy.values)


def condition(code: str, *, active: bool = True, on: date | None = None, ended: date | None = None) -> Fact:
    return Fact(kind="condition", system="snomed", code=code, label="as coded", active=active, on=on, ended=ended)


def yes(item: str, *, ended: date | None = None) -> Fact:
    return Fact(kind="statement", system="kapcare", code=item, label=item, ended=ended)


def no(item: str) -> Fact:
    return Fact(kind="statement", system="kapcare", code=item, label=item, active=False)


def measured(loinc: str, value: str, on: date = TODAY) -> Fact:
    return Fact(kind="observation", system="loinc", code=loinc, label="measured", value=Decimal(value), on=on)


def medication(code: str, label: str = "as prescribed", *, active: bool = True) -> Fact:
    return Fact(kind="medication", system="rxnorm", code=code, label=label, active=active)

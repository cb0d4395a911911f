"""The entries of a case that are measurements, in FHIR R4: instruments with their answers, drug use by DAST-10, the risk of suicide. Pure.

A resource keeps its address when its entry is marked: only its status changes, so whoever holds it learns that it was an error.
"""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Final

from services.intake.domain.codes import DAST10
from services.intake.domain.entries import Entry
from shared.events.clinical import Instrument
from shared.events.intake import InstrumentAnswered
from shared.fhir.codes import INSTRUMENTS, RECENT_BEHAVIOUR, SUICIDE_RISK_ASSESSMENT, SURVEY, Code, local, loinc
from shared.fhir.corrections import IN_ERROR
from shared.fhir.elements import Element, concept, moment, narrative, quantity, said
from shared.fhir.record import Record, Resource
from shared.pathway.instrument_items import FORMS
from shared.pathway.instruments import UNSCORED

WORDED: Final[frozenset[Instrument]] = frozenset({"phq-9", "gad-7", "pcl-5", "audit-c"})
"""Instruments whose items may be put in words; the others go out by codes alone."""
_SURVEY = [concept(SURVEY, "Survey")]


def key_of(entry: Entry, name: str) -> str:
    """Return the key of an entry's resource; what was recorded before entries had names goes by the name alone."""
    return name if entry.id is None else f"{name}/{entry.id}"


def is_anothers(entry: Entry) -> bool:
    """Whether the entry is of another patient, so that nothing of what it says may stand in this record."""
    return entry.corrected is not None and entry.corrected.kind == "wrong_patient"


def instrument(record: Record, entry: Entry, answered: InstrumentAnswered) -> Iterator[Resource]:
    """The answers as given, each as an observation, and the total or level; what is missing is never imputed (R-07)."""
    name, codes = answered.instrument, INSTRUMENTS[answered.instrument]
    scored = answered.band != UNSCORED
    yield _response(record, entry, answered)
    observed = dict(_items(answered))
    for key, (code, words, value) in observed.items():
        yield _answer(record, entry, f"{name}/{key}", answered, concept(code, words), **value)
    if scored:
        yield _answer(record, entry, f"{name}/total", answered, concept(codes.total, f"{FORMS[name].title}: result"), **_result(answered))
    members = [*observed, *(("total",) if scored else ())]
    yield _answer(
        record,
        entry,
        name,
        answered,
        concept(codes.panel, FORMS[name].title),
        hasMember=[record.reference("Observation", key_of(entry, f"{name}/{key}")) for key in members],
    )
    if name == "c-ssrs" and scored:
        yield _suicide_risk(record, entry, answered)


def drug_use(record: Record, entry: Entry) -> Iterator[Resource]:
    """The newest DAST-10 total of an entry."""
    newest = newest_drug_use(entry)
    if newest is not None:
        effective, total = newest
        value = {"effectiveDateTime": effective, "valueQuantity": quantity(total, DAST10.unit)}
        yield _observation(record, entry, "dast-10/total", "final", concept(loinc(DAST10.loinc), DAST10.name), **value)


def newest_drug_use(entry: Entry) -> tuple[str | None, Decimal] | None:
    """Return the day or moment and the DAST-10 total: a fact or a stated score, for its items are not asked here (R-12)."""
    if entry.score is not None:
        return (moment(entry.score.answered_at), Decimal(entry.score.total)) if entry.score.instrument == "dast-10" else None
    totals = [fact for fact in entry.facts if fact.kind == "observation" and fact.code == DAST10.loinc and fact.value is not None]
    newest = max(reversed(totals), key=lambda fact: fact.on or date.min, default=None)
    if newest is None or newest.value is None:
        return None
    return None if newest.on is None else newest.on.isoformat(), newest.value


def _suicide_risk(record: Record, entry: Entry, screener: InstrumentAnswered) -> Resource:
    """The level of a C-SSRS screener (R-09)."""
    found = {
        "occurrenceDateTime": moment(screener.answered_at),
        "basis": [record.reference("Observation", key_of(entry, "c-ssrs/total"))],
        "prediction": [{"qualitativeRisk": _level(screener)}],
    }
    return record.resource(
        "RiskAssessment",
        key_of(entry, "suicide"),
        status=_status(entry, "final"),
        method=concept(local("rule.R-09"), "C-SSRS screener, risk by the gravest answer"),
        code=concept(SUICIDE_RISK_ASSESSMENT, "Suicide risk assessment"),
        subject=record.subject,
        **({} if is_anothers(entry) else found),
    )


def _response(record: Record, entry: Entry, answered: InstrumentAnswered) -> Resource:
    name, form = answered.instrument, FORMS[answered.instrument]
    complete = "in-progress" if None in answered.answers else "completed"
    given = {
        "authored": moment(answered.answered_at),
        "item": [
            said(
                linkId=f"{name}.{number}",
                text=form.items[number - 1] if name in WORDED else None,
                answer=None if answer is None else [{"valueInteger": answer}],
            )
            for number, answer in enumerate(answered.answers, 1)
        ],
    }
    return record.resource(
        "QuestionnaireResponse",
        key_of(entry, name),
        text=narrative(f"{form.title}. {form.licence}"),
        questionnaire=f"urn:kapcare:questionnaire:{name}",
        status=_status(entry, complete),
        subject=record.subject,
        **({} if is_anothers(entry) else given),
    )


def _items(answered: InstrumentAnswered) -> Iterator[tuple[str, tuple[Code, str, Element]]]:
    """Key, then code, words and value of each item that was answered."""
    name = answered.instrument
    for number, (code, answer) in enumerate(zip(INSTRUMENTS[name].items, answered.answers, strict=True), 1):
        if answer is None:
            continue
        words = FORMS[name].items[number - 1] if name in WORDED else f"{FORMS[name].title}: item {number}"
        yield str(number), (code, words, {"valueBoolean": answer > 0} if name == "c-ssrs" else {"valueInteger": answer})
        if name == "c-ssrs" and number == 6:
            yield f"{number}-recent", (RECENT_BEHAVIOUR, f"{words}, past 3 months", {"valueBoolean": answer == 2})


def _result(answered: InstrumentAnswered) -> Element:
    if answered.total is None:
        return {"valueCodeableConcept": _level(answered)}
    return {"valueQuantity": quantity(answered.total, "{score}"), "interpretation": [{"text": answered.band}]}


def _answer(record: Record, entry: Entry, key: str, answered: InstrumentAnswered, code: Element, **elements: object) -> Resource:
    return _observation(
        record,
        entry,
        key,
        "preliminary" if answered.band == UNSCORED else "final",
        code,
        effectiveDateTime=moment(answered.answered_at),
        derivedFrom=[record.reference("QuestionnaireResponse", key_of(entry, answered.instrument))],
        **elements,
    )


def _observation(record: Record, entry: Entry, key: str, status: str, code: Element, **elements: object) -> Resource:
    """`effective` is when the patient answered, `issued` when it was recorded: the two tell what was recorded late."""
    found = {} if is_anothers(entry) else {"issued": moment(entry.recorded_at), **elements}
    return record.resource(
        "Observation",
        key_of(entry, key),
        status=_status(entry, status),
        category=_SURVEY,
        code=code,
        subject=record.subject,
        **found,
    )


_REPLACING: Final = {"final": "corrected", "completed": "amended"}
"""What R4 calls a result, and answers, that replace others."""


def _status(entry: Entry, otherwise: str) -> str:
    if entry.corrected is not None:
        return IN_ERROR
    return otherwise if entry.replaces is None else _REPLACING.get(otherwise, otherwise)


def _level(answered: InstrumentAnswered) -> Element:
    """The band of an instrument that has no total; in our code, for texts contradict each other on LOINC's answers (LL465-6)."""
    return concept(local(f"{answered.instrument}.{answered.band}"), f"{FORMS[answered.instrument].title}: {answered.band}")

"""An instrument as it was answered, in FHIR R4: the answers, an Observation of each and of the result, and the risk of suicide. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shared.events.clinical import Instrument
from shared.fhir.codes import INSTRUMENTS, RECENT_BEHAVIOUR, SUICIDE_RISK_ASSESSMENT, SURVEY, Code, local
from shared.fhir.corrections import Standing
from shared.fhir.elements import Element, concept, moment, narrative, quantity, said
from shared.fhir.observations import observation
from shared.fhir.record import Record, Resource
from shared.pathway.instrument_items import FORMS
from shared.pathway.instruments import UNSCORED

WORDED: Final[frozenset[Instrument]] = frozenset({"phq-9", "gad-7", "pcl-5", "audit-c"})
"""Instruments whose items may be put in words; the others go out by codes alone."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The answers to an instrument, its total, its band (None where nobody named one), and when it was answered and recorded."""

    instrument: Instrument
    answers: tuple[int | None, ...]
    total: int | None
    band: str | None
    at: datetime
    recorded_at: datetime | None
    standing: Standing

    @property
    def scored(self) -> bool:
        """Whether it has a total, or a level."""
        return self.total is not None or self.band not in {None, UNSCORED}

    @property
    def title(self) -> str:
        """What it is called."""
        return FORMS[self.instrument].title


def instrument(record: Record, answered: Answered, **of_result: object) -> Iterator[Resource]:
    """The answers as given, each as an observation, and the total or level; what is missing is never imputed (R-07).

    `of_result` is what else is known of the total or level.
    """
    name, codes = answered.instrument, INSTRUMENTS[answered.instrument]
    yield _response(record, answered)
    observed = dict(_items(answered))
    for key, (code, words, value) in observed.items():
        yield _observation(record, f"{name}/{key}", answered, concept(code, words), **value)
    if answered.scored:
        result = {**_result(answered), **of_result}
        yield _observation(record, f"{name}/total", answered, concept(codes.total, f"{answered.title}: result"), **result)
    members = [*observed, *(("total",) if answered.scored else ())]
    has = [record.reference("Observation", answered.standing.key(f"{name}/{key}")) for key in members]
    yield _observation(record, name, answered, concept(codes.panel, answered.title), hasMember=has)
    if name == "c-ssrs" and answered.scored:
        yield _suicide_risk(record, answered)


def _suicide_risk(record: Record, screener: Answered) -> Resource:
    """The level of a C-SSRS screener (R-09)."""
    return record.resource(
        "RiskAssessment",
        screener.standing.key("suicide"),
        status=screener.standing.status("final", replacing="corrected"),
        method=concept(local("rule.R-09"), "C-SSRS screener, risk by the gravest answer"),
        code=concept(SUICIDE_RISK_ASSESSMENT, "Suicide risk assessment"),
        subject=record.subject,
        **screener.standing.told(
            occurrenceDateTime=moment(screener.at),
            basis=[record.reference("Observation", screener.standing.key("c-ssrs/total"))],
            prediction=[{"qualitativeRisk": _level(screener)}],
        ),
    )


def _response(record: Record, answered: Answered) -> Resource:
    name, form, standing = answered.instrument, FORMS[answered.instrument], answered.standing
    complete = standing.status("completed", replacing="amended")
    return record.resource(
        "QuestionnaireResponse",
        standing.key(name),
        text=narrative(f"{form.title}. {form.licence}"),
        questionnaire=f"urn:kapcare:questionnaire:{name}",
        status=standing.status("in-progress") if None in answered.answers else complete,
        subject=record.subject,
        **standing.told(authored=moment(answered.at), item=[*_answers(answered)]),
    )


def _answers(answered: Answered) -> Iterator[Element]:
    name, form = answered.instrument, FORMS[answered.instrument]
    for number, answer in enumerate(answered.answers, 1):
        text = form.items[number - 1] if name in WORDED else None
        yield said(linkId=f"{name}.{number}", text=text, answer=None if answer is None else [{"valueInteger": answer}])


def _items(answered: Answered) -> Iterator[tuple[str, tuple[Code, str, Element]]]:
    """Key, then code, words and value of each item that was answered."""
    name = answered.instrument
    for number, (code, answer) in enumerate(zip(INSTRUMENTS[name].items, answered.answers, strict=True), 1):
        if answer is None:
            continue
        words = FORMS[name].items[number - 1] if name in WORDED else f"{answered.title}: item {number}"
        yield str(number), (code, words, {"valueBoolean": answer > 0} if name == "c-ssrs" else {"valueInteger": answer})
        if name == "c-ssrs" and number == 6:
            yield f"{number}-recent", (RECENT_BEHAVIOUR, f"{words}, past 3 months", {"valueBoolean": answer == 2})


def _result(answered: Answered) -> Element:
    if answered.total is None:
        return {"valueCodeableConcept": _level(answered)}
    banded = {} if answered.band is None else {"interpretation": [{"text": answered.band}]}
    return {"valueQuantity": quantity(answered.total, "{score}"), **banded}


def _observation(record: Record, kind: str, answered: Answered, code: Element, **elements: object) -> Resource:
    return observation(
        record,
        answered.standing,
        kind,
        code,
        SURVEY,
        effective=answered.at,
        issued=answered.recorded_at,
        preliminary=not answered.scored,
        derivedFrom=[record.reference("QuestionnaireResponse", answered.standing.key(answered.instrument))],
        **elements,
    )


def _level(answered: Answered) -> Element:
    """The band of an instrument that has no total; in our code, for texts contradict each other on LOINC's answers (LL465-6)."""
    return concept(local(f"{answered.instrument}.{answered.band}"), f"{answered.title}: {answered.band}")

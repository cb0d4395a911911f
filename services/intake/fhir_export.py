"""Intake's part of a case in FHIR R4: patient, consent, instruments, screening. Pure; notes and holds are never exported."""

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from services.intake.domain.codes import DAST10
from services.intake.domain.state import Case, Outcome
from shared.events.clinical import Finding, Instrument
from shared.events.intake import InstrumentAnswered
from shared.fhir.codes import (
    CONSENT_DOCUMENT,
    CONSENT_SCOPE,
    DISCLOSE,
    INSTRUMENTS,
    RECENT_BEHAVIOUR,
    SUICIDE_RISK_ASSESSMENT,
    SURVEY,
    Code,
    local,
    loinc,
)
from shared.fhir.elements import Element, concept, moment, narrative, period, quantity, said
from shared.fhir.record import Record, Resource
from shared.pathway.instrument_items import FORMS
from shared.pathway.instruments import UNSCORED
from shared.pathway.stop import Stops

WORDED: Final[frozenset[Instrument]] = frozenset({"phq-9", "gad-7", "pcl-5", "audit-c"})
"""Instruments whose items may be put in words; the others go out by codes alone."""
_SURVEY = [concept(SURVEY, "Survey")]


def export(case: str, clinic: str, patient: str, state: Case) -> list[Resource]:
    """Return the resources of the case as it stands; of a case that was entered in error nothing is the patient's."""
    record = Record(case, clinic, patient)
    if state.entered_in_error:
        return [record.person(simulated=state.simulated), record.organisation("clinic", clinic)]
    return [
        _patient(record, state),
        record.organisation("clinic", clinic),
        *_consents(record, state.stops),
        *(resource for answered in state.answered for resource in _instrument(record, answered)),
        *_drug_use(record, state),
        *_suicide_risk(record, state),
        *_screening(record, state),
    ]


def _patient(record: Record, state: Case) -> Resource:
    if state.referral is None:
        return record.person(simulated=state.simulated)
    return record.person(state.referral.sex, state.referral.birth_date.year, simulated=state.simulated)


def _consents(record: Record, stops: Stops) -> Iterator[Resource]:
    """One Consent for each scope of the last form signed; inactive once it is withdrawn (R-20)."""
    if stops.consent_given_at is None:
        return
    for scope in sorted(stops.consent_scopes):
        yield record.resource(
            "Consent",
            scope,
            status="active" if stops.consented else "inactive",
            scope=concept(CONSENT_SCOPE[scope], scope.replace("_", " ")),
            category=[concept(CONSENT_DOCUMENT, "Consent document")],
            patient=record.subject,
            dateTime=moment(stops.consent_given_at),
            organization=[record.organisation_reference("clinic", record.clinic)],
            policyRule=concept(local("consent-form"), f"Consent form, version {stops.consent_version}"),
            provision=said(
                type="permit",
                period=period(stops.consent_given_at, None if stops.consented else stops.consent_withdrawn_at),
                action=[concept(DISCLOSE, "Disclose to the prescriber")] if scope == "disclosure_to_prescriber" else None,
            ),
        )


def _instrument(record: Record, answered: InstrumentAnswered) -> Iterator[Resource]:
    """The answers as given, each as an observation, and the total or level; what is missing is never imputed (R-07)."""
    name, codes = answered.instrument, INSTRUMENTS[answered.instrument]
    scored = answered.band != UNSCORED
    yield _response(record, answered)
    observed = dict(_items(answered))
    for key, (code, words, value) in observed.items():
        yield _observation(record, f"{name}/{key}", answered, concept(code, words), **value)
    if scored:
        yield _observation(record, f"{name}/total", answered, concept(codes.total, f"{FORMS[name].title}: result"), **_result(answered))
    members = [*observed, *(("total",) if scored else ())]
    yield _observation(
        record,
        name,
        answered,
        concept(codes.panel, FORMS[name].title),
        hasMember=[record.reference("Observation", f"{name}/{key}") for key in members],
    )


def _response(record: Record, answered: InstrumentAnswered) -> Resource:
    name, form = answered.instrument, FORMS[answered.instrument]
    return record.resource(
        "QuestionnaireResponse",
        name,
        text=narrative(f"{form.title}. {form.licence}"),
        questionnaire=f"urn:kapcare:questionnaire:{name}",
        status="in-progress" if None in answered.answers else "completed",
        subject=record.subject,
        authored=moment(answered.answered_at),
        item=[
            said(
                linkId=f"{name}.{number}",
                text=form.items[number - 1] if name in WORDED else None,
                answer=None if answer is None else [{"valueInteger": answer}],
            )
            for number, answer in enumerate(answered.answers, 1)
        ],
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


def _observation(record: Record, key: str, answered: InstrumentAnswered, code: Element, **elements: object) -> Resource:
    return record.resource(
        "Observation",
        key,
        status="preliminary" if answered.band == UNSCORED else "final",
        category=_SURVEY,
        code=code,
        subject=record.subject,
        effectiveDateTime=moment(answered.answered_at),
        derivedFrom=[record.reference("QuestionnaireResponse", answered.instrument)],
        **elements,
    )


def _drug_use(record: Record, state: Case) -> Iterator[Resource]:
    """The latest DAST-10 total: as a fact or a stated score, for its items are not asked here (R-12)."""
    known: list[tuple[date, str | None, Decimal]] = []
    for entry in state.counting:
        known.extend(
            (fact.on or date.min, None if fact.on is None else fact.on.isoformat(), fact.value)
            for fact in entry.facts
            if fact.kind == "observation" and fact.code == DAST10.loinc and fact.value is not None
        )
        if entry.score is not None and entry.score.instrument == "dast-10":
            known.append((entry.score.answered_at.date(), moment(entry.score.answered_at), Decimal(entry.score.total)))
    latest = max(reversed(known), key=lambda each: each[0], default=None)
    if latest is not None:
        _, effective, total = latest
        yield record.resource(
            "Observation",
            "dast-10/total",
            status="final",
            category=_SURVEY,
            code=concept(loinc(DAST10.loinc), DAST10.name),
            subject=record.subject,
            effectiveDateTime=effective,
            valueQuantity=quantity(total, DAST10.unit),
        )


def _suicide_risk(record: Record, state: Case) -> Iterator[Resource]:
    """The level of the last C-SSRS screener (R-09)."""
    screener = state.answers_to("c-ssrs")
    if screener is not None and screener.band != UNSCORED:
        yield record.resource(
            "RiskAssessment",
            "suicide",
            status="final",
            method=concept(local("rule.R-09"), "C-SSRS screener, risk by the gravest answer"),
            code=concept(SUICIDE_RISK_ASSESSMENT, "Suicide risk assessment"),
            subject=record.subject,
            occurrenceDateTime=moment(screener.answered_at),
            basis=[record.reference("Observation", "c-ssrs/total")],
            prediction=[{"qualitativeRisk": _level(screener)}],
        )


def _screening(record: Record, state: Case) -> Iterator[Resource]:
    """What the last screening came to, then its findings; it stands on what was answered before it."""
    outcome = state.outcome
    if outcome is not None:
        yield record.resource(
            "RiskAssessment",
            "screening",
            status="final",
            method=concept(local("screening-rules"), f"Screening rules, policy {outcome.policy_version}"),
            code=concept(local("screening"), "Eligibility screening"),
            subject=record.subject,
            occurrenceDateTime=moment(outcome.at),
            basis=[record.reference("Observation", each.instrument) for each in state.answered if each.answered_at <= outcome.at],
            prediction=[{"outcome": _came_to(outcome)}, *(_finding(finding) for finding in outcome.findings)],
        )


def _came_to(outcome: Outcome) -> Element:
    word = outcome.kind if outcome.deferred_until is None else "deferred"
    return concept(local(f"screening.{word}"), f"Screening: {word.replace('_', ' ')}")


def _finding(finding: Finding) -> Element:
    # A period that names a day lasts to that day's end, and on `until` the patient can be screened again.
    until = None if finding.until is None else finding.until - timedelta(days=1)
    return said(
        outcome=concept(local(f"finding.{finding.item}"), finding.item.replace("_", " ")),
        qualitativeRisk=concept(local(f"weight.{finding.weight}"), finding.weight.replace("_", " ")),
        whenPeriod=None if until is None else {"end": until.isoformat()},
        rationale=f"{finding.rule}: {', '.join(finding.because)}",
    )


def _level(answered: InstrumentAnswered) -> Element:
    """The band of an instrument that has no total; in our code, for texts contradict each other on LOINC's answers (LL465-6)."""
    return concept(local(f"{answered.instrument}.{answered.band}"), f"{FORMS[answered.instrument].title}: {answered.band}")

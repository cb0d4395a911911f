"""Intake's part of a case in FHIR R4: patient, consent, instruments, screening. Pure; notes and holds are never exported.

What counts goes out as it stands, what was corrected as entered in error.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final

from services.intake.domain.entries import Entries, Entry
from services.intake.domain.state import Case, Outcome
from services.intake.fhir_drug_use import drug_use, newest_drug_use
from shared.events.clinical import Finding
from shared.events.intake import InstrumentAnswered
from shared.fhir.codes import CONSENT_DOCUMENT, CONSENT_SCOPE, DISCLOSE, local
from shared.fhir.corrections import IN_ERROR, Standing, with_provenance
from shared.fhir.elements import Element, concept, moment, period, said
from shared.fhir.instruments import Answered, instrument
from shared.fhir.record import Record, Resource
from shared.pathway.entry import Correction
from shared.pathway.stop import Stops

DISCLOSED: Final[Mapping[str, str]] = {
    "disclosure_to_prescriber": "Disclose to the prescriber",
    "substance_use_disclosure": "Disclose substance use records to the prescriber",
}
"""By the consent scopes that permit a disclosure."""


def export(case: str, clinic: str, patient: str, state: Case) -> list[Resource]:
    """Return the resources of the case as it stands; of a case that was entered in error everything was an error."""
    record = Record(case, clinic, patient)
    return [
        _patient(record, state),
        record.organisation("clinic", clinic),
        *with_provenance(record, ((_standing(entry), [*_resources(record, entry, state)]) for entry in _shown(state))),
        *_screening(record, state),
    ]


def _patient(record: Record, state: Case) -> Resource:
    if state.referral is None or state.entered_in_error:
        return record.person(simulated=state.simulated)
    return record.person(state.referral.sex, state.referral.birth_date.year, simulated=state.simulated)


def _shown(state: Case) -> Entries:
    """The entries that go out; where the referral itself was an error, every one of them was."""
    shown = tuple(entry for entry in state.entries if entry.corrected is not None or _counts(entry, state))
    referral = next((entry for entry in state.entries if entry.kind == "referral"), None)
    if not state.entered_in_error or referral is None or referral.corrected is None:
        return shown
    return tuple(_in_error(entry, referral.corrected) for entry in shown)


def _counts(entry: Entry, state: Case) -> bool:
    """Whether it is the latest of its kind; of DAST-10, which comes as facts and as a score, the latest of both."""
    if not any(each is entry for each in state.counting):
        return False
    totals = [(each, found) for each in reversed(state.counting) if (found := newest_drug_use(each)) is not None]
    latest = max(totals, key=lambda total: (total[1][0] or "")[:10], default=(entry, None))
    return newest_drug_use(entry) is None or latest[0] is entry


def _in_error(entry: Entry, correction: Correction) -> Entry:
    return replace(entry, corrected=correction if entry.corrected is None or correction.kind == "wrong_patient" else entry.corrected)


def _standing(entry: Entry) -> Standing:
    corrected = entry.corrected
    return Standing(entry.entry, None if corrected is None else corrected.kind, None if corrected is None else corrected.at, entry.replaces)


def _resources(record: Record, entry: Entry, state: Case) -> Iterator[Resource]:
    if entry.answered is not None:
        yield from instrument(record, _answered(entry, entry.answered))
    elif entry.kind == "consent":
        yield from _consents(record, entry, state.stops)
    else:
        yield from drug_use(record, entry, _standing(entry))


def _answered(entry: Entry, event: InstrumentAnswered) -> Answered:
    at, recorded_at = event.answered_at, entry.recorded_at
    return Answered(event.instrument, event.answers, event.total, event.band, at, recorded_at, _standing(entry))


def _consents(record: Record, entry: Entry, stops: Stops) -> Iterator[Resource]:
    """One Consent for each scope of a form that was signed; inactive once it is withdrawn (R-20)."""
    standing = _standing(entry)
    in_force = stops.consented and stops.consent_given_at == entry.happened_at
    ended_at = None if in_force else stops.consent_withdrawn_at
    for scope in sorted(entry.consent_scopes):
        permitted = said(
            type="permit",
            period=period(entry.happened_at, ended_at),
            action=[concept(DISCLOSE, DISCLOSED[scope])] if scope in DISCLOSED else None,
        )
        yield record.resource(
            "Consent",
            standing.key(scope),
            status=standing.status("active" if in_force else "inactive"),
            scope=concept(CONSENT_SCOPE[scope], scope.replace("_", " ")),
            category=[concept(CONSENT_DOCUMENT, "Consent document")],
            patient=record.subject,
            organization=[record.organisation_reference("clinic", record.clinic)],
            policyRule=concept(local("consent-form"), f"Consent form, version {entry.consent_version}"),
            provision=permitted if standing.marked is None else None,
            **standing.told(dateTime=moment(entry.happened_at)),
        )


def _screening(record: Record, state: Case) -> Iterator[Resource]:
    """What the last screening came to, then its findings; it stands on what was answered before it. One taken back says nothing."""
    outcome = state.outcome
    if outcome is None and state.reopened_at is None:
        return
    status = "final" if state.reopened_at is None else "corrected"
    yield record.resource(
        "RiskAssessment",
        "screening",
        status=IN_ERROR if outcome is None else status,
        method=None if outcome is None else concept(local("screening-rules"), f"Screening rules, policy {outcome.policy_version}"),
        code=concept(local("screening"), "Eligibility screening"),
        subject=record.subject,
        **({} if outcome is None else _found(record, state, outcome)),
    )


def _found(record: Record, state: Case, outcome: Outcome) -> Element:
    answered = sorted((each.answered.instrument, each) for each in state.counting if each.answered is not None)
    before = [(name, each) for name, each in answered if each.happened_at is not None and each.happened_at <= outcome.at]
    return {
        "occurrenceDateTime": moment(outcome.at),
        "basis": [record.reference("Observation", _standing(each).key(name)) for name, each in before],
        "prediction": [{"outcome": _came_to(outcome)}, *(_finding(finding) for finding in outcome.findings)],
    }


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

"""The case as intake knows it, and how each event changes it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Literal

from services.intake.domain.codes import ONLY_IF_NOT_MALE, QUESTIONS
from shared.events import intake
from shared.events.base import EventData
from shared.events.clinical import Fact, Finding, Indication, Instrument, Route, Sex
from shared.pathway import alert, stop
from shared.pathway.alert import Alerts
from shared.pathway.instruments import ITEM9_POSITIVE, UNSCORED
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Stops
from shared.pathway.waiting import Waiting, for_stop


@dataclass(frozen=True, slots=True)
class Referral:
    """Who was referred, for what; no name and no identifier."""

    birth_date: date
    sex: Sex
    indication: Indication
    route: Route | None
    referred_at: datetime


@dataclass(frozen=True, slots=True)
class Answered:
    """An instrument as it was last answered."""

    instrument: Instrument
    answers: tuple[int | None, ...]
    total: int | None
    band: str
    flags: tuple[str, ...]
    answered_at: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the last screening came to."""

    kind: Literal["completed", "screened_out"]
    at: datetime
    findings: tuple[Finding, ...]
    policy_version: str

    @property
    def deferred_until(self) -> date | None:
        """The first day of another screening; None where the outcome stands."""
        if self.kind == "completed" or any(finding.weight != "defer" for finding in self.findings):
            return None
        return max((finding.until for finding in self.findings if finding.until is not None), default=None)


@dataclass(frozen=True, slots=True)
class RefusedStep:
    """A step that a rule refused last."""

    step: str
    rule: str
    detail: str


@dataclass(frozen=True, slots=True)
class Case:
    """One referral from its arrival to the end of its screening."""

    referral: Referral | None = None
    facts: tuple[Fact, ...] = ()
    """All facts in the order they came; none is ever dropped."""
    answered: tuple[Answered, ...] = ()
    """The latest answers to each instrument."""
    item9_positive_at: datetime | None = None
    risk_screened_at: datetime | None = None
    """When the C-SSRS screener was last answered so that it could be scored."""
    outcome: Outcome | None = None
    stops: Stops = field(default_factory=Stops)
    refused: RefusedStep | None = None
    simulated: bool = False
    alerts: Alerts = field(default_factory=Alerts)

    @property
    def status(self) -> Literal["unknown", "referred", "on_hold", "consent_withdrawn", "screened", "screened_out", "deferred"]:
        """A clear word for work lists; a stop comes before all else."""
        if self.stops.holds:
            return "on_hold"
        if self.stops.consent_withdrawn_at is not None and not self.stops.consented:
            return "consent_withdrawn"
        if self.referral is None:
            return "unknown"
        if self.outcome is None:
            return "referred"
        if self.outcome.kind == "completed":
            return "screened"
        return "screened_out" if self.outcome.deferred_until is None else "deferred"

    @property
    def deadlines(self) -> Mapping[str, datetime]:
        """When the next alert must be acknowledged; nothing else falls due at intake."""
        return self.alerts.deadlines

    @property
    def waits_for(self) -> Waiting | None:
        """What the referral waits for; a positive PHQ-9 item 9 comes before all else (R-08). None once it is screened."""
        if self.referral is None or (self.outcome is not None and self.outcome.deferred_until is None):
            return None
        if self.screener_due:
            return Waiting("suicide_risk_screen", self.item9_positive_at, "therapist")
        stopped = for_stop(self.stops, ("treatment", "disclosure_to_prescriber"))
        if stopped is not None:
            return replace(stopped, since=stopped.since or self.referral.referred_at) if stopped.what == "consent" else stopped
        if self.unanswered:
            return Waiting("questionnaire", self.stops.consent_given_at, "coordinator")
        if self.unscored:
            return Waiting("instruments", self.stops.consent_given_at, "coordinator")
        return Waiting("screening", max(answered.answered_at for answered in self.answered), "therapist")

    @property
    def screener_due(self) -> bool:
        """Whether PHQ-9 item 9 was positive and no C-SSRS screener was answered since (R-08)."""
        if self.item9_positive_at is None:
            return False
        return self.risk_screened_at is None or self.risk_screened_at < self.item9_positive_at

    def require_referral(self) -> Referral:
        """Return the referral; raise Refusal while there is none."""
        if self.referral is None:
            raise Refusal("not-referred", "No patient was referred under this case.")
        return self.referral

    def answers_to(self, instrument: Instrument) -> Answered | None:
        """Return the latest answers to the instrument."""
        return next((answered for answered in self.answered if answered.instrument == instrument), None)

    @property
    def unanswered(self) -> tuple[str, ...]:
        """Questions of the contraindication questionnaire without an answer."""
        answered = {fact.code for fact in self.facts if fact.kind == "statement"}
        male = self.referral is not None and self.referral.sex == "male"
        return tuple(slug for slug in QUESTIONS if slug not in answered and not (male and slug in ONLY_IF_NOT_MALE))

    @property
    def unscored(self) -> tuple[Instrument, ...]:
        """Instruments that screening needs and that are missing, or lack an item (R-07)."""
        needed: tuple[Instrument, ...] = ("phq-9", "gad-7", "audit-c")
        if self.referral is not None and self.referral.indication == "ptsd":
            needed = (*needed, "pcl-5")
        scored = {answered.instrument for answered in self.answered if answered.total is not None}
        return tuple(instrument for instrument in needed if instrument not in scored)


def evolve(case: Case, event: EventData) -> Case:
    """Fold one event."""
    case = replace(case, stops=stop.fold(case.stops, event), alerts=alert.fold(case.alerts, event))
    match event:
        case intake.PatientReferred():
            return _referred(case, event)
        case intake.FactsStated():
            return replace(case, facts=case.facts + event.facts, simulated=case.simulated or event.simulated)
        case intake.InstrumentAnswered():
            return _answered(case, event)
        case intake.ScreeningCompleted():
            outcome = Outcome("completed", event.completed_at, event.summary.findings, event.policy_version)
            return replace(case, outcome=outcome)
        case intake.ScreenedOut():
            return replace(case, outcome=Outcome("screened_out", event.screened_at, event.reasons, event.policy_version))
        case intake.StepRefused():
            return replace(case, refused=RefusedStep(event.step, event.rule, event.detail))
        case _:
            return case


def _referred(case: Case, event: intake.PatientReferred) -> Case:
    referral = Referral(event.birth_date, event.sex, event.indication, event.route, event.referred_at)
    return replace(case, referral=referral, facts=case.facts + event.facts, simulated=case.simulated or event.simulated)


def _answered(case: Case, event: intake.InstrumentAnswered) -> Case:
    new = Answered(event.instrument, event.answers, event.total, event.band, event.flags, event.answered_at)
    known = case.answers_to(new.instrument)
    latest = known is None or new.answered_at >= known.answered_at
    others = tuple(answered for answered in case.answered if answered.instrument != new.instrument)
    answered = tuple(sorted((*others, new), key=lambda each: each.instrument)) if latest else case.answered
    case = replace(case, answered=answered, simulated=case.simulated or event.simulated)
    if ITEM9_POSITIVE in new.flags:
        return replace(case, item9_positive_at=_later(case.item9_positive_at, new.answered_at))
    if new.instrument == "c-ssrs" and new.band != UNSCORED:
        return replace(case, risk_screened_at=_later(case.risk_screened_at, new.answered_at))
    return case


def _later(known: datetime | None, at: datetime) -> datetime:
    return at if known is None else max(known, at)

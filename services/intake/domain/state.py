"""The case as intake knows it, and how each event changes it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Literal

from services.intake.domain.codes import ONLY_IF_NOT_MALE, QUESTIONS
from services.intake.domain.entries import Answered, Entries, Entry, facts_of, newest_answers, newest_scores, screener_due
from shared.events import intake
from shared.events.base import EventData
from shared.events.clinical import Fact, Finding, Indication, Instrument, Route, Sex, StatedScore
from shared.pathway import stop
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Stops


@dataclass(frozen=True, slots=True)
class Referral:
    """Who was referred, for what; no name and no identifier."""

    birth_date: date
    sex: Sex
    indication: Indication
    route: Route | None
    referred_at: datetime


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
    entries: Entries = ()
    """All that was recorded, in the order it came; none is ever dropped."""
    outcome: Outcome | None = None
    stops: Stops = field(default_factory=Stops)
    refused: RefusedStep | None = None
    simulated: bool = False

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
        """Nothing falls due at intake."""
        return {}

    @property
    def facts(self) -> tuple[Fact, ...]:
        """All facts that count, in the order in which they were said."""
        return facts_of(self.entries)

    @property
    def answered(self) -> tuple[Answered, ...]:
        """The newest answers to each instrument."""
        return newest_answers(self.entries)

    @property
    def scores(self) -> tuple[StatedScore, ...]:
        """The newest score of each instrument that is stated by its score alone."""
        return newest_scores(self.entries)

    @property
    def screener_due(self) -> bool:
        """Whether PHQ-9 item 9 was positive and no C-SSRS screener was answered since (R-08)."""
        return screener_due(self.entries)

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
    case = replace(case, stops=stop.fold(case.stops, event))
    match event:
        case intake.PatientReferred():
            return _referred(case, event)
        case intake.FactsStated():
            return _recorded(case, Entry("facts", facts=event.facts), event.simulated)
        case intake.InstrumentAnswered():
            answered = Answered(event.instrument, event.answers, event.total, event.band, event.flags, event.answered_at)
            return _recorded(case, Entry("instrument", answered=answered), event.simulated)
        case intake.ScoreStated():
            return _recorded(case, Entry("score", score=event.score), event.simulated)
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
    return _recorded(replace(case, referral=referral), Entry("referral", facts=event.facts), event.simulated)


def _recorded(case: Case, entry: Entry, simulated: bool) -> Case:
    return replace(case, entries=(*case.entries, entry), simulated=case.simulated or simulated)

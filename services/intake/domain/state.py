"""The case as intake knows it, and how each event changes it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import cached_property
from typing import Literal

from services.intake.domain import emergency_reviews, siblings
from services.intake.domain.alerts import SCREENER
from services.intake.domain.codes import ONLY_IF_NOT_MALE, QUESTIONS
from services.intake.domain.emergency_reviews import EmergencyReviews
from services.intake.domain.entries import Entries, Entry, counting, mark, read_by_screening, screener_due_since
from services.intake.domain.siblings import Held
from shared.events import intake
from shared.events.base import EventData
from shared.events.clinical import Fact, Finding, Indication, Instrument, Route, Sex, StatedScore
from shared.pathway import alert, emergency, stop
from shared.pathway.alert import Alerts
from shared.pathway.emergency import Grants
from shared.pathway.entry import Correction, placed
from shared.pathway.folding import with_parts
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Stops
from shared.pathway.waiting import Waiting, for_stop

CaseStatus = Literal[
    "unknown",
    "entered_in_error",
    "referred",
    "on_hold",
    "consent_withdrawn",
    "screened",
    "renewing",
    "screened_out",
    "deferred",
]
"""`renewing`: screened, and under way to another screening. `deferred`: screened out until a day."""


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
    rests_on: frozenset[str] = frozenset()
    """The entries that it was made of."""

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


@dataclass(frozen=True)
class Case:
    """One referral from its arrival to the end of its screening."""

    referral: Referral | None = None
    entries: Entries = ()
    """All that was recorded, in the order it came; none is ever dropped."""
    outcome: Outcome | None = None
    reopened_at: datetime | None = None
    """When a screening was last taken back."""
    stops: Stops = field(default_factory=Stops)
    held: tuple[Held, ...] = ()
    """Every hold that was placed, also those that were lifted."""
    refused: RefusedStep | None = None
    simulated: bool = False
    alerts: Alerts = field(default_factory=Alerts)
    renewing_since: datetime | None = None
    """While the patient is screened again: since when. Only what was answered from then on counts for it."""
    emergency: Grants = field(default_factory=Grants)
    emergency_reviews: EmergencyReviews = field(default_factory=EmergencyReviews)

    @property
    def status(self) -> CaseStatus:
        """A clear word for work lists; a stop comes before all else, but for a case that should not be."""
        if self.entered_in_error:
            return "entered_in_error"
        if self.stops.holds:
            return "on_hold"
        if self.stops.consent_withdrawn_at is not None and not self.stops.consented:
            return "consent_withdrawn"
        if self.referral is None:
            return "unknown"
        if self.outcome is None:
            return "referred"
        if self.outcome.kind == "completed":
            return "screened" if self.renewing_since is None else "renewing"
        return "screened_out" if self.outcome.deferred_until is None else "deferred"

    @property
    def deadlines(self) -> Mapping[str, datetime]:
        """When the next alert must be acknowledged, and what falls due of emergency accesses."""
        return {**self.alerts.deadlines, **self.emergency_reviews.deadlines}

    @property
    def calls_for(self) -> frozenset[str]:
        """What alerts are about that has not happened yet: a screener, the reviews of emergency accesses."""
        reviews = (review.grant for review in self.emergency_reviews.awaited)
        return frozenset((*reviews, *((SCREENER,) if self.screener_due else ())))

    @property
    def waits_for(self) -> Waiting | None:
        """What the referral waits for; a positive PHQ-9 item 9 comes before all else (R-08). None once it is screened."""
        if self.referral is None or self.entered_in_error or self.settled:
            return None
        if self.screener_due:
            return Waiting("suicide_risk_screen", screener_due_since(self.entries), "therapist")
        stopped = for_stop(self.stops, ("treatment", "disclosure_to_prescriber"))
        if stopped is not None:
            return replace(stopped, since=stopped.since or self.referral.referred_at) if stopped.what == "consent" else stopped
        if self.unanswered:
            return Waiting("questionnaire", self.renewing_since or self.stops.consent_given_at, "coordinator")
        if self.unscored:
            return Waiting("instruments", self.renewing_since or self.stops.consent_given_at, "coordinator")
        return Waiting("screening", max(answered.answered_at for answered in self.answered), "therapist")

    @property
    def settled(self) -> bool:
        """Whether a screening came to an end, and no other is under way or waits for its day."""
        return self.outcome is not None and self.outcome.deferred_until is None and self.renewing_since is None

    @property
    def entered_in_error(self) -> bool:
        """Whether the referral itself was an error, or of another patient: nothing goes on."""
        return any(entry.kind == "referral" and entry.corrected is not None and entry.corrected.kind != "amended" for entry in self.entries)

    @cached_property
    def counting(self) -> Entries:
        """The entries that count."""
        return counting(self.entries)

    @cached_property
    def facts(self) -> tuple[Fact, ...]:
        """All facts that count, in the order in which they were said."""
        return tuple(fact for entry in self.counting for fact in entry.facts)

    @cached_property
    def answered(self) -> tuple[intake.InstrumentAnswered, ...]:
        """The newest answers to each instrument."""
        found = (entry.answered for entry in self.counting if entry.answered is not None)
        return tuple(sorted(found, key=lambda answered: answered.instrument))

    @property
    def scores(self) -> tuple[StatedScore, ...]:
        """The newest score of each instrument that is stated by its score alone."""
        found = (entry.score for entry in self.counting if entry.score is not None)
        return tuple(sorted(found, key=lambda score: score.instrument))

    @property
    def screener_due(self) -> bool:
        """Whether PHQ-9 item 9 was positive and no C-SSRS screener was answered since (R-08)."""
        return screener_due_since(self.entries) is not None

    def require_referral(self) -> Referral:
        """Return the referral; raise Refusal while there is none."""
        if self.referral is None:
            raise Refusal("not-referred", "No patient was referred under this case.")
        return self.referral

    def require_going_on(self) -> None:
        """Raise Refusal for a case that should not be."""
        if self.entered_in_error:
            raise Refusal("entered-in-error", "The referral of this case was entered in error; a new referral begins anew.")

    def answers_to(self, instrument: Instrument) -> intake.InstrumentAnswered | None:
        """Return the latest answers to the instrument."""
        return next((answered for answered in self.answered if answered.instrument == instrument), None)

    @property
    def unanswered(self) -> tuple[str, ...]:
        """Questions of the contraindication questionnaire without an answer."""
        entries = (entry for entry in self.counting if self._counts_now(entry.recorded_at))
        answered = {fact.code for entry in entries for fact in entry.facts if fact.kind == "statement"}
        male = self.referral is not None and self.referral.sex == "male"
        return tuple(slug for slug in QUESTIONS if slug not in answered and not (male and slug in ONLY_IF_NOT_MALE))

    @property
    def unscored(self) -> tuple[Instrument, ...]:
        """Instruments that screening needs and that are missing, or lack an item (R-07)."""
        needed: tuple[Instrument, ...] = ("phq-9", "gad-7", "audit-c")
        if self.referral is not None and self.referral.indication == "ptsd":
            needed = (*needed, "pcl-5")
        scored = {each.instrument for each in self.answered if each.total is not None and self._counts_now(each.answered_at)}
        return tuple(instrument for instrument in needed if instrument not in scored)

    def _counts_now(self, at: datetime | None) -> bool:
        """Whether what was said then is new enough for the screening under way."""
        return self.renewing_since is None or (at is not None and at >= self.renewing_since)


def evolve(case: Case, event: EventData) -> Case:
    """Fold one event."""
    case = with_parts(
        case,
        stops=stop.fold(case.stops, event),
        alerts=alert.fold(case.alerts, event),
        held=siblings.fold(case.held, event),
        emergency=emergency.fold(case.emergency, event),
        emergency_reviews=emergency_reviews.fold(case.emergency_reviews, event),
    )
    match event:
        case intake.InstrumentAnswered():
            answered = Entry("instrument", event.entry, event.answered_at, event.recorded_at, event.replaces, answered=event)
            return _recorded(case, answered, simulated=event.simulated)
        case intake.FactsStated():
            facts = Entry("facts", event.entry, None, event.recorded_at, event.replaces, facts=event.facts)
            return _recorded(case, facts, simulated=event.simulated)
        case intake.ScoreStated():
            score = Entry("score", event.entry, event.score.answered_at, event.recorded_at, event.replaces, score=event.score)
            return _recorded(case, score, simulated=event.simulated)
        case intake.ConsentGiven():
            consent = Entry(
                "consent", event.entry, event.given_at, event.recorded_at, consent_version=event.version, consent_scopes=event.scopes
            )
            return _recorded(case, consent)
        case intake.PatientReferred():
            referral = Referral(event.birth_date, event.sex, event.indication, event.route, event.referred_at)
            referred = Entry("referral", event.entry, event.referred_at, event.referred_at, facts=event.facts)
            return replace(_recorded(case, referred, simulated=event.simulated), referral=referral)
        case intake.EntryCorrected():
            correction = Correction(event.kind, event.reason, event.corrected_at)
            return replace(case, entries=mark(case.entries, event.entry, correction))
        case intake.ScreeningCompleted():
            return _screened(case, "completed", event.completed_at, event.summary.findings, event.policy_version)
        case intake.ScreenedOut():
            return _screened(case, "screened_out", event.screened_at, event.reasons, event.policy_version)
        case intake.ScreeningReopened():
            return replace(case, outcome=None, reopened_at=event.reopened_at)
        case intake.ScreeningRenewed():
            return replace(case, renewing_since=event.renewed_at)
        case intake.StepRefused():
            return replace(case, refused=RefusedStep(event.step, event.rule, event.detail))
        case _:
            return case


def _recorded(case: Case, entry: Entry, *, simulated: bool = False) -> Case:
    """Written out field by field: nearly every event of a long case comes by here, and `replace` takes twice as long."""
    return Case(
        referral=case.referral,
        entries=placed(case.entries, entry, entry.replaces),
        outcome=case.outcome,
        stops=case.stops,
        held=case.held,
        refused=case.refused,
        simulated=case.simulated or simulated,
        alerts=case.alerts,
        renewing_since=case.renewing_since,
        reopened_at=case.reopened_at,
        emergency=case.emergency,
        emergency_reviews=case.emergency_reviews,
    )


def _screened(
    case: Case, kind: Literal["completed", "screened_out"], at: datetime, findings: tuple[Finding, ...], policy_version: str
) -> Case:
    outcome = Outcome(kind, at, findings, policy_version, read_by_screening(case.entries))
    return replace(case, outcome=outcome, renewing_since=None)

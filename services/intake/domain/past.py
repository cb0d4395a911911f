"""Intake's decisions in the history of a case: each scored instrument, and each screening with what it came to. Pure."""

from collections.abc import Iterator, Sequence

from services.intake.domain.screen import CompleteScreening, complete_screening
from services.intake.domain.state import Case, evolve
from shared.events import intake
from shared.events.base import EventData
from shared.events.clinical import Fact, Finding
from shared.events.codec import Recorded
from shared.pathway.context import Context
from shared.pathway.instruments import score
from shared.pathway.past import Past, Result


def past_decisions(history: Sequence[Recorded]) -> Iterator[Past]:
    """Yield the decisions of a case, oldest first."""
    case = Case()
    for recorded in history:
        event = recorded.data
        match event:
            case intake.InstrumentAnswered():
                yield _scoring(case, recorded, event)
            case intake.ScreeningCompleted() | intake.ScreenedOut():
                yield _screening(case, recorded, event, event.policy_version)
            case intake.StepRefused(step="screening"):
                yield _screening(case, recorded, event, event.policy_version)
            case _:
                pass
        case = evolve(case, event)


def _scoring(case: Case, recorded: Recorded, event: intake.InstrumentAnswered) -> Past:
    sex = case.require_referral().sex

    def decide(context: Context) -> Result:
        scored = score(event.instrument, event.answers, context.policy.values, sex)
        return _scored(scored.total, scored.band, scored.flags)

    answers = ", ".join("missing" if answer is None else str(answer) for answer in event.answers)
    return Past(
        step=f"score {event.instrument}",
        envelope=recorded.envelope,
        policy_version=event.policy_version,
        facts=(("answers", answers), ("sex", sex)),
        result=_scored(event.total, event.band, event.flags),
        decide=decide,
    )


def _scored(total: int | None, band: str, flags: Sequence[str]) -> Result:
    return (band, f"total {total}", *sorted(flags))


def _screening(case: Case, recorded: Recorded, event: EventData, policy_version: str) -> Past:
    note = event.summary.note if isinstance(event, intake.ScreeningCompleted) else None

    def decide(context: Context) -> Result:
        return _screened(complete_screening(case, CompleteScreening(note=note), context)[0])

    return Past("screening", recorded.envelope, policy_version, _facts(case), _screened(event), decide)


def _screened(event: EventData) -> Result:
    match event:
        case intake.ScreeningCompleted():
            return ("completed", *_words(event.summary.findings))
        case intake.ScreenedOut():
            return ("screened out", *_words(event.reasons))
        case intake.StepRefused():
            return ("refused", event.rule, *(f"{name} {value}" for name, value in sorted(event.facts.items())))
        case _:
            raise TypeError(type(event).__name__)


def _words(findings: Sequence[Finding]) -> list[str]:
    return sorted(
        f"{found.rule} {found.item} {found.weight}{f' until {found.until}' if found.until else ''} because {', '.join(found.because)}"
        for found in findings
    )


def _facts(case: Case) -> tuple[tuple[str, str], ...]:
    referral = case.require_referral()
    known = [("birth date", referral.birth_date.isoformat()), ("sex", referral.sex), ("indication", referral.indication)]
    scored = [(each.instrument, f"total {each.total}, {each.band}, answered {each.answered_at:%Y-%m-%d}") for each in case.answered]
    return (*known, *scored, *((f"{fact.kind} {fact.system} {fact.code}", _said(fact)) for fact in case.facts))


def _said(fact: Fact) -> str:
    if fact.value is not None:
        return f"{fact.label}: {fact.value} {fact.unit or ''} on {fact.on}".strip()
    if fact.kind == "statement":
        return "yes" if fact.active else "no"
    return f"{fact.label}, {'active' if fact.active else f'over since {fact.ended}'}"

"""Correcting an entry: it is marked, and an amended one is replaced. What the screening rested on opens it again.

A hold that a corrected entry led to stays until a clinician lifts it (R-10). What the entry had settled is open again: a
positive PHQ-9 item 9 without its screener (R-08) and, while a screening stands, a high risk without a later, lower one (R-10)
call a person as they did at first.
"""

from dataclasses import replace
from functools import reduce

from services.intake.domain.alerts import settled, with_alerts
from services.intake.domain.answer import AnswerInstrument, answer_instrument, hold_for_risk
from services.intake.domain.entries import Entry
from services.intake.domain.state import Case, evolve
from services.intake.domain.state_facts import StateFacts, state_facts
from services.intake.domain.state_score import StateScore, state_score
from shared.events import intake
from shared.events.base import CorrectionKind, EventData, Slug, Text
from shared.pathway.context import Context
from shared.pathway.entry import require_fitting, require_uncorrected
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request


class CorrectEntry(Request):
    """`amended` needs exactly one replacement, of the entry's own kind and instrument; the other kinds have none."""

    entry: Slug
    kind: CorrectionKind
    reason: Text
    facts: StateFacts | None = None
    answers: AnswerInstrument | None = None
    score: StateScore | None = None


def correct_entry(case: Case, command: CorrectEntry, context: Context) -> list[EventData]:
    """Mark the entry and record what replaces it; raise Refusal for an unknown entry, or one that was corrected before."""
    entry = _require_correctable(case, command)
    _require_fitting(entry, command)
    corrected = intake.EntryCorrected(entry=command.entry, kind=command.kind, reason=command.reason, corrected_at=context.now)
    rested = case.outcome is not None and command.entry in case.outcome.rests_on
    reopened = [intake.ScreeningReopened(reason=command.kind, reopened_at=context.now)] if rested else []
    after = reduce(evolve, (corrected, *reopened), case)
    events = [corrected, *_replacing(after, command, context), *_ending_consent(case, entry), *reopened]
    return [*events, *_open_again(case, events, context)]


def _require_correctable(case: Case, command: CorrectEntry) -> Entry:
    entry = next((each for each in case.entries if each.entry == command.entry), None)
    if entry is None:
        raise Refusal("no-such-entry", "The case has no entry of this name.")
    # Amending a referral replaces its facts; that it is of another patient can still come to light.
    facts_alone = entry.kind == "referral" and not case.entered_in_error and command.kind != "amended"
    if not facts_alone:
        require_uncorrected(entry.corrected)
    return entry


def _require_fitting(entry: Entry, command: CorrectEntry) -> None:
    """Refuse a replacement too many, too few, or of something else."""
    if entry.kind == "consent" and command.kind == "amended":
        raise Refusal("malformed", "A consent is not amended: mark it as entered in error, and record consent anew.", rule="R-20")
    given = [name for name in ("facts", "answers", "score") if getattr(command, name) is not None]
    require_fitting(command.kind, given, {"instrument": "answers", "score": "score"}.get(entry.kind, "facts"))
    before, now = entry.answered or entry.score, command.answers or command.score
    if before is not None and now is not None and before.instrument != now.instrument:
        raise Refusal("malformed", "The replacement must be of the same instrument.")


def _replacing(case: Case, command: CorrectEntry, context: Context) -> list[EventData]:
    """Return the replacement and what follows from it, as if it were recorded now."""
    if command.facts is not None:
        return state_facts(case, command.facts, context, replaces=command.entry)
    if command.answers is not None:
        return answer_instrument(case, command.answers, context, replaces=command.entry)
    if command.score is not None:
        return state_score(case, command.score, context, replaces=command.entry)
    return []


def _ending_consent(case: Case, entry: Entry) -> list[EventData]:
    """Every service stops as at a withdrawal: a consent in force that was never given is announced as over since it began (R-20)."""
    given_at = case.stops.consent_given_at
    if entry.kind != "consent" or given_at is None or given_at != entry.happened_at or not case.stops.consented:
        return []
    return [intake.ConsentWithdrawn(withdrawn_at=given_at, said_to="intake")]


def _open_again(case: Case, events: list[EventData], context: Context) -> list[EventData]:
    """Return what the corrected entry had settled and nothing settles now, unless the replacement has said so."""
    after = reduce(evolve, events, case)
    # Ids of its own: the replacement may have raised an alert, or placed a hold, of the same decision.
    context = replace(context, seed=f"{context.seed}|open-again")
    found: list[EventData] = []
    if after.screener_due and not case.screener_due and not _has(events, intake.SuicideRiskScreenRequired):
        found.append(intake.SuicideRiskScreenRequired(because="phq-9 item 9"))
    # Where no screening stands, the next one is refused at a high risk; a screening that stands would let the case go on.
    goes_on = after.outcome is not None and after.outcome.kind == "completed"
    if goes_on and _at_high_risk(after) and not _at_high_risk(case) and not _has(events, intake.SafetyHoldPlaced):
        found.append(hold_for_risk(context))
    return [*with_alerts(found, context), *settled(after.alerts, after.calls_for, context)]


def _has(events: list[EventData], kind: type[EventData]) -> bool:
    return any(isinstance(event, kind) for event in events)


def _at_high_risk(case: Case) -> bool:
    screener = case.answers_to("c-ssrs")
    return screener is not None and screener.band == "high"

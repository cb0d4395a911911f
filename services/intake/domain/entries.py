"""What was recorded of a case, entry by entry, and which of it counts. Pure.

An entry is never changed or dropped. Facts count all; of an instrument, answers or score, the newest counts by the time it was
answered, of two at one time the one recorded later. So what is recorded late falls into its place.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from shared.events.clinical import Fact, Instrument, StatedScore
from shared.pathway.instruments import ITEM9_POSITIVE, UNSCORED

EntryKind = Literal["referral", "facts", "instrument", "score", "consent"]


@dataclass(frozen=True, slots=True)
class Answered:
    """An instrument as it was answered."""

    instrument: Instrument
    answers: tuple[int | None, ...]
    total: int | None
    band: str
    flags: tuple[str, ...]
    answered_at: datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that was recorded; `kind` says which of the fields it has."""

    kind: EntryKind
    facts: tuple[Fact, ...] = ()
    answered: Answered | None = None
    score: StatedScore | None = None


Entries = tuple[Entry, ...]


def facts_of(entries: Entries) -> tuple[Fact, ...]:
    """Return all facts that count, in the order in which they were said."""
    return tuple(fact for entry in entries for fact in entry.facts)


def newest_answers(entries: Entries) -> tuple[Answered, ...]:
    """Return the answers that count, one of each instrument."""
    newest: dict[str, Answered] = {}
    for answered in _answers(entries):
        known = newest.get(answered.instrument)
        if known is None or answered.answered_at >= known.answered_at:
            newest[answered.instrument] = answered
    return tuple(newest[name] for name in sorted(newest))


def newest_scores(entries: Entries) -> tuple[StatedScore, ...]:
    """Return the stated scores that count, one of each instrument."""
    newest: dict[str, StatedScore] = {}
    for entry in entries:
        if entry.score is None:
            continue
        known = newest.get(entry.score.instrument)
        if known is None or entry.score.answered_at >= known.answered_at:
            newest[entry.score.instrument] = entry.score
    return tuple(newest[name] for name in sorted(newest))


def screener_due(entries: Entries) -> bool:
    """Whether PHQ-9 item 9 was positive and no C-SSRS screener was answered so that it could be scored since (R-08)."""
    positive = [answered.answered_at for answered in _answers(entries) if ITEM9_POSITIVE in answered.flags]
    screened = [each.answered_at for each in _answers(entries) if each.instrument == "c-ssrs" and each.band != UNSCORED]
    return bool(positive) and (not screened or max(screened) < max(positive))


def _answers(entries: Entries) -> Iterable[Answered]:
    return (entry.answered for entry in entries if entry.answered is not None)

"""What was recorded of a case, entry by entry, and which of it counts. Pure.

Entries are marked and replaced, never changed or dropped. A marked entry counts no more; the one that replaces it takes its
place in the order. Facts count all; of an instrument, answers or score, and of consent, the newest counts by the time it
happened, of two at one time the one that stands later. So what is recorded late falls into its place.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from shared.events.clinical import Fact, StatedScore
from shared.events.intake import InstrumentAnswered
from shared.pathway.entry import Correction
from shared.pathway.instruments import ITEM9_POSITIVE, UNSCORED

EntryKind = Literal["referral", "facts", "instrument", "score", "consent"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that was recorded; `kind` says which of the fields below it has."""

    kind: EntryKind
    entry: str | None = None
    """Its name; None for what was recorded before entries had names: it cannot be corrected."""
    happened_at: datetime | None = None
    """None for facts, which carry a day each."""
    recorded_at: datetime | None = None
    replaces: str | None = None
    corrected: Correction | None = None
    facts: tuple[Fact, ...] = ()
    answered: InstrumentAnswered | None = None
    """In the words of its own event."""
    score: StatedScore | None = None
    consent_version: str | None = None
    consent_scopes: tuple[str, ...] = ()

    @property
    def topic(self) -> str | None:
        """What only the newest entry is asked about; None where all count."""
        if self.answered is not None:
            return self.answered.instrument
        if self.score is not None:
            return self.score.instrument
        return "consent" if self.kind == "consent" else None


Entries = tuple[Entry, ...]
_UNKNOWN = datetime.min.replace(tzinfo=UTC)


def mark(entries: Entries, entry: str, correction: Correction) -> Entries:
    """Return the entries with one marked as corrected."""
    return tuple(replace(each, corrected=correction) if each.entry == entry else each for each in entries)


def counting(entries: Entries) -> Entries:
    """Return the entries that count, in their order."""
    standing = [(entry.topic, entry) for entry in _standing(entries)]
    newest: dict[str, Entry] = {}
    for topic, entry in standing:
        if topic is not None and _moment(entry) >= _moment(newest.get(topic, entry)):
            newest[topic] = entry
    return tuple(entry for topic, entry in standing if topic is None or newest[topic] is entry)


def screener_due_since(entries: Entries) -> datetime | None:
    """Return when PHQ-9 item 9 was positive, if no C-SSRS screener was answered so that it could be scored since (R-08)."""
    answers = [entry.answered for entry in _standing(entries) if entry.answered is not None]
    positive = [each.answered_at for each in answers if ITEM9_POSITIVE in each.flags]
    screened = [each.answered_at for each in answers if each.instrument == "c-ssrs" and each.band != UNSCORED]
    if not positive or (screened and max(screened) >= max(positive)):
        return None
    return max(positive)


def read_by_screening(entries: Entries) -> frozenset[str]:
    """Return the names of the entries that a screening now rests on: who was referred, what counts, and each PHQ-9 for item 9 (R-08)."""
    referral = (entry for entry in entries if entry.kind == "referral")
    phq9 = (entry for entry in _standing(entries) if entry.topic == "phq-9")
    return frozenset(each.entry for each in (*referral, *counting(entries), *phq9) if each.entry is not None)


def _standing(entries: Entries) -> Iterable[Entry]:
    return (entry for entry in entries if entry.corrected is None)


def _moment(entry: Entry) -> datetime:
    return entry.happened_at or _UNKNOWN

"""Sedation and dissociation: when each began and when it was over, read off the entries of a session (R-35; RM1)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.session.domain.session import Session

AWAKE: Final = 5
"""MOAA/S of a patient who responds readily to their name (SP1)."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One effect over a session, from its first sign to the entry from which on there was none; as recorded, not as felt."""

    looked_for: bool
    onset: datetime | None = None
    resolution: datetime | None = None

    @property
    def unresolved(self) -> bool:
        """Whether it was seen, and no later entry says that it was over."""
        return self.onset is not None and self.resolution is None


def sedation(session: Session) -> Effect:
    """Return the sedation: any MOAA/S below 5."""
    return _effect((vitals.taken_at, vitals.sedation < AWAKE) for vitals in session.vitals if vitals.sedation is not None)


def dissociation(session: Session) -> Effect:
    """Return the dissociation, as seen or by the CADSS total."""
    return _effect((vitals.taken_at, vitals.dissociation) for vitals in session.vitals if vitals.dissociation is not None)


def _effect(observed: Iterable[tuple[datetime, bool]]) -> Effect:
    entries = sorted(observed, key=lambda entry: entry[0])
    seen = [place for place, (_, present) in enumerate(entries) if present]
    if not seen:
        return Effect(looked_for=bool(entries))
    over = entries[seen[-1] + 1 :]
    return Effect(True, entries[seen[0]][0], over[0][0] if over else None)

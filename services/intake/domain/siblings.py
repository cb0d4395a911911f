"""What a hold or a withdrawal on one case means for the patient's other cases. Pure.

A hold is about the patient, not about one course: it stops every case, in whichever clinic, until it is lifted where it was
placed, or a clinician lifts it for one case. Only a recalled lot is about one case's medication: the recall finds the others itself.
Consent is to one course and is not withdrawn for the patient elsewhere; but who withdrew it here is asked before anything goes on
there, unless the consent there is younger than the withdrawal.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from services.intake.domain.alerts import with_carried_alert
from shared.events import base, intake
from shared.events.base import EventData, HoldReason, Slug
from shared.pathway.context import Context
from shared.pathway.folding import speaking_of

if TYPE_CHECKING:
    from services.intake.domain.state import Case

OF_ONE_CASE: Final[frozenset[HoldReason | None]] = frozenset({"recalled_lot"})
"""Reasons of holds that say nothing of the patient's other cases."""


@dataclass(frozen=True, slots=True)
class Held:
    """A hold as it was placed; `carried_from` names the case on which it was, where that was another one."""

    hold: str
    reason: HoldReason | None
    """None where it was noted before notes had reasons."""
    placed_at: datetime
    carried_from: str | None = None


_speaks = speaking_of(base.SafetyHoldPlaced, base.StopNoted)


def fold(held: tuple[Held, ...], event: EventData) -> tuple[Held, ...]:
    """Fold an event that places a hold, each hold once; any other leaves them as they are."""
    if not _speaks(type(event)):
        return held
    match event:
        case intake.SafetyHoldPlaced():
            placed = Held(event.hold, event.reason, event.placed_at, event.carried_from)
        case base.StopNoted(kind="hold_placed", hold=str(hold)):
            placed = Held(hold, event.reason, event.at)
        case _:
            return held
    return held if any(known.hold == placed.hold for known in held) else (*held, placed)


@dataclass(frozen=True, slots=True)
class Carried:
    """What a case lacks that another one of the patient has: a hold, or the lifting of one."""

    what: Slug
    held: Held
    note: str | None = None

    @property
    def cause(self) -> tuple[str, str]:
        """What makes it happen once on a case."""
        return self.what, self.held.hold


def missing(case: "Case", others: Mapping[str, "Case"]) -> Iterator[Carried]:
    """Yield what the patient's other cases, by their ids, mean for this one and it does not show yet (R-10, R-20)."""
    if case.referral is None or case.entered_in_error:
        return
    for name, other in sorted(others.items()):
        for carried in _stopping(name, other, case):
            if carried.held.hold not in case.stops.placed:
                yield carried
    for held in case.held:
        origin = None if held.carried_from is None else others.get(held.carried_from)
        if origin is not None and held.hold in case.stops.holds and held.hold in origin.stops.lifted:
            yield Carried("lift", held)


def _stopping(name: str, other: "Case", case: "Case") -> Iterator[Carried]:
    """Yield the holds that another case means for this one."""
    if other.entered_in_error:
        return
    for held in other.held:
        if held.carried_from is None and held.hold in other.stops.holds and held.reason not in OF_ONE_CASE:
            yield Carried("hold", Held(held.hold, held.reason, held.placed_at, name))
    withdrawn_at = other.stops.consent_withdrawn_at
    if withdrawn_at is not None and not other.stops.consented and _older_consent(case, withdrawn_at):
        asked = hashlib.sha256(f"{name}|{withdrawn_at.isoformat()}".encode()).hexdigest()[:16]
        note = "The patient withdrew consent in another case and is to be asked before this one goes on."
        yield Carried("hold", Held(f"hold-{asked}", "other", withdrawn_at, name), note)


def carry(case: "Case", carried: Carried, context: Context) -> list[EventData]:
    """Hold this case too, or lift what was carried to it; nothing where that was done, or a clinician lifted it here before."""
    held = carried.held
    if carried.what == "lift":
        if held.hold not in case.stops.holds:
            return []
        return [intake.SafetyHoldLifted(hold=held.hold, reason="Lifted on the case on which it was placed.", lifted_at=context.now)]
    if held.hold in case.stops.placed:
        return []
    reason = held.reason or "other"
    placed = intake.SafetyHoldPlaced(
        hold=held.hold, reason=reason, note=carried.note, placed_at=held.placed_at, carried_from=held.carried_from
    )
    return with_carried_alert(placed, context)


def _older_consent(case: "Case", withdrawn_at: datetime) -> bool:
    given_at = case.stops.consent_given_at
    return case.stops.consented and given_at is not None and given_at <= withdrawn_at

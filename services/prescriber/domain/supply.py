"""The ledger of a case's medication, in milligrams: prescribed, dispensed, administered, wasted, returned. State only.

Sums do not depend on the order in which the movements become known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from itertools import accumulate
from typing import Final, Literal

from shared.events.base import EventData, Slug
from shared.events.prescriber import (
    DiversionSuspected,
    EligibilityApproved,
    MedicationAdministered,
    MedicationDispensed,
    MedicationReturned,
    MedicationWasted,
    Mismatch,
    PrescriptionIssued,
)

Movement = Literal["prescribed", "dispensed", "administered", "wasted", "returned"]
USED: Final = "used-above-dispensed"
NOTHING: Final = Decimal(0)
MOVED: Final[tuple[Movement, ...]] = ("dispensed", "administered", "wasted", "returned")
"""What brings medication to hand, and then what takes it away."""


@dataclass(frozen=True, slots=True)
class Line:
    """One movement. `on` is a day at the clinic, `at` a moment: a fill is dated, a dose is timed."""

    kind: Movement
    milligrams: Decimal
    on: date | None = None
    at: datetime | None = None
    prescription: Slug | None = None
    fill_number: int | None = None
    doses: int | None = None
    lot: Slug | None = None
    session: int | None = None
    who: str | None = None
    """Who issued it, dispensed it, saw it destroyed or took it back."""
    deviations: tuple[Slug, ...] = ()


@dataclass(frozen=True, slots=True)
class Balance:
    """Sums in milligrams."""

    prescribed: Decimal = NOTHING
    dispensed: Decimal = NOTHING
    administered: Decimal = NOTHING
    wasted: Decimal = NOTHING
    returned: Decimal = NOTHING

    @property
    def used(self) -> Decimal:
        """What left the supply of the patient."""
        return self.administered + self.wasted + self.returned

    @property
    def on_hand(self) -> Decimal:
        """What was dispensed and is still there; negative where more was used than dispensed."""
        return self.dispensed - self.used

    def with_line(self, line: Line) -> "Balance":
        """Return the balance after a movement."""
        return replace(self, **{line.kind: getattr(self, line.kind) + line.milligrams})

    def plus(self, other: "Balance") -> "Balance":
        """Return the sums of both."""
        return Balance(
            prescribed=self.prescribed + other.prescribed,
            dispensed=self.dispensed + other.dispensed,
            administered=self.administered + other.administered,
            wasted=self.wasted + other.wasted,
            returned=self.returned + other.returned,
        )


@dataclass(frozen=True, slots=True)
class Supply:
    """What is known of the medication of one case."""

    approved_at: datetime | None = None
    """When the latest approval was decided."""
    approved_request: int = 0
    """The request that it answered."""
    prescriptions: tuple[PrescriptionIssued, ...] = ()
    lines: tuple[Line, ...] = ()
    """Every movement, in the order in which it became known."""
    alarms: tuple[DiversionSuspected, ...] = ()
    said: Mapping[Mismatch, Decimal] = field(default_factory=dict)
    """How much of each open mismatch was said already, in milligrams."""
    reconcile_by: datetime | None = None
    """Until when an administration waits for the record of its dispensing."""

    @property
    def deadlines(self) -> Mapping[str, datetime]:
        """When more used than dispensed is no longer explained by a record that is late."""
        return {} if self.reconcile_by is None else {"supply_reconciled": self.reconcile_by}

    @property
    def balance(self) -> Balance:
        """The sums of the case."""
        return self.balances[-1] if self.lines else Balance()

    @property
    def balances(self) -> Sequence[Balance]:
        """The running balance: the sums after each line."""
        return list(accumulate(self.lines, Balance.with_line, initial=Balance()))[1:]

    @property
    def mismatches(self) -> Mapping[Mismatch, Decimal]:
        """The milligrams that nothing accounts for, by what is wrong; empty where the balance holds.

        What was used never exceeds what was dispensed, and what was dispensed never what its own prescription allows.
        """
        allowed = {issued.prescription: issued.milligrams for issued in self.prescriptions}
        dispensed = {line.prescription: self.dispensed(line.prescription) for line in self.lines if line.kind == "dispensed"}
        found: dict[Mismatch, Decimal] = {
            "dispensed-without-prescription": sum((mg for of, mg in dispensed.items() if of not in allowed), NOTHING),
            "dispensed-above-prescribed": sum((max(NOTHING, mg - allowed[of]) for of, mg in dispensed.items() if of in allowed), NOTHING),
            USED: max(NOTHING, -self.balance.on_hand),
        }
        return {why: milligrams for why, milligrams in found.items() if milligrams > 0}

    @property
    def unsaid(self) -> Mapping[Mismatch, Decimal]:
        """The mismatches that are new, or have grown since they were said."""
        return {why: milligrams for why, milligrams in self.mismatches.items() if milligrams > self.said.get(why, NOTHING)}

    @property
    def lots(self) -> tuple[Slug, ...]:
        """The lots of which some may be on hand."""
        return tuple(lot for lot in sorted({line.lot for line in self.lines if line.lot is not None}) if self.on_hand_of(lot) > 0)

    def on_hand_of(self, lot: Slug) -> Decimal:
        """Return the most that can be on hand of a lot, in milligrams: what names no lot may have come from any other."""
        of_lot = {kind: sum((line.milligrams for line in self.lines if line.lot == lot and line.kind == kind), NOTHING) for kind in MOVED}
        left = of_lot["dispensed"] - sum((of_lot[kind] for kind in MOVED[1:]), NOTHING)
        return max(NOTHING, min(left, self.balance.on_hand))

    def find(self, prescription: Slug) -> PrescriptionIssued | None:
        """Return the prescription of this id."""
        return next((issued for issued in self.prescriptions if issued.prescription == prescription), None)

    def resting_on(self, request: int) -> tuple[PrescriptionIssued, ...]:
        """Return the prescriptions that rest on the approval of this request."""
        return tuple(issued for issued in self.prescriptions if issued.request == request)

    def dispensed(self, prescription: Slug | None) -> Decimal:
        """Return the milligrams dispensed on a prescription."""
        fills = (line for line in self.lines if line.kind == "dispensed" and line.prescription == prescription)
        return sum((line.milligrams for line in fills), NOTHING)


def fold(supply: Supply, event: EventData) -> Supply:
    """Fold an event that moves medication or says that a balance does not hold; any other leaves the supply as it is."""
    match event:
        case EligibilityApproved():
            return replace(supply, approved_at=event.decided_at, approved_request=event.request)
        case DiversionSuspected():
            said = {**supply.said, event.why: event.unaccounted}
            return _settled(replace(supply, alarms=(*supply.alarms, event), said=said), None)
        case PrescriptionIssued():
            line = Line("prescribed", event.milligrams, on=event.issued_on, prescription=event.prescription, who=event.issued_by)
            return _moved(replace(supply, prescriptions=(*supply.prescriptions, event)), line)
        case MedicationDispensed():
            line = Line(
                "dispensed",
                event.milligrams,
                on=event.dispensed_on,
                prescription=event.prescription,
                fill_number=event.fill_number,
                doses=event.doses,
                lot=event.lot,
                who=event.dispenser,
                deviations=event.deviations,
            )
            return _moved(supply, line)
        case MedicationAdministered():
            line = Line(
                "administered", event.milligrams, at=event.given_at, session=event.session, lot=event.lot, deviations=event.deviations
            )
            return _moved(supply, line, event.reconcile_by)
        case MedicationWasted():
            line = Line("wasted", event.milligrams, at=event.wasted_at, who=event.witnessed_by, deviations=event.deviations)
            return _moved(supply, line)
        case MedicationReturned():
            return _moved(supply, Line("returned", event.milligrams, at=event.returned_at, who=event.to, deviations=event.deviations))
        case _:
            return supply


def _moved(supply: Supply, line: Line, reconcile_by: datetime | None = None) -> Supply:
    return _settled(replace(supply, lines=(*supply.lines, line)), reconcile_by)


def _settled(supply: Supply, reconcile_by: datetime | None) -> Supply:
    """Forget what was said of a mismatch as far as it has closed, and wait only while there is something left to say."""
    still_open = supply.mismatches
    said = {why: min(milligrams, still_open[why]) for why, milligrams in supply.said.items() if why in still_open}
    supply = replace(supply, said=said)
    return replace(supply, reconcile_by=(supply.reconcile_by or reconcile_by) if USED in supply.unsaid else None)

"""The ledger of a case's medication, in milligrams: prescribed, dispensed, administered, wasted, returned. State only.

Entries are marked and replaced, never changed or dropped; whatever is computed here is computed from those that count. Sums do
not depend on the order in which the movements become known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from itertools import accumulate
from typing import Final, Literal

from shared.events.base import EventData, Slug
from shared.events.clinical import TreatmentPlan
from shared.events.prescriber import EligibilityApproved
from shared.events.supply import (
    DiversionSuspected,
    EntryCorrected,
    MedicationAdministered,
    MedicationDispensed,
    MedicationReturned,
    MedicationWasted,
    Mismatch,
    PrescriptionIssued,
)
from shared.pathway.entry import placed

Movement = Literal["prescribed", "dispensed", "administered", "wasted", "returned"]
USED: Final = "used-above-dispensed"
NOTHING: Final = Decimal(0)
MOVED: Final[tuple[Movement, ...]] = ("dispensed", "administered", "wasted", "returned")
"""What brings medication to hand, and then what takes it away."""


@dataclass(frozen=True, slots=True)
class Approval:
    """An approval that prescriptions rest on."""

    request: int
    """The request that it answered."""
    decided_at: datetime
    plan: TreatmentPlan


@dataclass(frozen=True, slots=True)
class Line:
    """One movement. `on` is a day at the clinic, `at` a moment: a fill is dated, a dose is timed."""

    kind: Movement
    milligrams: Decimal
    entry: Slug | None = None
    """Its name in corrections, of a prescription its own id; None for what was recorded before entries had names."""
    replaces: Slug | None = None
    """The entry that it replaces, which was marked as amended."""
    corrected: EntryCorrected | None = None
    """Why it counts no more, and who said so."""
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
    issued: PrescriptionIssued | None = None
    """Of a prescription, what was signed."""


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
        """Return the balance after a movement; a marked one moved nothing."""
        if line.corrected is not None:
            return self
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

    approvals: tuple[Approval, ...] = ()
    """Every approval, oldest first."""
    lines: tuple[Line, ...] = ()
    """Every movement, in the order in which it became known; a replacement stands after what it replaces."""
    alarms: tuple[DiversionSuspected, ...] = ()
    said: Mapping[Mismatch, Decimal] = field(default_factory=dict)
    """How much of each open mismatch was said already, in milligrams."""
    reconcile_by: datetime | None = None
    """Until when an administration waits for the record of its dispensing."""

    @property
    def deadlines(self) -> Mapping[str, datetime]:
        """When more used than dispensed is no longer explained by a record that is late."""
        return {} if self.reconcile_by is None or USED not in self.unsaid else {"supply_reconciled": self.reconcile_by}

    @property
    def standing(self) -> tuple[Line, ...]:
        """The movements that count."""
        return tuple(line for line in self.lines if line.corrected is None)

    @property
    def prescriptions(self) -> tuple[PrescriptionIssued, ...]:
        """The prescriptions that count."""
        return tuple(line.issued for line in self.standing if line.issued is not None)

    @property
    def fills(self) -> tuple[Line, ...]:
        """The fills that count."""
        return tuple(line for line in self.standing if line.kind == "dispensed")

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
        without = (fill.milligrams for fill in self.fills if self.find(fill.prescription) is None)
        above = (max(NOTHING, self.dispensed(issued.prescription) - issued.milligrams) for issued in self.prescriptions)
        found: dict[Mismatch, Decimal] = {
            "dispensed-without-prescription": sum(without, NOTHING),
            "dispensed-above-prescribed": sum(above, NOTHING),
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
        return tuple(lot for lot in sorted({line.lot for line in self.standing if line.lot is not None}) if self.on_hand_of(lot) > 0)

    def on_hand_of(self, lot: Slug) -> Decimal:
        """Return the most that can be on hand of a lot, in milligrams: what names no lot may have come from any other."""
        of_lot = {
            kind: sum((line.milligrams for line in self.standing if line.lot == lot and line.kind == kind), NOTHING) for kind in MOVED
        }
        left = of_lot["dispensed"] - sum((of_lot[kind] for kind in MOVED[1:]), NOTHING)
        return max(NOTHING, min(left, self.balance.on_hand))

    @property
    def open_alarms(self) -> tuple[DiversionSuspected, ...]:
        """The alarms whose mismatch is still there, the last one of each."""
        return tuple({alarm.why: alarm for alarm in self.alarms if alarm.why in self.said}.values())

    def approval(self, request: int) -> Approval | None:
        """Return the approval of this request."""
        return next((approval for approval in self.approvals if approval.request == request), None)

    def find(self, prescription: Slug | None) -> PrescriptionIssued | None:
        """Return the prescription that this id stands for: it, or what an amended one was replaced by; None if neither counts."""
        found: Line | None = None
        for line in self.lines:
            if line.kind == "prescribed" and prescription is not None and prescription in {line.entry, line.replaces}:
                found, prescription = line, line.entry
        return None if found is None or found.corrected is not None else found.issued

    def resting_on(self, request: int) -> tuple[PrescriptionIssued, ...]:
        """Return the prescriptions that rest on the approval of this request."""
        return tuple(issued for issued in self.prescriptions if issued.request == request)

    def fills_of(self, prescription: Slug) -> tuple[Line, ...]:
        """Return the fills of a prescription that counts, under its own id and under those that it replaces."""
        rests = ((fill, self.find(fill.prescription)) for fill in self.fills)
        return tuple(fill for fill, issued in rests if issued is not None and issued.prescription == prescription)

    def dispensed(self, prescription: Slug) -> Decimal:
        """Return the milligrams dispensed on a prescription that counts."""
        return sum((fill.milligrams for fill in self.fills_of(prescription)), NOTHING)


def fold(supply: Supply, event: EventData) -> Supply:
    """Fold an event that moves or corrects medication or says that a balance does not hold; any other leaves the supply as it is."""
    match event:
        case EligibilityApproved():
            return replace(supply, approvals=(*supply.approvals, Approval(event.request, event.decided_at, event.plan)))
        case DiversionSuspected():
            said = {**supply.said, event.why: event.unaccounted}
            return _settled(replace(supply, alarms=(*supply.alarms, event), said=said), None)
        case EntryCorrected():
            return _marked(supply, event)
        case MedicationAdministered():
            return _moved(supply, _line(event), event.reconcile_by)
        case PrescriptionIssued() | MedicationDispensed() | MedicationWasted() | MedicationReturned():
            return _moved(supply, _line(event), None)
        case _:
            return supply


Moved = PrescriptionIssued | MedicationDispensed | MedicationAdministered | MedicationWasted | MedicationReturned


def _line(event: Moved) -> Line:
    match event:
        case PrescriptionIssued():
            of = event.prescription
            signed = Line("prescribed", event.milligrams, of, event.replaces, on=event.issued_on, who=event.issued_by)
            return replace(signed, prescription=of, issued=event)
        case MedicationDispensed():
            fill = Line("dispensed", event.milligrams, event.entry, event.replaces, on=event.dispensed_on, who=event.dispenser)
            fill = replace(fill, prescription=event.prescription, fill_number=event.fill_number, doses=event.doses, lot=event.lot)
            return replace(fill, deviations=event.deviations)
        case MedicationAdministered():
            dose = Line("administered", event.milligrams, event.entry, event.replaces, at=event.given_at, session=event.session)
            return replace(dose, lot=event.lot, deviations=event.deviations)
        case MedicationWasted():
            wasted = Line("wasted", event.milligrams, event.entry, event.replaces, at=event.wasted_at, who=event.witnessed_by)
            return replace(wasted, deviations=event.deviations)
        case MedicationReturned():
            returned = Line("returned", event.milligrams, event.entry, event.replaces, at=event.returned_at, who=event.to)
            return replace(returned, deviations=event.deviations)


def _moved(supply: Supply, line: Line, reconcile_by: datetime | None) -> Supply:
    return _settled(replace(supply, lines=placed(supply.lines, line, line.replaces)), reconcile_by)


def _marked(supply: Supply, event: EntryCorrected) -> Supply:
    """Mark a line. Between an amended one and its replacement no mismatch closes: what was said of it is not said again."""
    lines = tuple(replace(line, corrected=event) if line.entry == event.entry else line for line in supply.lines)
    marked = replace(supply, lines=lines)
    return marked if event.kind == "amended" else _settled(marked, None)


def _settled(supply: Supply, reconcile_by: datetime | None) -> Supply:
    """Forget what was said of a mismatch as far as it has closed, and wait only while there is something left to say."""
    still_open = supply.mismatches
    said = {why: min(milligrams, still_open[why]) for why, milligrams in supply.said.items() if why in still_open}
    supply = replace(supply, said=said)
    return replace(supply, reconcile_by=(supply.reconcile_by or reconcile_by) if USED in supply.unsaid else None)

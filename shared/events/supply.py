"""Events of a case's medication, in milligrams, which the prescriber service publishes: prescribed, moved, corrected, missing."""

from datetime import date
from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, Field

from shared.events import base
from shared.events.base import EventData, Slug, Text
from shared.events.clinical import Milligrams, MilligramsInAll, Route

Mismatch = Literal["dispensed-without-prescription", "dispensed-above-prescribed", "used-above-dispensed"]
LedgerEntry = Literal["prescription", "dispensing", "administration", "wastage", "return"]


class PrescriptionIssued(EventData):
    """A prescriber signed a prescription on an approval; recorded here, not transmitted (R-15)."""

    TYPE: ClassVar[str] = "kapcare.prescriber.PrescriptionIssued.v1"
    HAPPENED: ClassVar[str | None] = "issued_on"
    prescription: Slug
    request: int
    """The request whose approval it rests on."""
    route: Route
    milligrams_per_dose: Milligrams
    doses: Annotated[int, Field(ge=1)]
    """In one fill."""
    refills: Annotated[int, Field(ge=0)]
    issued_on: date
    """The day at the clinic."""
    issued_by: str
    policy_version: str
    replaces: Slug | None = None
    """The prescription that it replaces, which was marked as amended."""

    @property
    def fills(self) -> int:
        """How often it may be filled: the original and its refills."""
        return 1 + self.refills

    @property
    def milligrams_per_fill(self) -> Decimal:
        """What one fill holds."""
        return self.milligrams_per_dose * self.doses

    @property
    def milligrams(self) -> Decimal:
        """What it allows in all."""
        return self.milligrams_per_fill * self.fills


class MedicationDispensed(EventData):
    """A fill was dispensed. A fact: recorded whatever allowed it; `deviations` names what nothing covered (R-15, R-17)."""

    TYPE: ClassVar[str] = "kapcare.prescriber.MedicationDispensed.v1"
    HAPPENED: ClassVar[str | None] = "dispensed_on"
    prescription: Slug
    fill_number: Annotated[int, Field(ge=1)]
    """1 for the original, 2 for the first refill."""
    milligrams: Milligrams
    doses: Annotated[int, Field(ge=1)]
    lot: Slug
    dispensed_on: date
    """The day at the clinic."""
    dispenser: Text
    deviations: tuple[Slug, ...] = ()
    entry: Slug | None = None
    """Its name in corrections; None for what was recorded before entries had names."""
    replaces: Slug | None = None
    """The entry that it replaces, which was marked as amended."""


class MedicationAdministered(EventData):
    """A dose that was given in a session left the supply of the case."""

    TYPE: ClassVar[str] = "kapcare.prescriber.MedicationAdministered.v1"
    HAPPENED: ClassVar[str | None] = "given_at"
    session: int
    milligrams: Milligrams
    given_at: AwareDatetime
    lot: Slug | None = None
    deviations: tuple[Slug, ...] = ()
    reconcile_by: AwareDatetime | None = None
    """Where more is used than dispensed: until when the record of the dispensing is waited for."""
    entry: Slug | None = None
    """Its name in corrections; None for what was recorded before entries had names."""
    replaces: Slug | None = None
    """The entry that it replaces, which was marked as amended."""


class MedicationWasted(EventData):
    """Medication was destroyed before a witness."""

    TYPE: ClassVar[str] = "kapcare.prescriber.MedicationWasted.v1"
    HAPPENED: ClassVar[str | None] = "wasted_at"
    milligrams: Milligrams
    witnessed_by: Text
    reason: Text
    wasted_at: AwareDatetime
    deviations: tuple[Slug, ...] = ()
    entry: Slug | None = None
    """Its name in corrections; None for what was recorded before entries had names."""
    replaces: Slug | None = None
    """The entry that it replaces, which was marked as amended."""


class MedicationReturned(EventData):
    """Medication left the case: back to a pharmacy, a distributor, a take-back."""

    TYPE: ClassVar[str] = "kapcare.prescriber.MedicationReturned.v1"
    HAPPENED: ClassVar[str | None] = "returned_at"
    milligrams: Milligrams
    to: Text
    returned_at: AwareDatetime
    deviations: tuple[Slug, ...] = ()
    entry: Slug | None = None
    """Its name in corrections; None for what was recorded before entries had names."""
    replaces: Slug | None = None
    """The entry that it replaces, which was marked as amended."""


class EntryCorrected(base.EntryCorrected):
    """A movement of medication is marked: it counts no more in any sum. A prescription is named by its own id."""

    TYPE: ClassVar[str] = "kapcare.prescriber.EntryCorrected.v1"
    of: LedgerEntry
    corrected_by: str | None = None
    """Opaque id of who marked it; of a dose, in the session room."""


class DiversionSuspected(EventData):
    """More moved than there was: the sums of the case when it was noticed, and the milligrams that nothing accounts for."""

    TYPE: ClassVar[str] = "kapcare.prescriber.DiversionSuspected.v1"
    why: Mismatch
    unaccounted: MilligramsInAll
    prescribed: MilligramsInAll
    dispensed: MilligramsInAll
    administered: MilligramsInAll
    wasted: MilligramsInAll
    returned: MilligramsInAll
    noticed_at: AwareDatetime


EVENTS: tuple[type[EventData], ...] = (
    PrescriptionIssued,
    MedicationDispensed,
    MedicationAdministered,
    MedicationWasted,
    MedicationReturned,
    EntryCorrected,
    DiversionSuspected,
)

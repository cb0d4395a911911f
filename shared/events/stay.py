"""Events of the session service about what is watched over from a dose on: vitals, chaperone, emergencies, REMS form, clocks."""

from datetime import date
from typing import ClassVar, Literal

from pydantic import AwareDatetime

from shared.events.base import EventData, Slug, Text
from shared.events.clinical import Value

EntryKind = Literal[
    "preparation",
    "checks",
    "dose",
    "vitals",
    "adverse_event",
    "discharge",
    "chaperone_check",
    "emergency_response",
    "rems_form",
]
"""What can be corrected in the session room."""
ConcomitantMedication = Literal["benzodiazepine", "hypnotic", "stimulant", "maoi", "opioid"]
"""What the REMS form asks about (RM1; opioids by RM3), in the words of the checks before a dose."""


class Entered(EventData):
    """What every entry of the room says of itself, beside what happened and when."""

    entry: Slug | None = None
    """Its name in corrections; None for what was recorded before entries had names."""
    replaces: Slug | None = None
    """The entry that it replaces, which was marked as amended."""
    recorded_at: AwareDatetime | None = None
    """None for what an earlier release recorded."""
    policy_version: str | None = None
    """Under which policy it was recorded, whose numbers made of it what is in the event; None for what an earlier release recorded."""
    rest_expected_by: AwareDatetime | None = None
    """Of an entry made late, after a downtime say: until when what followed may still be entered before its absence is said."""

    @property
    def late(self) -> bool:
        """Whether it was recorded later after it happened than the policy allows for."""
        return self.rest_expected_by is not None


class SecondPressure(Value):
    """When the blood pressure after a dose is due, the window it counts in, and when its absence escalates (R-21)."""

    due_at: AwareDatetime
    earliest: AwareDatetime
    latest: AwareDatetime
    escalate_at: AwareDatetime


class NextCheck(Value):
    """When the chaperone of a remote session must have seen the patient again, and when a longer gap escalates (R-25)."""

    due_at: AwareDatetime
    escalate_at: AwareDatetime


class RemsClock(Value):
    """Days at the clinic by which the REMS form of an esketamine session is due, and from when on that is said (R-26)."""

    dosed_on: date
    due_on: date
    warn_at: AwareDatetime
    overdue_at: AwareDatetime


class VitalOverdue(EventData):
    """The blood pressure due about 40 minutes after the dose was not recorded in its window (R-21)."""

    TYPE: ClassVar[str] = "kapcare.session.VitalOverdue.v1"
    session: int
    due_at: AwareDatetime
    escalated: bool


class Escalated(EventData):
    """Vitals or symptoms call a clinician; `emergency` means at once (R-22, R-35)."""

    TYPE: ClassVar[str] = "kapcare.session.Escalated.v1"
    HAPPENED: ClassVar[str | None] = "at"
    session: int | None = None
    emergency: bool
    rule: str
    because: tuple[Slug, ...]
    at: AwareDatetime
    late: bool = False
    """Whether it was recorded so long after it happened that calling at once helps nobody."""
    watch: Slug | None = None
    """What stands overdue, where that is why."""


class RepeatPressureOverdue(EventData):
    """A pressure above the patient's limit was not taken again in time (R-22)."""

    TYPE: ClassVar[str] = "kapcare.session.RepeatPressureOverdue.v1"
    session: int
    due_at: AwareDatetime


class ChaperoneChecked(Entered):
    """The chaperone of a remote session looked at the patient (R-25)."""

    TYPE: ClassVar[str] = "kapcare.session.ChaperoneChecked.v1"
    HAPPENED: ClassVar[str | None] = "checked_at"
    session: int
    chaperone: Slug
    """Opaque id."""
    visible: bool
    responsive: bool
    checked_at: AwareDatetime
    next_check: NextCheck | None = None


class ChaperoneCheckOverdue(EventData):
    """The chaperone did not see the patient in time (R-25)."""

    TYPE: ClassVar[str] = "kapcare.session.ChaperoneCheckOverdue.v1"
    session: int
    due_at: AwareDatetime
    escalated: bool


class EmergencyResponded(Entered):
    """What was done about an emergency, and how it stands; `resolved` closes the emergencies of the session up to then."""

    TYPE: ClassVar[str] = "kapcare.session.EmergencyResponded.v1"
    HAPPENED: ClassVar[str | None] = "responded_at"
    session: int | None = None
    emergency_services_called: bool
    transported: bool
    resolved: bool
    outcome: Text
    responded_at: AwareDatetime
    responded_by: str


class RemsFormDue(EventData):
    """The REMS form of an esketamine session is due in a few days and was not submitted (R-26)."""

    TYPE: ClassVar[str] = "kapcare.session.RemsFormDue.v1"
    session: int
    due_on: date


class RemsFormOverdue(EventData):
    """The REMS form of an esketamine session was not submitted by its day (R-26)."""

    TYPE: ClassVar[str] = "kapcare.session.RemsFormOverdue.v1"
    session: int
    due_on: date


class RemsFormSubmitted(Entered):
    """The REMS form of a session was submitted; what it said beyond the record of the session is kept with it."""

    TYPE: ClassVar[str] = "kapcare.session.RemsFormSubmitted.v1"
    HAPPENED: ClassVar[str | None] = "submitted_at"
    session: int
    reference: Text
    """The receipt that the programme gave."""
    lots: tuple[Slug, ...] = ()
    concomitant: tuple[ConcomitantMedication, ...] | None = None
    """What of these the patient takes; empty for none, None where the form did not say."""
    missing: tuple[Slug, ...] = ()
    """What neither the record nor the form has."""
    submitted_at: AwareDatetime
    submitted_by: str


class ReclearanceDue(EventData):
    """So long after the last dose a prescriber must clear the patient anew before the doses that are left (R-27)."""

    TYPE: ClassVar[str] = "kapcare.session.ReclearanceDue.v1"
    since: AwareDatetime
    """The last dose, or the approval after it."""
    due_at: AwareDatetime


class ApprovalExpiring(EventData):
    """The approval ends soon, with doses left under it (R-15)."""

    TYPE: ClassVar[str] = "kapcare.session.ApprovalExpiring.v1"
    request: int
    expires_at: AwareDatetime


LateStop = Literal["hold_placed", "consent_withdrawn", "approval_declined", "approval_revoked", "approval_expired"]


class DoseFoundUncovered(EventData):
    """A stop was in force when this dose was given, and the session service heard of it only afterwards: a deviation."""

    TYPE: ClassVar[str] = "kapcare.session.DoseFoundUncovered.v1"
    session: int
    given_at: AwareDatetime
    because: LateStop
    hold: str | None = None
    stopped_at: AwareDatetime
    """When the hold was placed, consent withdrawn, or the approval ended, as whoever did it says."""
    heard_at: AwareDatetime


EVENTS: tuple[type[EventData], ...] = (
    DoseFoundUncovered,
    RepeatPressureOverdue,
    ChaperoneChecked,
    ChaperoneCheckOverdue,
    EmergencyResponded,
    RemsFormDue,
    RemsFormOverdue,
    RemsFormSubmitted,
    ReclearanceDue,
    ApprovalExpiring,
)

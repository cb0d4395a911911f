"""What every event is made of: a clear envelope without clinical values, and sealed data."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from operator import attrgetter
from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints


class EventData(BaseModel):
    """The sealed part of an event. `TYPE` is the literal, versioned name on the wire and never changes.

    `HAPPENED` names the field that says when what it tells of happened, where that is said by a person, a device or another service;
    None: it happened when it was recorded. Readers ignore fields they do not know, so a new optional field needs no new version.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, hide_input_in_errors=True)

    TYPE: ClassVar[str]
    HAPPENED: ClassVar[str | None] = None

    def happened(self, recorded: datetime, noon_of: Callable[[date], datetime]) -> datetime | None:
        """Return when it happened, in UTC and to the millisecond: of a day without an hour its noon, which `noon_of` the clinic is.

        None where nothing says so, where it happened as it was recorded, and for a day that has not come to its noon.
        """
        said: datetime | date | None = None if self.HAPPENED is None else attrgetter(self.HAPPENED)(self)
        if said is None:
            return None
        if not isinstance(said, datetime):
            noon = noon_of(said)
            return noon if noon < recorded else None
        moment = said.astimezone(UTC).replace(microsecond=said.microsecond // 1000 * 1000)
        return None if moment == recorded.replace(microsecond=recorded.microsecond // 1000 * 1000) else moment

    @property
    def recipient(self) -> str | None:
        """Who is told of the case by this event (R-31): an organisation, or `in-house` for the network's own prescribers; mostly none."""
        return None


@dataclass(frozen=True, slots=True)
class Access:
    """What an access event says in the clear: what was asked for, and what came of it (IHE BALP's minimum; no result is ever here).

    `route` is the method and the path's form, `status` the HTTP status, `purpose` a code of HL7 v3 PurposeOfUse, `about` the streams
    that were shown or refused, `address` where the request came from, `detail` the query or what an operation was done to, `times`
    how many requests this stands for.
    """

    route: str
    status: int
    purpose: str
    about: tuple[str, ...] = ()
    address: str | None = None
    detail: str | None = None
    times: int = 1


@dataclass(frozen=True, slots=True)
class Envelope:
    """The clear attributes of an event (CloudEvents 1.0); carries no clinical value.

    `sequence` is contiguous from 1 for each (source, subject); `patient` is the network's pseudonym; `causation` is the id of the event
    reacted to, `correlation` the id that a whole chain of events shares. `roles` are those of the access token that the actor had, none
    for services and ticks; `policy_version` names the policy that the decision was made under. Events of earlier releases have neither.
    `recipient` is who learns of the case: an organisation, or `in-house`. `happened` is when it happened, where that is another time
    than `time`, when it was recorded. Access events have `access`, and of several cases that were
    shown together several clinics and patients, with commas between.
    """

    id: str
    source: str
    type: str
    subject: str
    time: datetime
    sequence: int
    clinic: str
    patient: str
    actor: str
    correlation: str
    causation: str | None = None
    traceparent: str | None = None
    roles: frozenset[str] = frozenset()
    policy_version: str | None = None
    recipient: str | None = None
    happened: datetime | None = None
    access: Access | None = None


Text = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
"""A person's own words."""
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
"""A stable identifier such as a contraindication or a partner."""


class StepRefused(EventData):
    """A clinical rule refused a step: the rule, the facts it was decided on and the policy in force."""

    step: Slug
    rule: str
    detail: Text
    facts: dict[str, str] = {}
    policy_version: str


class ConsentWithdrawn(EventData):
    """The patient withdrew consent, wherever they said so; every step that doses, approves, starts or discloses stops."""

    HAPPENED: ClassVar[str | None] = "withdrawn_at"
    withdrawn_at: AwareDatetime
    said_to: Slug


HoldReason = Literal["suicide_risk", "adverse_event", "clinical_concern", "recalled_lot", "other"]


class SafetyHoldPlaced(EventData):
    """A safety hold stops every step that doses, approves, starts or discloses, in all services, until lifted."""

    hold: str
    reason: HoldReason
    note: Text | None = None
    placed_at: AwareDatetime


class SafetyHoldLifted(EventData):
    """A clinician closed a hold with a reason."""

    hold: str
    reason: Text
    lifted_at: AwareDatetime


class StopNoted(EventData):
    """This service took note of what another service said about consent or a hold."""

    HAPPENED: ClassVar[str | None] = "at"
    kind: Literal["consent_given", "consent_withdrawn", "hold_placed", "hold_lifted"]
    at: AwareDatetime
    noted_from: str
    hold: str | None = None
    consent_version: str | None = None
    scopes: tuple[str, ...] = ()
    reason: HoldReason | None = None
    """Of a hold that was placed; None where it was noted before notes had reasons."""

    def happened(self, recorded: datetime, noon_of: Callable[[date], datetime]) -> datetime | None:
        """Return when consent was given or withdrawn, and None of a hold: one carried from another case was not on this one then."""
        return None if self.hold is not None else super().happened(recorded, noon_of)


class LotRecall(EventData):
    """A lot of medication was recalled: what of it is on hand is held, and nothing of it is given."""

    HAPPENED: ClassVar[str | None] = "recalled_at"
    lot: Slug
    recall: Slug
    reason: Text
    source: Text
    """Who recalled it: a manufacturer, an authority, a pharmacy."""
    recalled_at: AwareDatetime


class LotRecallEnd(EventData):
    """A recall was withdrawn; the holds it placed stay until a clinician lifts them."""

    HAPPENED: ClassVar[str | None] = "withdrawn_at"
    lot: Slug
    recall: Slug
    reason: Text
    withdrawn_at: AwareDatetime


class PolicyText(EventData):
    """A policy document as it was adopted: its JSON text, the text's SHA-256, the medical director's name, and when."""

    HAPPENED: ClassVar[str | None] = "adopted_at"
    document: str
    sha256: str
    adopted_by: Text
    adopted_at: AwareDatetime


class PolicyNoted(PolicyText):
    """This service took note of an adopted policy document."""


AlertRole = Literal["therapist", "coordinator", "prescriber", "medical_monitor", "admin"]
"""Whose work list an alert stands on."""


class AlertRaised(EventData):
    """Something calls a person: it stands on the work list of a role until acknowledged, and goes on to another role after `due_at`."""

    alert: Slug
    why: Slug
    role: AlertRole
    raised_at: AwareDatetime
    due_at: AwareDatetime
    """Until when someone must acknowledge it."""
    level: int = 1
    last: bool = False
    """Whether nobody comes after this level, so that `due_at` leads to nothing more."""
    emergency: bool = False
    about: Slug | None = None
    """What it waits for, where that happening ends it."""


class AlertAcknowledged(EventData):
    """A person took the alert on; that lifts no hold."""

    alert: Slug
    note: Text | None = None
    acknowledged_by: str
    acknowledged_at: AwareDatetime
    resolved: bool = False
    """Nobody had to take it on any more: what it was about happened."""


class AlertEscalated(EventData):
    """Nobody acknowledged the alert in time: it stands on the next role's work list."""

    alert: Slug
    level: int
    role: AlertRole
    due_at: AwareDatetime
    escalated_at: AwareDatetime
    last: bool = False


CorrectionKind = Literal["entered_in_error", "amended", "wrong_patient"]


class EntryCorrected(EventData):
    """An entry was marked and no longer counts; it is never changed. An amended one is followed by the entry that replaces it."""

    HAPPENED: ClassVar[str | None] = "corrected_at"
    entry: Slug
    kind: CorrectionKind
    reason: Text
    corrected_at: AwareDatetime


class CaseTransferred(EventData):
    """The case went to another clinic of the network; its events belong there from this one on."""

    from_clinic: Slug
    to_clinic: Slug
    reason: Text
    transferred_at: AwareDatetime


class TransferNoted(EventData):
    """This service took note that the case went to another clinic; its events belong there from this one on."""

    HAPPENED: ClassVar[str | None] = "transferred_at"
    to_clinic: Slug
    transferred_at: AwareDatetime


class EmergencyAccessNoted(EventData):
    """This service took note of an emergency access that intake opened or ended: who may read the case, and until when (R-32)."""

    grant: Slug
    opened_by: str
    until: AwareDatetime

"""What the session service says around a dose: the values that its events are made of, and events beside the dose itself."""

from datetime import date
from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, Field

from shared.events import base
from shared.events.base import EventData, Slug, Text
from shared.events.clinical import BloodPressure, Intent, Milligrams, Value

Setting = Literal["clinic", "home", "inpatient"]
"""`home` is any place that is no clinic, with the clinician at a distance; of an `inpatient` no REMS form is owed."""
MedicationClass = Literal["benzodiazepine", "hypnotic", "opioid", "stimulant", "maoi", "muscle_relaxant", "alcohol", "cannabis"]
"""What is asked about before a dose, in the words of the REMS form (R-34). Intake's items, read from charts, have other names for three
of them: `psychostimulant`, `monoamine_oxidase_inhibitor`, `cannabinoid`."""
Remainder = Literal["swallowed", "spat"]
"""What became of a lozenge at the end of its time in the mouth."""
PressureDecision = Literal["proceed", "repeat", "no_dose_today"]


class SetAndSetting(Value):
    """What surrounds the patient in a session; all of it optional, none of it a name."""

    music: Text | None = None
    eye_mask: bool | None = None
    approaches: tuple[Slug, ...] = ()
    """Such as emdr, somatic, parts-work, breathwork, silent-sitting."""
    present: tuple[Slug, ...] = ()
    """Opaque ids or roles of the people in the room."""
    touch_agreement: Text | None = None
    """What touch the patient agreed to beforehand, in their own words."""


class MedicationTaken(Value):
    """Something taken before a dose that the prescriber should know of (R-34)."""

    kind: MedicationClass
    last_taken_at: AwareDatetime | None = None
    """None where nobody knows: it counts as just taken."""


class LastIntake(Value):
    """When the patient last ate and drank, None where that was not said, and last used a nasal spray, None where none was used."""

    food_at: AwareDatetime | None = None
    drink_at: AwareDatetime | None = None
    nasal_spray_at: AwareDatetime | None = None
    """A nasal corticosteroid or decongestant."""


class Chaperone(Value):
    """Who stays with the patient in a remote session; `id` is opaque, and no name."""

    id: Slug
    adult: bool
    """Whether it was said that they are 18 or older."""
    present_since: AwareDatetime


class HomeSafety(Value):
    """What was confirmed before a dose outside a clinic."""

    emergency_contact_confirmed: bool
    address_confirmed: bool
    kilometres_to_emergency_care: Annotated[Decimal, Field(ge=0, le=1000, max_digits=5, decimal_places=1)] | None = None


class GroupInRoom(Value):
    """How many patients of a group session there are, and how many who monitor them."""

    patients: Annotated[int, Field(ge=1, le=100)]
    monitors: Annotated[int, Field(ge=0, le=100)]


class AskedDose(Value):
    """A dose as it was asked for: with the state of the course and the policy, all that a decision on it rests on."""

    session: int
    dose_mg: Milligrams
    booster: bool = False
    intent: Intent | None = None
    lot: Slug | None = None
    infusion_minutes: int | None = None
    by_prescriber: bool = False
    """Whether a prescriber asked."""


class EnrolmentRecorded(EventData):
    """The patient was enrolled in the programme that esketamine asks for; says whether the setting is certified (R-26)."""

    TYPE: ClassVar[str] = "kapcare.session.EnrolmentRecorded.v1"
    HAPPENED: ClassVar[str | None] = "enrolled_on"
    enrolled_on: date
    setting_certified: bool
    recorded_at: AwareDatetime


class SupplyNoted(EventData):
    """The session service took note that a lot was dispensed for this case, as the prescriber service said."""

    TYPE: ClassVar[str] = "kapcare.session.SupplyNoted.v1"
    lot: Slug


class LotRecallNoted(base.LotRecall):
    """The session service took note of the recall of a lot; the gate allows no dose from it."""

    TYPE: ClassVar[str] = "kapcare.session.LotRecallNoted.v1"


class LotRecallEndNoted(base.LotRecallEnd):
    """The session service took note that a recall was withdrawn."""

    TYPE: ClassVar[str] = "kapcare.session.LotRecallEndNoted.v1"


class SetAndSettingRecorded(EventData):
    """What surrounded the patient in one session, and the intentions they brought to it, in their own words."""

    TYPE: ClassVar[str] = "kapcare.session.SetAndSettingRecorded.v1"
    HAPPENED: ClassVar[str | None] = "recorded_at"
    session: int
    intentions: tuple[Text, ...] = ()
    set_and_setting: SetAndSetting | None = None
    recorded_at: AwareDatetime


class PrescriberAsked(EventData):
    """Something that the checks show is for a prescriber to consider before a dose (R-19, R-34)."""

    TYPE: ClassVar[str] = "kapcare.session.PrescriberAsked.v1"
    HAPPENED: ClassVar[str | None] = "at"
    session: int
    rule: str
    because: tuple[Slug, ...]
    at: AwareDatetime


class PressureDecided(EventData):
    """A prescriber decided on a blood pressure that holds a dose; covers this pressure and none that is higher (R-19)."""

    TYPE: ClassVar[str] = "kapcare.session.PressureDecided.v1"
    session: int
    decision: PressureDecision
    pressure: BloodPressure
    measured_at: AwareDatetime
    until: AwareDatetime | None = None
    """How long `proceed` counts."""
    reason: Text
    decided_by: str
    organisation: str | None = None
    """The prescriber organisation that they belong to, if they are not of the network."""
    decided_at: AwareDatetime
    policy_version: str


class AdministrationEnded(EventData):
    """An infusion ended, or a lozenge was swallowed or spat out, after the dose was recorded."""

    TYPE: ClassVar[str] = "kapcare.session.AdministrationEnded.v1"
    HAPPENED: ClassVar[str | None] = "ended_at"
    session: int
    given_at: AwareDatetime
    """Of the dose that it is the end of."""
    ended_at: AwareDatetime
    remainder: Remainder | None = None
    whole: bool = True
    """Whether all of the dose was given."""

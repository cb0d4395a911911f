"""The clinical values that travel in more than one service's events."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from shared.events.base import Slug, Text

Route = Literal["sublingual", "intramuscular", "intravenous", "intranasal_esketamine"]
Intent = Literal["psycholytic", "psychedelic"]
"""Psycholytic: lower dose, talking; psychedelic: higher dose, inward. No agreed milligram line (domain.md 2.3)."""
Sex = Literal["male", "female", "unknown"]
Indication = Literal["depression", "anxiety", "ptsd", "other"]
RiskLevel = Literal["none", "low", "moderate", "high"]
Instrument = Literal["phq-9", "gad-7", "pcl-5", "audit-c", "c-ssrs"]
StatedInstrument = Literal["dast-10", "mdq", "madrs", "cadss", "meq-30"]
"""Instruments of which only the score is recorded (shared.pathway.stated_instruments)."""
Trouble = Literal["none", "minor", "moderate", "serious"]
"""How serious a problem the symptoms of the MDQ caused."""
Weight = Literal["absolute", "needs_clearance", "review", "defer"]
"""How a finding weighs: absolute excludes, defer excludes until a date, clearance must be answered, review is for the prescriber."""

Milligrams = Annotated[Decimal, Field(gt=0, max_digits=7, decimal_places=2)]
MilligramsInAll = Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=2)]
"""A sum."""
Kilograms = Annotated[Decimal, Field(gt=0, max_digits=5, decimal_places=2)]
MilligramsPerKilogram = Annotated[Decimal, Field(gt=0, max_digits=5, decimal_places=2)]


class Value(BaseModel):
    """A frozen value inside an event."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, hide_input_in_errors=True)


class Fact(Value):
    """One clinical fact as it came: a condition, medication, observation or stated answer, with its code."""

    kind: Literal["condition", "medication", "observation", "statement"]
    code: str
    system: Literal["snomed", "icd-10-cm", "rxnorm", "loinc", "kapcare", "text"]
    label: str
    active: bool = True
    value: Decimal | None = None
    unit: str | None = None
    on: date | None = None
    """When it was observed, began or was last recorded."""
    ended: date | None = None


class Finding(Value):
    """What a rule makes of the facts: an item that excludes, defers, needs clearance or is to be reviewed."""

    item: Slug
    weight: Weight
    rule: str
    because: tuple[str, ...]
    """Codes of the facts or names of the scores it rests on."""
    until: date | None = None
    """For `defer`: the first day on which the referral can be screened again."""


class Score(Value):
    """A scored instrument; `total` is None where an item is missing (never imputed)."""

    instrument: Instrument
    total: int | None
    band: str
    answered_at: AwareDatetime


class StatedScore(Value):
    """The score of an instrument whose items are not recorded. `same_time` and `trouble` are asked by the MDQ alone (R-13)."""

    instrument: StatedInstrument
    total: int
    same_time: bool | None = None
    """Whether several of the symptoms happened during the same period of time."""
    trouble: Trouble | None = None
    answered_at: AwareDatetime


class BloodPressure(Value):
    """Millimetres of mercury."""

    systolic: Annotated[int, Field(ge=40, le=300)]
    diastolic: Annotated[int, Field(ge=20, le=200)]


class MonitoringLimits(Value):
    """Per-patient limits that the prescriber sends with the plan; pressures in mmHg, times in minutes."""

    hold_above: BloodPressure
    second_pressure_after_minutes: Annotated[int, Field(ge=5, le=180)]
    minimum_stay_minutes: Annotated[int, Field(ge=30, le=720)]


class TreatmentPlan(Value):
    """What the prescriber approves: route, intent, dose band, number of doses, refills, limits, expiry."""

    route: Route
    intent: Intent
    dose_mg_low: Milligrams
    dose_mg_high: Milligrams
    mg_per_kg_high: MilligramsPerKilogram
    doses: Annotated[int, Field(ge=1, le=12)]
    limits: MonitoringLimits
    expires_at: AwareDatetime
    refills: Annotated[int, Field(ge=0, le=99)] = 0
    """Authorised beside the first fill (R-15; 21 CFR 1306.22)."""


class ScreeningSummary(Value):
    """What the prescriber needs to decide; the minimum that is disclosed under the consent in force."""

    indication: Indication
    age: int
    sex: Sex
    route: Route | None
    weight_kg: Kilograms | None
    scores: tuple[Score, ...]
    risk: RiskLevel | None
    """By the C-SSRS screener; None where none was called for."""
    findings: tuple[Finding, ...]
    medications: tuple[str, ...]
    note: Text | None = None
    stated_scores: tuple[StatedScore, ...] = ()
    """The newest score of each instrument that is stated by its score alone (R-12, R-13)."""
    medications_of_no_class: tuple[str, ...] = ()
    """Of the medications, those in which no class of R-34 was recognised: harmless, or unknown to intake."""
    unread_conditions: tuple[str, ...] = ()
    """Conditions and allergies of the chart that no rule has read, for their code is in no table."""

    @property
    def clearances(self) -> tuple[str, ...]:
        """Items that must each be answered before an approval (R-06, R-14)."""
        return tuple(finding.item for finding in self.findings if finding.weight == "needs_clearance")


class Evaluation(Value):
    """How the prescriber evaluated the patient (R-16; 21 CFR 1307.41)."""

    mode: Literal["telemedicine", "in_person"]
    in_person_on: date | None = None
    """The day of an evaluation in person, also an earlier one than this decision's."""

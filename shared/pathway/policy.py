"""Thresholds as data: every number a rule uses, with its support, from one versioned document.

Marks: V seen in the cited source, S in a secondary source only, U set by the site. A row can have overrides for a clinic,
a route, or a clinic's route; the most particular one counts. The document that a network begins with is `network_default.json`;
after that a medical director adopts the next one (`services.prescriber.domain.policy`), and every service folds the adoption.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator

from shared.events.base import Slug
from shared.events.clinical import Route
from shared.events.dosing import MedicationClass
from shared.pathway.places import STATES

SHIPPED = Path(__file__).with_name("network_default.json")


HIGHEST: Final = 100_000
"""Of any value, in its own unit: as minutes 69 days, as weeks 1,917 years."""


class PolicyValues(BaseModel):
    """The values in force; names carry their units."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _can_be_reckoned_with(cls, value: Any) -> Any:
        """No number is negative, or so high that a time cannot be reckoned from it: a fact must not fail on a mistyped policy."""
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int | float) and not 0 <= number <= HIGHEST:
                raise ValueError(f"every number lies between 0 and {HIGHEST}")
        return value

    @field_validator("sublingual_plausible_mg", "intramuscular_plausible_mg", "intravenous_plausible_mg", "esketamine_plausible_mg")
    @classmethod
    def _lets_a_dose_through(cls, value: tuple[float, float]) -> tuple[float, float]:
        """The lowest plausible dose comes first: turned round, no dose that was given could be recorded."""
        if value[0] >= value[1]:
            raise ValueError("the lower end of a range comes first")
        return value

    minimum_age_years: int
    pregnancy: Literal["absolute", "review"]
    substance_use_disorder_months: int
    sober_weeks: int
    clearance_above_body_mass_index: float
    phq9_item9_requires_screener: int
    gad7_positive: int
    pcl5_provisional: int
    audit_c_review_male: int
    audit_c_review_female: int
    dast10_review: int
    mdq_review: int
    telemedicine_from: date
    telemedicine_through: date
    partner_answer_hours: Annotated[int, Field(ge=1)]
    approval_valid_days: int
    approval_warn_days: int
    refills_at_most: int
    first_supply_doses: int
    next_supply_doses: int
    follow_up_after_days: int
    supply_reconcile_hours: int
    hold_systolic_above: int
    hold_diastolic_above: int
    no_dose_above_trial_limits: bool
    trial_systolic_above: int
    trial_diastolic_above: int
    fasting_routes: tuple[Route, ...]
    fasting_food_minutes: int
    fasting_drink_minutes: int
    fasting_nasal_spray_minutes: int
    home_routes: tuple[Route, ...]
    chaperone_before_minutes: int
    patients_per_monitor: Annotated[int, Field(ge=1)]
    benzodiazepine_warn_hours: int
    alcohol_cannabis_warn_hours: int
    same_day_warn_medications: tuple[MedicationClass, ...]
    escalate_systolic_above: int
    escalate_diastolic_above: int
    oxygen_saturation_below: int
    respiratory_rate_below: int
    repeat_pressure_minutes: Annotated[int, Field(ge=1)]
    repeat_pressure_severe_minutes: Annotated[int, Field(ge=1)]
    dissociation_cadss_above: int
    weight_valid_days: int
    intravenous_warn_below_mg_per_kg: float
    intravenous_warn_above_mg_per_kg: float
    parenteral_block_above_mg_per_kg: float
    sublingual_warn_above_mg: int
    esketamine_doses_mg: tuple[int, ...]
    esketamine_device_mg: int
    esketamine_device_interval_minutes: int
    infusion_minutes: int
    booster_after_minutes: int
    checks_valid_minutes: Annotated[int, Field(ge=1)]
    authorisation_valid_minutes: Annotated[int, Field(ge=1)]
    sublingual_plausible_mg: tuple[float, float]
    intramuscular_plausible_mg: tuple[float, float]
    intravenous_plausible_mg: tuple[float, float]
    esketamine_plausible_mg: tuple[float, float]
    view_at_most_seconds_old: Annotated[int, Field(ge=1)]
    second_pressure_after_minutes: int
    second_pressure_tolerance_minutes: int
    second_pressure_escalate_minutes: int
    minimum_stay_minutes: int
    discharge_pressure_within_minutes: int
    chaperone_check_minutes: Annotated[int, Field(ge=1)]
    chaperone_escalate_minutes: Annotated[int, Field(ge=1)]
    rems_form_due_days: int
    rems_form_warn_days: int
    late_entry_minutes: int
    late_entry_grace_minutes: int
    reclearance_after_weeks: int
    preparation_again: Literal["off", "warn", "block"]
    integration_before_next_dose: Literal["warn", "block"]
    integration_within_hours: int
    integration_follow_up_days: tuple[int, ...]
    integration_grace_days: int
    maintenance_session_days: Annotated[int, Field(ge=1)]
    discharge_session_within_days: int
    outcome_measurement_days: tuple[int, ...]
    outcome_window_days: int
    outcome_report_floor: Annotated[int, Field(ge=1)]
    response_drop_fraction: float
    remission_below: int
    remission_baseline_at_least: int
    deterioration_points: int
    alert_acknowledge_minutes: Annotated[int, Field(ge=1)]
    alert_escalate_minutes: Annotated[int, Field(ge=1)]
    alert_levels: Annotated[int, Field(ge=1)]
    emergency_acknowledge_minutes: Annotated[int, Field(ge=1)]
    emergency_access_minutes: Annotated[int, Field(ge=1, le=1440)]
    emergency_review_hours: Annotated[int, Field(ge=1, le=8760)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Override(_Part):
    """Another value for one clinic, one route, or one route in one clinic."""

    clinic: Slug | None = None
    route: Route | None = None
    value: Any
    mark: Literal["V", "S", "U"] = "U"
    source: str = "set by the site"

    @model_validator(mode="after")
    def _overrides_something(self) -> Self:
        if self.clinic is None and self.route is None:
            raise ValueError("an override names a clinic, a route, or both")
        return self

    def covers(self, clinic: str | None, route: Route | None) -> bool:
        """Whether it counts for this clinic and route."""
        return self.clinic in (None, clinic) and self.route in (None, route)

    @property
    def particularity(self) -> int:
        """A clinic's route before a clinic, a clinic before a route."""
        return 2 * (self.clinic is not None) + (self.route is not None)


class Row(_Part):
    """One value of the document: mark, source, and where it differs."""

    value: Any
    mark: Literal["V", "S", "U"]
    source: str
    overrides: tuple[Override, ...] = ()

    @field_validator("overrides")
    @classmethod
    def _each_place_once(cls, overrides: tuple[Override, ...]) -> tuple[Override, ...]:
        if len({(override.clinic, override.route) for override in overrides}) < len(overrides):
            raise ValueError("a clinic and route is overridden twice")
        return overrides

    def at(self, clinic: str | None, route: Route | None) -> Any:
        """Return the value for a clinic and route."""
        covering = [override for override in self.overrides if override.covers(clinic, route)]
        return max(covering, key=lambda override: override.particularity).value if covering else self.value


class Document(_Part):
    """A policy document as it was adopted, perhaps under an older release: identity, owner, validity, time zones, and the rows.

    `version` names it, and no other document may have the same. `time_zones` maps a clinic to its IANA zone; the entry
    `network` is for clinics that have none. `clinic_states` maps a clinic to the state it lies in, by postal code; of a clinic
    that is not there the state is not known. `part2_programs` are the clinics that hold records under 42 CFR part 2 (R-33). What
    this release needs and it lacks is taken from the shipped document; rows that nothing reads any more stay, and are not read.
    """

    version: Slug
    owner: str
    valid_from: AwareDatetime
    valid_to: AwareDatetime | None = None
    time_zones: Mapping[str, str]
    clinic_states: Mapping[str, str] = {}
    part2_programs: tuple[Slug, ...] = ()
    values: Mapping[str, Row]

    @field_validator("time_zones")
    @classmethod
    def _zones_exist(cls, zones: Mapping[str, str]) -> Mapping[str, str]:
        if "network" not in zones:
            raise ValueError("`network` must have a time zone")
        for clinic, zone in zones.items():
            try:
                ZoneInfo(zone)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                raise ValueError(f"the time zone of {clinic} is unknown") from None
        return zones

    @field_validator("clinic_states")
    @classmethod
    def _states_exist(cls, states: Mapping[str, str]) -> Mapping[str, str]:
        if "network" in states:
            raise ValueError("only a clinic lies in a state; `network` has none")
        for clinic, state in states.items():
            if state not in STATES:
                raise ValueError(f"the state of {clinic} is unknown")
        return states

    @field_validator("part2_programs")
    @classmethod
    def _programs_are_clinics(cls, programs: tuple[Slug, ...]) -> tuple[Slug, ...]:
        if "network" in programs:
            raise ValueError("only a clinic is a Part 2 program; name each of them")
        return programs

    def resolve(self, clinic: str | None, route: Route | None, shipped: "Document | None" = None) -> PolicyValues:
        """Return the values for a clinic and route; raises pydantic.ValidationError naming the row that is missing or wrong."""
        rows = {**({} if shipped is None else shipped.values), **self.values}
        return PolicyValues.model_validate({name: rows[name].at(clinic, route) for name in PolicyValues.model_fields if name in rows})

    def at(self, clinic: str | None, shipped: "Document | None" = None) -> "Policy":
        """Return the policy of a clinic."""
        return Policy(
            version=self.version,
            owner=self.owner,
            time_zone=self.time_zones.get(clinic or "network", self.time_zones["network"]),
            state=self.clinic_states.get(clinic or "network"),
            values=self.resolve(clinic, None, shipped),
            clinics=frozenset(self.time_zones) - {"network"},
            part2_programs=frozenset(self.part2_programs),
            by_route={
                override.route: self.resolve(clinic, override.route, shipped)
                for row in self.values.values()
                for override in row.overrides
                if override.route is not None and override.clinic in (None, clinic)
            },
        )


class WholeDocument(Document):
    """A document as it must be to be adopted: every row that this release reads, none that it does not, all values possible."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.valid_to is not None and self.valid_to <= self.valid_from:
            raise ValueError("valid_to lies before valid_from")
        unknown = sorted(set(self.values) - set(PolicyValues.model_fields))
        if unknown:
            raise ValueError(f"nothing reads {', '.join(unknown)}")
        places = {(override.clinic, override.route) for row in self.values.values() for override in row.overrides}
        for clinic, route in {(None, None), *places}:
            self.resolve(clinic, route)
        return self


class Policy(BaseModel):
    """The policy of one clinic, as a decision is given it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    owner: str
    time_zone: str
    values: PolicyValues
    """For decisions that are not about a route."""
    by_route: Mapping[Route, PolicyValues] = {}
    clinics: frozenset[str] = frozenset()
    """The clinics that the document names, by their time zones."""
    state: str | None = None
    """The state that the clinic lies in, by postal code; None where it is not known."""
    part2_programs: frozenset[str] = frozenset()
    """All clinics that hold records under 42 CFR part 2: a case may come from another one (R-33)."""

    def on(self, route: Route | None) -> PolicyValues:
        """Return the values for a route."""
        return self.values if route is None else self.by_route.get(route, self.values)


class Book:
    """The documents that were adopted, oldest first, and which is in force when and where. The first one is the shipped one."""

    def __init__(self, shipped: Document, adopted: Sequence[Document] = ()) -> None:
        self.documents: tuple[Document, ...] = (shipped, *adopted)
        self._at = lru_cache(maxsize=1024)(lambda number, clinic: self.of(self.documents[number], clinic))

    def document(self, moment: datetime) -> Document:
        """Return the document in force: of those valid then the one adopted last, and the shipped one where none is."""
        return self.documents[self._number(moment)]

    def policy(self, moment: datetime, clinic: str | None = None) -> Policy:
        """Return the policy of a clinic in force at a moment."""
        return self._at(self._number(moment), clinic)

    def of(self, document: Document, clinic: str | None) -> Policy:
        """Return a document's policy of a clinic, whatever release it was written for."""
        return document.at(clinic, self.documents[0])

    def find(self, version: str) -> Document | None:
        """Return the document of this version."""
        return next((document for document in self.documents if document.version == version), None)

    def made_under(self, version: str | None, moment: datetime) -> Document | None:
        """Return the document that a decision was made under: the one it names, or for one that names none, what was in force."""
        return self.document(moment) if version is None else self.find(version)

    def _number(self, moment: datetime) -> int:
        for number in range(len(self.documents) - 1, 0, -1):
            document = self.documents[number]
            if document.valid_from <= moment and (document.valid_to is None or moment < document.valid_to):
                return number
        return 0


def read_document(path: Path = SHIPPED) -> WholeDocument:
    """Read a policy document; raises pydantic.ValidationError naming the row that is missing or wrong, and OSError."""
    return WholeDocument.model_validate(json.loads(path.read_text()))


def read_policy(path: Path = SHIPPED) -> Policy:
    """Read the network's policy of a document, without any clinic's overrides."""
    return read_document(path).at(None)

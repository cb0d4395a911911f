"""Thresholds as data: every number a rule uses, with its support, from one versioned document.

Marks: V seen in the cited source, S in a secondary source only, U set by the site. The shipped document is
`network_default.json`; a site names its own with KAPCARE_POLICY_FILE.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

SHIPPED = Path(__file__).with_name("network_default.json")


class PolicyValues(BaseModel):
    """The values in force; names carry their units."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

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
    partner_answer_hours: int
    approval_valid_days: int
    first_supply_doses: int
    hold_systolic_above: int
    hold_diastolic_above: int
    escalate_systolic_above: int
    escalate_diastolic_above: int
    oxygen_saturation_below: int
    respiratory_rate_below: int
    weight_valid_days: int
    intravenous_warn_below_mg_per_kg: float
    intravenous_warn_above_mg_per_kg: float
    parenteral_block_above_mg_per_kg: float
    sublingual_warn_above_mg: int
    esketamine_doses_mg: tuple[int, ...]
    second_pressure_after_minutes: int
    second_pressure_tolerance_minutes: int
    second_pressure_escalate_minutes: int
    minimum_stay_minutes: int
    reclearance_after_weeks: int
    integration_within_hours: int
    integration_follow_up_days: tuple[int, ...]
    integration_grace_days: int
    response_drop_fraction: float
    remission_below: int
    remission_baseline_at_least: int
    deterioration_points: int


class Support(BaseModel):
    """One row of the document: the value, its mark and where it comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: object
    mark: Literal["V", "S", "U"]
    source: str


class Policy(BaseModel):
    """A policy document: identity, owner, and the values with their support."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    owner: str
    valid_from: datetime
    values: PolicyValues
    support: dict[str, Support]


def read_policy(path: Path = SHIPPED) -> Policy:
    """Read a policy document; raises pydantic.ValidationError naming the row that is missing or wrong."""
    document = json.loads(path.read_text())
    rows = {name: Support.model_validate(row) for name, row in document["values"].items()}
    values = PolicyValues.model_validate({name: row.value for name, row in rows.items()})
    return Policy.model_validate({**document, "values": values, "support": rows})

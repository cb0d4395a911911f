"""Every clinical rule by its number: what it states, which policy values it takes its numbers from, and who says so.

`docs/rules.md` is made from this table and the code: where a rule is enforced and what tests it is found there by its number.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; `values` are rows of the policy."""

    id: str
    statement: str
    source: str
    values: tuple[str, ...] = ()


RULES: Final[tuple[Rule, ...]] = (
    Rule("R-01", "Under the minimum age: screened out.", "Journey Clinical eligibility; Hull 2022", ("minimum_age_years",)),
    Rule(
        "R-02",
        "Hypersensitivity to ketamine, aneurysmal vascular disease, arteriovenous malformation or an intracerebral haemorrhage, "
        "ever: screened out; intake cannot override it.",
        "Spravato label",
    ),
    Rule(
        "R-03",
        "A primary psychotic disorder ever, or mania or a mixed state now: screened out; bipolar disorder without them: review.",
        "Journey Clinical eligibility",
    ),
    Rule("R-04", "Pregnant or nursing: screened out, or review where the policy says so.", "NCT05604794; Journey Clinical", ("pregnancy",)),
    Rule(
        "R-05",
        "A substance use disorder within the last months, or too few weeks sober: deferred until a day; uncontrolled use: screened out.",
        "NCT05604794; Journey Clinical",
        ("substance_use_disorder_months", "sober_weeks"),
    ),
    Rule(
        "R-06",
        "Liver disease, cystitis, hyperthyroidism, seizures, cardiac disease, glaucoma and the like, a high body mass index or pressure: "
        "the prescriber must have each cleared.",
        "Journey Clinical; NCT05604794; Innerwell",
        ("clearance_above_body_mass_index", "hold_systolic_above", "hold_diastolic_above"),
    ),
    Rule("R-07", "A missing item leaves an instrument unscored; nothing is imputed.", "Kroenke 2001 by clincalc"),
    Rule(
        "R-08",
        "PHQ-9 item 9 positive: the C-SSRS screener must be answered before the referral goes on, whatever the total.",
        "Kroenke 2001 by clincalc; C-SSRS",
        ("phq9_item9_requires_screener",),
    ),
    Rule("R-09", "C-SSRS: risk by the gravest answer.", "C-SSRS screener triage"),
    Rule(
        "R-10",
        "High risk stops the pathway until a clinician closes it with a reason; moderate risk is for the prescriber to review.",
        "NCT05991232; Journey Clinical",
    ),
    Rule(
        "R-11",
        "A positive GAD-7 or a provisional PCL-5 (total, or DSM-5 clusters) is for review; never a diagnosis.",
        "National Center for PTSD; clincalc",
        ("gad7_positive", "pcl5_provisional"),
    ),
    Rule(
        "R-12",
        "A positive AUDIT-C (an unknown sex takes the lower cut-off) or DAST-10 is for review.",
        "Bush 1998 by clincalc; skillspool",
        ("audit_c_review_male", "audit_c_review_female", "dast10_review"),
    ),
    Rule("R-13", "A positive MDQ is for review before a prescription.", "MDQ scoring", ("mdq_review",)),
    Rule(
        "R-14",
        "A prescriber's decision has one of three kinds and reason codes; an approval needs every clearance answered as cleared.",
        "Journey Clinical eligibility",
    ),
    Rule(
        "R-15",
        "No refills above five, no dose and no fill more than six months after issue.",
        "21 CFR 1306.22",
        ("refills_at_most", "approval_valid_days", "approval_warn_days"),
    ),
    Rule(
        "R-16",
        "An approval after telemedicine alone counts within the dates of the law; outside them an in-person evaluation is needed.",
        "90 FR 61301; 21 CFR 1307.41",
        ("telemedicine_from", "telemedicine_through"),
    ),
    Rule(
        "R-17",
        "A large first supply, or a next one without a follow-up visit, is warned of; doses beyond the plan are refused.",
        "Journey Clinical",
        ("first_supply_doses", "next_supply_doses", "follow_up_after_days"),
    ),
    Rule(
        "R-18",
        "A dose lies within the plan's milligrams, milligrams per kilogram and intent, a booster with the dose before it, on a recent "
        "weight, below the anaesthetic range; esketamine in its doses and devices; unusual ones are warned of; another unit is no dose.",
        "Spravato dosing; Hull 2022; Talati 2019; samadhi dose page",
        (
            "weight_valid_days",
            "intravenous_warn_below_mg_per_kg",
            "intravenous_warn_above_mg_per_kg",
            "parenteral_block_above_mg_per_kg",
            "sublingual_warn_above_mg",
            "esketamine_doses_mg",
            "esketamine_device_mg",
            "esketamine_device_interval_minutes",
            "infusion_minutes",
            "booster_after_minutes",
            "authorisation_valid_minutes",
            "sublingual_plausible_mg",
            "intramuscular_plausible_mg",
            "intravenous_plausible_mg",
            "esketamine_plausible_mg",
        ),
    ),
    Rule(
        "R-19",
        "No blood pressure, no dose; above the patient's limit the dose is held until a repeat is not, or a prescriber decides; "
        "above a trial's limits, where the policy takes them, no one does.",
        "Spravato label 2019; NCT04173962",
        (
            "hold_systolic_above",
            "hold_diastolic_above",
            "checks_valid_minutes",
            "no_dose_above_trial_limits",
            "trial_systolic_above",
            "trial_diastolic_above",
        ),
    ),
    Rule(
        "R-20",
        "Consent in force and reaffirmed in the room, an adult who monitors, an escort, for esketamine fasting, at home a chaperone and a "
        "route that may be given there, in a group enough monitors, and what the other services say of consent and holds known up to "
        "some seconds ago: or no dose.",
        "Journey Clinical; Mayo Clinic",
        (
            "fasting_routes",
            "fasting_food_minutes",
            "fasting_drink_minutes",
            "fasting_nasal_spray_minutes",
            "home_routes",
            "chaperone_before_minutes",
            "patients_per_monitor",
            "view_at_most_seconds_old",
        ),
    ),
    Rule(
        "R-21",
        "A blood pressure missing after a dose is said, and escalated when it stays missing.",
        "Spravato label 2019",
        ("second_pressure_after_minutes", "second_pressure_tolerance_minutes", "second_pressure_escalate_minutes"),
    ),
    Rule(
        "R-22",
        "Signs of a hypertensive crisis are an emergency at any pressure; extreme vitals escalate; "
        "a pressure above the limit is repeated in time.",
        "Spravato label; severe hypertension review; emergency-room protocol",
        (
            "escalate_systolic_above",
            "escalate_diastolic_above",
            "oxygen_saturation_below",
            "respiratory_rate_below",
            "repeat_pressure_minutes",
            "repeat_pressure_severe_minutes",
        ),
    ),
    Rule(
        "R-23",
        "Discharge after the minimum stay: safe pressure, at baseline, escort, named assessor; earlier only by a prescriber's override.",
        "Spravato label; REMS form",
        ("minimum_stay_minutes", "discharge_pressure_within_minutes"),
    ),
    Rule("R-24", "Discharge says: no driving or machinery until the next day after a restful sleep.", "Spravato label; Journey Clinical"),
    Rule(
        "R-25",
        "Remote session: the chaperone sees the patient in time after time until the discharge; a longer gap escalates.",
        "Journey Clinical",
        ("chaperone_check_minutes", "chaperone_escalate_minutes"),
    ),
    Rule(
        "R-26",
        "Esketamine: the REMS form within days, warned of before and said when overdue; enrolled, in a certified setting, before the "
        "first dose.",
        "REMS form; Osmind",
        ("rems_form_due_days", "rems_form_warn_days"),
    ),
    Rule(
        "R-27",
        "Too many weeks since the last dose: cleared anew before the next, and prepared anew where the policy says so.",
        "Mindbloom",
        ("reclearance_after_weeks", "preparation_again"),
    ),
    Rule(
        "R-28",
        "An integration session belongs between two dosing sessions, the first within its window; a dose without one is warned of, or "
        "blocked by policy. Doses whose windows overlap share one; follow-ups are counted from the last dose; who stops is still seen "
        "once, for discharge.",
        "Journey Clinical; Curogram",
        (
            "integration_before_next_dose",
            "integration_within_hours",
            "integration_follow_up_days",
            "integration_grace_days",
            "maintenance_session_days",
            "discharge_session_within_days",
        ),
    ),
    Rule(
        "R-29",
        "Response, remission and deterioration from the baseline, measured on schedule; beside every rate the number treated, the number "
        "followed and why the rest were not. Who gets worse goes back to the prescriber; groups below the floor are not reported.",
        "McInnes 2022; Hull 2022; Field Trip NCT05604794 for attrition",
        (
            "response_drop_fraction",
            "remission_below",
            "remission_baseline_at_least",
            "deterioration_points",
            "outcome_measurement_days",
            "outcome_window_days",
            "outcome_report_floor",
        ),
    ),
    Rule("R-30", "A partner's webhook that is badly signed, stale or replayed, or answers an older request, has no effect.", "design"),
    Rule(
        "R-31",
        "What an organisation outside is told or reads of a case is a disclosure: recorded with date, recipient, address if known, what "
        "and what for, kept, and accounted for over six years.",
        "45 CFR 164.528; 45 CFR 164.316",
    ),
    Rule(
        "R-32",
        "Reading another clinic's case in an emergency needs a reason, ends by itself, calls someone at once, and stays open until someone "
        "else reviewed it.",
        "45 CFR 164.312(a)(2)(ii); HL7 FHIR AuditEvent (DCM 110113, 110127, ETREAT)",
        ("emergency_access_minutes", "emergency_review_hours"),
    ),
    Rule(
        "R-33",
        "Of a case of a Part 2 program, or that comes from one, a partner organisation has substance-use content only under a consent "
        "that covers its disclosure, with the notice on redisclosure; otherwise it is withheld, said to be so, and the partner cannot "
        "approve.",
        "42 CFR 2.31 to 2.33 as amended by 89 FR 12472",
    ),
    Rule(
        "R-34",
        "Benzodiazepines, opioids, stimulants, monoamine oxidase inhibitors, hypnotics, muscle relaxants and cannabinoids taken now are "
        "for the prescriber to consider, and so is a medication nobody could recognise, and what was taken "
        "too shortly before a dose, alcohol and cannabis among it; nobody is advised to stop one alone.",
        "Journey Clinical; REMS form",
        ("benzodiazepine_warn_hours", "alcohol_cannabis_warn_hours", "same_day_warn_medications"),
    ),
    Rule(
        "R-35",
        "Unresponsive is an emergency; sedation and dissociation need onset and resolution before discharge.",
        "Spravato label; REMS form",
        ("dissociation_cadss_above",),
    ),
)

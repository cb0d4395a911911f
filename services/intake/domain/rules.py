"""The screening rules, one function each, named after the rule it implements; all of them in RULES. Pure.

A rule reads the chart and returns findings: absolute excludes, defer excludes until a day, needs_clearance must be answered
by the prescriber, review is for the prescriber to look at. Thresholds come from the policy in force.
"""

import calendar
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal

from services.intake.domain.chart import Chart, Measured, affirms, is_named, items_of, named_items
from services.intake.domain.codes import (
    BODY_MASS_INDEX,
    DAST10,
    DIASTOLIC,
    HEIGHT,
    ITEMS,
    SUBSTANCE_USE_DISORDERS,
    SYSTOLIC,
    WEIGHT,
)
from shared.events.clinical import Fact, Finding
from shared.pathway.instruments import POSITIVE, PROVISIONAL_PTSD, risk_of

R34_CLASSES = tuple(item.slug for item in ITEMS.values() if item.rule == "R-34")
Findings = tuple[Finding, ...]
Rule = Callable[[Chart], Findings]


def r01_minimum_age(chart: Chart) -> Findings:
    """R-01: under the minimum age in years (18) excludes. Journey Clinical eligibility; Hull 2022."""
    if chart.age >= chart.policy.minimum_age_years:
        return ()
    return (Finding(item="age", weight="absolute", rule="R-01", because=("birth_date",)),)


def r02_absolute_contraindications(chart: Chart) -> Findings:
    """R-02: the contraindications of the Spravato label, past ones included. Intake cannot override them."""
    items = ("ketamine_hypersensitivity", "aneurysmal_vascular_disease", "arteriovenous_malformation", "intracerebral_haemorrhage")
    return tuple(Finding(item=item, weight="absolute", rule="R-02", because=because) for item in items if (because := chart.ever(item)))


def r03_psychosis_and_mania(chart: Chart) -> Findings:
    """R-03: a psychotic disorder ever, or mania now, excludes; bipolar disorder without them is for review. Journey Clinical."""
    psychotic, manic = chart.ever("psychotic_disorder"), chart.now("mania_or_mixed_episode")
    excluding = tuple(
        Finding(item=item, weight="absolute", rule="R-03", because=because)
        for item, because in (("psychotic_disorder", psychotic), ("mania_or_mixed_episode", manic))
        if because
    )
    bipolar = chart.ever("bipolar_disorder") + chart.ever("mania_or_mixed_episode")
    if excluding or not bipolar:
        return excluding
    return (Finding(item="bipolar_disorder", weight="review", rule="R-03", because=bipolar),)


def r02_names_to_clear(chart: Chart) -> Findings:
    """R-02, R-03: a condition whose code is not known here, but whose name is that of one that excludes, must be cleared.

    A name can deny what it speaks of, so it never excludes by itself; the prescriber, who sees it, decides. Our choice.
    """
    named: dict[str, list[str]] = {}
    for fact in chart.unread_conditions:
        for item in named_items(fact):
            named.setdefault(item, []).append(fact.code)
    return tuple(
        Finding(item=item, weight="needs_clearance", rule=ITEMS[item].rule, because=tuple(codes))
        for item, codes in named.items()
        if not chart.ever(item)
    )


def r04_pregnancy(chart: Chart) -> Findings:
    """R-04: pregnant or nursing now excludes, or is for review where the policy says so. NCT05604794; Journey Clinical."""
    return tuple(
        Finding(item=item, weight=chart.policy.pregnancy, rule="R-04", because=because)
        for item in ("pregnancy", "nursing")
        if (because := chart.now(item))
    )


def r05_substance_use(chart: Chart) -> Findings:
    """R-05: uncontrolled use excludes; a recent disorder, or too short a sobriety after one, defers. NCT05604794; Journey Clinical.

    A disorder counts until it ended, or until today where it is active or no one says when it ended. One that lies
    further back is for review.
    """
    uncontrolled = chart.now("uncontrolled_substance_use")
    if uncontrolled:
        return (Finding(item="uncontrolled_substance_use", weight="absolute", rule="R-05", because=uncontrolled),)
    because = tuple(code for item in SUBSTANCE_USE_DISORDERS for code in chart.ever(item))
    if not because:
        return ()
    disorders = [fact for fact in chart.last_words if affirms(fact) and not set(items_of(fact)).isdisjoint(SUBSTANCE_USE_DISORDERS)]
    days = [_add_months(_last_day(chart, fact), chart.policy.substance_use_disorder_months) for fact in disorders]
    sober_since = chart.sober_since()
    if sober_since is not None:
        days.append(sober_since + timedelta(weeks=chart.policy.sober_weeks))
    until = max(days, default=chart.today)
    if until > chart.today:
        return (Finding(item="substance_use_disorder", weight="defer", rule="R-05", because=because, until=until),)
    return (Finding(item="substance_use_disorder", weight="review", rule="R-05", because=because),)


def r06_conditions_to_clear(chart: Chart) -> Findings:
    """R-06: conditions that the prescriber must clear one by one. Journey Clinical; NCT05604794; Spravato label 2019."""
    lasting = ("seizure", "cardiac_disease", "glaucoma", "hypertensive_encephalopathy", "stroke")
    while_active = ("liver_disease", "cystitis", "hyperthyroidism", "hypertension", "respiratory_disease", "sleep_apnoea")
    found = [(item, chart.ever(item)) for item in lasting] + [(item, chart.now(item)) for item in while_active]
    return tuple(_to_clear(item, because) for item, because in found if because)


def r06_blood_pressure(chart: Chart) -> Findings:
    """R-06: the last pressure above the limit that holds a dose (140/90 mmHg) must be cleared. Spravato label 2019 (R-19).

    Either value is enough, also where the other was never recorded.
    """
    limits = ((SYSTOLIC, chart.policy.hold_systolic_above), (DIASTOLIC, chart.policy.hold_diastolic_above))
    known = [(measure, measured.value > limit) for measure, limit in limits if (measured := chart.latest(measure)) is not None]
    if not any(above for _, above in known):
        return ()
    return (_to_clear("blood_pressure", tuple(measure.loinc for measure, _ in known)),)


def r06_body_mass_index(chart: Chart) -> Findings:
    """R-06: a body mass index above the limit (35 kg/m2) must be cleared; from weight and height where these are newer. NCT05604794."""
    measured, calculated = chart.latest(BODY_MASS_INDEX), _calculated_body_mass_index(chart)
    known = [index for index in (measured, calculated) if index is not None]
    if not known:
        return ()
    newest = max(known, key=lambda index: (index.on or date.min, index.value))
    if newest.value > Decimal(str(chart.policy.clearance_above_body_mass_index)):
        return (_to_clear("body_mass_index", (BODY_MASS_INDEX.loinc if newest is measured else WEIGHT.loinc,)),)
    return ()


def r10_suicide_risk(chart: Chart) -> Findings:
    """R-10: moderate C-SSRS risk, or suicidality noted in the chart, is for review; high risk never gets here. NCT05991232."""
    risk = risk_of(chart.scored["c-ssrs"]) if "c-ssrs" in chart.scored else None
    moderate = (Finding(item="suicide_risk_moderate", weight="review", rule="R-10", because=("c-ssrs",)),)
    noted = chart.now("suicidality_in_chart")
    return (moderate if risk == "moderate" else ()) + (
        (Finding(item="suicidality_in_chart", weight="review", rule="R-10", because=noted),) if noted else ()
    )


def r11_anxiety_and_ptsd_screens(chart: Chart) -> Findings:
    """R-11: a positive GAD-7 and a provisional PCL-5 are for review; never a diagnosis. Spitzer 2006; National Center for PTSD."""
    gad7, pcl5 = chart.scored.get("gad-7"), chart.scored.get("pcl-5")
    anxious = gad7 is not None and POSITIVE in gad7.flags
    provisional = pcl5 is not None and PROVISIONAL_PTSD in pcl5.flags
    return (_review("anxiety_screen_positive", "R-11", "gad-7") if anxious else ()) + (
        _review(PROVISIONAL_PTSD, "R-11", "pcl-5") if provisional else ()
    )


def r12_alcohol_and_drugs(chart: Chart) -> Findings:
    """R-12: a positive AUDIT-C, or the newest DAST-10 total at the limit (3), is for review. Bush 1998; domain rule R-12.

    The DAST-10 counts alike whether a chart brought it or its score was stated.
    """
    audit_c, dast10 = chart.scored.get("audit-c"), chart.latest(DAST10)
    drinking = audit_c is not None and POSITIVE in audit_c.flags
    drugs = dast10 is not None and dast10.value >= chart.policy.dast10_review
    return (_review("alcohol", "R-12", "audit-c") if drinking else ()) + (_review("drugs", "R-12", DAST10.loinc) if drugs else ())


def r13_bipolar_disorder_screen(chart: Chart) -> Findings:
    """R-13: an MDQ at the limit (7), several symptoms at once, and moderate or serious trouble, is for review. Domain rule R-13."""
    mdq = chart.stated.get("mdq")
    if mdq is None or mdq.total < chart.policy.mdq_review or not mdq.same_time or mdq.trouble not in ("moderate", "serious"):
        return ()
    return _review("bipolar_disorder_screen", "R-13", "mdq")


def r34_medications_to_consider(chart: Chart) -> Findings:
    """R-34: medications taken now of the classes that the REMS monitoring form or Journey Clinical asks about are for review.

    So is one that has neither a name nor a known code: nobody could tell what it is. Never advise stopping one alone.
    """
    taken = [(name, tuple(fact.code for fact in chart.medications if name in items_of(fact))) for name in R34_CLASSES]
    unknown = tuple(fact.code for fact in chart.medications if not items_of(fact) and not is_named(fact))
    found = (*taken, ("medication_not_recognised", unknown))
    return tuple(Finding(item=name, weight="review", rule="R-34", because=because) for name, because in found if because)


RULES: tuple[Rule, ...] = (
    r01_minimum_age,
    r02_absolute_contraindications,
    r02_names_to_clear,
    r03_psychosis_and_mania,
    r04_pregnancy,
    r05_substance_use,
    r06_conditions_to_clear,
    r06_blood_pressure,
    r06_body_mass_index,
    r10_suicide_risk,
    r11_anxiety_and_ptsd_screens,
    r12_alcohol_and_drugs,
    r13_bipolar_disorder_screen,
    r34_medications_to_consider,
)


def findings(chart: Chart) -> Findings:
    """Apply every rule."""
    return tuple(finding for rule in RULES for finding in rule(chart))


def excluding(found: Findings) -> Findings:
    """Return the findings that exclude: absolute ones and deferrals."""
    return tuple(finding for finding in found if finding.weight in ("absolute", "defer"))


def _to_clear(item: str, because: tuple[str, ...]) -> Finding:
    return Finding(item=item, weight="needs_clearance", rule="R-06", because=because)


def _review(item: str, rule: str, because: str) -> Findings:
    return (Finding(item=item, weight="review", rule=rule, because=(because,)),)


def _last_day(chart: Chart, fact: Fact) -> date:
    """Return the last day on which the disorder is known to have been active; today if nothing says that it ended."""
    return chart.today if chart.is_current(fact) or fact.ended is None else fact.ended


def _add_months(day: date, months: int) -> date:
    """Return the same day of a later month, or that month's last day."""
    year, month = divmod(day.month - 1 + months, 12)
    year, month = day.year + year, month + 1
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def _calculated_body_mass_index(chart: Chart) -> Measured | None:
    weight, height = chart.latest(WEIGHT), chart.latest(HEIGHT)
    if weight is None or height is None:
        return None
    return Measured(weight.value / (height.value / 100) ** 2, weight.on)

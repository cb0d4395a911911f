"""The wording, licences and codes of the instruments: data only; how they are scored is in `instruments.py`.

C-SSRS is here by codes alone: building its wording into software may need a licence, which the site settles with the owner.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.events.clinical import Instrument


@dataclass(frozen=True, slots=True)
class Form:
    """How one instrument is put to the patient; `highest` is the greatest answer of each item (each begins at 0)."""

    title: str
    stem: str
    items: tuple[str, ...]
    choices: tuple[tuple[str, ...], ...]
    """The words for 0, 1, 2 ... of each item; empty where the wording is not shipped."""
    highest: tuple[int, ...]
    licence: str
    reference: str


_PFIZER = "Developed by Drs. Spitzer, Williams, Kroenke and colleagues with a grant from Pfizer; no permission needed to reproduce."
_TWO_WEEKS = "Over the last 2 weeks, how often have you been bothered by the following problems?"
_HOW_OFTEN = ("Not at all", "Several days", "More than half the days", "Nearly every day")
_HOW_MUCH = ("Not at all", "A little bit", "Moderately", "Quite a bit", "Extremely")
_YES_NO = ("No", "Yes")

FORMS: Mapping[Instrument, Form] = {
    "phq-9": Form(
        title="Patient Health Questionnaire, 9 items",
        stem=_TWO_WEEKS,
        items=(
            "Little interest or pleasure in doing things",
            "Feeling down, depressed, or hopeless",
            "Trouble falling or staying asleep, or sleeping too much",
            "Feeling tired or having little energy",
            "Poor appetite or overeating",
            "Feeling bad about yourself - or that you are a failure or have let yourself or your family down",
            "Trouble concentrating on things, such as reading the newspaper or watching television",
            (
                "Moving or speaking so slowly that other people could have noticed? Or the opposite - being so fidgety or restless "
                "that you have been moving around a lot more than usual"
            ),
            "Thoughts that you would be better off dead or of hurting yourself in some way",
        ),
        choices=(_HOW_OFTEN,) * 9,
        highest=(3,) * 9,
        licence=_PFIZER,
        reference="Kroenke, Spitzer, Williams. J Gen Intern Med 2001;16:606-613",
    ),
    "gad-7": Form(
        title="Generalized Anxiety Disorder, 7 items",
        stem=_TWO_WEEKS,
        items=(
            "Feeling nervous, anxious or on edge",
            "Not being able to stop or control worrying",
            "Worrying too much about different things",
            "Trouble relaxing",
            "Being so restless that it is hard to sit still",
            "Becoming easily annoyed or irritable",
            "Feeling afraid as if something awful might happen",
        ),
        choices=(_HOW_OFTEN,) * 7,
        highest=(3,) * 7,
        licence=_PFIZER,
        reference="Spitzer, Kroenke, Williams, Loewe. Arch Intern Med 2006;166:1092-1097",
    ),
    "pcl-5": Form(
        title="PTSD Checklist for DSM-5",
        stem="In the past month, how much were you bothered by:",
        items=(
            "Repeated, disturbing, and unwanted memories of the stressful experience?",
            "Repeated, disturbing dreams of the stressful experience?",
            (
                "Suddenly feeling or acting as if the stressful experience were actually happening again "
                "(as if you were actually back there reliving it)?"
            ),
            "Feeling very upset when something reminded you of the stressful experience?",
            (
                "Having strong physical reactions when something reminded you of the stressful experience "
                "(for example, heart pounding, trouble breathing, sweating)?"
            ),
            "Avoiding memories, thoughts, or feelings related to the stressful experience?",
            (
                "Avoiding external reminders of the stressful experience "
                "(for example, people, places, conversations, activities, objects, or situations)?"
            ),
            "Trouble remembering important parts of the stressful experience?",
            (
                "Having strong negative beliefs about yourself, other people, or the world (for example, having thoughts such as: "
                "I am bad, there is something seriously wrong with me, no one can be trusted, the world is completely dangerous)?"
            ),
            "Blaming yourself or someone else for the stressful experience or what happened after it?",
            "Having strong negative feelings such as fear, horror, anger, guilt, or shame?",
            "Loss of interest in activities that you used to enjoy?",
            "Feeling distant or cut off from other people?",
            (
                "Trouble experiencing positive feelings "
                "(for example, being unable to feel happiness or have loving feelings for people close to you)?"
            ),
            "Irritable behavior, angry outbursts, or acting aggressively?",
            "Taking too many risks or doing things that could cause you harm?",
            'Being "superalert" or watchful or on guard?',
            "Feeling jumpy or easily startled?",
            "Having difficulty concentrating?",
            "Trouble falling or staying asleep?",
        ),
        choices=(_HOW_MUCH,) * 20,
        highest=(4,) * 20,
        licence="Weathers and others, National Center for PTSD, 2013; created by US government employees, not copyrighted.",
        reference="National Center for PTSD, ptsd.va.gov; comorbidityguidelines.org.au",
    ),
    "audit-c": Form(
        title="Alcohol Use Disorders Identification Test, consumption items",
        stem="These questions are about your use of alcoholic drinks.",
        items=(
            "How often do you have a drink containing alcohol?",
            "How many drinks containing alcohol do you have on a typical day when you are drinking?",
            "How often do you have six or more drinks on one occasion?",
        ),
        choices=(
            ("Never", "Monthly or less", "2 to 4 times a month", "2 to 3 times a week", "4 or more times a week"),
            ("1 or 2", "3 or 4", "5 or 6", "7, 8, or 9", "10 or more"),
            ("Never", "Less than monthly", "Monthly", "Weekly", "Daily or almost daily"),
        ),
        highest=(4,) * 3,
        licence=(
            "World Health Organization, AUDIT manual (Babor and others 2001): may be reproduced in part or in whole, "
            "but not for sale or for use in conjunction with commercial purposes."
        ),
        reference="Bush and others. Arch Intern Med 1998;158:1789-1795",
    ),
    "c-ssrs": Form(
        title="Columbia-Suicide Severity Rating Scale, screener",
        stem="",
        items=("q1", "q2", "q3", "q4", "q5", "q6"),
        choices=(_YES_NO,) * 5 + (("Never", "More than 3 months ago", "Within the past 3 months"),),
        highest=(1, 1, 1, 1, 1, 2),
        licence="Wording not shipped; use in commercial software may need a licence from the Columbia Lighthouse Project.",
        reference="Risk levels as in domain rule R-09 (secondary source: SPiER terminology report)",
    ),
}


@dataclass(frozen=True, slots=True)
class PanelCodes:
    """LOINC codes of an instrument as a panel and of its total or level; None where none is known."""

    panel: str | None
    total: str | None


LOINC: Mapping[Instrument, PanelCodes] = {
    "phq-9": PanelCodes(panel="44249-1", total="44261-6"),
    "gad-7": PanelCodes(panel="69737-5", total="70274-6"),
    "pcl-5": PanelCodes(panel=None, total=None),
    "audit-c": PanelCodes(panel="72109-2", total="75626-2"),
    "c-ssrs": PanelCodes(panel="93373-9", total="93374-7"),
}
"""Seen in US Core, the HL7 behavioural-health example and Synthea; none was found for PCL-5."""

"""Substance-use content of a review, and which partner organisation may have it (R-33; 42 CFR part 2). Pure.

A clinic of the policy's `part2_programs` holds Part 2 records. They go to a partner organisation only under the consent scope
`substance_use_disclosure`: the single consent for treatment, payment and health care operations (42 CFR 2.31(a)(4), 2.33(a)(2)).
Without it every review of such a clinic looks alike, whether there is such content or not: what is withheld must not tell that
a patient has a substance use disorder (after 2.13(c)(2)). The network's own clinicians see all of it, as a clinic's own do
(2.12(c)(3)). Tobacco and caffeine are no such content (2.11).

Checked against published texts: 2.31 and 2.33 as amended in 2024 (govregs.com), heading and paragraph (a) of 2.32
(compliancecosmos.org), the words of its second statement (several public copies), 2.12(c)(3) and 2.13 in a summary of the
earlier edition (healthinfolaw.org). Not checked: 2.11 on tobacco, and the wording of 2.32(b).
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from typing import Any, Final

from services.prescriber.domain.state import SUBSTANCE_USE_DISCLOSURE, Case
from shared.events.base import Slug
from shared.events.clinical import ScreeningSummary
from shared.events.prescriber import IN_HOUSE, StepRefused
from shared.pathway.context import Context
from shared.pathway.policy import Policy

SUBSTANCE_USE_WITHHELD: Final[Slug] = "substance-use-withheld"

INSTRUMENTS: Final = frozenset({"audit-c", "dast-10"})
MEDICATIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "buprenorphine": ("suboxone", "subutex", "zubsolv", "sublocade", "bunavail", "probuphine", "brixadi"),
    "methadone": ("dolophine", "methadose", "diskets"),
    "naltrexone": ("vivitrol", "revia"),
    "naloxone": ("narcan",),
    "nalmefene": (),
    "lofexidine": ("lucemyra",),
    "disulfiram": ("antabuse",),
    "acamprosate": ("campral",),
}
"""Ingredients given for a substance use disorder, withdrawal or an overdose, with their brands; withheld also where taken for pain."""
WORDS: Final = ("alcohol", "drug", "substance", "opioid", "opiate", "cannabi", "marijuana", "sober", "sobriety", "addict")
"""How an item or a name that speaks of substance use begins one of its words, an R-34 class such as `opioid` among them."""
_NAMES: Final = (*INSTRUMENTS, *MEDICATIONS, *chain.from_iterable(MEDICATIONS.values()), *WORDS)
_SPEAKS_OF_IT: Final = re.compile(rf"(?<![a-z])(?:{'|'.join(map(re.escape, _NAMES))})")

WITHHELD: Final = (
    "substance_use_scores",
    "substance_use_findings",
    "substance_use_medications",
    "finding_grounds",
    "unread_conditions",
    "notes",
)
"""What is withheld, always the same. No table can tell what free text, a condition that no rule has read, or the code that a finding
rests on (alcoholic cirrhosis, of `liver_disease`) says: all of them are withheld."""
WHY_WITHHELD: Final = (
    "The case is or was with a clinic that holds records under 42 CFR part 2, and the patient's consent does not cover disclosing them "
    "to you. From every such review substance-use content is withheld, whether there is any or not. A contraindication may be among it, "
    "so you cannot approve: ask the clinic for the patient's consent, or decide that the patient is not eligible."
)
NOTICE: Final = "42 CFR part 2 prohibits unauthorized use or disclosure of these records."
"""The second of the two statements one of which goes with each disclosure (42 CFR 2.32(a)(2))."""
NOTE_WITHHELD: Final = "Withheld (R-33)."


def speaks_of_substance_use(name: str) -> bool:
    """Whether an instrument, an item or a medication's name is substance-use content, by the table above."""
    return _SPEAKS_OF_IT.search(name.lower()) is not None


def is_protected(case: Case, clinic: str, policy: Policy) -> bool:
    """Whether the case's clinic, or one that it was transferred from, is a Part 2 program: records stay so wherever they go."""
    return not policy.part2_programs.isdisjoint({clinic, *case.earlier_clinics})


def is_withheld(case: Case, clinic: str, policy: Policy) -> bool:
    """Whether substance-use content is withheld from a partner organisation now, under the consent in force (R-33)."""
    covered = case.stops.consented and SUBSTANCE_USE_DISCLOSURE in case.stops.consent_scopes
    return is_protected(case, clinic, policy) and not covered


def without_substance_use(case: Case) -> Case:
    """Return the case as a partner organisation may see its review without substance-use content (R-33)."""
    answers = tuple(answer for answer in case.answers if not speaks_of_substance_use(answer.item))
    return replace(
        case,
        summary=None if case.summary is None else _without(case.summary),
        asked=tuple(item for item in case.asked if not speaks_of_substance_use(item)),
        answers=tuple(answer.model_copy(update={"note": NOTE_WITHHELD}) for answer in answers),
    )


def terms_of_disclosure(case: Case, clinic: str, policy: Policy) -> Mapping[str, Any]:
    """Return what goes with a review: what is withheld and why, or the notice and the consent's scope where Part 2 records are in it.

    A disclosure comes with a statement, and with a copy of the consent or an explanation of its scope (42 CFR 2.32; R-33).
    """
    withheld = is_withheld(case, clinic, policy)
    consent = {"version": case.stops.consent_version, "scopes": sorted(case.stops.consent_scopes), "given_at": case.stops.consent_given_at}
    disclosed = is_protected(case, clinic, policy) and not withheld
    return {
        "withheld": WITHHELD if withheld else (),
        "why_withheld": WHY_WITHHELD if withheld else None,
        "redisclosure": {"notice": NOTICE, "consent": consent} if disclosed else None,
    }


def not_seen(case: Case, by: Slug, context: Context) -> list[StepRefused]:
    """R-33: no partner approves while substance-use content is withheld from it; a contraindication could be hidden in it."""
    if by == IN_HOUSE or not is_withheld(case, context.clinic, context.policy):
        return []
    return [
        StepRefused(
            step="approve",
            rule="R-33",
            detail="Substance-use content is withheld from this review, and a contraindication may be among it; the patient's consent "
            "to its disclosure is needed first (42 CFR part 2), or a prescriber of the network decides.",
            facts={"because": SUBSTANCE_USE_WITHHELD},
            policy_version=context.policy.version,
        )
    ]


def can_show_more(case: Case, context: Context) -> bool:
    """Whether a partner may have fetched its review without content that the consent covers by now (R-33).

    Then it is asked anew, under another request, so that nobody approves on what was fetched before.
    """
    is_partners = case.partner not in {None, IN_HOUSE} and is_protected(case, context.clinic, context.policy)
    return is_partners and case.scope_was_missing and not is_withheld(case, context.clinic, context.policy)


def _without(summary: ScreeningSummary) -> ScreeningSummary:
    findings = (finding for finding in summary.findings if not speaks_of_substance_use(finding.item))
    return summary.model_copy(
        update={
            "scores": tuple(score for score in summary.scores if score.instrument not in INSTRUMENTS),
            "stated_scores": tuple(score for score in summary.stated_scores if score.instrument not in INSTRUMENTS),
            "findings": tuple(finding.model_copy(update={"because": ()}) for finding in findings),
            "medications": tuple(name for name in summary.medications if not speaks_of_substance_use(name)),
            "medications_of_no_class": tuple(name for name in summary.medications_of_no_class if not speaks_of_substance_use(name)),
            "unread_conditions": (),
            "note": None,
        }
    )

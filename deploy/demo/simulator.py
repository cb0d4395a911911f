"""What the records do not say: item answers, vital signs, what becomes of a patient. Drawn from a seed; simulated, and said so.

Where a record has a total, the items add up to it. Response and attrition follow what published cohorts report: about
half respond, about one in twelve gets worse, and fewer answer each later questionnaire (McInnes 2022, Hull 2022).
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

from deploy.demo.records import Record
from services.intake.domain.codes import CONDITIONS
from shared.pathway.instrument_items import FORMS

ITEM_9: Final = 8
ITEM_9_WEIGHT: Final = 0.25
"""Thoughts of death are affirmed less often than the other items of PHQ-9 at the same total."""

YES_BESIDE_THE_RECORD: Final[Mapping[str, float]] = {
    "ketamine_hypersensitivity": 0.02,
    "aneurysmal_vascular_disease": 0.01,
    "psychotic_disorder": 0.03,
    "nursing": 0.02,
    "alcohol_use_disorder": 0.02,
    "sleep_apnoea": 0.06,
    "glaucoma": 0.02,
}
"""How often a patient tells what the record does not say."""

Course = Literal["responds", "improves a little", "stays", "worsens"]
COURSES: Final[Mapping[Course, tuple[float, float, float]]] = {
    "responds": (0.54, 0.55, 0.90),
    "improves a little": (0.24, 0.15, 0.45),
    "stays": (0.14, -0.05, 0.10),
    "worsens": (0.08, -0.55, -0.35),
}
"""How often a course is drawn, and between which fractions of the baseline the score falls by its end."""


Incident = Literal["pressure is high", "pressure stays high", "pressure is forgotten", "emergency", "comes back late", "misses integration"]
INCIDENTS: Final[Mapping[int, Incident]] = {
    2: "pressure is high",
    7: "pressure is forgotten",
    10: "pressure stays high",
    12: "emergency",
    17: "misses integration",
    19: "comes back late",
}
"""What happens to which of every twenty-four patients, beside what is drawn, so that a demo of them shows each. On the demo's own seed
all of these are dosed."""
COHORT: Final = 24


@dataclass(frozen=True)
class Person:
    """One patient: a record that nobody here wrote, and what is drawn for this seed."""

    number: int
    record: Record
    seed: str

    @property
    def label(self) -> str:
        """A short name for idempotency keys and progress; no identifier."""
        return f"patient-{self.number:03}"

    @property
    def incident(self) -> Incident | None:
        """What happens to this patient beside what is drawn."""
        return INCIDENTS.get((self.number - 1) % COHORT + 1)

    def answers(self, instrument: str, occasion: str = "screening", doses: int = 0) -> list[int]:
        """Answer an instrument item by item; after `doses` of treatment if there were any."""
        draw = self._random(instrument, occasion)
        if instrument == "c-ssrs":
            return _c_ssrs(self._risk(occasion))
        total = self._baseline(instrument)
        if doses:
            total = self._after(total, doses, draw)
        return spread(total, FORMS[instrument].highest, draw, ITEM_9_WEIGHT if instrument == "phq-9" else 1.0)  # type: ignore[index]

    def affirms(self, question: str) -> bool:
        """Answer a question of the contraindication questionnaire: what the record says, and sometimes more."""
        if any(question in CONDITIONS["snomed", code].items for code in self.record.active if ("snomed", code) in CONDITIONS):
            return True
        return self._random("questionnaire", question).random() < YES_BESIDE_THE_RECORD.get(question, 0.0)

    def is_cleared(self, item: str) -> bool:
        """Whether the specialist asked about an item clears it."""
        return self._random("clearance", item).random() < 0.88

    @cached_property
    def recovers_from_risk(self) -> bool:
        """Whether a high risk has passed when the clinician asks again the next day."""
        return self._random("recovery").random() < 0.6

    @cached_property
    def withdraws_after(self) -> int | None:
        """After which dosing session the patient withdraws consent; None for most."""
        draw = self._random("withdrawal")
        return draw.choice((1, 1, 2)) if draw.random() < 0.1 else None

    @cached_property
    def course(self) -> Course:
        """What becomes of the symptoms."""
        return self._random("course").choices(list(COURSES), [weight for weight, _, _ in COURSES.values()])[0]

    def keeps(self, appointment: str) -> bool:
        """Whether the patient comes to an integration session."""
        return self._random("keeps", appointment).random() < 0.93

    def still_answers(self, occasion: str, earlier: int) -> bool:
        """Whether the patient fills in a questionnaire; each further one fewer do."""
        return self._random("followed", occasion).random() < 0.95 * 0.94**earlier

    def happens(self, what: str, likelihood: float) -> bool:
        """Whether something rare happens."""
        return self._random("rare", what).random() < likelihood

    def chooses(self, what: str, among: Sequence[str]) -> str:
        """Pick one."""
        return self._random("choice", what).choice(among)

    def vitals(self, session: int, minutes: int, attempt: int = 0) -> dict[str, Any]:
        """Vital signs so many minutes after the dose (0: before it): pressure and pulse rise to a peak and fall again."""
        draw = self._random("vitals", session, minutes, attempt)
        rise = max(0.0, 1 - abs(minutes - 35) / 60) if minutes else 0.0
        systolic, diastolic = self.record.blood_pressure or (122, 78)
        excess = (max(systolic - 132, 0) * 0.5, max(diastolic - 84, 0) * 0.5)
        nervous = draw.uniform(-6, 12) / (1 + 2 * attempt) if not minutes else draw.uniform(-4, 6)
        pressure = {
            "systolic": round(systolic - excess[0] - 6 * attempt + nervous + 18 * rise),
            "diastolic": round(diastolic - excess[1] - 4 * attempt + nervous / 2 + 9 * rise),
        }
        if session == 1 and not minutes:
            pressure = _raised(pressure, self.incident, attempt)
        return {
            "blood_pressure": pressure,
            "heart_rate": round(draw.uniform(62, 80) + 14 * rise),
            "respiratory_rate": round(draw.uniform(12, 17)),
            "oxygen_saturation": round(draw.uniform(95, 99)),
            "sedation": 4 if 15 <= minutes < 75 else 5,
        }

    def weight(self) -> float:
        """The weight on the clinic's scales, in kg."""
        return round((self.record.weight or 74.0) + self._random("weight").uniform(-1.5, 1.5), 1)

    def _baseline(self, instrument: str) -> int:
        recorded = self.record.totals.get(instrument)
        if recorded is not None:
            return recorded
        draw = self._random(instrument, "baseline")
        lowest, highest = {"phq-9": (9, 23), "gad-7": (5, 18), "pcl-5": (28, 62), "audit-c": (0, 3)}[instrument]
        return draw.randint(lowest, highest)

    def _after(self, baseline: int, doses: int, draw: random.Random) -> int:
        _, least, most = COURSES[self.course]
        fall = self._random("fall").uniform(least, most) * (1 - 0.45**doses) / (1 - 0.45**2)
        return max(0, round(baseline * (1 - fall) + draw.uniform(-1, 1)))

    def _risk(self, occasion: str) -> str:
        if occasion != "screening":
            return "low" if self._random("risk", occasion).random() < 0.8 else "moderate"
        return self._random("risk").choices(("none", "low", "moderate", "high"), (30, 35, 15, 20))[0]

    def _random(self, *what: object) -> random.Random:
        return random.Random("|".join(map(str, (self.seed, self.label, *what))))


def spread(total: int, highest: Sequence[int], draw: random.Random, weight_of_item_9: float = 1.0) -> list[int]:
    """Return one answer for each item so that they add up to the total, or to the most there is."""
    answers = [0] * len(highest)
    weights = [weight_of_item_9 if index == ITEM_9 else 1.0 for index in range(len(highest))]
    for _ in range(min(total, sum(highest))):
        room = [index for index, most in enumerate(highest) if answers[index] < most]
        answers[draw.choices(room, [weights[index] for index in room])[0]] += 1
    return answers


def _raised(pressure: dict[str, int], incident: Incident | None, attempt: int) -> dict[str, int]:
    """Return the pressure before the first dose, above 140/90 mmHg for some: until they rested, or all day."""
    high = incident == "pressure stays high" or (incident == "pressure is high" and attempt == 0)
    return {"systolic": 152 - attempt, "diastolic": 94 - attempt} if high else pressure


def _c_ssrs(risk: str) -> list[int]:
    return {"none": [0] * 6, "low": [1, 0, 0, 0, 0, 0], "moderate": [1, 1, 1, 0, 0, 0], "high": [1, 1, 1, 1, 0, 0]}[risk]

"""The people around one patient, until a prescriber has decided: each decides the next call from what the services show.

An actor knows what the services' views say, and asks the patient; never what a service keeps inside. So any run can go
on where another one ended, and a key made of case and step makes a repeated call the same call.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from deploy.demo.calls import Caller
from deploy.demo.judgement import decide
from deploy.demo.simulator import Person

CONSENT_VERSION: Final = "kap-consent-2026-1"
IN_HOUSE: Final = "in-house"


@dataclass(frozen=True, slots=True)
class Step:
    """One call to make now."""

    by: Caller
    service: str
    path: str
    body: Mapping[str, Any]
    name: str
    """What it is, unique among the steps of a case."""


@dataclass(frozen=True, slots=True)
class Telephone:
    """Ask the partner organisation where its answer is."""

    request: int


@dataclass(frozen=True, slots=True)
class Appointment:
    """Nothing to do before this moment."""

    at: datetime
    what: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The patient's way through the services is over."""

    state: str


Next = Step | Telephone | Appointment | Ended | None
"""None: somebody else has to act first."""


@dataclass
class Situation:
    """One patient as the services show the case now; a service that knows nothing of it yet shows an empty view."""

    person: Person
    now: datetime
    case: str | None = None
    views: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def view(self, service: str) -> Mapping[str, Any]:
        """Return what a service shows; empty if it knows nothing."""
        return self.views.get(service, {})

    @property
    def clinic(self) -> str:
        """Where the patient is treated."""
        return self.person.record.clinic

    def staff(self, role: str) -> Caller:
        """The member of the clinic's staff in this role."""
        return Caller(f"{role.replace('_', '-')}-{self.clinic}", role, (self.clinic,))

    def step(self, role: str, service: str, verb: str, body: Mapping[str, Any], name: str) -> Step:
        """Return a call about this case."""
        return Step(self.staff(role), service, f"/cases/{self.case}/{verb}", body, name)

    def clock(self) -> str:
        """Care time now, as text."""
        return self.now.isoformat()

    def after(self, moment: str | datetime, what: str, **later: float) -> Appointment | None:
        """Return an appointment so much later than a moment; None once that has passed."""
        at = as_time(moment) + timedelta(**later)
        return Appointment(at, what) if at > self.now else None


def as_time(moment: str | datetime) -> datetime:
    """Return a moment that a view shows as text."""
    return moment if isinstance(moment, datetime) else datetime.fromisoformat(moment)


def referral(situation: Situation) -> Step:
    """Return the call that refers the patient."""
    record = situation.person.record
    body = {"clinic": record.clinic, "indication": record.indication, "route": "sublingual", "bundle": record.bundle, "simulated": True}
    return Step(situation.staff("coordinator"), "intake", "/referrals/fhir", body, "refer")


def coordinator(situation: Situation) -> Next:
    """Carry a referral through the screening: consent, questionnaire, instruments, the screening itself."""
    view, person = situation.view("intake"), situation.person
    if view["screening"] is not None:
        outcome = view["screening"]
        if outcome["outcome"] == "screened_out":
            return Ended("screened out" if outcome["deferred_until"] is None else "deferred")
        return None
    if not view["consent"]["in_force"]:
        scopes = ["treatment", "disclosure_to_prescriber"]
        body: dict[str, Any] = {"version": CONSENT_VERSION, "scopes": scopes, "given_at": situation.clock()}
        return situation.step("coordinator", "intake", "consents", body, "consent")
    if view["still_needed"]["answers"]:
        answers = {question: person.affirms(question) for question in view["still_needed"]["answers"]}
        return situation.step("coordinator", "intake", "statements", {"answers": answers, "simulated": True}, "questionnaire")
    if view["still_needed"]["instruments"]:
        instrument = view["still_needed"]["instruments"][0]
        return _answer(situation, "therapist", instrument, "screening")
    if view["holds"]:
        return None
    return situation.step("therapist", "intake", "screening", {}, f"screening-{view['version']}")


def clinician(situation: Situation) -> Next:
    """See a patient at high risk again the next day; close the holds with a reason, or keep them."""
    view, person = situation.view("intake"), situation.person
    if not view["holds"]:
        return None
    risk = next((score for score in view["scores"] if score["instrument"] == "c-ssrs"), None)
    if risk is None:
        return None
    if risk["band"] == "high":
        seen_again = situation.after(risk["answered_at"], "clinician sees the patient again", hours=20)
        if seen_again is not None:
            return seen_again
        if not person.recovers_from_risk:
            return Ended("held")
        return _answer(situation, "medical_monitor", "c-ssrs", "seen again")
    body = {"hold": view["holds"][0], "reason": "Seen again: risk is lower by C-SSRS, a safety plan is agreed, a relative is involved."}
    return situation.step("medical_monitor", "intake", "holds/lift", body, f"lift {view['holds'][0]}")


def clearing_clinic(situation: Situation) -> Next:
    """Obtain the answers that a prescriber wants, and ask after answers that do not come."""
    view, person = situation.view("prescriber"), situation.person
    match view.get("status"):
        case "awaiting_clearance":
            wait = situation.after(view["due_at"], "specialists answer", hours=-24)
            if wait is not None:
                return wait
            answers = [
                {"item": item, "cleared": cleared, "note": "Seen by the specialist." if cleared else "The specialist advises against it."}
                for item in view["to_clear"]
                for cleared in [person.is_cleared(item)]
            ]
            return situation.step("medical_monitor", "prescriber", "clearances", {"answers": answers}, f"clear {view['request']}")
        case "in_review" if view["partner"] == IN_HOUSE:
            decision = decide({**view, "request": view["request"]}, situation.clock())
            return situation.step("prescriber", "prescriber", "decision", decision, f"decide {view['request']}")
        case "in_review" if view["overdue"] and not view["holds"]:
            return Telephone(view["request"])
        case "declined":
            return Ended("declined")
        case _:
            return None


def _answer(situation: Situation, role: str, instrument: str, occasion: str) -> Step:
    answers = situation.person.answers(instrument, occasion)
    body = {"instrument": instrument, "answers": answers, "answered_at": situation.clock(), "simulated": True}
    return situation.step(role, "intake", "instruments", body, f"{instrument} {occasion}")


Actor = Callable[[Situation], Next]

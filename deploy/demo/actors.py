"""The people around one patient, until a prescriber has decided: each decides the next call from what the services show.

An actor knows what the services' views say, and asks the patient; never what a service keeps inside. So any run can go
on where another one ended, and a key made of case and step makes a repeated call the same call.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from deploy.demo.calls import Caller
from deploy.demo.partner import PLAN_DAYS
from deploy.demo.simulator import Person
from deploy.partner_kit.judgement import decide

EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
VISITS: Final = timedelta(hours=1)
"""Visits begin on the hour, so that many patients are seen at the same moment."""
BEDSIDE: Final = timedelta(minutes=1)
CONSENT_VERSION: Final = "kap-consent-2026-1"
IN_HOUSE: Final = "in-house"
CLINIC_TIME: Final = ZoneInfo("America/New_York")


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
class Appointment:
    """Nothing to do before this moment."""

    at: datetime
    what: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The patient's way through the services is over."""

    state: str


Next = Step | Appointment | Ended | None
"""None: somebody else has to act first."""


@dataclass
class Situation:
    """One patient as the services show the case now; a service that knows nothing of it yet shows an empty view."""

    person: Person
    now: datetime
    case: str | None = None
    views: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    """The steps that were refused, by name, and why."""

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

    def wait_until(self, moment: datetime, what: str, grid: timedelta = VISITS) -> Appointment | None:
        """Return an appointment at the first full hour (or minute) from a moment on; None once that has come."""
        at = moment + (EPOCH - moment) % grid
        return Appointment(at, what) if at > self.now else None


def as_time(moment: str) -> datetime:
    """Return a moment that a view shows as text."""
    return datetime.fromisoformat(moment)


def referral(situation: Situation) -> Step:
    """Return the call that refers the patient."""
    record = situation.person.record
    body = {"clinic": record.clinic, "indication": record.indication, "route": "sublingual", "bundle": record.bundle, "simulated": True}
    return Step(situation.staff("coordinator"), "intake", "/referrals/fhir", body, "refer")


def coordinator(situation: Situation) -> Next:
    """Carry a referral through the screening: consent, questionnaire, instruments, the screening itself."""
    view, person = situation.view("intake"), situation.person
    occasion = "screening" if view["renewing_since"] is None else "renewal"
    if view["screening"] is not None and occasion == "screening":
        outcome = view["screening"]
        if outcome["outcome"] == "screened_out":
            return Ended("screened out" if outcome["deferred_until"] is None else "deferred")
        return _renewal(situation, as_time(outcome["at"]))
    if not view["consent"]["in_force"]:
        scopes = ["treatment", "disclosure_to_prescriber"]
        body: dict[str, Any] = {"version": CONSENT_VERSION, "scopes": scopes, "given_at": situation.clock()}
        return situation.step("coordinator", "intake", "consents", body, "consent")
    if view["still_needed"]["answers"]:
        answers = {question: person.affirms(question) for question in view["still_needed"]["answers"]}
        return situation.step("coordinator", "intake", "statements", {"answers": answers, "simulated": True}, f"questionnaire {occasion}")
    if view["still_needed"]["instruments"]:
        instrument = view["still_needed"]["instruments"][0]
        return _answer(situation, "therapist", instrument, occasion)
    if view["holds"]:
        return None
    return situation.step("therapist", "intake", "screening", {}, f"screening-{view['version']}")


def _renewal(situation: Situation, screened_at: datetime) -> Next:
    """Screen a patient again who came back after too many weeks: the session room refused to schedule, and a prescriber decides anew."""
    on_this_approval = f"on approval {situation.view('prescriber').get('plan_request')}"
    refused = any(name.endswith(on_this_approval) and "reclearance-needed" in why for name, why in situation.refused.items())
    dosed_at = last_dose_at(situation.view("session"))
    if not refused or dosed_at is None or screened_at > dosed_at:
        return None
    return situation.step("therapist", "intake", "screening/renewal", {"reason": "reclearance"}, "renewal")


def last_dose_at(view: Mapping[str, Any]) -> datetime | None:
    """When the last dose of a course was given."""
    lines = [line for session in view.get("sessions", ()) for line in session["timeline"]]
    return max((as_time(line["at"]) for line in lines if line["event"] == "SessionDosed"), default=None)


def clinician(situation: Situation) -> Next:
    """See a patient on hold again the next day; lift the hold with a reason, or keep it."""
    view, person = situation.view("intake"), situation.person
    if not view["holds"]:
        return None
    risk = next((score for score in view["scores"] if score["instrument"] == "c-ssrs" and score["band"] == "high"), None)
    since = _last_adverse_event(situation.view("session")) if risk is None else as_time(risk["answered_at"])
    if since is not None:
        seen_again = situation.wait_until(since + timedelta(hours=20), "the clinician sees the patient again")
        if seen_again is not None:
            return seen_again
    if risk is not None:
        return _answer(situation, "medical_monitor", "c-ssrs", "seen again") if person.recovers_from_risk else Ended("held")
    reason = "Seen again the next day: the risk has passed, a safety plan is agreed."
    body = {"hold": view["holds"][0], "reason": reason}
    return situation.step("medical_monitor", "intake", "holds/lift", body, f"lift {view['holds'][0]}")


def clearing_clinic(situation: Situation) -> Next:
    """Obtain the answers that a prescriber wants, and decide what comes in-house: a silent partner loses its review."""
    view, person = situation.view("prescriber"), situation.person
    match view.get("status"):
        case "awaiting_clearance":
            wait = situation.wait_until(as_time(view["due_at"]) - timedelta(hours=24), "specialists answer")
            if wait is not None:
                return wait
            answers = [
                {"item": item, "cleared": cleared, "note": "Seen by the specialist." if cleared else "The specialist advises against it."}
                for item in view["to_clear"]
                for cleared in [person.is_cleared(item)]
            ]
            return situation.step("medical_monitor", "prescriber", "clearances", {"answers": answers}, f"clear {view['request']}")
        case "in_review" if view["partner"] == IN_HOUSE:
            decision = decide({**view, "request": view["request"]}, situation.clock(), PLAN_DAYS)
            return situation.step("prescriber", "prescriber", "decision", decision, f"decide {view['request']}")
        case "declined":
            return Ended("declined")
        case _:
            return None


def pharmacy(situation: Situation) -> Next:
    """Prescribe what was approved and dispense it at once; destroy before a witness what the course left over."""
    view = situation.view("prescriber")
    if view.get("plan") is None or view["holds"] or not view["consented"]:
        return None
    plan, supply, today = view["plan"], view["supply"], situation.now.astimezone(CLINIC_TIME).date().isoformat()
    prescribed = [each for each in supply["prescriptions"] if each["request"] == view["plan_request"]]
    if not prescribed:
        amount = {"route": plan["route"], "milligrams_per_dose": plan["dose_mg_high"], "doses": plan["doses"], "refills": 0}
        return situation.step(
            "prescriber", "prescriber", "prescriptions", {**amount, "issued_on": today}, f"prescribe {view['plan_request']}"
        )
    issued = prescribed[-1]
    if Decimal(issued["dispensed"]) == 0:
        fill = {"prescription": issued["prescription"], "fill_number": 1, "milligrams": issued["milligrams"], "doses": issued["doses"]}
        body = {**fill, "lot": f"lot-{today}", "dispensed_on": today, "dispenser": "Network pharmacy"}
        return situation.step("coordinator", "prescriber", "dispensings", body, f"dispense {issued['prescription']}")
    left_over = Decimal(supply["balance"]["on_hand"])
    if situation.view("session").get("status") == "completed" and left_over > 0:
        body = {"milligrams": str(left_over), "witnessed_by": "nurse-2", "reason": "Left over.", "wasted_at": situation.clock()}
        return situation.step("medical_monitor", "prescriber", "wastage", body, f"destroy {left_over} mg")
    return None


def on_call(situation: Situation) -> Next:
    """Take on whatever alert stands open, in whichever service, in the role that it calls."""
    for service, view in sorted(situation.views.items()):
        for alert in view.get("alerts", ()):
            if alert["acknowledged_at"] is None:
                role = alert["role"] if alert["role"] != "admin" else "medical_monitor"
                body = {"alert": alert["id"], "note": "Seen."}
                return situation.step(role, service, "alerts/acknowledge", body, f"acknowledge {alert['id']}")
    return None


def _last_adverse_event(view: Mapping[str, Any]) -> datetime | None:
    lines = [line for session in view.get("sessions", ()) for line in session["timeline"]]
    return max((as_time(line["at"]) for line in lines if line["event"] == "AdverseEventRecorded"), default=None)


def _answer(situation: Situation, role: str, instrument: str, occasion: str) -> Step:
    answers = situation.person.answers(instrument, occasion)
    # A renewal is recorded moments after the clock was read, and only what is answered from then on counts for it.
    renewing_since = situation.view("intake")["renewing_since"]
    answered_at = situation.clock() if renewing_since is None else max(situation.now, as_time(renewing_since)).isoformat()
    body = {"instrument": instrument, "answers": answers, "answered_at": answered_at, "simulated": True}
    return situation.step(role, "intake", "instruments", body, f"{instrument} {occasion}")

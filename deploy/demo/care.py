"""The people of the course: preparation, the session room, integration; each decides the next call from what the services show."""

from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

from deploy.demo.actors import BEDSIDE, CONSENT_VERSION, Appointment, Ended, Next, Situation, as_time, last_dose_at

Line = Mapping[str, Any]
"""One line of a session's timeline."""

DOSING_DAY: Final = 1
"""Tuesday; at ten."""
DOSING_HOUR: Final = time(10, 0)
NOTICE: Final = timedelta(days=2)
BETWEEN_DOSES: Final = timedelta(days=13)
AWAY: Final = timedelta(weeks=13)
"""A week longer than a patient may be away without being cleared anew (R-27)."""
VITALS_AT: Final = (15, 40, 90, 120)
"""Minutes after the dose."""
FORGOTTEN_PRESSURE_AT: Final = 55
BEFORE_REPEAT_IS_DUE: Final = timedelta(minutes=3)
"""So much earlier than it must be, a pressure above the limit is taken again."""
REST: Final = timedelta(minutes=30)
CHECKS_IN_A_DAY: Final = 3
DECISION_HOLDS: Final = timedelta(hours=2)
TOPICS: Final = ("what-ketamine-does", "side-effects", "the-day-of-the-session", "driving", "integration")
OUTCOMES: Final = ("gad-7", "pcl-5", "phq-9")
BEFORE_DUE: Final = timedelta(hours=26)
REMINDED: Final = timedelta(hours=20)
"""How long after the window someone finds out why the patient did not answer."""


def preparing_therapist(situation: Situation) -> Next:
    """Prepare the patient, and put the next session in the diary once the last one was integrated."""
    view, person = situation.view("session"), situation.person
    if view.get("plan") is None or view["holds"] or not view["consent"]["in_force"]:
        return None
    if view["preparation"] is None:
        intention = person.chooses("intention", ("Meet my grief.", "Sleep without fear.", "Feel close to my family again.", "Listen."))
        body = {
            "psychoeducation": True,
            "topics": list(TOPICS),
            "intentions": [intention],
            "set_and_setting": {"music": "A playlist without words.", "eye_mask": True, "approaches": ["silent-sitting"]},
            "completed_at": situation.clock(),
        }
        return situation.step("therapist", "session", "preparation", body, "preparation")
    if view["doses_left"] == 0 or any(session["phase"] in ("scheduled", "dosed") for session in view["sessions"]):
        return None
    number = len(view["sessions"]) + 1
    earliest = situation.now + NOTICE
    dosed_at = last_dose_at(view)
    if dosed_at is not None:
        if _waits_for_integration(situation.view("integration")):
            return None
        if person.incident == "comes back late" and number == 2:
            away = situation.wait_until(dosed_at + AWAY, "the patient comes back")
            if away is not None:
                return away
        earliest = max(earliest, dosed_at + BETWEEN_DOSES)
    name = f"schedule {number} on approval {situation.view('prescriber')['plan_request']}"
    if name in situation.refused:
        return None
    body = {"starts_at": dosing_slot(earliest).isoformat(), "setting": "clinic"}
    return situation.step("coordinator", "session", "sessions", body, name)


def monitor(situation: Situation) -> Next:
    """Work through the open session: checks, authorisation, dose, vitals, discharge."""
    sessions = situation.view("session").get("sessions", ())
    session = next((each for each in sessions if each["phase"] in ("scheduled", "dosed")), None)
    if session is None:
        return None
    return _before_dose(situation, session) if session["phase"] == "scheduled" else _after_dose(situation, session)


def withdrawing_patient(situation: Situation) -> Next:
    """Withdraw consent after a session, as some do; nothing more is asked of who did."""
    view, person = situation.view("session"), situation.person
    completed = [session for session in view.get("sessions", ()) if session["phase"] == "completed"]
    if not completed or any(session["phase"] == "dosed" for session in view["sessions"]):
        return None
    if not view["consent"]["in_force"]:
        return Ended("withdrawn")
    if person.withdraws_after != len(completed):
        return None
    left_at = as_time(_lines(completed[-1], "SessionCompleted")[-1]["at"])
    wait = situation.wait_until(left_at + timedelta(hours=20), "the patient calls")
    body = {"withdrawn_at": situation.clock()}
    return wait or situation.step("coordinator", "session", "consent-withdrawal", body, "withdrawal")


def integration_therapist(situation: Situation) -> Next:
    """Hold the integration sessions the patient comes to, set a goal and follow it, measure outcomes or record why not."""
    view = situation.view("integration")
    if not view.get("planned"):
        return None
    if view["still_needed"]["instruments"]:
        return _measure(situation, view["still_needed"]["instruments"][0], f"after {len(view['outcomes'])}", 0)
    held = [each for each in view["planned"] if each["held_at"] is not None]
    step = _goal(situation, held, [each for each in held if each["purpose"] == "follow_up"])
    if step is not None:
        return step
    if view["status"] == "completed":
        return Ended("integrated")
    coming = [each for each in view["planned"] if each["awaited"] and not each["overdue"] and situation.person.keeps(each["id"])]
    measured = [_outcome(situation, number, each) for number, each in enumerate(view["measurements"]) if each["awaited"]]
    return _earliest([*(_integration_session(situation, each) for each in coming), *measured])


def _before_dose(situation: Situation, session: Mapping[str, Any]) -> Next:
    view, person, number = situation.view("session"), situation.person, session["session"]
    starts = situation.wait_until(as_time(_lines(session, "SessionScheduled")[-1]["starts_at"]), "dosing session", BEDSIDE)
    if starts is not None:
        return starts
    if view["holds"] or not view["consent"]["in_force"]:
        return _cancel(situation, number, "stopped")
    if person.happens(f"stays away {number}", 0.04):
        return _cancel(situation, number, "did-not-come")
    authorised = _lines(session, "DosingAuthorised")
    if authorised:
        body = {
            "session": number,
            "dose_mg": authorised[-1]["dose_mg"],
            "route": view["plan"]["route"],
            "lot": authorised[-1]["asked"].get("lot"),
            "given_at": authorised[-1]["at"],
        }
        return situation.step("medical_monitor", "session", "doses", body, f"dose {number}")
    checks = _lines(session, "PreDoseChecked")
    name = f"authorise {number} after check {len(checks)}"
    if not checks:
        return _check(situation, number, 0)
    if name not in situation.refused:
        dose = _dose(view["plan"], first=len(view["sessions"]) == 1)
        body = {"session": number, "dose_mg": dose, "intent": view["plan"]["intent"], "lot": _lot(situation)}
        return situation.step("medical_monitor", "session", "authorisation", body, name)
    if person.incident == "pressure stays high" and number == 1 and not _lines(session, "PressureDecided"):
        until = situation.now + DECISION_HOLDS
        body = {"session": number, "decision": "proceed", "until": until.isoformat(), "reason": "Usual for this patient, no symptoms."}
        return situation.step("prescriber", "session", "pressure-decisions", body, f"decide on pressure {number}")
    if _lines(session, "PressureDecided") and f"{name} as decided" not in situation.refused:
        dose = _dose(view["plan"], first=len(view["sessions"]) == 1)
        body = {"session": number, "dose_mg": dose, "intent": view["plan"]["intent"], "lot": _lot(situation)}
        return situation.step("medical_monitor", "session", "authorisation", body, f"{name} as decided")
    rest = situation.wait_until(as_time(checks[-1]["at"]) + REST, "checked again after a rest", BEDSIDE)
    if rest is not None:
        return rest
    return _cancel(situation, number, "not-fit-today") if len(checks) >= CHECKS_IN_A_DAY else _check(situation, number, len(checks))


def _check(situation: Situation, number: int, done: int) -> Next:
    person = situation.person
    body = {
        "session": number,
        "consent_reaffirmed": True,
        "consent_version": CONSENT_VERSION,
        "monitor": situation.staff("medical_monitor").subject,
        "monitor_adult": True,
        "escort_named": done > 0 or not person.happens(f"no escort {number}", 0.05),
        "fasting": True,
        "medications_taken": [],
        "weight_kg": str(person.weight()),
        "weighed_at": situation.clock(),
        "blood_pressure": person.vitals(number, 0, done)["blood_pressure"],
        "checked_at": situation.clock(),
    }
    return situation.step("medical_monitor", "session", "checks", body, f"check {number} {done + 1}")


def _lot(situation: Situation) -> str | None:
    """The lot that was dispensed last, as its name says."""
    return max(situation.view("session")["lots"], default=None)


def _cancel(situation: Situation, number: int, reason: str) -> Next:
    body = {"session": number, "reason": reason}
    return situation.step("coordinator", "session", "sessions/cancel", body, f"cancel {number}")


def _after_dose(situation: Situation, session: Mapping[str, Any]) -> Next:
    person, number = situation.person, session["session"]
    dosed_at = as_time(_lines(session, "SessionDosed")[0]["at"])
    taken = _lines(session, "VitalsRecorded")
    forgotten = person.happens(f"forgotten pressure {number}", 0.05) or (person.incident == "pressure is forgotten" and number == 1)
    minutes = _next_vitals(dosed_at, taken, forgotten=forgotten)
    if minutes is not None:
        wait = situation.wait_until(dosed_at + timedelta(minutes=minutes), "vitals", BEDSIDE)
        body = {"session": number, "taken_at": situation.clock(), **person.vitals(number, minutes)}
        return wait or situation.step("medical_monitor", "session", "vitals", body, f"vitals {number} {len(taken) + 1}")
    event = _adverse_event(situation, number)
    if event is not None and not _lines(session, "AdverseEventRecorded"):
        return situation.step("medical_monitor", "session", "adverse-events", event, f"adverse event {number}")
    emergency = any(each["session"] == number for each in situation.view("session")["open_emergencies"])
    if emergency:
        return situation.step("medical_monitor", "session", "emergency-responses", _response(situation, number), f"response {number}")
    transported = any(line["transported"] for line in _lines(session, "EmergencyResponded"))
    body = {
        "session": number,
        "discharged_at": situation.clock(),
        "assessed_by": situation.staff("medical_monitor").subject,
        "at_baseline": True,
        "escort_present": not transported,
        "no_driving_instruction": True,
        "aftercare_contact": f"on-call-{situation.clinic}",
        "pressure_acceptable": True,
        "transported": transported,
        **({"missing_pressure_reason": "Taken too late."} if forgotten else {}),
    }
    return situation.step("medical_monitor", "session", "discharge", body, f"discharge {number}")


def _next_vitals(dosed_at: datetime, taken: Sequence[Line], *, forgotten: bool) -> int | None:
    """Return the minute after the dose at which vitals are taken next: as planned, or before a pressure must be repeated."""
    last = max((_minutes(dosed_at, as_time(line["at"])) for line in taken), default=0)
    planned = next((minutes for minutes in VITALS_AT if minutes > last), None)
    if planned == VITALS_AT[1] and forgotten:
        return FORGOTTEN_PRESSURE_AT
    if planned is None or not taken or taken[-1].get("repeat_by") is None:
        return planned
    repeat = _minutes(dosed_at, as_time(taken[-1]["repeat_by"]) - BEFORE_REPEAT_IS_DUE)
    return min(planned, max(last + 1, repeat))


def _minutes(since: datetime, at: datetime) -> int:
    """Whole minutes, rounded: the clock runs on for moments while people act, and no run may go another way for that."""
    return round((at - since) / timedelta(minutes=1))


def _response(situation: Situation, number: int) -> dict[str, Any]:
    return {
        "session": number,
        "emergency_services_called": True,
        "transported": True,
        "resolved": True,
        "outcome": "Handed over to the ambulance.",
        "responded_at": situation.clock(),
    }


def _adverse_event(situation: Situation, number: int) -> dict[str, Any] | None:
    person = situation.person
    common: dict[str, Any] = {"session": number, "happened_at": situation.clock()}
    if person.happens(f"serious {number}", 0.01) or (person.incident == "emergency" and number == 1):
        return {
            **common,
            "what": "Sudden severe headache; sent to the emergency department.",
            "symptoms": ["sudden_severe_headache"],
            "serious": True,
        }
    if person.happens(f"nausea {number}", 0.12):
        return {**common, "what": "Nausea for an hour, one vomit.", "symptoms": ["nausea"], "serious": False}
    return None


def _integration_session(situation: Situation, planned: Mapping[str, Any]) -> Next:
    person, due = situation.person, as_time(planned["due_by"])
    before = timedelta(hours=50) if planned["purpose"] == "after_dose" else BEFORE_DUE
    wait = situation.wait_until(due - before, "integration session")
    if person.incident == "misses integration" and planned["id"] == "after-dose-1" and not planned["missed"]:
        again = situation.now + timedelta(hours=24)
        missed = {"id": planned["id"], "because": "no_show", "at": situation.clock(), "rescheduled_to": again.isoformat()}
        return wait or situation.step("therapist", "integration", "integration-sessions/missed", missed, f"missed {planned['id']}")
    insight = person.chooses(
        f"insight {planned['id']}", ("I can ask for help.", "The fear is smaller.", "I miss my brother.", "I can rest.")
    )
    body = {"id": planned["id"], "held_at": situation.clock(), "insights": [insight]}
    return wait or situation.step("therapist", "integration", "integration-sessions", body, f"hold {planned['id']}")


def _goal(situation: Situation, held: Sequence[Mapping[str, Any]], follow_ups: Sequence[Mapping[str, Any]]) -> Next:
    goals, person = situation.view("integration")["goals"], situation.person
    if held and not goals:
        behaviour = person.chooses(
            "goal", ("Walk for ten minutes after breakfast.", "Call one friend.", "Write three lines in the evening.")
        )
        body: dict[str, Any] = {"behaviour": behaviour, "times_per_week": 3}
        return situation.step("therapist", "integration", "goals", body, "goal")
    done = len(goals[0]["progress"]) if goals else 0
    if goals and done < len(follow_ups):
        body = {
            "goal": goals[0]["goal"],
            "times": int(person.chooses(f"week {done}", ("0", "1", "2", "3", "3", "4"))),
            "at": situation.clock(),
        }
        return situation.step("therapist", "integration", "goals/progress", body, f"week {done + 1}")
    return None


def _outcome(situation: Situation, number: int, at: Mapping[str, Any]) -> Next:
    """Measure when it is due, each scale that has a baseline, PHQ-9 last, for it ends the wait; or record why there is no answer."""
    view, person = situation.view("integration"), situation.person
    if not person.still_answers(at["id"], number):
        wait = situation.wait_until(as_time(at["closes_at"]) + REMINDED, "a reason")
        because = person.chooses(f"not followed {at['id']}", ("declined", "lost_to_follow_up", "lost_to_follow_up", "moved"))
        body = {"measurement": at["id"], "because": because, "at": situation.clock()}
        return wait or situation.step("coordinator", "integration", "outcomes/not-followed", body, f"not followed {at['id']}")
    wait = situation.wait_until(as_time(at["due_at"]) - BEFORE_DUE, "outcome")
    asked = [score["instrument"] for score in view["baseline"] if score["instrument"] in OUTCOMES]
    for instrument in sorted(asked, key=OUTCOMES.index):
        answered = (each for each in view["outcomes"] if each["instrument"] == instrument)
        if not any(as_time(each["measured_at"]) >= as_time(at["opens_at"]) for each in answered):
            return wait or _measure(situation, instrument, at["id"], len(view["doses"]))
    return None


def _measure(situation: Situation, instrument: str, occasion: str, doses: int) -> Next:
    answers = situation.person.answers(instrument, occasion, doses)
    body = {"instrument": instrument, "answers": answers, "measured_at": situation.clock(), "simulated": True}
    return situation.step("therapist", "integration", "outcomes", body, f"outcome {instrument} {occasion}")


def _lines(session: Mapping[str, Any], what: str) -> list[Line]:
    return [line for line in session["timeline"] if line["event"] == what]


def _waits_for_integration(view: Mapping[str, Any]) -> bool:
    """Whether the session after the last dose is still to be held, or not yet known to be missed."""
    planned = [each for each in view.get("planned", ()) if each["purpose"] == "after_dose"]
    return not planned or (planned[-1]["held_at"] is None and not planned[-1]["overdue"])


def _dose(plan: Mapping[str, Any], *, first: bool) -> str:
    """The lowest dose of the band first, then the highest."""
    return str(Decimal(plan["dose_mg_low"] if first else plan["dose_mg_high"]))


def dosing_slot(earliest: datetime) -> datetime:
    """Return the next dosing day from a moment on."""
    day = earliest.date() + timedelta(days=(DOSING_DAY - earliest.weekday()) % 7)
    slot = datetime.combine(day, DOSING_HOUR, earliest.tzinfo)
    return slot if slot >= earliest else slot + timedelta(days=7)


def _earliest(wanted: Sequence[Next]) -> Next:
    """Return the first call; else the earliest appointment."""
    appointments = [said for said in wanted if isinstance(said, Appointment)]
    other = next((said for said in wanted if said is not None and not isinstance(said, Appointment)), None)
    return other or min(appointments, key=lambda said: said.at, default=None)

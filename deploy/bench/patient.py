"""A patient whom the bench brings, over the real APIs, to where only a stop forbids the next dose."""

import asyncio
import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Self
from zoneinfo import ZoneInfo

import aiohttp

from deploy.bench import sample
from deploy.local.failure import StackError
from deploy.local.stack import LocalStack
from shared.clock import system_now
from shared.pathway.policy import read_document
from shared.pathway.view import VIEW_TOO_OLD

PATIENCE_SECONDS: Final = 60.0
LOOK_EVERY_SECONDS: Final = 0.05
DOSE_MG: Final = "200"
PLAN: Final = {
    "route": "sublingual",
    "intent": "psycholytic",
    "dose_mg_low": "100",
    "dose_mg_high": "300",
    "mg_per_kg_high": "5",
    "doses": 2,
    "limits": {"hold_above": {"systolic": 140, "diastolic": 90}, "second_pressure_after_minutes": 40, "minimum_stay_minutes": 120},
}


@dataclass
class Staff:
    """Everyone who works at the stack that is up."""

    stack: LocalStack
    session: aiohttp.ClientSession
    _tokens: dict[str, str] = field(default_factory=dict)

    async def call(self, method: str, role: str, service: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        """Call once; returns the status and the answer."""
        if role not in self._tokens:
            self._tokens[role] = self.stack.issuer.mint(f"bench-{role}", [role], [sample.CLINIC], lifetime=timedelta(hours=8))
        headers = {"Authorization": f"Bearer {self._tokens[role]}", "Content-Type": "application/json"}
        if method == "POST":
            headers["Idempotency-Key"] = uuid.uuid4().hex
        url = self.stack.running.url(service) + path
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        async with self.session.request(method, url, data=data, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def post(self, role: str, service: str, path: str, body: Any) -> dict[str, Any]:
        """Do something that must go well; a view that is too old yet is waited for."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            status, answer = await self.call("POST", role, service, path, body)
            if status < 300:
                return answer
            if reason_of(answer) != VIEW_TOO_OLD or time.monotonic() > deadline:
                raise StackError(f"{service} {path}: {status} {answer}")
            await asyncio.sleep(LOOK_EVERY_SECONDS)


def reason_of(answer: Mapping[str, Any]) -> str | None:
    """Return the first word for why something was refused: the rule's own, or the rule itself."""
    refusals = answer.get("refusals") or [{}]
    reason: str | None = refusals[0].get("because") or refusals[0].get("rule")
    return reason


@dataclass(frozen=True)
class Patient:
    """One case, and the lot that was dispensed for it."""

    staff: Staff
    case: str
    lot: str = ""

    @classmethod
    async def referred(cls, staff: Staff) -> Self:
        """Refer someone, and record what a screening needs."""
        case = (await staff.post("coordinator", "intake", "/cases", sample.referral()))["case"]
        patient = cls(staff, case)
        for part, body in sample.preparations():
            await patient.post("therapist", "intake", part, body)
        return patient

    @classmethod
    async def ready_for_a_dose(cls, staff: Staff, lot: str) -> Self:
        """Bring someone from the referral to the checks before the first dose."""
        patient = cls(staff, (await cls.referred(staff)).case, lot)
        await patient.post("therapist", "intake", "screening", sample.SCREENING)
        await patient.until("prescriber", lambda view: view["status"] == "in_review")
        now, today = system_now(), _today()
        plan = {**PLAN, "expires_at": (now + timedelta(days=30)).isoformat()}
        cleared = [{"item": sample.YES, "cleared": True, "note": "Well controlled."}]
        decision = {"request": 1, "decision": "eligible", "reasons": ["indication-depression"], "plan": plan, "clearances": cleared}
        await patient.post("prescriber", "prescriber", "decision", {**decision, "evaluation": {"mode": "in_person", "in_person_on": today}})
        await patient.post("prescriber", "prescriber", "prescriptions", _prescription())
        prescription = (await patient.view("prescriber"))["supply"]["prescriptions"][0]["prescription"]
        fill = {"prescription": prescription, "fill_number": 1, "milligrams": "400", "doses": 2, "lot": lot, "dispensed_on": today}
        await patient.post("coordinator", "prescriber", "dispensings", {**fill, "dispenser": "Network pharmacy"})
        await patient.until("session", lambda view: view["plan"] is not None and view["consent"]["in_force"])
        await patient.until("integration", lambda view: view["consent"]["in_force"])
        await patient._prepared()
        return patient

    async def _prepared(self) -> None:
        now = system_now().isoformat()
        await self.post("therapist", "session", "preparation", {"psychoeducation": True, "intentions": ["Rest."], "completed_at": now})
        soon = (system_now() + timedelta(minutes=1)).isoformat()
        await self.post("coordinator", "session", "sessions", {"starts_at": soon, "setting": "clinic"})
        pressure = {"systolic": 120, "diastolic": 80}
        room = {"consent_reaffirmed": True, "consent_version": "v1", "monitor": "monitor-1", "escort_named": True, "fasting": True}
        room |= {"monitor_adult": True, "medications_taken": []}
        checks = {"session": 1, **room, "weight_kg": "82", "weighed_at": now, "blood_pressure": pressure, "checked_at": now}
        await self.post("medical_monitor", "session", "checks", checks)

    async def post(self, role: str, service: str, verb: str, body: Any) -> dict[str, Any]:
        """Do something about the case that must go well."""
        return await self.staff.post(role, service, f"/cases/{self.case}/{verb}", body)

    async def view(self, service: str) -> dict[str, Any]:
        """Return what a service shows of the case; nothing where it knows none."""
        status, answer = await self.staff.call("GET", "medical_monitor", service, f"/cases/{self.case}")
        return answer if status == 200 else {}

    async def until(self, service: str, holds: Callable[[Mapping[str, Any]], bool]) -> None:
        """Wait until a service shows what is awaited."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not ((view := await self.view(service)) and holds(view)):
            if time.monotonic() > deadline:
                raise StackError(f"{service} shows {view} of {self.case}")
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def stopped_at(self, service: str) -> str | None:
        """Return a word where a service knows of a stop."""
        view = await self.view(service)
        return "stopped" if view["holds"] or not view["consent"]["in_force"] else None

    async def why_no_prescription(self) -> str | None:
        """Ask for one more prescription than the plan has doses for: what refuses it then is a stop, or else only that."""
        status, answer = await self.staff.call("POST", "prescriber", "prescriber", f"/cases/{self.case}/prescriptions", _prescription())
        reason = reason_of(answer)
        if status != 409 or reason is None:
            raise StackError(f"a prescription too many: {status} {answer}")
        return None if reason == "R-15" else reason

    async def ask_for_the_dose(self, lot: str | None = None) -> tuple[int, dict[str, Any]]:
        """Ask for the dose that everything allows; returns the status and the answer."""
        body = {"session": 1, "dose_mg": DOSE_MG, "intent": PLAN["intent"], "lot": lot}
        return await self.staff.call("POST", "medical_monitor", "session", f"/cases/{self.case}/authorisation", body)

    async def why_no_dose(self) -> str | None:
        """Ask for the dose that everything allows; a view that is too old refuses it too, and is waited for by asking again."""
        status, answer = await self.ask_for_the_dose(self.lot)
        if status == 200:
            return None
        words = [refusal.get("because") for refusal in answer.get("refusals", ())]
        if status != 409 or not words:
            raise StackError(f"a dose: {status} {answer}")
        stops = [word for word in words if word not in (VIEW_TOO_OLD, "recalled-lot")]
        return stops[0] if stops else None


def _today() -> str:
    """The day it is at the clinic."""
    return system_now().astimezone(ZoneInfo(read_document().time_zones["network"])).date().isoformat()


def _prescription() -> dict[str, Any]:
    return {"route": "sublingual", "milligrams_per_dose": DOSE_MG, "doses": 2, "refills": 0, "issued_on": _today()}

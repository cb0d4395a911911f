"""One demo: every patient is carried on as far as can be now, then care time moves to the next moment, until all have ended."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from deploy.demo.actors import (
    CLINIC_TIME,
    EPOCH,
    Appointment,
    Ended,
    Next,
    Situation,
    Step,
    clearing_clinic,
    clinician,
    coordinator,
    on_call,
    pharmacy,
    referral,
)
from deploy.demo.calls import DIRECTOR, OPERATOR, PATIENCE_SECONDS, Caller, Calls
from deploy.demo.care import integration_therapist, monitor, preparing_therapist, withdrawing_patient
from deploy.demo.clock import CareTime
from deploy.demo.partner_office import PartnerOffice
from deploy.demo.records import CLINICS
from deploy.demo.simulator import Person
from deploy.local.failure import StackError
from shared.pathway.policy import read_document

ACTORS: Final = (
    on_call,
    withdrawing_patient,
    clinician,
    coordinator,
    clearing_clinic,
    pharmacy,
    preparing_therapist,
    monitor,
    integration_therapist,
)
"""In the order in which they are asked."""
SERVICES: Final = ("intake", "prescriber", "session", "integration")
PARTNER_PAUSE_SECONDS: Final = 0.05
POLICY_PAUSE_SECONDS: Final = 0.1
APPROVAL_VALID_DAYS: Final = 180
"""This network's own: longer than the weeks after which a patient must be cleared anew, so that the demo shows that."""
VIEW_PAUSE_SECONDS: Final = 0.5
POLICY_VERSION: Final = "network-demo-1"
OBSERVER: Final = Caller("demo-observer", "coordinator", CLINICS)


class Watch(Protocol):
    """Whoever looks on."""

    def show(self, patients: "Sequence[Patient]", now: datetime | None) -> None:
        """Take note of where everything stands."""
        ...


@dataclass
class Patient:
    """A patient's situation, and what the actors said last."""

    situation: Situation
    next: Next = None
    done: set[str] = field(default_factory=set)

    @property
    def end(self) -> str | None:
        """The end state; None while the patient is on the way."""
        return self.next.state if isinstance(self.next, Ended) else None


class Demo:
    """Carries patients through the stack that is up."""

    def __init__(self, calls: Calls, office: PartnerOffice, people: Sequence[Person], watch: Watch) -> None:
        self._calls = calls
        self._office = office
        self._clock = CareTime(calls)
        self._watch = watch
        self.patients = [Patient(Situation(person, EPOCH)) for person in people]
        self.now: datetime | None = None

    async def run(self) -> None:
        """Carry everyone to the end; raises StackError where something does not go on."""
        await self._register_partner()
        await self._adopt_policy()
        self._show()
        while True:
            settled = await self._clock.settled()
            self.now = settled.care_time
            await self._read_what_changed()
            if not await self._partner_is_done():
                await asyncio.sleep(PARTNER_PAUSE_SECONDS)
                continue
            acted = await asyncio.gather(*(self._act(patient) for patient in self.patients))
            self._show()
            if any(acted):
                continue
            moments = [patient.next.at for patient in self.patients if isinstance(patient.next, Appointment)]
            if all(patient.end for patient in self.patients):
                return
            if settled.next_deadline is not None:
                moments.append(settled.next_deadline)
            if not moments:
                stuck = ", ".join(patient.situation.person.label for patient in self.patients if patient.end is None)
                raise StackError(f"nobody has anything to do, but these have not ended: {stuck}")
            await self._clock.move_to(min(moments))

    def _show(self) -> None:
        self._watch.show(self.patients, self.now)

    async def _register_partner(self) -> None:
        answer = await self._calls.post(OPERATOR, "prescriber", "/partners", self._office.registration(), "register-partner")
        if answer.refusal and answer.refusal != "partner-exists":
            raise StackError(f"the partner cannot be registered: {answer.words}")

    async def _adopt_policy(self) -> None:
        """Have a medical director adopt the network's policy, and wait until every service holds it."""
        document = read_document().model_dump(mode="json")
        document |= {"version": POLICY_VERSION, "time_zones": dict.fromkeys(("network", *CLINICS), CLINIC_TIME.key)}
        document["values"]["approval_valid_days"]["value"] = APPROVAL_VALID_DAYS
        body = {"document": document, "adopted_by": "Dr Ada Example"}
        answer = await self._calls.post(DIRECTOR, "prescriber", "/policy/adoption", body, "adopt-policy")
        if answer.refusal and answer.refusal != "version-used":
            raise StackError(f"the policy cannot be adopted: {answer.words}")
        while not all([await self._decides_by(service, POLICY_VERSION) for service in SERVICES]):  # noqa: ASYNC110 - it is other processes that are waited for
            await asyncio.sleep(POLICY_PAUSE_SECONDS)

    async def _decides_by(self, service: str, version: str) -> bool:
        held = (await self._calls.get(DIRECTOR, service, "/policy")).content
        return bool(held["in_force"]["version"] == version)

    async def _partner_is_done(self) -> bool:
        """Whether the partner knows of every review it was assigned, and has answered or put aside each."""
        status = await self._office.status()
        if status["in_hand"]:
            return False
        for patient in self.patients:
            view = patient.situation.view("prescriber")
            told = view.get("status") == "in_review" and view["partner"] == self._office.slug and view["consented"] and not view["holds"]
            if told and status["known"].get(patient.situation.case, 0) < view["request"]:
                return False
        return True

    async def _act(self, patient: Patient) -> bool:
        """Make the calls that can be made now, one after the other; whether there were any."""
        situation = patient.situation
        assert self.now is not None, "care time is read before anyone acts"
        situation.now = self.now
        acted = False
        # Also of a patient whose way is over: an alert that comes late is taken on all the same.
        while isinstance(following := _next_of(situation), Step):
            patient.next = following
            await self._do(patient, following)
            acted = True
        patient.next = following
        return acted

    async def _do(self, patient: Patient, step: Step) -> None:
        situation = patient.situation
        key = f"{situation.person.label}/{step.name}".replace(" ", "-")
        answer = await self._calls.post(step.by, step.service, step.path, step.body, key)
        # After a restart a service may not have heard the others yet: each time it is asked anew, under the next key.
        patience, again = time.monotonic() + PATIENCE_SECONDS, 0
        while answer.waits_for_others and time.monotonic() < patience:
            await asyncio.sleep(VIEW_PAUSE_SECONDS)
            again += 1
            answer = await self._calls.post(step.by, step.service, step.path, step.body, f"{key}/{again}")
        if answer.refusal:
            if step.name in situation.refused or answer.status not in (409, 422):
                raise StackError(f"{situation.person.label}: {step.service} refuses {step.name}: {answer.words}")
            # What was refused may show in the view and lead to another step; a key that was used was this very step.
            situation.refused[step.name] = answer.because
        elif step.name in patient.done:
            raise StackError(f"{situation.person.label}: {step.service} shows nothing of {step.name}, which was done")
        patient.done.add(step.name)
        if situation.case is None:
            if answer.refusal:
                raise StackError(f"{situation.person.label}: intake refuses the referral: {answer.words}")
            situation.case = str(answer.content["case"])
        await self._read(situation, step.service)

    async def _read_what_changed(self) -> None:
        lists = await asyncio.gather(*(self._versions(service) for service in SERVICES))
        stale = [
            (patient.situation, service)
            for service, versions in zip(SERVICES, lists, strict=True)
            for patient in self.patients
            if versions.get(str(patient.situation.case), 0) != patient.situation.view(service).get("version", 0)
        ]
        await asyncio.gather(*(self._read(situation, service) for situation, service in stale))

    async def _versions(self, service: str) -> dict[str, int]:
        versions: dict[str, int] = {}
        query: dict[str, str] = {}
        while True:
            page: Any = (await self._calls.get(OBSERVER, service, "/cases", query)).content
            versions |= {row["case"]: row["version"] for row in page["cases"]}
            if page["next"] is None:
                return versions
            query = {"after": page["next"]}

    async def _read(self, situation: Situation, service: str) -> None:
        answer = await self._calls.get(situation.staff("coordinator"), service, f"/cases/{situation.case}")
        if answer.status == 200:
            situation.views[service] = answer.content


def _next_of(situation: Situation) -> Next:
    """Return the first call that someone wants to make; else the end, else the earliest appointment."""
    if situation.case is None:
        return referral(situation)
    wanted = [said for actor in ACTORS if (said := actor(situation)) is not None]
    for said in wanted:
        if isinstance(said, Step):
            return said
    ended = next((said for said in wanted if isinstance(said, Ended)), None)
    return ended or min((said for said in wanted if isinstance(said, Appointment)), key=lambda said: said.at, default=None)

"""The stop bench: from the commit of a stop to the last service that refuses, with every service up and others at work.

Three kinds: a hold placed at integration, consent withdrawn at intake, a lot recalled at the prescriber service. The prescriber
and the session service are asked for a step that only the stop forbids (a prescription, a dose); intake and integration, which
permit nothing at that point of the pathway, are asked what they know.
"""

import asyncio
import itertools
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import aiohttp

from deploy.bench.figures import percentile
from deploy.bench.patient import Patient, Staff
from deploy.local.failure import StackError
from deploy.local.ports import free_port
from deploy.local.stack import LocalStack
from shared.clock import system_now

KINDS: Final = ("hold", "withdrawal", "recall")
SERVICES: Final = ("intake", "prescriber", "session", "integration")
PREPARED_AT_ONCE: Final = 4
LOAD_PER_SECOND: Final = 10.0
PATIENCE_SECONDS: Final = 30.0
PAUSE_SECONDS: Final = 0.005
BECAUSE: Final = {"hold": "safety-hold", "withdrawal": "consent-withdrawn", "recall": "safety-hold"}

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Stopped:
    """One stop: milliseconds from the answer to it until each service refused."""

    kind: str
    after_ms: Mapping[str, float]

    @property
    def last_ms(self) -> float:
        """When the last service refused."""
        return max(self.after_ms.values())


async def measure(stops: int, say: Say) -> list[Stopped]:
    """Measure so many stops of each kind, in turn; raises StackError where one does not stop everything, or something before it."""
    with TemporaryDirectory(prefix="kapcare-bench-") as folder:
        async with LocalStack(Path(folder), port_base=free_port()) as stack, aiohttp.ClientSession() as session:
            staff = Staff(stack, session)
            say(f"preparing {stops * len(KINDS)} patients")
            patients = await _prepare(staff, stops * len(KINDS))
            load = asyncio.create_task(_others_at_work(staff))
            try:
                measured: list[Stopped] = []
                for patient, kind in zip(patients, itertools.cycle(KINDS), strict=False):
                    say(f"stop {len(measured) + 1} of {len(patients)}: {kind}")
                    measured.append(await _stop(patient, kind))
                    if load.done():
                        raise StackError(f"the other work ended: {load.exception()}")
            finally:
                load.cancel()
                await asyncio.gather(load, return_exceptions=True)
            say("checking what is stored")
            for patient, kind in zip(patients, itertools.cycle(KINDS), strict=False):
                await _check(patient, kind)
    return measured


def summarise(measured: Sequence[Stopped]) -> dict[str, Any]:
    """Return everything as one JSON object, in milliseconds."""
    return {
        **_percentiles("stop", [one.last_ms for one in measured]),
        "stops": len(measured),
        "kinds": {kind: _of_kind([one for one in measured if one.kind == kind]) for kind in KINDS},
    }


def _of_kind(measured: Sequence[Stopped]) -> dict[str, Any]:
    services = {name: [one.after_ms[name] for one in measured] for name in SERVICES}
    return {
        **_percentiles("stop", [one.last_ms for one in measured]),
        "services": {name: _percentiles("refuses", values) for name, values in services.items()},
    }


def _percentiles(what: str, values: Sequence[float]) -> dict[str, float]:
    return {f"{what}_p{percent}_ms": round(percentile(sorted(values), percent), 1) for percent in (50, 99)}


async def _prepare(staff: Staff, count: int) -> list[Patient]:
    at_once = asyncio.Semaphore(PREPARED_AT_ONCE)

    async def prepared(number: int) -> Patient:
        async with at_once:
            return await Patient.ready_for_a_dose(staff, lot=f"bench-{number}-{uuid.uuid4().hex[:8]}")

    return await asyncio.gather(*(prepared(number) for number in range(count)))


async def _others_at_work(staff: Staff) -> None:
    """Refer other patients, at a light and even rate."""
    begin = time.monotonic()
    for number in itertools.count():
        await asyncio.sleep(max(0.0, begin + number / LOAD_PER_SECOND - time.monotonic()))
        await Patient.referred(staff)


async def _stop(patient: Patient, kind: str) -> Stopped:
    """Stop one patient's case and wait for each service; all of them must have allowed the step just before."""
    allowed = {name: await refuses() for name, refuses in _gates(patient).items()}
    if any(allowed.values()):
        raise StackError(f"stopped before the {kind}: {allowed}")
    await _STOPS[kind](patient)
    committed = time.monotonic()
    gates = _gates(patient)
    refused = await asyncio.gather(*(_until(refuses, f"{name} after a {kind}") for name, refuses in gates.items()))
    for name, (_, because) in zip(gates, refused, strict=True):
        if because not in (BECAUSE[kind], "stopped"):
            raise StackError(f"{name} refuses after a {kind} because of {because}")
    return Stopped(kind, {name: (at - committed) * 1000 for name, (at, _) in zip(gates, refused, strict=True)})


async def _until(refuses: Callable[[], Awaitable[str | None]], what: str) -> tuple[float, str]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        because = await refuses()
        if because is not None:
            return time.monotonic(), because
        await asyncio.sleep(PAUSE_SECONDS)
    raise StackError(f"nothing stopped at {what} within {PATIENCE_SECONDS:.0f} s")


def _gates(patient: Patient) -> Mapping[str, Callable[[], Awaitable[str | None]]]:
    """How each service is asked; the answer says why it refuses, and is None where it would go on."""
    return {
        "intake": lambda: patient.stopped_at("intake"),
        "prescriber": patient.why_no_prescription,
        "session": patient.why_no_dose,
        "integration": lambda: patient.stopped_at("integration"),
    }


async def _hold(patient: Patient) -> None:
    await patient.post("medical_monitor", "integration", "holds", {"reason": "clinical_concern"})


async def _withdraw(patient: Patient) -> None:
    await patient.post("coordinator", "intake", "consent-withdrawal", {"withdrawn_at": system_now().isoformat()})


async def _recall(patient: Patient) -> None:
    body = {"reason": "Particles.", "source": "Manufacturer", "recalled_at": (system_now() - timedelta(minutes=1)).isoformat()}
    await patient.staff.post("medical_monitor", "prescriber", f"/lots/{patient.lot}/recall", body)


_STOPS: Final[Mapping[str, Callable[[Patient], Awaitable[None]]]] = {"hold": _hold, "withdrawal": _withdraw, "recall": _recall}


async def _check(patient: Patient, kind: str) -> None:
    """Raise StackError unless every service knows of exactly this stop, and no dose was authorised since."""
    for service in SERVICES:
        view = await patient.view(service)
        holds, consented = view["holds"], view["consented"] if service == "prescriber" else view["consent"]["in_force"]
        if (len(holds), consented) != ((0, False) if kind == "withdrawal" else (1, True)):
            raise StackError(f"{service} shows {len(holds)} holds and consent {consented} after a {kind}")
    if await patient.why_no_dose() is None:
        raise StackError(f"a dose was authorised after a {kind}")

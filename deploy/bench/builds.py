"""The three builds of the pathway that are compared, and what each must have stored for every case."""

import asyncio
import json
import sys
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.bench import sample
from deploy.bench.posting import Answer, Connection, Target
from deploy.local.failure import StackError
from shared.clock import system_now
from shared.events.intake import ScreeningCompleted
from shared.events.prescriber import ReviewOpened

ROLES = ("intake", "prescriber", "audit")
PREPARED_AT_ONCE = 64

Prepare = Callable[[int, Target], Awaitable[list[str]]]
"""(how many, intake) -> cases whose screening can be posted."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Documents of which exactly one must be there for each case, told apart by the field `case`."""

    role: str
    collection: str
    case: str
    matching: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Build:
    """One way to build the pathway."""

    name: str
    title: str
    module: str
    prepare: Prepare
    body: bytes
    entries_of_preparation: int
    """Ledger entries that a case brings before it is screened."""
    entries_of_screening: int
    """Ledger entries that a case brings when it is screened."""
    evidence: tuple[Evidence, ...]

    def command(self, role: str, profiles: Path | None) -> list[str]:
        """Return how the process of a role is run."""
        if profiles is not None and self.name == "ours":
            return [sys.executable, "-P", "-m", "deploy.bench.profiled", str(profiles / f"{role}.prof"), role]
        return [sys.executable, "-P", "-m", self.module, role]


async def _name_cases(count: int, _target: Target) -> list[str]:
    """The other builds know no case before it is screened."""
    return [f"case-{uuid.uuid4().hex}" for _ in range(count)]


async def _prepare_cases(count: int, target: Target) -> list[str]:
    """Refer patients and record consent, answers and instruments, as a clinic would before it completes the screening."""
    cases: list[str] = []
    coming = iter(range(count))

    async def keep_preparing() -> None:
        connection = await target.connect()
        for _ in coming:
            answer = await _post(connection, target, "/cases", sample.referral())
            case = json.loads(answer.body)["case"]
            for part, body in sample.preparations():
                await _post(connection, target, f"/cases/{case}/{part}", body)
            cases.append(case)
        connection.close()

    await asyncio.gather(*(keep_preparing() for _ in range(PREPARED_AT_ONCE)))
    return cases


async def _post(connection: Connection, target: Target, path: str, body: bytes) -> Answer:
    answer = await connection.send(target.request(path, body))
    if answer.status not in (200, 201):
        raise StackError(f"preparing a case: POST {path} answered {answer.status} {answer.body.decode(errors='replace')[:300]}")
    return answer


_SUMMARY = sample.summary(system_now()).model_dump_json().encode()
_SCREENED = {"events.headers.ce_type": ScreeningCompleted.TYPE}
_REVIEWED = {"events.headers.ce_type": ReviewOpened.TYPE}
_SEALED_EVIDENCE = (
    Evidence("intake", "commits", "$stream", _SCREENED),
    Evidence("prescriber", "commits", "$stream", _REVIEWED),
    Evidence("audit", "entries", "$stream", {"type": ScreeningCompleted.TYPE}),
    Evidence("audit", "entries", "$stream", {"type": ReviewOpened.TYPE}),
)

OURS = Build("ours", "kapcare", "services", _prepare_cases, sample.SCREENING, 6, 3, _SEALED_EVIDENCE)
RAW = Build("raw", "raw limit", "deploy.bench.raw", _name_cases, _SUMMARY, 0, 3, _SEALED_EVIDENCE)
TEXTBOOK = Build(
    "textbook",
    "transactional outbox on FastStream",
    "deploy.bench.textbook",
    _name_cases,
    _SUMMARY,
    0,
    2,
    (
        Evidence("intake", "cases", "$_id", {}),
        Evidence("prescriber", "cases", "$_id", {}),
        Evidence("audit", "entries", "$stream", {"type": "Screened"}),
        Evidence("audit", "entries", "$stream", {"type": "Review"}),
    ),
)
BUILDS = (OURS, RAW, TEXTBOOK)

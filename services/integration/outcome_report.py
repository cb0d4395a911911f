"""GET /outcomes: what became of the patients of one's clinics, or of the network, in groups large enough to be shown.

A case is found once it is in the cache of folded state, moments after its first event; what is counted is read from the commits.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from fastapi import APIRouter
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from services.integration.domain.follow_up import Treated, treated
from services.integration.domain.judge import SYMPTOM_SCALES
from services.integration.domain.report import report
from shared.access.decide import Permission, Principal, Verdict, decide
from shared.events.clinical import Instrument
from shared.http.callers import admit, asked_by_query, authenticate
from shared.http.problems import Problem
from shared.log.streams import Loaded
from shared.service.runtime import Runtime
from shared.vault.port import KeyMissing

AT_ONCE: Final = 250
"""Cases that are loaded together: enough to be quick, few enough that other requests get their turn in between."""
PRIMARY: Final[Instrument] = "phq-9"


class OutcomeReport:
    """The route of GET /outcomes."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def router(self) -> APIRouter:
        """Return the route."""
        router = APIRouter(tags=["integration"])
        router.add_api_route(
            "/outcomes",
            self.show,
            methods=["GET"],
            summary="What became of the patients who were treated, by clinic, partner, route and intent",
            response_model=None,
        )
        return router

    async def show(self, request: Request) -> Response:
        """Report on one instrument (`instrument`), on the caller's clinics or one of them (`clinic`).

        Who answers for the network sees every clinic, and without `clinic` their total. Another clinic's numbers are not
        there for anyone else. A case that was erased is in no number; one that cannot be read ends the report, since a
        rate that leaves it out would be wrong.
        """
        principal = await authenticate(self._runtime, request)
        network = decide(principal, Permission.READ_NETWORK_OUTCOMES) is Verdict.ALLOWED
        admit(request, principal, Permission.READ_NETWORK_OUTCOMES if network else Permission.READ_OUTCOMES)
        instrument, clinic = _asked(request)
        now = self._runtime.care_now()
        patients, erased = [], 0
        async for loaded in self._cases(_clinics(principal, clinic, network=network)):
            if loaded is None:
                erased += 1
                continue
            patient = treated(loaded.state, loaded.clinic, instrument, now)
            # The cache's clear fields can be altered by hand; which clinic a case belongs to is taken from its commits.
            if patient is not None and _may_see(principal, patient, clinic, network=network):
                patients.append(patient)
        policies = self._runtime.policies
        floors = {name: policies.policy(now, name).values.outcome_report_floor for name in {patient.clinic for patient in patients}}
        content = {
            "instrument": instrument,
            "as_of": now,
            "policy_version": policies.policy(now).version,
            "erased": erased,
            "simulated": any(patient.simulated for patient in patients),
            **report(patients, floors, network=network and clinic is None),
        }
        return Response(to_json(content), media_type="application/json")

    async def _cases(self, clinics: Sequence[str] | None) -> AsyncIterator[Loaded | None]:
        """Yield the cases of these clinics (None: of all) that had a dose; None for each that was erased."""
        wanted: dict[str, Any] = {
            "last.clinic": {"$gt": ""} if clinics is None else {"$in": list(clinics)},
            "last.kind": "case",
            "last.status": {"$ne": "awaiting_dose"},
        }
        found = self._runtime.database["cases"].find(wanted, projection=["_id"]).hint("work_list")
        names = [row["_id"] async for row in found]
        for first in range(0, len(names), AT_ONCE):
            for loaded in (await self._runtime.streams.load_many(names[first : first + AT_ONCE])).values():
                if isinstance(loaded, KeyMissing):
                    yield None
                elif isinstance(loaded, Exception):
                    raise loaded
                else:
                    yield loaded


def _asked(request: Request) -> tuple[Instrument, str | None]:
    if set(request.query_params) - {"instrument", "clinic"}:
        raise Problem(422, "unknown-parameter", "Only instrument and clinic choose what is reported.")
    asked_by_query(request)
    instrument = request.query_params.get("instrument", PRIMARY)
    if instrument not in SYMPTOM_SCALES:
        raise Problem(422, "instrument", f"`instrument` is one of {', '.join(SYMPTOM_SCALES)}.")
    return instrument, request.query_params.get("clinic")


def _clinics(principal: Principal, clinic: str | None, *, network: bool) -> Sequence[str] | None:
    if network:
        return None if clinic is None else [clinic]
    return sorted(principal.clinics if clinic is None else principal.clinics & {clinic})


def _may_see(principal: Principal, patient: Treated, clinic: str | None, *, network: bool) -> bool:
    return (network or patient.clinic in principal.clinics) and clinic in (None, patient.clinic)

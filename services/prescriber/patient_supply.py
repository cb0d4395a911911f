"""What a patient was given in all: the medication of every case of one patient, across cases and clinics.

A case is found once it is in the cache of folded state, moments after its first event; what is added up is read from the commits.
"""

import re
from typing import Any, Final

from fastapi import APIRouter
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from services.prescriber.api import show_balance, show_supply
from services.prescriber.domain.supply import Balance
from shared.access.decide import Permission
from shared.http.callers import NOT_FOUND, admit, authenticate, saw
from shared.log.streams import Loaded
from shared.service.runtime import Runtime
from shared.vault.port import KeyMissing

_PATIENT: Final = re.compile(r"patient-[0-9a-f]{32}")


class PatientSupply:
    """The route of GET /patients/{patient}/supply."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def router(self) -> APIRouter:
        """Return the route."""
        router = APIRouter(tags=["prescriber"])
        router.add_api_route(
            "/patients/{patient}/supply",
            self.show,
            methods=["GET"],
            summary="The medication of a patient across cases and clinics, in milligrams",
            response_model=None,
        )
        return router

    async def show(self, request: Request) -> Response:
        """Itemise the cases of the caller's clinics, and add up all of them; the sums name no clinic.

        A patient without a case in the caller's clinics does not exist for the caller.
        """
        principal = await authenticate(self._runtime, request)
        admit(request, principal, Permission.READ_CASE)
        patient = str(request.path_params["patient"])
        if _PATIENT.fullmatch(patient) is None:
            raise NOT_FOUND
        cases = await self._cases_of(patient)
        own = [loaded for loaded in cases if loaded.clinic in principal.clinics]
        for loaded in own or cases:
            saw(request, loaded.stream, loaded.clinic, loaded.patient)
        if not own:
            raise NOT_FOUND
        total = Balance()
        for loaded in cases:
            total = total.plus(loaded.state.supply.balance)
        itemised = [{"case": loaded.stream, "clinic": loaded.clinic, **show_supply(loaded.state)} for loaded in own]
        return Response(to_json({"patient": patient, "total": show_balance(total), "cases": itemised}), media_type="application/json")

    async def _cases_of(self, patient: str) -> list[Loaded]:
        """Return the patient's cases; raises what makes one unreadable, since a sum that leaves it out would be wrong.

        An erased case has no key any more and can be part of no sum.
        """
        wanted: dict[str, Any] = {"last.patient": patient, "last.kind": "case"}
        rows = self._runtime.database["cases"].find(wanted, projection=["_id"]).sort("_id")
        found = await self._runtime.streams.load_many([row["_id"] async for row in rows])
        cases: list[Loaded] = []
        for loaded in found.values():
            if isinstance(loaded, KeyMissing):
                continue
            if isinstance(loaded, Exception):
                raise loaded
            # The cache's clear fields can be altered by hand; who a case belongs to is taken from its commits.
            if loaded.version > 0 and loaded.patient == patient:
                cases.append(loaded)
        return cases

"""`kap fhir`: one case as a FHIR R4 bundle, merged from what each service shows of it."""

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from deploy.cli.clinics import clinics_of
from deploy.cli.options import Data
from deploy.cli.service_calls import NotThere, calls_as
from deploy.local.data import DEFAULT_DATA
from deploy.local.failure import StackError
from deploy.local.private import replace
from shared.fhir.record import merged

SERVICES = ("intake", "prescriber", "session", "integration")
"""Who exports, in this order: what intake says of the patient is the fullest."""


def fhir(
    case: Annotated[str, typer.Argument(metavar="CASE", help="The case's id.")],
    output: Annotated[Path | None, typer.Option("--output", help="Write there, for your eyes only, instead of to standard output.")] = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Print a case as one FHIR R4 bundle."""
    bundle = asyncio.run(_bundle(case, data))
    if output is None:
        print(json.dumps(bundle, indent=2))
    else:
        replace(output, bundle)


async def _bundle(case: str, data: Path) -> dict[str, Any]:
    parts = []
    async with calls_as("coordinator", data, await clinics_of(case, data)) as calls:
        for service in SERVICES:
            try:
                parts.append(await calls.get(service, f"/cases/{quote(case, safe='')}/fhir"))
            except NotThere:
                # The case has not come to this service yet.
                continue
    if not parts:
        raise StackError("no service knows this case")
    return merged(case, parts)

"""`kap timeline`: one dosing session as a picture."""

import asyncio
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from deploy.cli.clinics import clinics_of
from deploy.cli.options import Data
from deploy.cli.service_calls import calls_as
from deploy.local.data import DEFAULT_DATA
from deploy.local.failure import StackError
from deploy.local.private import write_text


def timeline(
    case: Annotated[str, typer.Argument(metavar="CASE", help="The case's id.")],
    output: Annotated[Path, typer.Option("--output", help="The SVG file to write, for your eyes only.")],
    session: Annotated[int, typer.Option("--session", help="Which session, from 1.", min=1)] = 1,
    data: Data = DEFAULT_DATA,
) -> None:
    """Draw a session: vital signs around the dose, and what happened when."""
    # Here, so that the other commands need not wait for the chart library.
    from deploy.pictures.session_timeline import session_timeline

    course = asyncio.run(_course(case, data))
    shown = next((each for each in course["sessions"] if each["session"] == session), None)
    if shown is None:
        raise StackError(f"the case has no session {session}")
    limits = course["limits"]
    write_text(output, session_timeline(shown, None if limits is None else limits["hold_above"]))


async def _course(case: str, data: Path) -> dict[str, Any]:
    async with calls_as("coordinator", data, await clinics_of(case, data)) as calls:
        return await calls.get("session", f"/cases/{quote(case, safe='')}")

"""`kap demo`: the main job, on patients that nobody here invented."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from deploy.cli.options import AsJson
from deploy.local.data import DEFAULT_DATA
from deploy.local.failure import StackError
from deploy.local.private import write_text

SEED = "70"
"""With it the first 24 patients show most of what can happen."""


def demo(
    patients: Annotated[int, typer.Option(help="How many patients.", min=1, max=500)] = 24,
    as_json: AsJson = False,
    seed: Annotated[str, typer.Option(help="What the simulator draws from: the same seed, the same course.")] = SEED,
    data: Annotated[
        Path | None, typer.Option(help="The stack's folder; begun again on it, the demo goes on.", show_default="a fresh one")
    ] = None,
    pictures: Annotated[Path, typer.Option(help="Where the pictures go: trajectories, and one session.", show_default=".kap/pictures")] = (
        DEFAULT_DATA / "pictures"
    ),
    keep: Annotated[bool, typer.Option("--keep", help="Keep the fresh folder.")] = False,
) -> None:
    """Carry real FHIR patients from referral to integration on the embedded stack, with an outside prescriber."""
    # Here, so that the other commands need not wait for the database's and the broker's libraries.
    from deploy.demo.begin import whole_demo
    from deploy.demo.summary import print_report

    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    folder = data or Path(tempfile.mkdtemp(prefix="kapcare-demo-"))
    try:
        report = asyncio.run(whole_demo(folder, patients, seed, console, live=console.is_terminal))
    finally:
        if data is None and not keep:
            shutil.rmtree(folder, ignore_errors=True)
        elif data is None:
            console.print(f"kept: {folder}", markup=False)
    for name, picture in report.pictures.items():
        write_text(pictures / f"{name}.svg", picture)
    if as_json:
        print(json.dumps(report.to_json()))
    else:
        print_report(report, console)
        console.print(f"Pictures: {', '.join(str(pictures / f'{name}.svg') for name in report.pictures)}", markup=False)
    wrong = report.what_does_not_hold()
    if wrong is not None:
        raise StackError(f"the demo does not hold: {wrong}")

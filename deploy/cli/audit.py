"""`kap audit`: what the ledger proves, lacks and holds."""

import asyncio
import base64
import json
import os
import sys
from pathlib import Path
from typing import Any

import typer

from deploy.cli import audit_questions
from deploy.cli.options import AsJson, Data
from deploy.cli.service_calls import calls_as
from deploy.local.data import DEFAULT_DATA, DataDirectory

app = typer.Typer(help="Ask the tamper-evident ledger.", no_args_is_help=True)


@app.command()
def verify(as_json: AsJson = False, data: Data = DEFAULT_DATA) -> None:
    """Have the ledger verify itself; a failure ends with exit code 1."""
    answer = asyncio.run(_verification(data))
    if as_json:
        print(json.dumps(answer, indent=2))
    else:
        print(f"{'verified' if answer['verified'] else 'NOT VERIFIED'}: {answer['size']} entries, root {answer['root']}")
        if answer.get("first_bad") is not None:
            print(f"altered: entry {answer['first_bad']} is not what was recorded")
        if answer.get("root_holds") is False:
            print("altered: the entries do not give the root that was kept")
        _print_gaps(answer)
    if not answer["verified"]:
        raise typer.Exit(1)


@app.command()
def gaps(as_json: AsJson = False, data: Data = DEFAULT_DATA) -> None:
    """Say which events the services have and the ledger lacks; a gap, or a service that cannot be asked, ends with exit code 1."""
    answer = asyncio.run(_verification(data))
    if as_json:
        print(json.dumps({name: answer.get(name, []) for name in ("gaps", "unreachable")}, indent=2))
    else:
        _print_gaps(answer)
    if answer["gaps"] or answer.get("unreachable"):
        raise typer.Exit(1)


app.command()(audit_questions.events)
app.command()(audit_questions.count)
app.command()(audit_questions.known)
app.command()(audit_questions.export)


@app.command("key")
def show_key(data: Data = DEFAULT_DATA) -> None:
    """Print the vkey with which others verify the ledger: of the signing key in the environment, else of the stack here."""
    from services.audit.signing import LogKey
    from shared.settings import Settings

    origin = os.environ.get("KAPCARE_LEDGER_ORIGIN") or Settings.model_fields["ledger_origin"].default
    seed = os.environ.get("KAPCARE_LEDGER_SIGNING_KEY") or DataDirectory(data.resolve()).secrets().ledger_signing_key
    print(LogKey.of_seed(origin, base64.b64decode(seed)).public)


@app.command()
def verifier() -> None:
    """Print the program with which anyone verifies the ledger: `./kap audit verifier > kap_verify.py`."""
    from services.audit import kap_verify

    sys.stdout.write(Path(kap_verify.__file__).read_text())


async def _verification(data: Path) -> dict[str, Any]:
    async with calls_as("auditor", data) as calls:
        return await calls.get("audit", "/ledger/verification")


def _print_gaps(answer: dict[str, Any]) -> None:
    for gap in answer["gaps"]:
        print(f"gap: {json.dumps(gap)}")
    for service in answer.get("unreachable", []):
        print(f"not compared: {service} could not be asked what it has")
    if not answer["gaps"] and not answer.get("unreachable"):
        print("no gaps")

"""`kap audit`: what the ledger proves, lacks and holds."""

import asyncio
import json
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from rich.console import Console

from deploy.cli import audit_questions
from deploy.cli.options import AsJson, Data
from deploy.cli.service_calls import ServiceCalls, calls_as
from deploy.local.data import DEFAULT_DATA, DataDirectory

app = typer.Typer(help="Ask the tamper-evident ledger, and verify it.", no_args_is_help=True)

ORIGIN_SETTING, KEY_SETTING = "KAPCARE_LEDGER_ORIGIN", "KAPCARE_LEDGER_SIGNING_KEY"

Key = Annotated[
    str | None, typer.Option("--key", help="The ledger's vkey, which you have from elsewhere.", show_default="that of the stack here")
]
Witnesses = Annotated[
    list[str] | None, typer.Option("--witness", help="The vkey of a witness that must have co-signed; may be given again.")
]
OneCase = Annotated[str | None, typer.Option("--case", help="Only this case.")]


@app.command()
def verify(
    case: OneCase = None,
    export_file: Annotated[Path | None, typer.Option("--export", help="An export instead, without any stack.", exists=True)] = None,
    offline: Annotated[
        Path | None, typer.Option(help="A mirror: instead of a stack; with --case it is brought up to date.", exists=True, file_okay=False)
    ] = None,
    mirror_directory: Annotated[
        Path | None, typer.Option("--mirror", help="Where the ledger's files go, to be there the next time.", file_okay=False)
    ] = None,
    key: Key = None,
    witness: Witnesses = None,
    as_json: AsJson = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Verify the whole ledger by its files, with the program that stands alone; a failure ends with exit code 1.

    Of the stack that is up: the files are fetched, verified, and compared with what every service has. A case or an export is
    verified by its proofs, and with a mirror (--offline), which is brought up to date, also that nothing of it was left out.
    """
    vkey, witnesses = key or own_key(data), witness or []
    if case is not None or export_file is not None:
        told = asyncio.run(_verify_export(case, export_file, offline, vkey, witnesses, data))
    elif offline is not None:
        told = asyncio.run(_verify_files(offline, vkey, witnesses))
    else:
        told = asyncio.run(_verify_all(mirror_directory, vkey, witnesses, data))
    if as_json:
        print(json.dumps(told, indent=2))
    else:
        _print_verified(told, given=key is not None)
    if not told["verified"]:
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
app.command()(audit_questions.disclosures)
app.command()(audit_questions.export)


@app.command()
def mirror(
    directory: Annotated[Path, typer.Argument(help="Where the files go; only what is missing is fetched.", file_okay=False)],
    cosigned: Annotated[bool, typer.Option("--cosigned", help="Up to the newest checkpoint that a witness co-signed.")] = False,
    key: Key = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Take the whole ledger along as static files, to be verified anywhere; a fork or a ledger that was put back is refused."""
    size = asyncio.run(_mirror(directory, key or own_key(data), data, cosigned=cosigned))
    print(f"{directory} holds the ledger of {size} entries: ./kap audit verify --offline {directory}")


@app.command("key")
def show_key(data: Data = DEFAULT_DATA) -> None:
    """Print the vkey with which others verify the ledger: of the signing key in the environment, else of the stack here."""
    print(own_key(data))


@app.command()
def verifier() -> None:
    """Print the program with which anyone verifies the ledger: `./kap audit verifier > kap_verify.py`."""
    from deploy.auditing.verifier import PROGRAM

    sys.stdout.write(PROGRAM.read_text())


def own_key(data: Path) -> str:
    """The vkey of the signing key in the environment, or of the stack of this folder."""
    from services.audit.signing import LogKey
    from shared.settings import Settings, key_from_base64

    origin = os.environ.get(ORIGIN_SETTING) or Settings.model_fields["ledger_origin"].default
    seed = os.environ.get(KEY_SETTING) or DataDirectory(data.resolve()).secrets().ledger_signing_key
    try:
        return str(LogKey.of_seed(origin, key_from_base64(seed)).public)
    except ValueError as wrong:
        raise typer.BadParameter(f"{KEY_SETTING}: {wrong}") from None


async def _verify_all(directory: Path | None, key: str, witnesses: list[str], data: Path) -> dict[str, Any]:
    place: AbstractContextManager[str] = nullcontext(str(directory)) if directory else TemporaryDirectory(prefix="kapcare-ledger-")
    with place as folder:
        await _mirror(Path(folder), key, data, cosigned=bool(witnesses))
        told = await _verify_files(Path(folder), key, witnesses)
    answer = await _verification(data)
    return {**answer, "verified": answer["verified"] and told["verified"], "log": told}


async def _verify_files(directory: Path, key: str, witnesses: list[str]) -> dict[str, Any]:
    from deploy.auditing.verifier import verify as verify_alone

    told = await verify_alone("tiles", directory, key, witnesses)
    return {"verified": told["verdict"] == "holds", **told}


async def _verify_export(
    case: str | None, file: Path | None, tiles: Path | None, key: str, witnesses: list[str], data: Path
) -> dict[str, Any]:
    from deploy.auditing.verifier import verify as verify_alone

    with TemporaryDirectory(prefix="kapcare-export-") as folder:
        if file is None:
            file = Path(folder) / "export.ndjson"
            await audit_questions.write_export({} if case is None else {"case": case}, file, data)
            if tiles is not None:
                # The ledger went on meanwhile, if only by who asked it: the mirror must hold what the export is proved against.
                await _mirror(tiles, key, data, cosigned=False)
        told = await verify_alone("export", file, key, witnesses, tiles=tiles)
    return {"verified": told["verdict"] == "holds", **told}


async def _mirror(directory: Path, key: str, data: Path, *, cosigned: bool) -> int:
    from deploy.auditing.mirror import mirror as bring_up_to_date
    from services.audit.domain.note import NoteRefused, read_key

    try:
        log = read_key(key)
    except NoteRefused as refused:
        raise typer.BadParameter(f"not a vkey ({refused.reason})", param_hint="--key") from None
    console = Console(stderr=True, highlight=False)
    with console.status("asking for the checkpoint") as status:

        def progress(done: int, wanted: int) -> None:
            status.update(f"fetched {done:,} of {wanted:,} files")

        async with calls_as("auditor", data) as calls:

            async def fetch(path: str) -> bytes:
                return await _file(calls, path)

            name = "checkpoint?cosigned=true" if cosigned else "checkpoint"
            return (await bring_up_to_date(directory, fetch, log, progress, name)).size


async def _file(calls: ServiceCalls, path: str) -> bytes:
    async with calls.response("GET", "audit", f"/ledger/tlog/{path}") as answer:
        return await answer.read()


async def _verification(data: Path) -> dict[str, Any]:
    async with calls_as("auditor", data) as calls:
        return await calls.get("audit", "/ledger/verification")


def _print_verified(told: dict[str, Any], *, given: bool) -> None:
    log = told.get("log", told)
    print(f"{'verified' if told['verified'] else 'NOT VERIFIED'}: {log['message']}")
    for warning in log.get("warnings", []):
        print(f"note: {warning}")
    if "gaps" in told:
        if told.get("first_bad") is not None:
            print(f"altered: entry {told['first_bad']} is not what was recorded")
        if told.get("root_holds") is False:
            print("altered: the entries do not give what was signed")
        _print_gaps(told)
    if not given:
        print("note: the key is the stack's own; an auditor gives the one that was noted elsewhere (--key)")


def _print_gaps(answer: dict[str, Any]) -> None:
    for gap in answer["gaps"]:
        print(f"gap: {json.dumps(gap)}")
    for service in answer.get("unreachable", []):
        print(f"not compared: {service} could not be asked what it has")
    if not answer["gaps"] and not answer.get("unreachable"):
        print("no gaps")

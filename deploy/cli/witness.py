"""`kap witness`: co-sign the checkpoints of a ledger that somebody else runs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from deploy.witness.record import Record
    from services.audit.domain.note import VerifierKey


def witness(
    port: Annotated[int, typer.Option(help="Where it serves; put TLS in front.", min=1, max=65_535)],
    key_file: Annotated[
        Path, typer.Option(help="Its key and what it has co-signed; made on first use. Keep it, and never put back an older one.")
    ],
    log: Annotated[list[str], typer.Option(help="The vkey of a ledger, from `./kap audit key`; may be given again.")],
    host: Annotated[str, typer.Option(help="The address it listens on.")] = "127.0.0.1",
    name: Annotated[
        str | None, typer.Option(help="Its name, a URL without the scheme.", show_default="the one in the file, or a new one")
    ] = None,
) -> None:
    """Be a witness until Ctrl-C: co-sign each checkpoint that goes on from the last one, and no other."""
    from deploy.witness.record import Record
    from services.audit.domain.note import ED25519, NoteRefused, read_key

    try:
        logs = [read_key(vkey) for vkey in log]
    except NoteRefused as refused:
        raise typer.BadParameter(f"not the vkey of a ledger ({refused.reason})", param_hint="--log") from None
    if any(key.kind != ED25519 for key in logs):
        raise typer.BadParameter("this is the key of a witness, not of a ledger", param_hint="--log")
    with Record.held(key_file.resolve(), name) as record:
        asyncio.run(_serve(record, logs, host, port))


async def _serve(record: Record, logs: list[VerifierKey], host: str, port: int) -> None:
    from deploy.witness.serve import Witness, serving

    async with serving(Witness(record, logs, _say), host, port) as url:
        _say(f"co-signs at {url}/add-checkpoint: {', '.join(sorted({key.name for key in logs}))}")
        _say(f"its key: {record.public}")
        await asyncio.Event().wait()


def _say(line: str) -> None:
    print(line, flush=True)

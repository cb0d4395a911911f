"""`kap partner`: for organisations that connect, and for whoever wants to see the network bear with one."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import secrets
from contextlib import nullcontext
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from deploy.cli.options import AsJson, Data
from deploy.local.data import DEFAULT_DATA

if TYPE_CHECKING:
    from shared.webhooks.signing import PrivateKey, PublicKey, SharedSecret

app = typer.Typer(help="Try a partner's server, or be a partner.", no_args_is_help=True)

SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,47}")


@app.command()
def check(
    url: Annotated[str, typer.Argument(help="Your webhook URL: https, or http on this machine.")],
    secret: Annotated[
        str | None,
        typer.Option(help="What signs the messages: whsec_..., with v1a whsk_...; made new if left out.", envvar="KAPCARE_PARTNER_SECRET"),
    ] = None,
    signing: Annotated[Literal["v1", "v1a"], typer.Option(help="v1: HMAC-SHA256; v1a: ed25519.")] = "v1",
    serve: Annotated[
        int | None, typer.Option(help="Serve a stand-in of the network's API on this port, to see how you decide.", min=1, max=65_535)
    ] = None,
    decision_key: Annotated[str | None, typer.Option(help="Your public key whpk_..., to verify decisions with --serve.")] = None,
    patience: Annotated[float, typer.Option(help="With --serve: seconds to wait for each thing that you do of yourself.", min=0.1)] = 20,
    first_sequence: Annotated[int, typer.Option(help="Where `sequence` begins, if your server remembers an earlier run.", min=1)] = 1,
    insecure: Annotated[bool, typer.Option("--insecure", help="Send to http on another machine too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not wait until a new secret is configured.")] = False,
    as_json: AsJson = False,
) -> None:
    """Play the network against a webhook server; exit code 1 if something required does not hold."""
    from deploy.partner_kit.check import STEPS, Examination
    from deploy.partner_kit.check import check as examine
    from deploy.partner_kit.conversation import Patience
    from deploy.partner_kit.line import what_is_wrong_with_address
    from deploy.partner_kit.report import as_json as to_json
    from deploy.partner_kit.report import print_table

    wrong = what_is_wrong_with_address(url, insecure=insecure)
    if wrong is not None:
        raise typer.BadParameter(wrong, param_hint="URL")
    key, verifies = _key(secret, signing), _decision_key(decision_key)
    progress = Console(stderr=True, highlight=False, soft_wrap=True)
    if serve is not None:
        progress.print(f"The network's API for you is at http://127.0.0.1:{serve}, with any client id and secret, under any slug.")
    if secret is None:
        _have_it_configured(key, progress, wait=not yes)
    done = 0
    status = progress.status("...") if progress.is_terminal else nullcontext()
    with status as shown:

        def begin(says: str) -> None:
            nonlocal done
            done += 1
            line = f"[{min(done, STEPS)}/{STEPS}] {says}"
            if shown is None:
                progress.print(line, markup=False)
            else:
                shown.update(line.replace("[", "\\["))

        asked = Examination(url, key, Patience(patience, min(patience, 8)), verifies, serve, first_sequence)
        results = asyncio.run(examine(asked, begin))
    if as_json:
        print(json.dumps(to_json(results, url, signing), indent=2))
    else:
        print_table(results, Console(highlight=False))
    if any(result.is_failure for result in results):
        raise typer.Exit(1)


@app.command()
def simulate(
    behaviour: Annotated[str, typer.Option(help="How it behaves; `./kap partner behaviours` lists them.")] = "well-behaved",
    port: Annotated[int | None, typer.Option(help="Where it serves, at first.", show_default="a free one", min=1, max=65_535)] = None,
    slug: Annotated[str | None, typer.Option(help="Who it is.", show_default="by its behaviour")] = None,
    once: Annotated[
        bool, typer.Option("--once", help="End when a review was dealt with; exit code 1 if the network did what it should not.")
    ] = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Be a partner organisation of the stack that is up, well-behaved or not, until Ctrl-C."""
    from deploy.partner_kit.behaviours import BEHAVIOURS, named
    from deploy.partner_kit.simulate import simulate as be

    chosen = named(behaviour)
    if chosen is None:
        raise typer.BadParameter(f"there are {', '.join(one.name for one in BEHAVIOURS)}", param_hint="--behaviour")
    who = slug or f"{behaviour}-partner"
    if SLUG.fullmatch(who) is None:
        raise typer.BadParameter("small letters, digits and hyphens, at most 48", param_hint="--slug")
    console = Console(highlight=False, soft_wrap=True)

    def say(line: str) -> None:
        console.print(f"{datetime.now().astimezone():%H:%M:%S}  {line}", markup=False)

    if not asyncio.run(be(chosen, who, port, data, say, once=once)):
        raise typer.Exit(1)


@app.command()
def behaviours() -> None:
    """List the behaviours, and what the network does about each."""
    from deploy.partner_kit.behaviours import BEHAVIOURS

    table = Table("behaviour", "what it does", "what the network does", box=None, pad_edge=False)
    for behaviour in BEHAVIOURS:
        table.add_row(behaviour.name, behaviour.does, behaviour.network)
    Console(highlight=False).print(table)


def _key(secret: str | None, signing: Literal["v1", "v1a"]) -> SharedSecret | PrivateKey:
    from shared.webhooks.signing import MalformedKey, PrivateKey, SharedSecret

    if secret is None:
        return PrivateKey.generate() if signing == "v1a" else SharedSecret(secrets.token_bytes(32))
    try:
        return PrivateKey.parse(secret) if signing == "v1a" else SharedSecret.parse(secret)
    except MalformedKey as reason:
        raise typer.BadParameter(str(reason), param_hint="--secret") from None


def _decision_key(text: str | None) -> PublicKey | None:
    from shared.webhooks.signing import MalformedKey, PublicKey

    try:
        return None if text is None else PublicKey.parse(text)
    except MalformedKey as reason:
        raise typer.BadParameter(str(reason), param_hint="--decision-key") from None


def _have_it_configured(key: SharedSecret | PrivateKey, console: Console, *, wait: bool) -> None:
    """Print what the server verifies with, and wait until it has it."""
    from shared.webhooks.signing import PrivateKey

    if isinstance(key, PrivateKey):
        console.print(f"Have your server verify v1a with this public key:\n\n    {key.public}\n", markup=False)
        console.print(f"To use the same pair again: --secret {key.reveal()}", markup=False)
    else:
        secret = f"whsec_{base64.b64encode(key.key).decode()}"
        console.print(f"Have your server verify v1 with this secret:\n\n    {secret}\n", markup=False)
        console.print("To use the same one again: --secret, or KAPCARE_PARTNER_SECRET in the environment.", markup=False)
    if wait:
        typer.prompt("Press Enter when it does", default="", show_default=False, err=True)

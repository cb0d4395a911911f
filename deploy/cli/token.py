"""`kap token`: a development access token, on standard output alone."""

from datetime import timedelta
from typing import Annotated

import typer

from deploy.cli.options import Data
from deploy.local.data import DEFAULT_DATA, DataDirectory
from deploy.local.issuer import Issuer
from shared.access.decide import Role


def token(
    role: Annotated[Role, typer.Option(help="What its holder is.")],
    clinic: Annotated[list[str] | None, typer.Option(help="A clinic its holder works at; may be repeated.")] = None,
    organisation: Annotated[str | None, typer.Option(help="The partner organisation its holder speaks for.")] = None,
    subject: Annotated[str | None, typer.Option(help="Who its holder is, as an opaque id.")] = None,
    hours: Annotated[float, typer.Option(help="How long it is good for.", min=0.01, max=720)] = 8,
    data: Data = DEFAULT_DATA,
) -> None:
    """Print a development access token."""
    if role == "partner" and organisation is None:
        raise typer.BadParameter("a partner's token names its organisation", param_hint="--organisation")
    issuer = Issuer.kept_at(DataDirectory(data.resolve()).issuer)
    print(issuer.mint(subject or f"dev-{role}", [role], clinic or [], organisation, timedelta(hours=hours)))

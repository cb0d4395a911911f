"""`kap compose-env`: the settings and secrets that docker-compose.yml asks for."""

import json
import secrets
from typing import Annotated

import typer

from deploy.cli.options import Data
from deploy.local.data import DEFAULT_DATA, DataDirectory, random_key
from deploy.local.issuer import ISSUER, KEY_SETTING, Issuer
from deploy.local.running import PORT_BASE, SERVICES


def compose_env(
    port_base: Annotated[int, typer.Option(help="The services take the ports after this one.", min=1024, max=65_500)] = PORT_BASE,
    data: Data = DEFAULT_DATA,
) -> None:
    """Print a fitting .env with fresh secrets, for development: `./kap compose-env > .env`.

    The issuer's key is the one of `./kap token`, so the composed services take its tokens.
    """
    issuer = Issuer.kept_at(DataDirectory(data.resolve()).issuer)
    settings = {
        "COMPOSE_PROFILES": "development",
        "MONGO_ROOT_PASSWORD": secrets.token_hex(24),
        "MONGO_PASSWORD": secrets.token_hex(24),
        "MONGO_REPLICA_KEY": secrets.token_hex(48),
        "VAULT_MASTER_KEY": random_key(),
        "RECEIPT_KEY": random_key(),
        "LEDGER_ORIGIN": "kapcare.local/ledger",
        "LEDGER_SIGNING_KEY": random_key(),
        "ISSUER": ISSUER,
        "JWKS_URL": "http://issuer:8000/jwks.json",
        KEY_SETTING: f"'{json.dumps(issuer.private_key(), separators=(',', ':'))}'",
        **{f"{name.upper()}_PORT": str(port_base + number) for number, name in enumerate(SERVICES, 1)},
    }
    for name, value in settings.items():
        print(f"{name}={value}")

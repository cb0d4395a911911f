"""Who a partner organisation is: its port, the secret that it shares with the network, and the key that it alone holds."""

import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploy.local.ports import free_port
from deploy.local.private import kept


@dataclass(frozen=True, slots=True)
class DecisionKey:
    """The private half of the key that proves an organisation's decisions."""

    seed: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """Return a key that no one else has."""
        return cls(Ed25519PrivateKey.generate().private_bytes_raw())

    @property
    def public(self) -> str:
        """The half that the network verifies with: `whpk_` and base64."""
        return "whpk_" + base64.b64encode(self._private.public_key().public_bytes_raw()).decode()

    def sign(self, webhook_id: str, at: datetime, body: bytes) -> dict[str, str]:
        """Return the headers of a message (Standard Webhooks 1.0.0, `v1a`: ed25519 over `id.timestamp.body`)."""
        timestamp = str(int(at.timestamp()))
        signature = base64.b64encode(self._private.sign(f"{webhook_id}.{timestamp}.".encode() + body)).decode()
        return {"webhook-id": webhook_id, "webhook-timestamp": timestamp, "webhook-signature": f"v1a,{signature}"}

    @property
    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)


@dataclass(frozen=True, slots=True)
class Identity:
    """What an organisation keeps from one start to the next."""

    slug: str
    name: str
    port: int
    webhook_secret: str = field(repr=False)
    """`whsec_` and base64."""
    key: DecisionKey

    @classmethod
    def kept_in(cls, folder: Path, slug: str, name: str, port: int | None = None) -> Self:
        """Return the identity in this folder, made on first use, then with this port if it is free."""
        content = kept(folder / "identity.json", lambda: _new(port))
        return cls(slug, name, content["port"], content["webhook_secret"], DecisionKey(base64.b64decode(content["signing_seed"])))

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"

    def registration(self) -> Mapping[str, str]:
        """Return what it registers with."""
        return {
            "slug": self.slug,
            "name": self.name,
            "webhook_url": f"{self.url}/webhooks",
            "webhook_secret": self.webhook_secret,
            "decision_key": self.key.public,
        }


def _new(port: int | None) -> dict[str, Any]:
    return {
        "port": free_port(port),
        "webhook_secret": f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}",
        "signing_seed": base64.b64encode(DecisionKey.generate().seed).decode(),
    }

"""A development OIDC issuer: signs access tokens with a key of its own and serves that key's public half.

`python -m deploy.local.issuer --port N` serves it. Tokens are minted in-process, by whoever may read the key file.
"""

import argparse
import json
import os
import time
import uuid
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import OKPKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from deploy.local.private import kept, replace

# A constant, so that a token stays good when the issuer comes up on another port; only the JWKS address has the port.
ISSUER = "http://127.0.0.1/kapcare-dev-issuer"
AUDIENCE = "kapcare"
KEY_SETTING = "KAPCARE_DEVELOPMENT_ISSUER_KEY"

# Verifiers in use know the name EdDSA; RFC 9864 prefers Ed25519 for the same signature.
ALGORITHM = "EdDSA"


@dataclass(frozen=True)
class Issuer:
    """The issuer's signing key, and the port it had last."""

    key: OKPKey
    port: int | None = None

    @classmethod
    def kept_at(cls, path: Path) -> "Issuer":
        """The issuer whose key is in this file, made on first use."""
        content = kept(path, lambda: {"key": OKPKey.generate_key("Ed25519").as_dict(private=True)})
        return cls(OKPKey.import_key(content["key"]), content.get("port"))

    @classmethod
    def of_environment(cls) -> "Issuer":
        """The issuer whose key is in the environment, for where no file can be shared."""
        return cls(OKPKey.import_key(json.loads(os.environ[KEY_SETTING])))

    def keep(self, path: Path, port: int) -> None:
        """Remember the port, so that the next start prefers it."""
        replace(path, {"key": self.private_key(), "port": port})

    def private_key(self) -> dict[str, Any]:
        """The signing key as a JWK."""
        return dict(self.key.as_dict(private=True))

    def public_keys(self) -> dict[str, Any]:
        """What verifiers need, as a JWK set."""
        public = self.key.as_dict(private=False)
        return {"keys": [{**public, "kid": self.key.thumbprint(), "use": "sig", "alg": ALGORITHM}]}

    def mint(
        self,
        subject: str,
        roles: Sequence[str],
        clinics: Sequence[str] = (),
        organisation: str | None = None,
        lifetime: timedelta = timedelta(hours=8),
    ) -> str:
        """A signed access token (RFC 9068)."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "sub": subject,
            "aud": AUDIENCE,
            "client_id": "kap",
            "iat": now,
            "nbf": now,
            "exp": now + int(lifetime.total_seconds()),
            "jti": str(uuid.uuid4()),
            "roles": list(roles),
            "clinics": list(clinics),
        }
        if organisation is not None:
            claims["organisation"] = organisation
        header = {"alg": ALGORITHM, "typ": "at+jwt", "kid": self.key.thumbprint()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)
            return jwt.encode(header, claims, self.key, algorithms=[ALGORITHM])


def application(issuer: Issuer) -> Starlette:
    """The two documents a verifier fetches."""

    async def configuration(request: Request) -> JSONResponse:
        return JSONResponse(
            {
                "issuer": ISSUER,
                "jwks_uri": str(request.url_for("keys")),
                "id_token_signing_alg_values_supported": [ALGORITHM],
                "response_types_supported": ["token"],
                "subject_types_supported": ["public"],
            }
        )

    async def keys(_: Request) -> JSONResponse:
        return JSONResponse(issuer.public_keys())

    return Starlette(routes=[Route("/.well-known/openid-configuration", configuration), Route("/jwks.json", keys, name="keys")])


def main() -> None:
    """Serve the issuer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key-file", type=Path, help=f"otherwise the key is the JWK in {KEY_SETTING}")
    options = parser.parse_args()
    issuer = Issuer.kept_at(options.key_file) if options.key_file else Issuer.of_environment()
    import uvicorn

    uvicorn.run(application(issuer), host=options.host, port=options.port, log_level="warning")


if __name__ == "__main__":
    main()

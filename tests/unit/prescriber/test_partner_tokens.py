"""Access tokens of partners. Expectations: RFC 9068 and RFC 7519 for what a token says, RFC 5869 for its key; PyJWT, and hashlib's own
HMAC, read and make tokens beside joserfc."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwt
from joserfc.jwk import KeySet

from services.prescriber.domain.partners.state import Credential, Organisation
from services.prescriber.partners.tokens import Client, PartnerTokens
from shared.access.decide import Principal
from shared.access.tokens import TokenRefused, TokenVerifier
from tests.unit.prescriber.given import NORTH, NOW, SOUTH

RECEIPT_KEY = b"a receipt key of just 32 bytes.."
SECRET = "secret-" + "x" * 36
OTHERS = Principal("https://issuer.example", "np-11", frozenset({"partner"}), frozenset(), "north")


def credential(slug: str = "main", of: str = "north", secret: str = SECRET) -> Credential:
    return Credential(slug, f"{of}.{slug}", hashlib.sha256(secret.encode()).hexdigest())


class Network:
    """The issuer's verifier, which takes one token; the register of partners and the clock, which tests change."""

    def __init__(self) -> None:
        self.partners: tuple[Organisation, ...] = (
            replace(NORTH, credentials=(credential(), credential("spare", secret="another"))),
            replace(SOUTH, credentials=(credential(of="south", secret="a third"),)),
        )
        self.now = NOW
        self.passed_on: list[str] = []
        self.tokens = PartnerTokens(self, RECEIPT_KEY, lambda: self.partners, lambda: self.now)

    async def principal(self, token: str) -> Principal:
        self.passed_on.append(token)
        if token == "of-the-issuer":
            return OTHERS
        raise TokenRefused

    def token(self) -> str:
        client = self.tokens.client("north.main", SECRET)
        assert client is not None
        return self.tokens.issue(client)

    def change(self, **changed: Any) -> None:
        self.partners = (replace(self.partners[0], **changed), *self.partners[1:])


def derived_key() -> bytes:
    """HKDF-SHA256 by hand (RFC 5869, 2.2 and 2.3; no salt, 32 bytes)."""
    extracted = hmac.new(bytes(32), RECEIPT_KEY, hashlib.sha256).digest()
    return hmac.new(extracted, b"partner-tokens/v1" + b"\x01", hashlib.sha256).digest()


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def made(header: dict[str, Any], claims: Any, key: bytes, digest: Any = hashlib.sha256) -> str:
    message = f"{b64(json.dumps(header, separators=(',', ':')).encode())}.{b64(json.dumps(claims).encode())}"
    return f"{message}.{b64(hmac.new(key, message.encode(), digest).digest())}"


async def test_a_token_speaks_for_the_organisation_and_its_credential_alone() -> None:
    network = Network()
    principal = await network.tokens.principal(network.token())
    assert principal == Principal("urn:kapcare:prescriber", "north.main", frozenset({"partner"}), frozenset(), "north")
    assert network.passed_on == []


def test_a_token_says_what_rfc_9068_asks_for() -> None:
    network = Network()
    token = network.token()
    assert pyjwt.get_unverified_header(token) == {"alg": "HS256", "typ": "at+jwt"}
    claims = pyjwt.decode(
        token,
        derived_key(),
        ["HS256"],
        audience="urn:kapcare:prescriber/partner",
        options={"verify_exp": False, "verify_iat": False},
    )
    assert claims["iss"] == "urn:kapcare:prescriber"
    assert (claims["sub"], claims["client_id"], claims["scope"]) == ("north.main", "north.main", "partner")
    assert (claims["iat"], claims["exp"]) == (NOW.timestamp(), NOW.timestamp() + 300)
    assert set(claims) >= {"iss", "exp", "aud", "sub", "client_id", "iat", "jti"}
    another = pyjwt.decode(network.token(), options={"verify_signature": False})
    assert another["jti"] != claims["jti"]
    assert SECRET not in str(claims)
    assert hashlib.sha256(SECRET.encode()).hexdigest() not in str(claims)


async def test_a_token_ends_after_five_minutes() -> None:
    network = Network()
    token = network.token()
    network.now = NOW + timedelta(seconds=299)
    await network.tokens.principal(token)
    network.now = NOW + timedelta(seconds=300)
    with pytest.raises(TokenRefused):
        await network.tokens.principal(token)


async def test_a_token_of_an_instance_whose_clock_is_ahead_is_taken() -> None:
    network = Network()
    token = network.token()
    network.now = NOW - timedelta(seconds=20)
    await network.tokens.principal(token)


@pytest.mark.parametrize(
    "changed",
    [
        {"credentials": ()},
        {"credentials": (credential("spare", secret="another"),)},
        {"status": "left"},
    ],
    ids=["none left", "revoked", "left"],
)
async def test_what_a_token_was_got_with_ends_it_at_once(changed: dict[str, Any]) -> None:
    network = Network()
    token = network.token()
    network.change(**changed)
    with pytest.raises(TokenRefused):
        await network.tokens.principal(token)
    assert network.tokens.client("north.main", SECRET) is None


async def test_a_token_outlives_a_change_that_is_none_of_its_business() -> None:
    network = Network()
    token = network.token()
    network.change(credentials=(credential(),), status="sandbox", capacity=3)
    await network.tokens.principal(token)


def test_a_client_is_proven_by_its_own_secret() -> None:
    tokens = Network().tokens
    assert tokens.client("north.spare", "another") == Client("north", credential("spare", secret="another"))
    for client_id, secret in (
        ("north.main", "another"),
        ("north.spare", SECRET),
        ("south.main", SECRET),
        ("north.main", ""),
        ("north.main", hashlib.sha256(SECRET.encode()).hexdigest()),
        ("north.main", SECRET + "\0"),
        ("north.main", "\u00e9"),
        ("nobody.main", SECRET),
        ("north", SECRET),
        ("", ""),
        ("nobody.main", "no client has this secret"),
    ):
        assert tokens.client(client_id, secret) is None, (client_id, secret)


def test_an_unknown_client_is_compared_like_a_known_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The work is the same: one hash of what was given, one comparison in constant time of two texts of 64 characters."""
    compared: list[tuple[int, int]] = []
    whole = hmac.compare_digest

    def spied(one: str, other: str) -> bool:
        compared.append((len(one), len(other)))
        return whole(one, other)

    monkeypatch.setattr(hmac, "compare_digest", spied)
    tokens = Network().tokens
    for client_id in ("north.main", "nobody.main", ""):
        assert tokens.client(client_id, "wrong") is None
    assert compared == [(64, 64)] * 3


async def test_what_is_not_from_here_is_the_issuers_to_judge() -> None:
    network = Network()
    assert await network.tokens.principal("of-the-issuer") == OTHERS
    assert network.passed_on == ["of-the-issuer"]


def forged() -> Iterator[tuple[str, str]]:
    good = Network().token()
    head, body, signature = good.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    own = pyjwt.get_unverified_header(good)
    rsa = generate_private_key(65537, 2048).public_key()
    yield "another key", made(own, claims, b"k" * 32)
    yield "the receipt key itself", made(own, claims, RECEIPT_KEY)
    yield "an empty key", made(own, claims, b"")
    yield "a public key as secret", made(own, claims, rsa.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    none = b64(b'{"typ":"at+jwt","alg":"none"}')
    yield "none", f"{none}.{body}."
    yield "none with the signature", f"{none}.{body}.{signature}"
    yield "no signature", f"{head}.{body}."
    yield "RS256 named", made({"typ": "at+jwt", "alg": "RS256"}, claims, derived_key())
    yield "HS512 with the key", made({"typ": "at+jwt", "alg": "HS512"}, claims, derived_key(), hashlib.sha512)
    yield "HS384 with the key", made({"typ": "at+jwt", "alg": "HS384"}, claims, derived_key(), hashlib.sha384)
    yield "another typ", made({"typ": "JWT", "alg": "HS256"}, claims, derived_key())
    yield "kid added", made({**own, "kid": "../../dev/null"}, claims, derived_key())
    yield "one bit", f"{head}.{body}.{'B' if signature[0] != 'B' else 'C'}{signature[1:]}"
    yield "spare bits", good[:-1] + chr(ord(good[-1]) + 1)
    yield "padded", f"{good}="
    yield "four parts", f"{good}.{signature}"
    yield "long", f"{head}.{'A' * 9000}.{signature}"
    for name, changed in (
        ("another issuer", {"iss": "https://issuer.example"}),
        ("another audience", {"aud": "kapcare"}),
        ("ended", {"exp": int(NOW.timestamp())}),
        ("end as text", {"exp": str(2**40)}),
        ("end true", {"exp": True}),
        ("an unknown client", {"sub": "nobody.main"}),
        ("a client that is no text", {"sub": ["north.main"]}),
    ):
        yield name, made(own, {**claims, **changed}, derived_key())
    for name in ("iss", "aud", "exp", "sub"):
        yield f"no {name}", made(own, {key: value for key, value in claims.items() if key != name}, derived_key())
    yield "claims a list", made(own, [], derived_key())


async def test_b20_forged_tokens_are_refused() -> None:
    """Those of the right key could be made by this service alone; they are here to see each claim looked at."""
    network = Network()
    token = network.token()
    own = pyjwt.get_unverified_header(token)
    claims = pyjwt.decode(token, options={"verify_signature": False})
    await network.tokens.principal(made(own, claims, derived_key()))  # so it can be done by hand
    taken = []
    for name, token in forged():
        try:
            taken.append((name, await network.tokens.principal(token)))
        except TokenRefused:
            continue
    assert taken == []


async def test_what_is_no_compact_token_is_not_even_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long ones, and those that are base64 in one of several ways: what a library makes of them does not matter."""
    network = Network()
    good = network.token()
    monkeypatch.setattr(jwt, "decode", lambda *_args, **_more: pytest.fail("it was read"))
    head, body, signature = good.split(".")
    for bad in (f"{good}=", f"{head}.{body}=.{signature}", good[:-1] + chr(ord(good[-1]) + 1), f"{good}.{signature}", good + "A" * 9000):
        with pytest.raises(TokenRefused):
            await network.tokens.principal(bad)


async def test_other_services_refuse_a_partners_token() -> None:
    """Even one that is set up for this very issuer and audience, by an issuer so careless that it publishes the secret key."""
    verifier = TokenVerifier("urn:kapcare:prescriber", "urn:kapcare:prescriber/partner", "http://127.0.0.1:1/jwks.json")
    verifier._keys = KeySet.import_key_set({"keys": [{"kty": "oct", "k": b64(derived_key()), "alg": "HS256"}]})
    with pytest.raises(TokenRefused):
        await verifier.principal(Network().token())

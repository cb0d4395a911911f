"""An internet of one public receiver, in this process: whoever is dialled at any other address is a forbidden listener.

What it replaces is the wire alone: names are answered as a test says, and sockets go to a port on loopback. Every guard
of the sender is the real one, with loopback forbidden, and TLS is real, under a certificate authority of its own.
"""

import asyncio
import datetime
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared.webhooks.resolving import LookUp

PUBLIC = "93.184.216.34"
"""Where the receiver is; a public address, never dialled over a real network."""
NO_CONTENT = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True)
class Request:
    """One request as the public receiver read it."""

    server_name: str | None
    """As TLS announced it (SNI)."""
    head: bytes
    body: bytes


@dataclass
class SimulatedInternet:
    """The receiver, what it answers, and what came to it and to the forbidden listener."""

    tls: ssl.SSLContext
    """Trusts the receiver's certificate authority, and verifies."""
    answer: bytes = NO_CONTENT
    taken: list[Request] = field(default_factory=list)
    dialled: list[object] = field(default_factory=list)
    """Every address but the public one to which a connection was begun."""
    leaked: list[bytes] = field(default_factory=list)
    """What the forbidden listener read, one entry for each connection."""
    public_port: int = 0
    forbidden_port: int = 0

    def open_socket(self, family: int, kind: int, protocol: int) -> socket.socket:
        """A socket whose connection goes to the receiver for the public address, and to the forbidden listener for all others."""
        internet = self

        class Routed(socket.socket):
            def connect(self, address: object) -> None:
                assert isinstance(address, tuple)
                if address[:2] == (PUBLIC, 443):
                    super().connect(("127.0.0.1", internet.public_port))
                    return
                internet.dialled.append(address)
                host = "127.0.0.1" if self.family == socket.AF_INET else "::ffff:127.0.0.1"
                super().connect((host, internet.forbidden_port))

        return Routed(family, kind, protocol)


def answering(*rounds: Sequence[str]) -> LookUp:
    """Names that lie: each look-up gets the next of these answers, and the last one ever after."""
    left = list(rounds)

    async def look_up(_host: str) -> Sequence[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return look_up


@asynccontextmanager
async def simulated_internet(folder: Path, *names: str) -> AsyncIterator[SimulatedInternet]:
    """An internet whose receiver has a certificate for these names."""
    trusted, serving = certificates(folder, names)
    internet = SimulatedInternet(trusted)
    announced: dict[ssl.SSLObject | ssl.SSLSocket, str | None] = {}
    serving.sni_callback = lambda connection, name, _context: announced.update({connection: name})

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
            name = announced.get(writer.get_extra_info("ssl_object"))
            internet.taken.append(Request(name, head, await reader.readexactly(length)))
            writer.write(internet.answer)
            await writer.drain()
        writer.close()

    async def overhear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        at = len(internet.leaked)
        internet.leaked.append(b"")
        with suppress(ConnectionError):
            internet.leaked[at] = await reader.read(65_536)
        writer.close()

    public = await asyncio.start_server(receive, "127.0.0.1", 0, ssl=serving)
    forbidden = await asyncio.start_server(overhear, "127.0.0.1", 0)
    internet.public_port = public.sockets[0].getsockname()[1]
    internet.forbidden_port = forbidden.sockets[0].getsockname()[1]
    async with public, forbidden:
        yield internet


def certificates(folder: Path, names: Sequence[str]) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A context that trusts a fresh authority, and one that serves under a certificate which that authority issued."""
    issuer_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of one test")])
    authority = (
        _certificate(issuer, issuer, issuer_key, issuer_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(issuer_key, hashes.SHA256())
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver of one test")])
    certificate = (
        _certificate(subject, issuer, key, issuer_key)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .sign(issuer_key, hashes.SHA256())
    )
    trusted = ssl.create_default_context(cadata=authority.public_bytes(serialization.Encoding.PEM).decode())
    chain = folder / "receiver.pem"
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(chain)
    return trusted, serving


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, issuer_key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)

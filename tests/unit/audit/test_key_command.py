"""What an operator hands to auditors: the ledger's vkey, and the program that verifies."""

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from deploy.cli.audit import app
from services.audit import kap_verify
from services.audit.domain.note import read_key


def test_the_key_is_the_public_half_of_the_signing_key_under_the_ledgers_name(monkeypatch: pytest.MonkeyPatch) -> None:
    seed = bytes(range(32))
    monkeypatch.setenv("KAPCARE_LEDGER_SIGNING_KEY", base64.b64encode(seed).decode())
    monkeypatch.setenv("KAPCARE_LEDGER_ORIGIN", "example.org/ledger")
    printed = CliRunner().invoke(app, ["key"]).stdout.strip()
    key = read_key(printed)
    assert key.name == "example.org/ledger"
    assert key.public == Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def test_the_verifier_is_printed_byte_for_byte() -> None:
    assert CliRunner().invoke(app, ["verifier"]).stdout == Path(kap_verify.__file__).read_text()

"""What is read of a checkpoint of the ledger before it is passed on, and that none goes back.

Good notes are made by the audit service's own code; what is not one is changed by hand (C2SP tlog-checkpoint, signed-note).
"""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.audit.domain import checkpoint as signed
from services.audit.domain.note import Note
from services.prescriber.domain.partners.checkpoint import Checkpoint, NoCheckpoint, Progress
from services.prescriber.partners.messages import heartbeat_of

ORIGIN = "test.example/ledger"
PRIVATE = Ed25519PrivateKey.from_private_bytes(b"s" * 32)
LARGEST_BODY_BYTES = 20_000
"""Bodies that partners are asked to take (docs/partner-guide.md)."""


def note(size: int = 7, root: bytes = b"r" * 32, origin: str = ORIGIN, signatures: int = 1) -> str:
    made = signed.Checkpoint(origin, size, root).signed(PRIVATE)
    return str(Note(made.text, made.signatures * signatures))


def read(text: str) -> Checkpoint:
    return Checkpoint.read(text.encode())


def test_a_checkpoint_says_what_its_text_says() -> None:
    found = read(note(7))
    assert found == Checkpoint(ORIGIN, 7, base64.b64encode(b"r" * 32).decode(), note(7))


@pytest.mark.parametrize("size", [0, 1, 9, 10, 2**63 - 1])
def test_sizes_that_are_read(size: int) -> None:
    assert read(note(size)).size == size


@pytest.mark.parametrize("size", ["", "-1", "+1", "07", "00", "1.0", "1e3", "٣", " 7", str(2**63), "1" * 20])
def test_sizes_that_are_not(size: str) -> None:
    with pytest.raises(NoCheckpoint):
        read(note(7).replace("\n7\n", f"\n{size}\n"))


def test_sixteen_signatures_are_read_and_seventeen_are_not() -> None:
    assert read(note(signatures=16)).size == 7
    with pytest.raises(NoCheckpoint):
        read(note(signatures=17))


def test_names_of_two_hundred_characters_are_read_and_longer_ones_are_not() -> None:
    assert read(note(origin="o" * 200)).origin == "o" * 200
    with pytest.raises(NoCheckpoint):
        read(note(origin="o" * 201))


ROOT = base64.b64encode(b"r" * 32).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not a checkpoint",
        "<html><body>Welcome</body></html>\n",
        note().replace(ROOT, ROOT[:-4]),
        note().replace(ROOT, ROOT[:-2] + "J="),  # the same 32 bytes, in a spelling that no encoder writes
        note().replace(f"{ROOT}\n", f"{ROOT}\nextension\n"),
        note().replace("\n\n", "\n"),
        note().partition("\n\n")[0] + "\n\n",
        note() + "\n",
        note()[:-1],
        note().replace("\u2014", "-"),
        note().replace(ORIGIN, ""),
        note().replace(ORIGIN, "two words"),
        note().replace("\n", "\r\n"),
        "\ufeff" + note(),
    ],
)
def test_what_is_no_checkpoint(text: str) -> None:
    with pytest.raises(NoCheckpoint) as refused:
        read(text)
    assert ORIGIN not in str(refused.value)


def test_what_is_no_text_is_no_checkpoint() -> None:
    with pytest.raises(NoCheckpoint):
        Checkpoint.read(note().encode() + b"\xff")


@pytest.mark.parametrize(
    ("size", "root", "progress"),
    [(8, b"x", "newer"), (7, b"r", "same"), (7, b"x", "forked"), (6, b"r", "backwards"), (6, b"x", "backwards"), (0, b"x", "backwards")],
)
def test_none_goes_back(size: int, root: bytes, progress: Progress) -> None:
    assert read(note(size, root * 32)).after(read(note(7))) == progress


def test_the_first_one_is_newer_than_none() -> None:
    assert read(note(0)).after(None) == "newer"


def test_a_heartbeat_has_a_checkpoint_where_one_is_known() -> None:
    with_one, without = (json.loads(heartbeat_of("main", 12, "2026-03-02T09:00:00Z", one)) for one in (note(), None))
    assert with_one["data"] == {"endpoint": "main", "last_sequence": 12, "checkpoint": note()}
    assert without == {"type": "kapcare.heartbeat", "timestamp": "2026-03-02T09:00:00Z", "data": {"endpoint": "main", "last_sequence": 12}}


def test_a_heartbeat_with_the_largest_checkpoint_is_small_enough_for_partners() -> None:
    name, line = "w" * 200, "\u2014 " + "w" * 200 + " " + "A" * 160 + "==\n"
    largest = f"{name}\n{2**63 - 1}\n{ROOT}\n\n{line * 16}"
    assert read(largest).note == largest
    assert len(largest.encode()) < 8_192
    with pytest.raises(NoCheckpoint):
        read(largest.replace("A" * 160, "A" * 161))
    assert len(heartbeat_of("e" * 64, 10**12, "2026-03-02T09:00:00.000Z", largest)) < LARGEST_BODY_BYTES

"""The official libraries `standardwebhooks` 1.1.0 and `svix` 2.9.1 as a second opinion on what is signed and what is taken.

The verifier of svix is that of standardwebhooks behind names of its own, so most differences from us are the same.
"""

import base64
import binascii
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

import pytest
import standardwebhooks.webhooks
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from shared.webhooks.signing import PrivateKey, SharedSecret, Unverified, VerifyingKey, is_webhook_id, sign, verify
from tests.unit.signed import PRIVATE, SECRET, SPEC_AT, SPEC_BODY, SPEC_ID, SPEC_TIMESTAMP
from tests.unit.webhook_mutations import AFTER_SIGNING, BEFORE_SIGNING, PARTS, Draft, Message, with_header

SECRET_TEXT = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = SharedSecret(bytes(range(32)))


def webhook_of_svix() -> Any:
    """Return its verifier alone: to import the package reads its whole API client, which takes a second."""
    package = find_spec("svix")
    assert package is not None
    assert package.origin is not None
    module = spec_from_file_location("webhooks_of_svix", Path(package.origin).parent / "webhooks.py")
    assert module is not None
    assert module.loader is not None
    loaded = module_from_spec(module)
    module.loader.exec_module(loaded)
    return loaded.Webhook


STANDARD = Webhook(SECRET_TEXT)
SVIX = webhook_of_svix()(SECRET_TEXT)
LIBRARIES: dict[str, Callable[[bytes, dict[str, str]], None]] = {
    "standardwebhooks": lambda body, headers: STANDARD.verify(body, headers, json_parse=False),
    "svix": SVIX.verify,
}


class Clock(datetime):
    """Stands at `moment`, in Unix seconds."""

    moment: ClassVar[float]

    @classmethod
    def now(cls, tz: Any = None) -> "Clock":
        return cls.fromtimestamp(cls.moment, tz)


def verdict_of(library: str, message: Message, now: datetime) -> str:
    """What the library says at that moment; `crash` where it raises what is not its own error."""
    Clock.moment = now.timestamp()
    with patch.object(standardwebhooks.webhooks, "datetime", Clock):
        try:
            LIBRARIES[library](message.body, dict(message.headers))
        except WebhookVerificationError:
            return "refused"
        except ValueError:
            return "crash"
    return "accepted"


def our_verdict(message: Message, now: datetime) -> str:
    keys: list[VerifyingKey] = [SECRET, PRIVATE.public]
    try:
        verify(message.raw(), message.body, keys, now)
    except Unverified:
        return "refused"
    return "accepted"


@dataclass(frozen=True)
class Difference:
    """A class of messages on which we differ: for which it `holds`, whatever our code says of them."""

    theirs: str
    ours: str
    because: str
    holds: Callable[[Message, datetime], bool]
    by: frozenset[str] = frozenset(LIBRARIES)


def entries(message: Message) -> list[str]:
    return message.header("webhook-signature").split(" ")


def is_plain(timestamp: str) -> bool:
    return re.fullmatch(r"0|[1-9][0-9]{0,11}", timestamp) is not None


def is_decimal(timestamp: str) -> bool:
    try:
        float(timestamp)
    except ValueError:
        return False
    return True


def is_canonical(entry: str) -> bool:
    parts = re.fullmatch(r"v[0-9]{1,3}[a-z]?,([A-Za-z0-9+/]+=*)", entry)
    try:
        return parts is not None and base64.b64encode(base64.b64decode(parts[1])).decode() == parts[1]
    except binascii.Error:
        return False


def decodes(entry: str) -> str:
    """How Python decodes what follows the comma where nobody asks it to be strict: to `32` bytes, to `other`, or not at all."""
    try:
        return "32" if len(base64.b64decode(entry.removeprefix("v1,"))) == 32 else "other"
    except binascii.Error:
        return "not whole"
    except ValueError:
        return "not ASCII"


def is_signed_with_the_private_key(message: Message) -> bool:
    content = f"{message.header('webhook-id')}.{message.header('webhook-timestamp')}.".encode() + message.body
    key = Ed25519PrivateKey.from_private_bytes(PRIVATE.seed)  # a key has one signature of a content
    return "v1a," + base64.b64encode(key.sign(content)).decode() in entries(message)


def is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def names(message: Message) -> Counter[str]:
    return Counter(name.lower() for name, _ in message.headers)


def has_svix_names(message: Message, _now: datetime) -> bool:
    return any(name.startswith("svix-") for name in names(message))


def is_in_the_last_second(message: Message, now: datetime) -> bool:
    timestamp = message.header("webhook-timestamp")
    return is_plain(timestamp) and 300 < now.timestamp() - int(timestamp) < 301


DIFFERENCES = {
    # They accept more: other bytes than the sender made stand for the same message.
    "timestamp read as a decimal": Difference(
        "accepted",
        "refused",
        "float() reads signs, blanks, fractions, exponents, underscores, zeros in front and the digits of every script",
        lambda message, _: not is_plain(message.header("webhook-timestamp")) and is_decimal(message.header("webhook-timestamp")),
    ),
    "id of any text": Difference(
        "accepted",
        "refused",
        "an id may have dots, which the specification forbids, and what a database or a log takes for more than text",
        lambda message, _: re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}", message.header("webhook-id")) is None,
    ),
    "base64 read leniently": Difference(
        "accepted",
        "refused",
        "b64decode() drops what is not base64, padding beyond the end and what follows it, and ignores unused bits",
        lambda message, _: any(
            entry.startswith("v1,") and decodes(entry) == "32" and not is_canonical(entry) for entry in entries(message)
        ),
    ),
    "malformed signature beside a good one": Difference(
        "accepted",
        "refused",
        "they stop reading at the first good one, and skip what precedes it if it decodes to anything or has another scheme",
        lambda message, _: not all(map(is_canonical, entries(message))) and any(map(is_canonical, entries(message))),
    ),
    "more than 16 signatures": Difference(
        "accepted",
        "refused",
        "each costs a comparison, a v1a one 0.1 ms",
        lambda message, _: len(entries(message)) > 16,
    ),
    "signatures beyond 4096 characters": Difference(
        "accepted", "refused", "nobody has so many", lambda message, _: len(message.header("webhook-signature")) > 4096
    ),
    "header twice": Difference(
        "accepted",
        "refused",
        "they take a dictionary, which keeps one of them",
        lambda message, _: max(names(message).values()) > 1,
    ),
    # They raise what is not their own error, which most callers will not catch.
    "crash on an entry that is not two parts": Difference(
        "crash", "refused", "they unpack two", lambda message, _: any(entry.count(",") != 1 for entry in entries(message))
    ),
    "crash on base64 that is not whole": Difference(
        "crash",
        "refused",
        "b64decode() raises binascii.Error",
        lambda message, _: any(entry.startswith("v1,") and decodes(entry) == "not whole" for entry in entries(message)),
    ),
    "crash on a signature beyond ASCII": Difference(
        "crash",
        "refused",
        "b64decode() raises ValueError",
        lambda message, _: any(entry.startswith("v1,") and decodes(entry) == "not ASCII" for entry in entries(message)),
    ),
    "crash on a body that is not text": Difference("crash", "refused", "they decode it", lambda message, _: not is_utf8(message.body)),
    "body that is not text": Difference(
        "crash", "accepted", "they decode it; we sign and verify bytes, whatever they are", lambda message, _: not is_utf8(message.body)
    ),
    # We accept more.
    "within the last second": Difference(
        "refused", "accepted", "we compare whole seconds: the tolerance ends with the second in which it is 300 s", is_in_the_last_second
    ),
    "v1a": Difference(
        "refused",
        "accepted",
        "they know no ed25519; we trust its key here",
        lambda message, _: is_signed_with_the_private_key(message),
    ),
    # svix reads headers of its own names, and prefers them.
    "svix names instead": Difference("accepted", "refused", "the specification has no such names", has_svix_names, frozenset({"svix"})),
    "svix names beside": Difference(
        "refused", "accepted", "we ignore headers that are not part of the specification", has_svix_names, frozenset({"svix"})
    ),
}
"""Every class of difference. In all others, and on whatever is made in this file, the libraries and we agree."""


def differences(message: Message, now: datetime) -> Iterator[tuple[str, str, str, frozenset[str]]]:
    """Yield each library that differs from us, both verdicts, and what explains it; nothing if it is inexplicable."""
    ours = our_verdict(message, now)
    for library in LIBRARIES:
        theirs = verdict_of(library, message, now)
        if theirs != ours:
            explained = (
                name
                for name, known in DIFFERENCES.items()
                if library in known.by and (known.theirs, known.ours) == (theirs, ours) and known.holds(message, now)
            )
            yield library, theirs, ours, frozenset(explained)


SIGNERS: list[list[SharedSecret | PrivateKey]] = [[SECRET], [OTHER, SECRET], [PRIVATE], [PRIVATE, SECRET], [OTHER]]
IN_THE_SECOND = SPEC_AT + timedelta(milliseconds=400)


def changed_once() -> Iterator[tuple[str, Message]]:
    """Every change alone, to every kind of message."""
    for body in ('{"name": "Zoë 🍄"}'.encode(), b"\xff"):
        draft = Draft(SPEC_ID, str(SPEC_TIMESTAMP), body)
        for keys in SIGNERS:
            for name, change in BEFORE_SIGNING.items():
                yield name, change(draft).signed(keys)
            for name, tamper in AFTER_SIGNING.items():
                yield name, tamper(draft.signed(keys))


def test_every_difference_after_one_change_is_one_we_can_explain_and_each_explanation_is_needed() -> None:
    needed: set[str] = set()
    unexplained = []
    for name, message in changed_once():
        for library, theirs, ours, explained in differences(message, IN_THE_SECOND):
            needed |= explained
            if not explained:
                unexplained.append((name, library, theirs, ours))
    assert unexplained == []
    assert needed == set(DIFFERENCES)


def agreed(name: str) -> set[str]:
    """What we and they say, one word if that is the same, of a change to a message with nothing else about it."""
    draft = Draft(SPEC_ID, str(SPEC_TIMESTAMP), SPEC_BODY)
    message = BEFORE_SIGNING[name](draft).signed([SECRET]) if name in BEFORE_SIGNING else AFTER_SIGNING[name](draft.signed([SECRET]))
    return {our_verdict(message, SPEC_AT), *(verdict_of(library, message, SPEC_AT) for library in LIBRARIES)}


@pytest.mark.parametrize(
    "name",
    ["nothing", "names in capitals", "signed id: of 128", "signed timestamp: 300 s ago", "signed timestamp: in 300 s", "signature: twice",
     "signature: a wrong one before", "signature: an unknown one before", "signature: one of 16", "signature: 4096 characters",
     "signature: an unknown one of the longest name before"],
)  # fmt: skip
def test_sound_messages_are_accepted_by_all(name: str) -> None:
    assert agreed(name) == {"accepted"}


texts = st.text(alphabet="v12ab,+/=ABCz0 -_.!\né٣", max_size=60)
tampering = st.one_of(
    st.sampled_from(sorted(AFTER_SIGNING)).map(AFTER_SIGNING.__getitem__),
    st.builds(
        lambda name, text: lambda message: with_header(message, name, lambda _: text), st.sampled_from(PARTS), texts | st.floats().map(str)
    ),
    st.builds(lambda text: lambda message: with_header(message, "webhook-signature", lambda known: f"{known} {text}"), texts),
    st.builds(lambda text: lambda message: with_header(message, "webhook-signature", lambda known: f"{text} {known}"), texts),
)
drafts = st.builds(
    Draft,
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}", fullmatch=True),
    st.sampled_from([-400, -301, -300, 0, 299, 300, 301]).map(lambda seconds: str(SPEC_TIMESTAMP - seconds)),
    st.text(max_size=60).map(str.encode) | st.binary(max_size=60),
)


@given(
    drafts,
    st.sampled_from(sorted(BEFORE_SIGNING)) | st.just("nothing"),
    st.sampled_from(SIGNERS),
    st.lists(tampering, max_size=3),
    st.sampled_from([SPEC_AT, IN_THE_SECOND]),
)
def test_every_difference_after_many_changes_is_one_we_can_explain(
    draft: Draft, change: str, keys: list[SharedSecret | PrivateKey], tampers: list[Callable[[Message], Message]], now: datetime
) -> None:
    message = BEFORE_SIGNING[change](draft).signed(keys)
    for tamper in tampers:
        message = tamper(message)
    assert [found for found in differences(message, now) if not found[-1]] == []


@given(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}", fullmatch=True),
    st.text(max_size=100).map(str.encode),
    st.sampled_from([[SECRET], [OTHER, SECRET], [SECRET, PRIVATE]]),
    st.integers(0, 10**10),
)
def test_what_we_sign_verifies_with_all(webhook_id: str, body: bytes, keys: list[SharedSecret | PrivateKey], timestamp: int) -> None:
    at = datetime.fromtimestamp(timestamp, UTC)
    message = Message(tuple(sign(webhook_id, at, body, keys).items()), body)
    assert {verdict_of(library, message, at) for library in LIBRARIES} == {"accepted"}


@given(st.text(max_size=100), st.text(alphabet="abcXYZ019_-", min_size=1, max_size=40).filter(is_webhook_id), st.integers(0, 10**10))
def test_what_they_sign_verifies_with_us_and_is_what_we_sign(body: str, webhook_id: str, timestamp: int) -> None:
    at = datetime.fromtimestamp(timestamp, UTC)
    ours = sign(webhook_id, at, body.encode(), [SECRET])
    for signed in (STANDARD.sign(webhook_id, at, body), SVIX.sign(webhook_id, at, body)):
        assert signed == ours["webhook-signature"]
        message = Message((*tuple(ours.items())[:2], ("webhook-signature", signed)), body.encode())
        assert our_verdict(message, at) == "accepted"

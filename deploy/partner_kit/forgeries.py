"""Messages that a partner must not take: each is one that the network could have signed, with something done to it. Pure."""

import base64
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from deploy.partner_kit.messages import Composer, Draft, Outgoing, outgoing

TOO_OLD: Final = timedelta(minutes=6)
"""The tolerance is 5 minutes, both ways."""
MOST_SIGNATURES: Final = 16
BASE64: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"


def wrong_signature(compose: Composer) -> Sequence[Outgoing]:
    """Signed with another key; the good signature cut short; none at all behind the scheme."""
    draft = compose.probe()
    signed = compose.signed(draft)
    scheme, signature = _parts(signed)
    return [
        outgoing(compose.signed(draft, keys=[compose.keys.stranger]), draft.body, "signed with another key"),
        outgoing({**signed, SIGNATURE: f"{scheme},{_encoded(signature[:9])}"}, draft.body, "only the beginning of the signature"),
        outgoing({**signed, SIGNATURE: f"{scheme},"}, draft.body, "an empty signature"),
    ]


def altered_body(compose: Composer) -> Sequence[Outgoing]:
    """One value changed; the same JSON written differently; a line end added."""
    draft = compose.probe()
    signed = compose.signed(draft)
    return [
        outgoing(signed, draft.body.replace(b'"request":1', b'"request":2'), "another request number in the body"),
        outgoing(signed, draft.body.replace(b'":', b'": '), "the same JSON with spaces"),
        outgoing(signed, draft.body + b"\n", "a line end after the body"),
    ]


def altered_id(compose: Composer) -> Sequence[Outgoing]:
    """Another id, and the same one with something behind it: a message could be repeated under new ids without end."""
    draft = compose.probe()
    signed = compose.signed(draft)
    return [
        outgoing({**signed, ID: compose.probe().webhook_id}, draft.body, "another id"),
        outgoing({**signed, ID: f"{draft.webhook_id}x"}, draft.body, "an id with one more letter"),
    ]


def altered_timestamp(compose: Composer) -> Sequence[Outgoing]:
    """An old message with a new time, and one made a second later than it was signed."""
    draft = compose.probe()
    fresh, old = compose.signed(draft), compose.signed(draft, age=TOO_OLD)
    return [
        outgoing({**old, TIMESTAMP: fresh[TIMESTAMP]}, draft.body, "an old message with the time of now"),
        outgoing({**fresh, TIMESTAMP: str(int(fresh[TIMESTAMP]) + 1)}, draft.body, "one second added"),
    ]


def too_old(compose: Composer) -> Sequence[Outgoing]:
    """Signed six minutes ago."""
    draft = compose.probe()
    return [outgoing(compose.signed(draft, age=TOO_OLD), draft.body)]


def too_new(compose: Composer) -> Sequence[Outgoing]:
    """Signed six minutes from now."""
    draft = compose.probe()
    return [outgoing(compose.signed(draft, age=-TOO_OLD), draft.body)]


def without_id(compose: Composer) -> Sequence[Outgoing]:
    """No webhook-id, and an empty one."""
    return _without(compose, ID)


def without_timestamp(compose: Composer) -> Sequence[Outgoing]:
    """No webhook-timestamp, and an empty one."""
    return _without(compose, TIMESTAMP)


def without_signature(compose: Composer) -> Sequence[Outgoing]:
    """No webhook-signature, and an empty one."""
    return _without(compose, SIGNATURE)


def repeated_header(compose: Composer) -> Sequence[Outgoing]:
    """Each header twice, the right one before and after another one."""
    draft, other = compose.probe(), compose.probe()
    good = tuple(compose.signed(draft).items())
    others = compose.signed(other, age=timedelta(seconds=9))
    made = []
    for name in (ID, TIMESTAMP, SIGNATURE):
        another = ((name, others[name]),)
        made.append(Outgoing((*good, *another), draft.body, f"another {name} after the right one"))
        made.append(Outgoing((*another, *good), draft.body, f"another {name} before the right one"))
    return made


def other_scheme(compose: Composer) -> Sequence[Outgoing]:
    """A signature of the other scheme alone: by a key of that scheme, and the good one under its name."""
    draft = compose.probe()
    signed = compose.signed(draft)
    scheme, signature = _parts(signed)
    other = compose.keys.other_scheme
    renamed = f"{other.scheme},{_encoded(signature)}"
    return [
        outgoing(compose.signed(draft, keys=[other]), draft.body, f"signed {other.scheme} and not {scheme}"),
        outgoing({**signed, SIGNATURE: renamed}, draft.body, f"the {scheme} signature called {other.scheme}"),
    ]


def malformed(compose: Composer) -> Sequence[Outgoing]:
    """What cannot be read: it must be refused as such, not fail."""
    draft = compose.probe()
    signed = compose.signed(draft)
    scheme, signature = _parts(signed)
    text = _encoded(signature)
    signatures = {"a signature without a scheme": text, "two commas": f"{scheme},{text},{text}", "no base64": f"{scheme},?"}
    timestamps = {"a word as timestamp": "hello", "a negative timestamp": "-1", "a timestamp of 20 digits": "9" * 20}
    return [
        *(outgoing({**signed, SIGNATURE: value}, draft.body, label) for label, value in signatures.items()),
        *(outgoing({**signed, TIMESTAMP: value}, draft.body, label) for label, value in timestamps.items()),
        outgoing(signed, b"\xff\xfe" + draft.body, "a body that is not UTF-8, not signed"),
        outgoing(signed, b"[" * 5_000, "a body that is no message, not signed"),
    ]


def too_many_signatures(compose: Composer) -> Sequence[Outgoing]:
    """Seventeen signatures, the good one last: each costs the receiver work."""
    draft = compose.probe()
    signed = compose.signed(draft)
    strange = compose.signed(draft, keys=[compose.keys.stranger] * MOST_SIGNATURES)[SIGNATURE]
    return [outgoing({**signed, SIGNATURE: f"{strange} {signed[SIGNATURE]}"}, draft.body)]


def loose_base64(compose: Composer) -> Sequence[Outgoing]:
    """The good signature in other spellings: with spare bits set, junk inside, without padding."""
    draft = compose.probe()
    signed = compose.signed(draft)
    scheme, signature = _parts(signed)
    text = _encoded(signature)
    bare = text.rstrip("=")
    spellings = {
        "spare bits set": bare[:-1] + BASE64[BASE64.index(bare[-1]) + 1] + text[len(bare) :],
        "junk inside the base64": f"{text[:8]}!{text[8:]}",
        "no padding": bare,
    }
    return [outgoing({**signed, SIGNATURE: f"{scheme},{spelling}"}, draft.body, label) for label, spelling in spellings.items()]


def other_body_under_one_id(compose: Composer) -> Sequence[Outgoing]:
    """A message, and then another one under its id, both rightly signed: the network never does this."""
    first = compose.assigned()
    second = Draft(first.webhook_id, compose.probe().body)
    return [compose.good(first, "the first"), compose.good(second, "another body under the same id")]


def _without(compose: Composer, name: str) -> Sequence[Outgoing]:
    draft = compose.probe()
    signed = compose.signed(draft)
    rest = {header: value for header, value in signed.items() if header != name}
    return [outgoing(rest, draft.body, f"no {name}"), outgoing({**signed, name: ""}, draft.body, f"an empty {name}")]


def _parts(signed: Mapping[str, str]) -> tuple[str, bytes]:
    scheme, _, text = signed[SIGNATURE].partition(",")
    return scheme, base64.b64decode(text)


def _encoded(signature: bytes) -> str:
    return base64.b64encode(signature).decode()

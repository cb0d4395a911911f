"""What a partner did at the network's API, and what that says about it. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from deploy.partner_kit.judging import Finding


@dataclass(frozen=True, slots=True)
class Fetched:
    """It asked for a review."""

    case: str
    authorised: bool
    """Whether it sent an access token."""


@dataclass(frozen=True, slots=True)
class Asked:
    """It asked which messages became due after a sequence; -1 if that could not be read."""

    after: int
    authorised: bool


@dataclass(frozen=True, slots=True)
class Decided:
    """It sent a decision."""

    case: str
    """Empty where the message was refused before it was read."""
    webhook_id: str
    body: bytes
    unverified: str
    """Why the signature does not hold; empty if it does, or if there was no key to verify it with."""
    malformed: str
    """Which fields do not hold; empty if all do."""
    answered: int


Record = Fetched | Asked | Decided


@dataclass(frozen=True, slots=True)
class Journal:
    """What happened, and what was asked for."""

    records: Sequence[Record]
    reviewed: str
    """The case whose decision gets 503 once, and is then taken."""
    superseded: str
    """The case whose decision gets 409."""
    missing: int
    """The sequence that was never sent; 0 if none was left out yet."""
    has_key: bool
    """Whether signatures could be verified."""

    def decisions(self, case: str | None = None) -> list[Decided]:
        """Return the decisions, of one case or all."""
        return [record for record in self.records if isinstance(record, Decided) and case in {None, record.case}]


@dataclass(frozen=True, slots=True)
class Observation:
    """One thing that a partner does of itself."""

    name: str
    says: str
    advice: str
    judge: Callable[[Journal], Finding]
    required: bool = True


NO_DECISION: Final = Finding("unseen", "no decision came in time; --patience waits longer")


def fetches(journal: Journal) -> Finding:
    """It asks for the review with an access token."""
    asked = [record for record in journal.records if isinstance(record, Fetched) and record.case == journal.reviewed]
    if not asked:
        return Finding("unseen", "the review was not asked for in time; --patience waits longer")
    if not any(record.authorised for record in asked):
        return Finding("fail", "asked without an access token")
    return Finding("pass", "asked with an access token")


def verifies(journal: Journal) -> Finding:
    """Its signatures hold."""
    decisions = journal.decisions()
    if not journal.has_key:
        return Finding("unseen", "give your public key with --decision-key to have signatures verified")
    if not decisions:
        return NO_DECISION
    wrong = [decided.unverified for decided in decisions if decided.unverified]
    return Finding("fail", f"refused: {wrong[0]}") if wrong else Finding("pass", "signed v1a with your key")


def is_well_formed(journal: Journal) -> Finding:
    """Its decisions have the form that the network asks for."""
    readable = [decided for decided in journal.decisions() if not decided.unverified]
    if not readable:
        return NO_DECISION
    wrong = [decided.malformed for decided in readable if decided.malformed]
    return Finding("fail", wrong[0]) if wrong else Finding("pass", "as in the guide")


def decides_once(journal: Journal) -> Finding:
    """The message that came twice leads to one decision."""
    ids = {decided.webhook_id for decided in journal.decisions(journal.reviewed)}
    if not ids:
        return NO_DECISION
    if len(ids) > 1:
        return Finding("fail", f"{len(ids)} decisions on one review, whose message was sent twice")
    return Finding("pass", "one decision, though the message came twice")


def sends_again(journal: Journal) -> Finding:
    """After 503 the same decision comes again, under its id and with its bytes."""
    decisions = journal.decisions(journal.reviewed)
    first = next((index for index, decided in enumerate(decisions) if decided.answered >= 500), None)
    if first is None:
        return NO_DECISION
    failed, later = decisions[first], decisions[first + 1 :]
    again = [decided for decided in later if decided.webhook_id == failed.webhook_id]
    if any(decided.body != failed.body for decided in again):
        return Finding("fail", "came again with another body under the same webhook-id")
    if again:
        return Finding("pass", "came again with the same webhook-id and body")
    if later:
        return Finding("fail", "came again under another webhook-id")
    return Finding("unseen", "did not come again in time; --patience waits longer")


def stops(journal: Journal) -> Finding:
    """After 409 the same decision does not come again."""
    decisions = journal.decisions(journal.superseded)
    first = next((index for index, decided in enumerate(decisions) if decided.answered == 409), None)
    if first is None:
        return NO_DECISION
    again = [decided for decided in decisions[first + 1 :] if decided.webhook_id == decisions[first].webhook_id]
    return Finding("fail", f"came {len(again)} more times") if again else Finding("pass", "did not come again")


def asks_for_what_is_missing(journal: Journal) -> Finding:
    """It asks for a sequence that did not come."""
    asked = [record for record in journal.records if isinstance(record, Asked) and 0 <= record.after < journal.missing]
    if not asked:
        return Finding("unseen", f"did not ask for sequence {journal.missing} in time; --patience waits longer")
    if not any(record.authorised for record in asked):
        return Finding("fail", "asked without an access token")
    return Finding("pass", "asked for what it had missed")


OBSERVATIONS: Final = (
    Observation("fetches-review", "asks for the review with its token", "GET the review_url with `Authorization: Bearer`.", fetches),
    Observation(
        "decision-verifies",
        "signs its decision v1a with its key",
        "Sign `id.timestamp.body` with ed25519, over exactly the bytes that you send, with the time of this attempt.",
        verifies,
    ),
    Observation(
        "decision-well-formed",
        "sends a decision of the right form",
        "Send the fields that the guide lists, with their types; amounts are decimal strings.",
        is_well_formed,
    ),
    Observation(
        "decides-once",
        "decides once on a message that comes twice",
        "Keep each webhook-id for as long as the case lives, and do nothing for one that you know.",
        decides_once,
    ),
    Observation(
        "sends-again",
        "sends the same decision again after 503",
        "Keep webhook-id and bytes of a decision until it is taken; only the timestamp and the signature are new.",
        sends_again,
    ),
    Observation(
        "stops",
        "does not send a decision again after 409",
        "409 is final for this decision: fetch the review again and see what is asked now.",
        stops,
    ),
    Observation(
        "asks-for-missing",
        "asks for a missing sequence",
        "Where `sequence` has a gap, or a heartbeat names a higher one, GET /partner/events?endpoint=main&after=...",
        asks_for_what_is_missing,
        required=False,
    ),
)

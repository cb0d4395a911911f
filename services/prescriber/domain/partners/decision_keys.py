"""The keys that prove an organisation's decisions: another one, and the end of one."""

from typing import Final

from services.prescriber.domain.partners.keys import DecisionKeyText, require_key_unused
from services.prescriber.domain.partners.state import Partner, Partners
from shared.events.base import EventData, Text
from shared.events.partner import DecisionKeyAdded, DecisionKeyRevoked
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request
from shared.service.definition import Decide

MOST_KEYS: Final = 10


class AddDecisionKey(Request):
    """The organisation signs decisions with this key too: `whpk_` and base64 of 32 bytes."""

    decision_key: DecisionKeyText


class RevokeDecisionKey(Request):
    """Take nothing more that is signed with this key; `reason` is for the record."""

    decision_key: DecisionKeyText
    reason: Text


def adding_key(partners: Partners) -> Decide:
    """Return the decision that adds a key which no organisation has or had."""

    def add(partner: Partner, command: AddDecisionKey, _context: Context) -> list[EventData]:
        entry = partner.require_entry()
        require_key_unused(command.decision_key, (entry, *partners()))
        if len(entry.decision_keys) >= MOST_KEYS:
            raise Refusal("too-many-keys", f"An organisation has at most {MOST_KEYS} decision keys; revoke one first.")
        return [DecisionKeyAdded(partner=entry.slug, decision_key=command.decision_key)]

    return add


def revoke_key(partner: Partner, command: RevokeDecisionKey, _context: Context) -> list[EventData]:
    """End a key. Raises Refusal for one that the organisation has not, and for the last one it has."""
    entry = partner.require_entry()
    if command.decision_key not in entry.decision_keys:
        raise Refusal("no-such-key", "The organisation has no such decision key.")
    if len(entry.decision_keys) == 1:
        raise Refusal("last-key", "This is the organisation's only decision key; add another one first.")
    return [DecisionKeyRevoked(partner=entry.slug, decision_key=command.decision_key, reason=command.reason)]

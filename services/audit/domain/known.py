"""What a service can have known of a case when it made a decision, as far as the clear envelopes show it.

A service decides on its own stream of the case, so everything in it before the decision's commit was known: `own`. Of the other
services' events it knows those that it reacted to; a reaction names its cause (`causation`), so such an event was known if the
reaction stands before the decision, or is the decision itself: `reacted`. A service takes the events of each other service on a case
in their sequence, so what came in the same lane before an event that it reacted to had been delivered too, whether it led to anything
or not: `delivered`.

This shows the least that the service knew of the others. It cannot show what was delivered later than the last reaction and led to
nothing; a reaction that records nothing leaves no trace here. It cannot show what a person saw or was told; what the service asked of
others while deciding (how old its view was, is in the sealed data of such decisions); nor what lies in other streams (policies, lots,
partners, other cases of the patient). Events recorded no later than the decision that nothing shows as known are listed apart: they
may have been on their way. `time` is the clock of whoever recorded; nothing here rests on it but that last list.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Basis = Literal["own", "reacted", "delivered"]


@dataclass(frozen=True, slots=True)
class Clear:
    """The clear attributes of one entry that this rests on; `index` is its place in the ledger."""

    index: int
    event: str
    source: str
    sequence: int
    type: str
    time: datetime
    causation: str | None = None

    @property
    def commit(self) -> str:
        """The id of the commit: an event's id is its commit's, a dot and a number."""
        return self.event.rpartition(".")[0]


@dataclass(frozen=True, slots=True)
class Knowledge:
    """`commit`: the events of the decision itself; `known`: what it could rest on; `unshown`: recorded by then, not shown as known."""

    commit: tuple[Clear, ...]
    known: tuple[tuple[Clear, Basis], ...]
    unshown: tuple[Clear, ...]


def known_to(decision: Clear, case: Iterable[Clear]) -> Knowledge:
    """Return what the service of `decision` can have known of the case; `case` is all entries of the decision's stream."""
    entries = sorted(case, key=lambda entry: entry.index)
    own = [entry for entry in entries if entry.source == decision.source]
    commit = [entry for entry in own if entry.commit == decision.commit]
    begins = min((entry.sequence for entry in commit), default=decision.sequence)
    causes = {entry.causation for entry in own if entry.sequence < begins or entry.commit == decision.commit} - {None}
    others = [entry for entry in entries if entry.source != decision.source]
    reached: dict[str, int] = {}
    for entry in others:
        if entry.event in causes:
            reached[entry.source] = max(reached.get(entry.source, 0), entry.sequence)
    known: list[tuple[Clear, Basis]] = []
    unshown: list[Clear] = []
    for entry in entries:
        if entry.source == decision.source:
            if entry.sequence < begins:
                known.append((entry, "own"))
        elif entry.sequence <= reached.get(entry.source, 0):
            known.append((entry, "reacted" if entry.event in causes else "delivered"))
        elif entry.time <= decision.time:
            unshown.append(entry)
    return Knowledge(tuple(commit), tuple(known), tuple(unshown))

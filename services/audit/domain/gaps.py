"""What is missing: holes within a (source, stream) sequence, and tails that a service has and the ledger has not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Lane = tuple[str, str]
"""(source, stream)."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Sequences `first` to `last` of a lane are not in the ledger."""

    kind: Literal["hole", "missing_tail"]
    source: str
    stream: str
    first: int
    last: int


class SequenceCheck:
    """Takes (lane, sequence) in ledger order; finds holes and what came out of order."""

    def __init__(self) -> None:
        self.last: dict[Lane, int] = {}
        self.holes: list[Gap] = []

    def take(self, lane: Lane, sequence: int) -> None:
        """Take the next entry of a lane."""
        expected = self.last.get(lane, 0) + 1
        if sequence > expected:
            self.holes.append(Gap("hole", lane[0], lane[1], expected, sequence - 1))
        self.last[lane] = max(sequence, expected - 1)

    def missing_tails(self, source: str, heads: Mapping[str, int]) -> Iterable[Gap]:
        """Compare with a service's own heads: stream -> last sequence."""
        for stream, head in heads.items():
            kept = self.last.get((source, stream), 0)
            if kept < head:
                yield Gap("missing_tail", source, stream, kept + 1, head)

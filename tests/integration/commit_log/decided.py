"""Causes, and what a sound stream is."""

import uuid
from collections.abc import Sequence
from typing import Any

from shared.events import intake
from shared.events.base import EventData
from shared.events.clinical import Fact
from shared.log.commit import Cause
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from shared.service.runtime import Runtime
from tests import toy
from tests.faults.injected import commits_of

MAC = b"m" * 32
NOT_PRIMARY = 10107
WRITE_CONCERN_FAILED = 64


def http(key: str | None = None, mac: bytes = MAC) -> Cause:
    return Cause.http("test", "clinician", key or uuid.uuid4().hex, mac)


def states(*codes: str) -> Any:
    """A decision that states facts, one event each; refused when the first is known already."""

    def decide(state: toy.ToyCase, _context: Context) -> list[EventData]:
        if codes[0] in state.facts:
            raise Refusal("already-stated", "This fact is known.")
        return [intake.FactsStated(facts=(Fact(kind="statement", code=code, system="kapcare", label="toy"),)) for code in codes]

    return decide


async def assert_sound(runtime: Runtime, stream: str, effects: Sequence[str]) -> None:
    """The stored commits are contiguous, and their effects are these, once each."""
    commits = await commits_of(runtime, stream)
    assert [commit.version for commit in commits] == list(range(1, len(commits) + 1))
    sequences = [int(event.headers["ce_sequence"]) for commit in commits for event in commit.events]
    assert sequences == list(range(1, len(sequences) + 1))
    assert [commit.first_sequence for commit in commits] == [int(commit.events[0].headers["ce_sequence"]) for commit in commits]
    fresh = Runtime(runtime.definition, runtime.settings, runtime.client, runtime.log)
    loaded = await fresh.load(stream)
    assert sorted(loaded.state.facts) == sorted(effects)
    assert (await runtime.load(stream)).state == loaded.state

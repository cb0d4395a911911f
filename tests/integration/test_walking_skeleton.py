"""One event from a decision through commit, relay, consumer and second commit, on the embedded parts."""

from typing import Any

from shared.events.codec import read_envelope
from shared.service.runtime import Runtime
from tests import toy


async def test_an_event_goes_from_commit_to_commit(mongo_url: str, kafka_bootstrap: str) -> None:
    settings = toy.settings_for(mongo_url, kafka_bootstrap, toy.unique())
    await toy.make_topics(kafka_bootstrap, settings.topic_prefix)
    async with toy.runtime_of(toy.INTAKE, settings) as intake, toy.runtime_of(toy.PRESCRIBER, settings) as prescriber:
        case = await toy.begin_case(intake)
        await toy.add_fact(intake, case, "one")
        async with toy.relaying(intake), toy.consuming(prescriber):
            loaded = await toy.eventually(lambda: _loaded(prescriber, case))
        assert loaded.state.order == ("one",)
        assert (loaded.clinic, loaded.patient) == ("riverside", "patient-1")
        commit = await prescriber.database["commits"].find_one({"stream": case})
        assert commit is not None
        envelope = read_envelope(commit["events"][0]["headers"])
        cause = await intake.database["commits"].find_one({"stream": case, "version": 2})
        assert cause is not None
        caused_by = read_envelope(cause["events"][0]["headers"])
        assert envelope.causation == caused_by.id
        assert envelope.correlation == caused_by.correlation
        assert commit["cause"] == f"event:urn:kapcare:intake/{caused_by.id}"


async def _loaded(runtime: Runtime, case: str) -> Any:
    loaded = await runtime.load(case)
    return loaded if loaded.version else None

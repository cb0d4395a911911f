"""`kap partner check --serve` sees how a partner acts: the kit's own well-behaved one, and ones that each do one thing wrong."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from typer.testing import CliRunner, Result

from deploy.cli.__main__ import app
from deploy.local.ports import free_port
from deploy.partner_kit import office as at_work
from deploy.partner_kit.behaviours import Behaviour, named
from deploy.partner_kit.check import Examination, check
from deploy.partner_kit.checks import CHECKS
from deploy.partner_kit.conversation import Patience, converse
from deploy.partner_kit.desk import Desk
from deploy.partner_kit.identity import DecisionKey, Identity
from deploy.partner_kit.journal import OBSERVATIONS
from deploy.partner_kit.line import Line
from deploy.partner_kit.messages import Composer, Keys
from deploy.partner_kit.network import Network, NotYet, Reply
from deploy.partner_kit.office import Office
from deploy.partner_kit.serving import serving
from deploy.partner_kit.simulate import be
from deploy.partner_kit.stand_in import StandIn
from shared.clock import system_now
from shared.webhooks.signing import PublicKey, SharedSecret

WELL_BEHAVED = named("well-behaved") or pytest.fail("there is a well-behaved partner")
ACTS = {observation.name for observation in OBSERVATIONS}
PATIENCE = Patience(to_act=10, after_refusal=0.5)
HARDLY_ANY = Patience(to_act=0.3, after_refusal=0.1)
"""Where nothing is to come."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_work, "GAP_SECONDS", 0.05)


@asynccontextmanager
async def partner(
    folder: Path, behaviour: Behaviour = WELL_BEHAVED, network: type[Network] = Network, office: type[Office] = Office
) -> AsyncIterator[tuple[Identity, int]]:
    """A partner at work, which takes the network to be at a port that is still free."""
    identity, port = Identity.kept_in(folder, "north", "North"), free_port()
    desk = Desk(folder / "desk.sqlite")
    async with aiohttp.ClientSession() as session:
        reached = network(session, f"http://127.0.0.1:{port}", "north", lambda: "token")
        work = asyncio.create_task(be(office(identity, desk, behaviour, "dr-1"), identity, reached, once=False))
        try:
            yield identity, port
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            desk.close_file()


async def outcomes(folder: Path, patience: Patience = PATIENCE, **kind: Any) -> dict[str, str]:
    """What was found of each act."""
    async with partner(folder, **kind) as (identity, port):
        compose = Composer(Keys.around(SharedSecret.parse(identity.webhook_secret)), system_now, lambda: uuid.uuid4().hex)
        network = StandIn(compose.due, PublicKey.parse(identity.key.public), system_now)
        async with serving(network.application(), port):
            line = Line(f"{identity.url}/webhooks")
            results = await converse(line, compose, network, patience, has_key=True, say=lambda _line: None)
    return {result.check.name: result.finding.outcome for result in results}


async def test_the_well_behaved_partner_passes_everything(tmp_path: Path) -> None:
    """It verifies with the published library, which shares no code with what is sent here."""
    async with partner(tmp_path) as (identity, port):
        secret, key = SharedSecret.parse(identity.webhook_secret), PublicKey.parse(identity.key.public)
        results = await check(Examination(f"{identity.url}/webhooks", secret, PATIENCE, key, port), lambda _says: None)
    found = {result.check.name: result.finding.outcome for result in results}
    assert found == dict.fromkeys(ACTS | {one.name for one in CHECKS}, "pass")


class Tokenless(Network):
    async def review(self, case: str) -> Reply:
        reply = await super().review(case)
        await self._reply("GET", f"/partner/reviews/{case}")
        return reply

    def _bearer(self) -> dict[str, str]:
        return {}


class AsksForEventsWithoutToken(Network):
    async def events(self, after: int) -> Reply:
        return await self._reply("GET", "/partner/events", params={"after": str(after)})


class WritesEachAttemptAnew(Network):
    async def decide(self, webhook_id: str, body: bytes, key: DecisionKey) -> Reply:
        message = {**json.loads(body), "timestamp": system_now().isoformat()}
        return await super().decide(webhook_id, json.dumps(message).encode(), key)


class TakesANewIdEachTime(Network):
    async def decide(self, webhook_id: str, body: bytes, key: DecisionKey) -> Reply:
        return await super().decide(f"{webhook_id}-{uuid.uuid4().hex}", body, key)


class NeverGivesUp(Network):
    async def decide(self, webhook_id: str, body: bytes, key: DecisionKey) -> Reply:
        reply = await super().decide(webhook_id, body, key)
        if reply.status == 409:
            raise NotYet
        return reply


class DecidesOnEachDelivery(Office):
    count = 0

    def _note(self, webhook_id: str, *rest: Any) -> Any:
        self.count += 1
        return super()._note(f"{webhook_id}-{self.count}", *rest)


def judged(change: Callable[[dict[str, Any]], Any]) -> Behaviour:
    def judge(review: Any, asked_at: str) -> dict[str, Any]:
        decision = WELL_BEHAVED.judge(review, asked_at)
        assert decision is not None
        change(decision)
        return decision

    return replace(WELL_BEHAVED, judge=judge)


WRONG: list[tuple[dict[str, Any], set[str]]] = [
    ({"behaviour": replace(WELL_BEHAVED, forges=True)}, {"decision-verifies"}),
    ({"behaviour": judged(lambda decision: decision["plan"].update(dose="100 mg"))}, {"decision-well-formed"}),
    ({"behaviour": judged(lambda decision: decision.pop("reasons"))}, {"decision-well-formed"}),
    ({"network": AsksForEventsWithoutToken}, {"asks-for-missing"}),
    ({"network": WritesEachAttemptAnew}, {"sends-again"}),
    ({"network": TakesANewIdEachTime}, {"sends-again", "decides-once"}),
    ({"network": NeverGivesUp}, {"stops"}),
    ({"office": DecidesOnEachDelivery}, {"decides-once"}),
]


@pytest.mark.parametrize(("kind", "fail"), WRONG, ids=lambda value: "-".join(sorted(value)) if isinstance(value, set) else "")
async def test_each_wrong_act_is_found(tmp_path: Path, kind: dict[str, Any], fail: set[str]) -> None:
    found = await outcomes(tmp_path, **kind)
    assert {name for name, outcome in found.items() if outcome == "fail"} == fail


async def test_a_partner_that_asks_without_a_token_is_found(tmp_path: Path) -> None:
    found = await outcomes(tmp_path, HARDLY_ANY, network=Tokenless)
    assert {name for name, outcome in found.items() if outcome == "fail"} == {"fetches-review", "asks-for-missing"}


async def test_a_partner_that_does_nothing_is_not_failed_for_it(tmp_path: Path) -> None:
    found = await outcomes(tmp_path, HARDLY_ANY, behaviour=replace(WELL_BEHAVED, decides=False, heeds=False))
    assert found == dict.fromkeys(ACTS, "unseen")


async def kap(*words: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, ["partner", "check", *words])


async def test_the_command_prints_what_passes_and_its_exit_code_says_whether_all_required_does(tmp_path: Path) -> None:
    async with partner(tmp_path) as (identity, _):
        url = f"{identity.url}/webhooks"
        good = await kap(url, "--secret", identity.webhook_secret, "--json")
        assert good.exit_code == 0, good.output
        report = json.loads(good.stdout)
        assert report["ok"]
        assert {one["outcome"] for one in report["checks"] if one["name"] not in ACTS} == {"pass"}
        bad = await kap(url, "--yes")
    assert bad.exit_code == 1
    assert "NOT READY" in bad.stdout
    assert "whsec_" in bad.stderr
    assert "whsec_" not in bad.stdout


@pytest.mark.parametrize(
    "url", ["http://partner.example/hooks", "ftp://127.0.0.1/", "https://user@partner.example/", "http://127.0.0.1:x/"]
)
async def test_nothing_is_sent_where_nothing_should_be(url: str) -> None:
    assert (await kap(url, "--yes")).exit_code == 2

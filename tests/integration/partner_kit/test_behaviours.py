"""The simulated partners against the real prescriber service: each behaviour is answered as the list of behaviours says."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from deploy.partner_kit import answering, sequels
from deploy.partner_kit.behaviours import BEHAVIOURS, named
from deploy.partner_kit.desk import Desk
from deploy.partner_kit.identity import Identity
from deploy.partner_kit.judging import Answer
from deploy.partner_kit.line import Line
from deploy.partner_kit.messages import Composer, Keys
from deploy.partner_kit.network import Network
from deploy.partner_kit.office import Office
from deploy.partner_kit.simulate import be, register
from shared.clock import system_now
from shared.webhooks.signing import SharedSecret
from tests import toy
from tests.integration.partner_clinic import Clinic, clinic_on
from tests.integration.partner_stub import serving

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
"""The development issuer signs with EdDSA, which newer texts call Ed25519."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def clinic(mongo_url: str, kafka_bootstrap: str) -> AsyncIterator[Clinic]:
    async with clinic_on(mongo_url, kafka_bootstrap) as running:
        yield running


class Simulated:
    """A partner at work, and what it said."""

    def __init__(self, clinic: Clinic, behaviour: str, folder: Path) -> None:
        found = named(behaviour)
        assert found is not None
        self.clinic, self.lines = clinic, list[str]()
        self.identity = Identity.kept_in(folder, f"{behaviour}-{toy.unique()}", "A partner")
        self.office = Office(self.identity, Desk(folder / "desk.sqlite"), found, "dr-1", self.lines.append)

    async def until_done(self) -> None:
        slug = self.identity.slug
        network = Network(self.clinic.session, self.clinic.url, slug, lambda: self.clinic.token("partner", slug))
        await be(self.office, self.identity, network, once=True)

    async def given_a_review(self) -> str:
        """A case of which this partner is asked for the review."""
        case = await self.clinic.screened()

        async def assigned() -> bool:
            # By whatever partner was chosen: the address of one that has gone is as good as any.
            status, _ = await self.clinic.post(
                f"/cases/{case}/reassignment", {"reason": "test", "partner": self.identity.slug}, "coordinator"
            )
            return bool(status == 200 or (await self.clinic.state(case)).partner == self.identity.slug)

        await toy.eventually(assigned)
        return case


async def played(clinic: Clinic, behaviour: str, folder: Path) -> tuple[Simulated, str]:
    """A registered partner of this behaviour, at work until it is done with a review."""
    partner = Simulated(clinic, behaviour, folder)
    assert not await register(clinic.session, clinic.url, partner.identity, clinic.token("admin"))
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        given = group.create_task(partner.given_a_review())
        group.create_task(partner.until_done())
    return partner, given.result()


async def recorded(clinic: Clinic, case: str) -> list[str]:
    """The short names of the case's events, in order."""
    commits = clinic.prescriber.database["commits"].find({"stream": case}).sort([("version", 1)])
    return [event["headers"]["ce_type"].split(".")[2] async for commit in commits for event in commit["events"]]


async def test_a_well_behaved_partner_decides(clinic: Clinic, tmp_path: Path) -> None:
    partner, case = await played(clinic, "well-behaved", tmp_path)
    assert (await clinic.state(case)).status == "declined", partner.lines
    assert partner.office.surprises == 0
    assert await register(clinic.session, clinic.url, partner.identity, clinic.token("admin"))


@pytest.mark.parametrize("behaviour", ["replaying", "equivocating"])
async def test_what_follows_a_decision_has_no_effect(
    clinic: Clinic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behaviour: str
) -> None:
    monkeypatch.setattr(sequels, "LATER_SECONDS", 0.05)
    partner, case = await played(clinic, behaviour, tmp_path)
    assert partner.office.surprises == 0, partner.lines
    assert (await recorded(clinic, case)).count("DecisionReceived") == 1
    assert any({"replaying": "the same answer", "equivocating": "409 webhook-id-reused"}[behaviour] in line for line in partner.lines)


async def test_a_forged_decision_is_refused(clinic: Clinic, tmp_path: Path) -> None:
    partner, case = await played(clinic, "forging", tmp_path)
    assert partner.office.surprises == 0, partner.lines
    assert any("401 webhook-refused" in line for line in partner.lines), partner.lines
    assert "DecisionReceived" not in await recorded(clinic, case)


async def test_a_stale_partner_has_something_cleared_and_then_answers_the_request_before(clinic: Clinic, tmp_path: Path) -> None:
    async def clear(case: str) -> None:
        """Where it was asked first, what it wants cleared is cleared; where it was asked second, it wants nothing."""
        while not partner.office.brought_to_an_end.is_set():
            answers = {"answers": [{"item": "medication-list", "cleared": True, "note": "seen"}]}
            await clinic.post(f"/cases/{case}/clearances", answers, "coordinator")
            await asyncio.sleep(0.05)

    partner = Simulated(clinic, "stale", tmp_path)
    await register(clinic.session, clinic.url, partner.identity, clinic.token("admin"))
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(partner.until_done())
        case = await partner.given_a_review()
        group.create_task(clear(case))
    assert partner.office.surprises == 0, partner.lines
    assert any("409 stale-request" in line for line in partner.lines), partner.lines
    assert (await clinic.state(case)).status == "in_review"


async def test_a_late_partner_answers_when_the_review_is_another_s(clinic: Clinic, tmp_path: Path) -> None:
    partner = Simulated(clinic, "late", tmp_path)
    await register(clinic.session, clinic.url, partner.identity, clinic.token("admin"))
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(partner.until_done())
        case = await partner.given_a_review()

        async def decided() -> bool:
            return any("and decided" in line for line in partner.lines)

        await toy.eventually(decided)
        await clinic.post(f"/cases/{case}/reassignment", {"reason": "test", "partner": "in-house"}, "coordinator")
    assert partner.office.surprises == 0, partner.lines
    assert (await recorded(clinic, case))[-3:-1] == ["DecisionReceived", "LateDecisionReceived"]


@pytest.mark.parametrize("behaviour", ["failing", "gone", "redirecting", "silent"])
async def test_a_partner_that_takes_nothing_or_does_nothing_keeps_the_review_open(clinic: Clinic, tmp_path: Path, behaviour: str) -> None:
    partner, case = await played(clinic, behaviour, tmp_path)
    assert partner.office.surprises == 0, partner.lines
    assert (await clinic.state(case)).status == "in_review"


def test_every_behaviour_says_what_the_network_does() -> None:
    assert len({behaviour.name for behaviour in BEHAVIOURS}) == len(BEHAVIOURS) == 15
    assert all(behaviour.does and behaviour.network for behaviour in BEHAVIOURS)


SHORT = 0.2
"""How long the network waits here."""


@pytest.mark.parametrize(
    ("behaviour", "statuses"),
    [
        ("flaky", [500, 204]),
        ("throttling", [429, 204]),
        ("slow", [204, 204]),
        ("failing", [500, 500]),
        ("gone", [410, 410]),
        ("redirecting", [307, 307]),
        ("hanging", [None, None]),
        ("dripping", [None, None]),
    ],
)
async def test_how_two_attempts_are_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behaviour: str, statuses: list[int | None]
) -> None:
    for name in ("SLOW_SECONDS", "DRIP_SECONDS"):
        monkeypatch.setattr(answering, name, 0.05)
    found = named(behaviour)
    assert found is not None
    identity = Identity.kept_in(tmp_path, "north", "North")
    desk = Desk(tmp_path / "desk.sqlite")
    office = Office(identity, desk, found, "dr-1")
    compose = Composer(Keys.around(SharedSecret.parse(identity.webhook_secret)), system_now, lambda: uuid.uuid4().hex)
    message = compose.good(compose.assigned())
    async with serving(office.answer) as url:
        answers: list[Answer] = await Line(url, 15 if None not in statuses else SHORT).send([message, message])
    assert [answer.status for answer in answers] == statuses
    assert len(desk.in_hand()) == (204 in statuses)
    desk.close_file()


async def test_a_message_that_comes_again_takes_nothing_away_that_came_after_it(tmp_path: Path) -> None:
    found = named("well-behaved")
    assert found is not None
    identity = Identity.kept_in(tmp_path, "north", "North")
    desk = Desk(tmp_path / "desk.sqlite")
    compose = Composer(Keys.around(SharedSecret.parse(identity.webhook_secret)), system_now, lambda: uuid.uuid4().hex)
    case = compose.new_case()
    first = compose.assigned(case, 1)
    taken_away = compose.draft("kapcare.review.reassigned", {"case": case, "request": 1, "review_url": f"/partner/reviews/{case}"})
    second = compose.assigned(case, 3)
    async with serving(Office(identity, desk, found, "dr-1").answer) as url:
        answers = await Line(url).send([compose.good(draft) for draft in (first, taken_away, second, taken_away, first)])
    assert [answer.status for answer in answers] == [204] * 5
    assert [row["request"] for row in desk.in_hand()] == [3]
    desk.close_file()

"""Keys that replace one another: while there are several, any of them proves a decision, and the record names the one that did."""

from collections.abc import AsyncIterator
from hashlib import sha256

import pytest
import pytest_asyncio

from shared.events.partner import DecisionKeyAdded, DecisionKeyRevoked
from shared.events.prescriber import DecisionReceived
from shared.webhooks.signing import PrivateKey
from tests import toy
from tests.integration.partner_clinic import Clinic, clinic_on, decision
from tests.integration.partner_stub import PartnerStub, partner

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
"""The development issuer signs with EdDSA, which newer texts call Ed25519."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def alone(mongo_url: str, kafka_bootstrap: str) -> AsyncIterator[tuple[Clinic, PartnerStub]]:
    async with clinic_on(mongo_url, kafka_bootstrap) as clinic, partner("north") as north:
        assert (await clinic.register(north))[0] == 201
        yield clinic, north


async def add(clinic: Clinic, stub: PartnerStub, key: PrivateKey) -> None:
    """Add a decision key, and wait until the service's directory has it."""
    await clinic.say(f"partner-{stub.slug}", DecisionKeyAdded(partner=stub.slug, decision_key=str(key.public)))

    async def known() -> bool:
        return (await clinic.decide(stub, b"{}", key=key))[0] == 422

    await toy.eventually(known)


async def revoke(clinic: Clinic, stub: PartnerStub, key: PrivateKey) -> None:
    await clinic.say(f"partner-{stub.slug}", DecisionKeyRevoked(partner=stub.slug, decision_key=str(key.public), reason="rotated"))


async def test_either_key_proves_a_decision_and_the_record_and_the_metrics_say_which(alone: tuple[Clinic, PartnerStub]) -> None:
    clinic, north = alone
    newer = PrivateKey.generate()
    await add(clinic, north, newer)
    for key in (north.private, newer):
        case = await clinic.screened()
        await clinic.told()
        assert (await clinic.decide(north, decision(case), key=key))[0] == 200
        (proof,) = (event for event in await clinic.events(case) if isinstance(event, DecisionReceived))
        assert proof.decision_key == str(key.public)
        async with clinic.session.get(f"{clinic.url}/metrics") as response:
            counted = await response.text()
        named = sha256(str(key.public).encode()).hexdigest()[:16]
        assert f'kapcare_proven_messages_total{{key="{named}",partner="north",service="prescriber"}}' in counted
        assert str(key.public)[5:] not in counted


async def test_f31_a_revoked_key_proves_nothing_from_that_moment_on(alone: tuple[Clinic, PartnerStub]) -> None:
    clinic, north = alone
    older = PrivateKey.generate()
    await add(clinic, north, older)
    case = await clinic.screened()
    await clinic.told()
    for _ in range(5):  # the directory hears of it a moment later: each of these moments is one in which it has not
        await revoke(clinic, north, older)
        assert (await clinic.decide(north, decision(case), key=older))[0] == 401
        await add(clinic, north, older)
    await revoke(clinic, north, older)
    assert (await clinic.decide(north, decision(case)))[0] == 200


async def test_without_any_key_nothing_is_proven(mongo_url: str, kafka_bootstrap: str) -> None:
    async with clinic_on(mongo_url, kafka_bootstrap) as clinic, partner("north") as north:
        assert (await clinic.register(north))[0] == 201
        await revoke(clinic, north, north.private)
        for _ in range(3):
            status, problem = await clinic.decide(north, b"{}")
            assert (status, problem["reason"]) == (401, "signature-wrong")

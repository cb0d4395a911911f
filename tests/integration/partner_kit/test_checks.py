"""`kap partner check` finds what is wrong with a webhook server, each flaw by the check that is made for it, and nothing else."""

from collections.abc import Sequence

import pytest

from deploy.partner_kit.check import Examination, check
from deploy.partner_kit.checks import CHECKS
from deploy.partner_kit.conversation import Patience
from deploy.partner_kit.examination import Result
from shared.webhooks.signing import PrivateKey, SharedSecret
from tests.integration.partner_kit.flawed_servers import FLAWED, NeverAnswers, Redirects, TakesMessagesOfTheFuture, VerifiesNothing
from tests.integration.partner_kit.servers import SECRET, ClosesEachConnection, DoesNotDedupe, Server, StrictV1a
from tests.integration.partner_stub import serving

WIRE = frozenset(one.name for one in CHECKS)


async def examined(kind: type[Server], **changed: float) -> tuple[Server, list[Result]]:
    pair = PrivateKey.generate()
    server = kind(pair.public.key)
    key = pair if kind.scheme == "v1a" else SharedSecret(SECRET)
    async with serving(server.answer) as url:
        results = await check(Examination(f"{url}/hooks", key, Patience(1, 1), **changed), lambda _says: None)  # type: ignore[arg-type]
    return server, [result for result in results if result.check.name in WIRE]


def names(results: Sequence[Result], outcome: str) -> set[str]:
    return {result.check.name for result in results if result.finding.outcome == outcome}


@pytest.mark.parametrize("kind", [Server, StrictV1a])
async def test_a_strict_server_passes_everything(kind: type[Server]) -> None:
    server, results = await examined(kind)
    assert names(results, "pass") == WIRE
    assert len(server.bodies) > 40


@pytest.mark.parametrize("kind", FLAWED, ids=lambda kind: kind.__name__)
async def test_each_flaw_is_found_by_its_check_and_no_other(kind: type[Server]) -> None:
    _, results = await examined(kind, answer_seconds=0.3 if kind is NeverAnswers else 15)
    assert names(results, "fail") == kind.finds


def test_every_check_can_fail() -> None:
    assert {name for kind in FLAWED for name in kind.finds} == WIRE


async def test_a_server_that_verifies_nothing_fails_everything_that_is_to_be_refused() -> None:
    _, results = await examined(VerifiesNothing)
    refusals = {one.name for one in CHECKS if one.judge.__name__ == "refused"}
    # A repeated header it refuses all the same, and another body under a known id too.
    assert names(results, "fail") == refusals - {"repeated-header"}


async def test_what_cannot_be_told_is_said_to_be_unseen() -> None:
    _, results = await examined(ClosesEachConnection)
    assert names(results, "unseen") == {"kept-connection"}
    _, results = await examined(DoesNotDedupe)
    assert names(results, "unseen") == {"one-id-two-bodies"}


async def test_nothing_is_tried_on_a_server_that_takes_no_good_message_and_no_redirect_is_followed() -> None:
    server, results = await examined(Redirects)
    assert names(results, "unseen") == WIRE - {"in-time", "good-message"}
    assert dict(server.on_connection) == {"/hooks": 2}
    assert "redirect" in next(result.finding.detail for result in results if result.check.name == "good-message")


async def test_a_required_flaw_is_a_failure_and_an_advised_one_is_not() -> None:
    _, results = await examined(TakesMessagesOfTheFuture)
    assert [result.check.name for result in results if result.is_failure] == ["too-new"]
    advised = {one.name for one in CHECKS if not one.required}
    assert advised == {"too-many-signatures", "loose-base64", "one-id-two-bodies"}

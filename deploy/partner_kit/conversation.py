"""Ask a partner for reviews, and watch what it does at the stand-in of the network's API."""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Final

from deploy.partner_kit.examination import Result
from deploy.partner_kit.journal import OBSERVATIONS, Asked, Decided, Journal, Record
from deploy.partner_kit.judging import Finding
from deploy.partner_kit.line import Line
from deploy.partner_kit.messages import ANSWER_WITHIN, ENDPOINT, TEST, Composer
from deploy.partner_kit.stand_in import OpenReview, StandIn

NOT_SERVED: Final = Finding("unseen", "--serve PORT serves a stand-in of the network's API, and sees it")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited for what a partner does of itself, in seconds."""

    to_act: float
    """For each step."""
    after_refusal: float
    """Before it counts as not done again."""


async def converse(
    line: Line, compose: Composer, network: StandIn, patience: Patience, *, has_key: bool, say: Callable[[str], None]
) -> list[Result]:
    """Send what a partner acts on, wait for its acts, and judge them."""

    def journal(missing: int = 0) -> Journal:
        return Journal(network.journal, reviewed, superseded, missing, has_key)

    reviewed, superseded = compose.new_case(), compose.new_case()
    network.reviews[reviewed] = OpenReview(1, compose.now() + ANSWER_WITHIN, [503, 200])
    network.reviews[superseded] = OpenReview(1, compose.now() + ANSWER_WITHIN, [409])

    say(f"waiting up to {patience.to_act:g} s for a decision, which gets 503 at first")
    assigned = compose.assigned(reviewed)
    await line.send([compose.good(assigned), compose.good(assigned)])
    await network.until(_done_with(reviewed), patience.to_act)

    if journal().decisions(reviewed):
        say(f"waiting up to {patience.to_act:g} s for another decision, which gets 409")
        await line.send([compose.good(compose.assigned(superseded))])
        if await network.until(_done_with(superseded), patience.to_act):
            say(f"watching for {patience.after_refusal:g} s that it does not come again")
            await network.until(_came_again(superseded), patience.after_refusal)

    missing = compose.next_sequence
    compose.draft(TEST, {"endpoint": ENDPOINT})
    say(f"waiting up to {patience.to_act:g} s to be asked for sequence {missing}, which does not come")
    await line.send([compose.good(compose.assigned())])
    await network.until(_asked_before(missing), patience.to_act)
    return [Result(observation, observation.judge(journal(missing))) for observation in OBSERVATIONS]


def not_seen(why: Finding) -> list[Result]:
    """Return that nothing of it was seen, and why."""
    return [Result(observation, why) for observation in OBSERVATIONS]


def _done_with(case: str) -> Callable[[Sequence[Record]], bool]:
    """Return whether nothing more is to be expected: a decision was taken, or one was no good."""
    return lambda records: any(one.answered in {200, 409} or not one.case for one in _decisions(records, {case, ""}))


def _came_again(case: str) -> Callable[[Sequence[Record]], bool]:
    return lambda records: len(_decisions(records, {case})) > 1


def _asked_before(missing: int) -> Callable[[Sequence[Record]], bool]:
    return lambda records: any(isinstance(one, Asked) and 0 <= one.after < missing for one in records)


def _decisions(records: Sequence[Record], cases: Container[str]) -> list[Decided]:
    return [one for one in records if isinstance(one, Decided) and one.case in cases]

"""The limit on failures. The oracle is what a token bucket promises (RFC 2697 speaks of the same one): in any span of so many seconds, at
most the burst and the rate times the span; and time alone gives all of it back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.webhooks.failures import FailureLimit

STEPS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3_000)), max_size=80)
"""(who, milliseconds since the one before)."""


def admitted(limit: FailureLimit, steps: list[tuple[str, int]]) -> dict[str, list[float]]:
    """When each sender's failures were let in."""
    passed, times = 0, dict[str, list[float]](a=[], b=[])
    for sender, milliseconds in steps:
        passed += milliseconds
        now = passed / 1000
        if limit.seconds_to_wait(sender, now) == 0:
            limit.failed(sender, now)
            times[sender].append(now)
    return times


@given(STEPS, st.integers(1, 6), st.sampled_from([0.5, 1.0, 3.0]))
def test_no_span_of_time_holds_more_than_the_burst_and_the_rate(steps: list[tuple[str, int]], at_once: int, per_second: float) -> None:
    for times in admitted(FailureLimit(at_once, per_second), steps).values():
        for first in range(len(times)):
            for last in range(first, len(times)):
                assert last - first + 1 <= at_once + per_second * (times[last] - times[first]) + 1e-6


@given(STEPS, st.integers(1, 6))
def test_a_sender_is_limited_by_its_own_failures_alone(steps: list[tuple[str, int]], at_once: int) -> None:
    together = admitted(FailureLimit(at_once, 1.0), steps)
    alone, waited = FailureLimit(at_once, 1.0), 0
    mine: list[tuple[str, int]] = []
    for sender, milliseconds in steps:
        waited += milliseconds
        if sender == "a":
            mine.append(("a", waited))
            waited = 0
    assert together["a"] == admitted(alone, mine)["a"]


@given(STEPS, st.integers(1, 6), st.sampled_from([0.5, 1.0, 3.0]))
def test_the_wait_that_is_told_is_enough_and_half_of_it_is_not(steps: list[tuple[str, int]], at_once: int, per_second: float) -> None:
    limit = FailureLimit(at_once, per_second)
    admitted(limit, steps)
    now = sum(milliseconds for _, milliseconds in steps) / 1000
    wait = limit.seconds_to_wait("a", now)
    assert limit.seconds_to_wait("a", now + wait + 1e-9) == pytest.approx(0, abs=1e-6)
    assert wait < 1e-6 or limit.seconds_to_wait("a", now + wait / 2) > 0


def test_who_never_failed_never_waits() -> None:
    limit = FailureLimit(1, 0.001)
    limit.failed("a", 0)
    assert limit.seconds_to_wait("a", 0) == 1_000
    assert limit.seconds_to_wait("b", 0) == 0


def test_all_of_the_burst_comes_back_and_no_more() -> None:
    limit = FailureLimit(3, 1.0)
    for _ in range(3):
        limit.failed("a", 0)
    for _ in range(3):
        assert limit.seconds_to_wait("a", 1_000) == 0
        limit.failed("a", 1_000)
    assert limit.seconds_to_wait("a", 1_000) == 1


def test_the_memory_is_bounded_and_the_oldest_failure_is_forgotten_first() -> None:
    limit = FailureLimit(1, 0.001, remembered=3)
    for sender in ("a", "b", "c", "a", "d"):
        limit.failed(sender, 0)
    assert [sender for sender in "abcd" if limit.seconds_to_wait(sender, 0)] == ["a", "c", "d"]
    for number in range(1_000):
        limit.failed(number, 0)
        assert limit.seconds_to_wait(number, 0)
    assert len(limit._left) == 3

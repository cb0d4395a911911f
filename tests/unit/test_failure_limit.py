"""How many failures are let through. Expectations: a bucket of `at_once` failures that leaks `per_second`, reckoned here from all
failures that ever were, not step by step."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.http.failure_limit import FailureLimit

STEPS = st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.1, 1.0, 600.0]), max_size=60)
"""Pauses: mostly none, now and then long enough to be forgiven everything."""


@given(at_once=st.integers(1, 8), per_second=st.floats(0.05, 5), pauses=STEPS)
def test_in_any_stretch_of_time_no_more_fail_than_fit(at_once: int, per_second: float, pauses: list[float]) -> None:
    limit, now, let_through = FailureLimit(at_once, per_second), 0.0, []
    for pause in pauses:
        now += pause
        if limit.allows("key", now):
            limit.failed("key", now)
            let_through.append(now)
    for first, begin in enumerate(let_through):
        for last, end in enumerate(let_through[first:], first):
            assert last - first + 1 <= at_once + (end - begin) * per_second + 1e-6


@given(at_once=st.integers(1, 8), per_second=st.floats(0.05, 5), refused=st.integers(0, 50))
def test_a_failure_is_let_through_again_after_the_time_of_one_however_many_came(at_once: int, per_second: float, refused: int) -> None:
    limit = FailureLimit(at_once, per_second)
    for _ in range(at_once):
        assert limit.allows("key", 0.0)
        limit.failed("key", 0.0)
    for _ in range(refused):
        assert not limit.allows("key", 0.0)
        limit.failed("key", 0.0)
    assert limit.seconds_to_wait("key", 0.0) == pytest.approx(1 / per_second)
    assert limit.seconds_to_wait("key", 0.5 / per_second) == pytest.approx(0.5 / per_second)
    assert not limit.allows("key", 0.5 / per_second)
    assert limit.allows("key", 1.001 / per_second)
    assert limit.seconds_to_wait("key", 1.001 / per_second) == 0
    after_all = 1.001 * at_once / per_second
    for _ in range(at_once):
        assert limit.allows("key", after_all)
        limit.failed("key", after_all)
    assert not limit.allows("key", after_all)


def test_one_key_is_nothing_to_another() -> None:
    limit = FailureLimit(1, 0.1)
    limit.failed(("10.0.0.1", "north.main"), 0.0)
    assert not limit.allows(("10.0.0.1", "north.main"), 0.0)
    assert limit.allows(("10.0.0.2", "north.main"), 0.0)
    assert limit.allows(("10.0.0.1", "south.main"), 0.0)


def test_of_many_keys_those_that_failed_last_are_remembered() -> None:
    limit = FailureLimit(1, 0.1, remembered=3)
    for key in ("a", "b", "c"):
        limit.failed(key, 0.0)
    limit.failed("a", 0.0)
    limit.failed("d", 0.0)
    assert [key for key in "abcd" if not limit.allows(key, 0.0)] == ["a", "c", "d"]

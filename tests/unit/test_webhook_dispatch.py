"""Which delivery may be tried next: F29's schedule and ten days of outage on moved time, order in a lane, bulkhead and breaker."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.webhooks.dispatch import Delivery, Dispatch
from shared.webhooks.health import LEFT_ALONE, OPENS_AFTER, WINDOW_AT_FIRST, WINDOW_AT_MOST
from shared.webhooks.schedule import ATTEMPTS, JITTER, RETRY_SECONDS, asked_seconds, pause_after

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

# Cumulative seconds of the example schedule in standard-webhooks spec/standard-webhooks.md 1.0.0: 0, 5 s, 5 m 5 s, 35 m 5 s, 2:35:05,
# 7:35:05, 17:35:05, 31:35:05, 51:35:05, 75:35:05.
SPECIFIED = [0, 5, 305, 2_105, 9_305, 27_305, 63_305, 113_705, 185_705, 272_105]


def delivery(sequence: int, lane: str = "case-1", endpoint: str = "north/main") -> Delivery:
    return Delivery(f"{endpoint}/{sequence}", endpoint, lane, sequence, f"id-{sequence}", b"{}")


def test_f29_the_schedule_is_the_one_that_standard_webhooks_gives() -> None:
    assert [sum(RETRY_SECONDS[:number]) for number in range(ATTEMPTS)] == SPECIFIED


@given(st.integers(1, ATTEMPTS - 1), st.integers(0, 2**32))
def test_f29_each_pause_is_within_a_fifth_of_the_schedule(failures: int, seed: int) -> None:
    pause = pause_after(failures, None, Random(seed))
    assert pause is not None
    assert abs(pause.total_seconds() / RETRY_SECONDS[failures - 1] - 1) <= JITTER + 1e-9


@example(1, "0\x1f", 0)  # what `str.strip` takes for white space, and `int` does not
@given(st.integers(1, ATTEMPTS - 1), st.one_of(st.text(max_size=12), st.integers(-10, 10**9).map(str)), st.integers(0, 2**32))
def test_f30_retry_after_lengthens_a_pause_at_most_to_twice(failures: int, retry_after: str, seed: int) -> None:
    without, asked = pause_after(failures, None, Random(seed)), pause_after(failures, retry_after, Random(seed))
    assert without is not None
    assert asked is not None
    assert without <= asked <= 2 * without + timedelta(milliseconds=1)
    if not (retry_after.strip().isascii() and retry_after.strip().isdigit()):
        assert asked == without


@pytest.mark.parametrize("given_up", ["-5", "1e9", "Wed, 21 Oct 2026 07:28:00 GMT", "", "٣", "1_0", "+5", "10000000000"])
def test_f30_what_is_no_number_of_seconds_asks_for_nothing(given_up: str) -> None:
    assert asked_seconds(given_up) is None


def done(dispatch: Dispatch, one: Delivery) -> None:
    """It was taken, and that is recorded."""
    dispatch.taken(one)
    dispatch.recorded(one)


@dataclass
class World:
    """Endpoints that answer as they are told, on moved time."""

    dispatch: Dispatch = field(default_factory=lambda: Dispatch(Random(7)))
    now: datetime = NOW
    attempts: dict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))
    taken: list[Delivery] = field(default_factory=list)
    dead: list[Delivery] = field(default_factory=list)

    def step(self, *, up: bool) -> int:
        begun = self.dispatch.take(self.now)
        for one in begun:
            self.attempts[one.id].append(self.now)
            if up:
                done(self.dispatch, one)
                self.taken.append(one)
            elif self.dispatch.failed(one, 500, None, self.now) is None:
                self.dispatch.recorded(one)
                self.dead.append(one)
        return len(begun)

    def run(self, until: datetime, every: timedelta, *, up: bool) -> None:
        while self.now < until:
            while self.step(up=up):
                pass
            self.now += every


def test_f29_one_delivery_is_tried_at_the_scheduled_times_and_then_given_up() -> None:
    dispatch, now, pauses = Dispatch(Random(7)), NOW, []
    dispatch.add(delivery(1))
    while True:
        (begun,) = dispatch.take(now)
        again = dispatch.failed(begun, 500, None, now)
        if again is None or again.not_before is None:
            dispatch.recorded(begun)
            break
        pauses.append((again.not_before - now).total_seconds())
        assert dispatch.take(again.not_before - timedelta(milliseconds=1)) == []
        now = again.not_before
    for pause, scheduled in zip(pauses, RETRY_SECONDS, strict=True):
        assert scheduled * (1 - JITTER) <= pause <= scheduled * (1 + JITTER)
    assert dispatch.take(NOW + timedelta(days=30)) == []
    assert len(dispatch) == 0


def test_ten_days_of_outage_lose_nothing_but_what_had_ten_attempts() -> None:
    """A delivery each hour, of twenty cases in turn; back after ten days: all that is not dead is taken, each case in order."""
    world = World()
    back = NOW + timedelta(days=10)
    for hour in range(240):
        world.dispatch.add(delivery(hour + 1, lane=f"case-{hour % 20}"))
        world.run(NOW + timedelta(hours=hour + 1), timedelta(minutes=4), up=False)
    assert world.now >= back
    assert world.taken == []
    dead = {one.sequence for one in world.dead}
    assert dead == {one for one in range(1, 241) if len(world.attempts[f"north/main/{one}"]) == ATTEMPTS}
    assert 0 < len(dead) < 240
    world.run(back + timedelta(days=4), timedelta(minutes=4), up=True)
    assert {one.sequence for one in world.taken} == set(range(1, 241)) - dead
    assert len(world.dispatch) == 0
    for lane in {one.lane for one in world.taken}:
        in_lane = [one.sequence for one in world.taken if one.lane == lane]
        assert in_lane == sorted(in_lane)


def test_a_dead_delivery_lets_the_next_of_its_case_follow() -> None:
    world = World()
    world.dispatch.add(delivery(1))
    world.dispatch.add(delivery(2))
    while not world.dead:
        world.step(up=False)
        world.now += timedelta(minutes=10)
    assert world.attempts["north/main/2"] == []
    world.run(world.now + timedelta(hours=1), timedelta(seconds=30), up=True)
    assert [one.sequence for one in world.taken] == [2]


def test_other_cases_flow_while_one_waits() -> None:
    dispatch = Dispatch(Random(1))
    for number, lane in enumerate(["a", "a", "b", "c"], 1):
        dispatch.add(delivery(number, lane))
    begun = dispatch.take(NOW)
    assert [one.sequence for one in begun] == [1, 3, 4]
    dispatch.failed(begun[0], 500, None, NOW)
    for one in begun[1:]:
        done(dispatch, one)
    dispatch.add(delivery(5, "b"))
    assert [one.sequence for one in dispatch.take(NOW)] == [5]


def test_f27_an_endpoint_that_hangs_keeps_to_its_share() -> None:
    """It has a few attempts under way at first, and all that hang together never more than half of the whole."""
    dispatch = Dispatch(Random(1), at_once=20)
    for endpoint in [f"hanging-{number}/main" for number in range(10)]:
        for sequence in range(1, 30):
            dispatch.add(delivery(sequence, f"case-{sequence}", endpoint))
    hanging = dispatch.take(NOW)
    assert len(hanging) == 10
    assert dispatch.take(NOW) == []
    healthy = [delivery(sequence, f"case-{sequence}") for sequence in range(1, 30)]
    dispatch.health("north/main").took()
    for one in healthy:
        dispatch.add(one)
    assert {one.endpoint for one in dispatch.take(NOW)} == {"north/main"}


def test_an_endpoint_has_so_many_under_way_and_more_as_it_takes_what_it_is_sent() -> None:
    dispatch = Dispatch(Random(1))
    for sequence in range(1, 200):
        dispatch.add(delivery(sequence, f"case-{sequence}"))
    seen = []
    begun = dispatch.take(NOW)
    for _ in range(30):
        seen.append(dispatch.under_way)
        done(dispatch, begun.pop(0))
        begun += dispatch.take(NOW)
    assert seen[0] == WINDOW_AT_FIRST
    assert max(seen) == WINDOW_AT_MOST


def test_the_breaker_opens_after_failures_in_a_row_and_closes_with_the_first_that_is_taken() -> None:
    dispatch = Dispatch(Random(1))
    for sequence in range(1, 40):
        dispatch.add(delivery(sequence, f"case-{sequence}"))
    failures = 0
    while failures < OPENS_AFTER:
        for one in dispatch.take(NOW):
            dispatch.failed(one, "timeout", None, NOW)
            failures += 1
    assert dispatch.health("north/main").open
    assert dispatch.take(NOW + LEFT_ALONE / 2) == []
    (probe,) = dispatch.take(NOW + 2 * LEFT_ALONE)
    assert probe.sequence == 1
    assert dispatch.take(NOW + 2 * LEFT_ALONE) == []
    done(dispatch, probe)
    assert len(dispatch.take(NOW + 2 * LEFT_ALONE)) > 1


def test_f30_who_asks_for_less_gets_less() -> None:
    dispatch = Dispatch(Random(1))
    for sequence in range(1, 40):
        dispatch.add(delivery(sequence, f"case-{sequence}"))
    first, *_ = dispatch.take(NOW)
    dispatch.failed(first, 429, "86400", NOW)
    assert dispatch.take(NOW + timedelta(seconds=59)) == []
    assert dispatch.take(NOW + timedelta(seconds=61)) == []  # three are under way still, and only half may be now
    assert dispatch.health("north/main").window == WINDOW_AT_FIRST // 2


def test_the_next_of_a_case_waits_until_it_is_durable_that_the_one_before_was_taken() -> None:
    """Or a crash between the two would send the one before again after the next."""
    dispatch = Dispatch(Random(1))
    for sequence, lane in enumerate(["a", "a", "b"], 1):
        dispatch.add(delivery(sequence, lane))
    first, _ = dispatch.take(NOW)
    dispatch.taken(first)
    assert dispatch.take(NOW) == []
    assert dispatch.under_way == 1
    dispatch.recorded(first)
    assert [one.sequence for one in dispatch.take(NOW)] == [2]


def test_a_held_endpoint_begins_nothing_and_loses_nothing() -> None:
    dispatch = Dispatch(Random(1))
    dispatch.hold({"north/main"})
    dispatch.add(delivery(1))
    assert dispatch.take(NOW) == []
    dispatch.hold(set())
    assert [one.sequence for one in dispatch.take(NOW)] == [1]


def test_what_is_sent_again_comes_before_what_is_newer_and_after_what_is_under_way() -> None:
    dispatch = Dispatch(Random(1))
    dispatch.add(delivery(5))
    dispatch.add(delivery(6))
    (under_way,) = dispatch.take(NOW)
    dispatch.add(delivery(2))
    done(dispatch, under_way)
    order = []
    while begun := dispatch.take(NOW):
        order += [one.sequence for one in begun]
        done(dispatch, begun[0])
    assert order == [2, 6]


@settings(max_examples=60)
@given(st.data())
def test_whatever_happens_each_is_once_under_way_in_order_and_ends_taken_or_dead(data: st.DataObject) -> None:
    """Of a random history of additions, answers and time: a lane starts and ends in order, and nothing is lost or doubled."""
    dispatch = Dispatch(Random(3), at_once=6)
    now, next_sequence = NOW, dict.fromkeys(["a/main", "b/main"], 1)
    under_way: list[Delivery] = []
    ended: dict[tuple[str, str], list[int]] = defaultdict(list)
    failures: dict[str, int] = defaultdict(int)
    for _ in range(data.draw(st.integers(5, 60))):
        match data.draw(st.sampled_from(["add", "take", "answer", "fail", "wait"])):
            case "add":
                endpoint = data.draw(st.sampled_from(sorted(next_sequence)))
                dispatch.add(delivery(next_sequence[endpoint], data.draw(st.sampled_from("xyz")), endpoint))
                next_sequence[endpoint] += 1
            case "take":
                under_way += dispatch.take(now)
            case "answer" if under_way:
                one = under_way.pop(data.draw(st.integers(0, len(under_way) - 1)))
                done(dispatch, one)
                ended[(one.endpoint, one.lane)].append(one.sequence)
            case "fail" if under_way:
                one = under_way.pop(data.draw(st.integers(0, len(under_way) - 1)))
                failures[one.id] += 1
                again = dispatch.failed(one, 503, None, now)
                assert (again is None) == (failures[one.id] == ATTEMPTS)
                if again is None:
                    dispatch.recorded(one)
                    ended[(one.endpoint, one.lane)].append(one.sequence)
            case "wait":
                now += timedelta(seconds=data.draw(st.sampled_from([1, 60, 7_200, 90_000])))
            case _:
                pass
        lanes = [(one.endpoint, one.lane) for one in under_way]
        assert len(lanes) == len(set(lanes))
        assert dispatch.under_way == len(under_way) <= 6
    for one in under_way:
        done(dispatch, one)
        ended[(one.endpoint, one.lane)].append(one.sequence)
    for _ in range(500):
        now += timedelta(hours=1)
        for one in dispatch.take(now):
            done(dispatch, one)
            ended[(one.endpoint, one.lane)].append(one.sequence)
    assert len(dispatch) == 0
    assert all(sequences == sorted(set(sequences)) for sequences in ended.values())
    assert sum(map(len, ended.values())) == sum(next_sequence.values()) - 2


def test_what_waits_can_be_dropped_and_added_anew_while_the_first_is_under_way() -> None:
    dispatch = Dispatch(Random(0))
    for sequence in (1, 2, 3):
        dispatch.add(delivery(sequence))
    dispatch.add(delivery(4, "case-2"))
    begun = dispatch.take(NOW)
    dispatch.taken(begun[-1])
    dispatch.recorded(begun[-1])
    dispatch.forget_waiting("north/main")
    assert [(one.lane, one.sequence) for one in begun] == [("case-1", 1), ("case-2", 4)]
    assert dispatch.waiting("north/main") == 1
    assert dispatch.health("north/main").proven
    for sequence in (1, 2, 3):
        dispatch.add(delivery(sequence))
    assert dispatch.waiting("north/main") == 3
    assert dispatch.take(NOW) == []
    done(dispatch, begun[0])
    assert [one.sequence for one in dispatch.take(NOW)] == [2]


def test_an_endpoint_that_is_forgotten_leaves_nothing_and_what_is_under_way_ends_by_itself() -> None:
    dispatch = Dispatch(Random(0))
    dispatch.add(delivery(1))
    dispatch.add(delivery(2))
    (first,) = dispatch.take(NOW)
    dispatch.forget_endpoint("north/main")
    assert (len(dispatch), dispatch.under_way) == (1, 1)
    done(dispatch, first)
    assert (len(dispatch), dispatch.under_way) == (0, 0)
    dispatch.forget_endpoint("north/main")
    assert "north/main" not in dispatch._endpoints


def test_an_endpoint_that_is_left_alone_gets_one_attempt_when_a_person_asks() -> None:
    dispatch = Dispatch(Random(1))
    for sequence in range(1, 40):
        dispatch.add(delivery(sequence, f"case-{sequence}"))
    failures = 0
    while failures < OPENS_AFTER:
        for one in dispatch.take(NOW):
            dispatch.failed(one, "timeout", None, NOW)
            failures += 1
    assert dispatch.take(NOW) == []
    dispatch.forget_waiting("north/main")
    dispatch.hurry("north/main")
    for sequence in (1, 2, 3):
        dispatch.add(delivery(sequence, f"case-{sequence}"))
    assert [one.sequence for one in dispatch.take(NOW)] == [1]

"""Which delivery may be tried next: in order within a lane, lanes beside one another, endpoints independent of one another. Pure.

A lane is what must keep its order at one endpoint: a case. Its first delivery is tried until it is taken or given up; the next ones
wait behind it, while those of other lanes go on. System time is passed in.
"""

import heapq
from bisect import insort
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Final, NamedTuple

from shared.webhooks.health import Health
from shared.webhooks.schedule import pause_after

AT_ONCE: Final = 256
"""Attempts under way at once to all endpoints; those that have not shown that they take anything share half of it."""


class Delivery(NamedTuple):
    """One webhook to one endpoint: the same id and the same bytes on every attempt."""

    id: str
    endpoint: str
    lane: str
    sequence: int
    """Contiguous for the endpoint; a lane is in the order of it."""
    webhook_id: str
    body: bytes
    attempts: int = 0
    """Attempts made so far."""
    not_before: datetime | None = None

    def __repr__(self) -> str:
        """Without the body."""
        return f"Delivery(id={self.id!r}, sequence={self.sequence}, attempts={self.attempts}, not_before={self.not_before})"


@dataclass(slots=True)
class _Lane:
    waiting: list[Delivery] = field(default_factory=list)
    under_way: bool = False
    """Whether the first one is under way, or what became of it is not durable yet."""


@dataclass(slots=True)
class _Endpoint:
    health: Health = field(default_factory=Health)
    lanes: dict[str, _Lane] = field(default_factory=dict)
    ready: list[tuple[int, str]] = field(default_factory=list)
    """(sequence, lane): heads that may be tried as soon as there is room."""
    later: list[tuple[datetime, int, str]] = field(default_factory=list)
    """(not before, sequence, lane): heads that wait for their next attempt."""


class Dispatch:
    """The deliveries that wait, in memory."""

    def __init__(self, chance: Random, at_once: int = AT_ONCE) -> None:
        self._chance = chance
        self._at_once = at_once
        self._endpoints: OrderedDict[str, _Endpoint] = OrderedDict()
        self._known: set[str] = set()
        self._held: frozenset[str] = frozenset()
        self._under_way = 0
        self._unproven = 0
        """Attempts under way to endpoints that had taken nothing when they began."""
        self._counted: dict[str, bool] = {}
        """Delivery under way -> whether it counts as unproven."""

    def __len__(self) -> int:
        return len(self._known)

    @property
    def under_way(self) -> int:
        """How many attempts are under way."""
        return self._under_way

    def waiting(self, endpoint: str) -> int:
        """Return how many deliveries of an endpoint wait or are under way."""
        known = self._endpoints.get(endpoint)
        return 0 if known is None else sum(len(lane.waiting) for lane in known.lanes.values())

    def health(self, endpoint: str) -> Health:
        """Return what is remembered of an endpoint."""
        return self._endpoint(endpoint).health

    def add(self, delivery: Delivery) -> None:
        """Take a delivery on; one that is known already changes nothing."""
        if delivery.id in self._known:
            return
        self._known.add(delivery.id)
        endpoint = self._endpoint(delivery.endpoint)
        lane = endpoint.lanes.get(delivery.lane)
        if lane is None:
            endpoint.lanes[delivery.lane] = _Lane([delivery])
            _line_up(endpoint, delivery)
            return
        # What is under way stays first, also where something earlier is to be sent again.
        insort(lane.waiting, delivery, lo=1 if lane.under_way else 0, key=_sequence)
        if not lane.under_way and lane.waiting[0] is delivery:
            _line_up(endpoint, delivery)

    def hurry(self, name: str) -> None:
        """Let one attempt be made at once to an endpoint that is left alone: a person asked for it."""
        self._endpoint(name).health.resumes_at = None

    def hold(self, held: Collection[str]) -> None:
        """Let nothing begin at these endpoints, and at any other go on."""
        self._held = frozenset(held)

    def take(self, now: datetime) -> list[Delivery]:
        """Return what may begin now, and count it as under way: one of each endpoint in turn, the earliest first."""
        begun: list[Delivery] = []
        turn = [name for name, endpoint in self._endpoints.items() if (endpoint.ready or endpoint.later) and name not in self._held]
        while turn and self._under_way < self._at_once:
            going_on: list[str] = []
            for name in turn:
                delivery = self._next(self._endpoints[name], now) if self._under_way < self._at_once else None
                if delivery is not None:
                    begun.append(delivery)
                    going_on.append(name)
            turn = going_on
        for name in {delivery.endpoint for delivery in begun}:
            self._endpoints.move_to_end(name)  # whoever got nothing comes first the next time
        return begun

    def taken(self, delivery: Delivery) -> None:
        """The endpoint took it: another one of the endpoint may begin; the next one of its lane once this is `recorded`."""
        self._ended(delivery).health.took()

    def recorded(self, delivery: Delivery) -> None:
        """What became of it is durable, and it is not sent again: the next one of its lane follows."""
        self._forget(self._endpoints[delivery.endpoint], delivery)

    def failed(self, delivery: Delivery, outcome: int | str, retry_after: str | None, now: datetime) -> Delivery | None:
        """The attempt failed: return the delivery as it waits for the next one.

        None if that was the last, and it is given up: the next one of its lane follows once this is `recorded`.
        """
        endpoint = self._ended(delivery)
        endpoint.health.failed(outcome, retry_after, now)
        pause = pause_after(delivery.attempts + 1, retry_after, self._chance)
        if pause is None:
            return None
        again = delivery._replace(attempts=delivery.attempts + 1, not_before=now + pause)
        lane = endpoint.lanes[delivery.lane]
        lane.under_way = False
        lane.waiting.pop(0)
        insort(lane.waiting, again, key=_sequence)
        _line_up(endpoint, lane.waiting[0])
        return again

    def give_up(self, delivery: Delivery) -> None:
        """It is not to be sent any more, for a reason that says nothing of the endpoint's health."""
        self._forget(self._ended(delivery), delivery)

    def forget_endpoint(self, name: str) -> None:
        """Drop what waits for an endpoint and what is remembered of it; what is under way ends by itself."""
        self.forget_waiting(name)
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            return
        endpoint.health = Health(under_way=endpoint.health.under_way)
        if not endpoint.lanes:
            del self._endpoints[name]

    def forget_waiting(self, name: str) -> None:
        """Drop what waits for an endpoint, to be added as it is stored now; what is under way ends by itself."""
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            return
        for lane in endpoint.lanes.values():
            stays = lane.waiting[:1] if lane.under_way else []
            self._known -= {delivery.id for delivery in lane.waiting[len(stays) :]}
            lane.waiting = stays
        endpoint.lanes = {name: lane for name, lane in endpoint.lanes.items() if lane.under_way}
        endpoint.ready, endpoint.later = [], []

    def _endpoint(self, name: str) -> _Endpoint:
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            endpoint = self._endpoints[name] = _Endpoint()
        return endpoint

    def _next(self, endpoint: _Endpoint, now: datetime) -> Delivery | None:
        while endpoint.later and endpoint.later[0][0] <= now:
            _, sequence, name = heapq.heappop(endpoint.later)
            heapq.heappush(endpoint.ready, (sequence, name))
        unproven = not endpoint.health.proven
        if endpoint.health.room(now) <= 0 or (unproven and self._unproven >= self._at_once // 2):
            return None
        while endpoint.ready:
            sequence, name = heapq.heappop(endpoint.ready)
            lane = endpoint.lanes.get(name)
            if lane is None or lane.under_way or not lane.waiting:
                continue
            head = lane.waiting[0]
            if head.sequence != sequence or (head.not_before is not None and head.not_before > now):
                continue  # something else came first meanwhile, and stands in line itself
            lane.under_way = True
            endpoint.health.under_way += 1
            self._under_way += 1
            self._unproven += unproven
            self._counted[head.id] = unproven
            return head
        return None

    def _ended(self, delivery: Delivery) -> _Endpoint:
        endpoint = self._endpoints[delivery.endpoint]
        endpoint.health.under_way -= 1
        self._under_way -= 1
        self._unproven -= self._counted.pop(delivery.id)
        return endpoint

    def _forget(self, endpoint: _Endpoint, delivery: Delivery) -> None:
        self._known.discard(delivery.id)
        lane = endpoint.lanes[delivery.lane]
        lane.under_way = False
        lane.waiting.pop(0)
        if lane.waiting:
            _line_up(endpoint, lane.waiting[0])
        else:
            del endpoint.lanes[delivery.lane]


def _sequence(delivery: Delivery) -> int:
    return delivery.sequence


def _line_up(endpoint: _Endpoint, head: Delivery) -> None:
    if head.not_before is None:
        heapq.heappush(endpoint.ready, (head.sequence, head.lane))
    else:
        heapq.heappush(endpoint.later, (head.not_before, head.sequence, head.lane))

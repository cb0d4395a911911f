"""Send what is due to partners: signed, to public addresses only, again and again until it is taken or given up.

One instance sends, by a lease of its own, so that a silent broker keeps no partner waiting. Everything here runs on system time.
"""

import asyncio
import random
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Literal

from pymongo.errors import PyMongoError

from services.prescriber.domain.partners.endpoints import disable_endpoint
from services.prescriber.domain.partners.keys import signing_key
from services.prescriber.domain.partners.state import Endpoint, Partner
from services.prescriber.partners.deliveries import LOADED, Deliveries, Result, Try, key_of
from services.prescriber.partners.directory import Directory
from services.prescriber.partners.endpoint_health import EndpointHealth
from services.prescriber.partners.ledger_checkpoint import LedgerCheckpoint
from services.prescriber.partners.messages import heartbeat_of
from services.prescriber.partners.results import Results
from shared.clock import system_now
from shared.events.base import EventData
from shared.events.codec import Unreadable, time_text
from shared.log.commit import Cause
from shared.log.decisions import NothingDecided
from shared.log.errors import StoreUnavailable, StreamBroken, TooContended
from shared.log.store import is_transient
from shared.pathway.context import Actor, Context
from shared.service.runtime import Runtime
from shared.transport.ending import asked_to_end
from shared.transport.lease import Lease, LeaseLost
from shared.vault.port import KeyMissing
from shared.webhooks.dispatch import AT_ONCE, Delivery, Dispatch
from shared.webhooks.posting import Answer, Poster

LOOK_EVERY_SECONDS: Final = 0.25
"""How often it is looked for whose time has come, what another instance wrote, and what became of the endpoints."""
SWEEP_EVERY: Final = timedelta(minutes=1)
"""How often it is looked for what is due to endpoints that are no more; of one that is removed while this instance sends it knows."""
GONE: Final = 410


class Sender:
    """Sends, as long as this instance holds the lease."""

    def __init__(
        self,
        runtime: Runtime,
        directory: Directory,
        deliveries: Deliveries,
        now: Callable[[], datetime] = system_now,
        ledger: LedgerCheckpoint | None = None,
    ) -> None:
        self._runtime = runtime
        self._directory = directory
        self._deliveries = deliveries
        self._now = now
        self._ledger = ledger
        self._lease = Lease(runtime.database["leases"], "sender", runtime.settings.lease_seconds)
        self._health = EndpointHealth(deliveries.health)
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Send whenever the lease can be had, until asked to stop."""
        while not self._stopping.is_set():
            try:
                if await self._lease.acquire(self._stopping) is None:
                    return
                await self._lead()
            except* (LeaseLost, StoreUnavailable) as group:
                self._runtime.log.warning("the sender starts again", because=type(group.exceptions[0]).__name__)
            except* PyMongoError as group:
                if not all(isinstance(error, PyMongoError) and is_transient(error) for error in group.exceptions):
                    raise
                self._runtime.log.warning("the sender waits for the store", because=type(group.exceptions[0]).__name__)
            if not self._stopping.is_set():
                await asyncio.sleep(LOOK_EVERY_SECONDS)
        await self._lease.release()

    async def stop(self) -> None:
        """End `run`; what is under way then is finished."""
        self._stopping.set()
        self._deliveries.woken.set()

    async def _lead(self) -> None:
        self._dispatch = Dispatch(random.Random())  # noqa: S311 - spreads load, no secret
        self._results = Results(self._deliveries, self._settled)
        self._read_up_to: dict[str, int] = {}
        """Up to which sequence each endpoint's rows were read."""
        self._partly_read: set[str] = set()
        """Endpoints to which more is due than is in memory."""
        self._sent_at: dict[str, datetime] = {}
        self._held: set[str] = set()
        self._deliveries.written = []
        try:
            await self._send()
        finally:
            self._deliveries.written = None
            await self._results.rest()

    async def _send(self) -> None:
        async with (
            Poster(at_once=AT_ONCE, allow_loopback=self._runtime.settings.allow_loopback_webhooks) as poster,
            asyncio.TaskGroup() as group,
        ):
            renewing = group.create_task(self._lease.renew())
            looking = group.create_task(self._look_again_and_again(poster, group))
            recording = group.create_task(self._results.keep())
            while not self._stopping.is_set():
                self._deliveries.woken.clear()
                self._take_in_what_was_written()
                now = self._now()
                for delivery in self._dispatch.take(now):
                    group.create_task(self._attempt(poster, delivery, now))
                await self._deliveries.woken.wait()
            looking.cancel()
            while self._dispatch.under_way:
                self._deliveries.woken.clear()
                await self._deliveries.woken.wait()
            self._results.end()
            await recording
            renewing.cancel()

    async def _look_again_and_again(self, poster: Poster, group: asyncio.TaskGroup) -> None:
        swept_at: datetime | None = None
        while not asked_to_end():
            if swept_at is None or self._now() - swept_at >= SWEEP_EVERY:
                swept_at = self._now()
                await self._give_up_what_nobody_takes()
            await self._look(poster, group)
            self._deliveries.woken.set()
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def _look(self, poster: Poster, group: asyncio.TaskGroup) -> None:
        """See to what no wake-up tells of: endpoints that came, went or were resumed, rows of other instances, heartbeats."""
        endpoints = self._endpoints()
        for name in [name for name in self._read_up_to if name not in endpoints]:
            self._dispatch.forget_endpoint(name)
            del self._read_up_to[name]
            self._partly_read.discard(name)
            self._sent_at.pop(name, None)
            await self._deliveries.drop(name)
        again = await self._health.refresh() & endpoints.keys()
        self._held = {name for name, endpoint in endpoints.items() if endpoint.status != "active"}
        self._dispatch.hold(self._held)
        await self._health.hold(self._held)
        for name in (self._health.held - self._held) & endpoints.keys():
            await self._resume(name)
        for name in again:
            self._dispatch.forget_waiting(name)
            self._dispatch.hurry(name)
        new = [name for name in endpoints if name not in self._read_up_to]
        grown = await self._deliveries.grown({name: last for name, last in self._read_up_to.items() if name not in self._partly_read})
        lower = [name for name in self._partly_read if self._dispatch.waiting(name) < LOADED // 2]
        for name in {*new, *grown, *lower, *again}:
            await self._read(name, anew=name in again)
        now = self._now()
        for name, endpoint in endpoints.items():
            if endpoint.status == "active" and self._is_idle(name, now):
                self._sent_at[name] = now
                group.create_task(self._heartbeat(poster, name, endpoint))
        for name in self._health.failing_longer_than(timedelta(hours=self._runtime.settings.webhook_disable_after_hours), now):
            if name in endpoints and name not in self._held:  # what is not tried does not fail
                await self._disable(name, "failing")

    async def _give_up_what_nobody_takes(self) -> None:
        """What is due to an endpoint that was removed, or whose organisation left, while nobody sent or as the row was written."""
        due = await self._deliveries.due_to()
        # Only now: whoever wrote a row for an endpoint knew of it, so what is not there after this is there no more.
        await self._directory.refresh(self._runtime)
        for name in set(due) - self._endpoints().keys():
            if self._directory.find(name.partition("/")[0]) is not None:
                await self._deliveries.drop(name)

    def _endpoints(self) -> dict[str, Endpoint]:
        return {
            key_of(partner.slug, endpoint.slug): endpoint
            for partner in self._directory.partners()
            if partner.status != "left"
            for endpoint in partner.endpoints
        }

    def _take_in_what_was_written(self) -> None:
        """Take the rows that this instance wrote without reading them; where one is missing before them, they are read."""
        written, self._deliveries.written = self._deliveries.written, []
        for delivery in written or ():
            if self._read_up_to.get(delivery.endpoint) == delivery.sequence - 1 and delivery.endpoint not in self._partly_read:
                self._read_up_to[delivery.endpoint] = delivery.sequence
                self._dispatch.add(delivery)

    async def _read(self, name: str, *, anew: bool) -> None:
        """Read what is due to an endpoint beyond what was read, or all of it anew."""
        last = await self._deliveries.last_sequence(name)
        found = [delivery async for delivery in self._deliveries.due(name, 0 if anew else self._read_up_to.get(name, 0))]
        for delivery in found:
            self._dispatch.add(delivery)
        if len(found) == LOADED:
            self._partly_read.add(name)
            self._read_up_to[name] = found[-1].sequence
        else:
            self._partly_read.discard(name)
            self._read_up_to[name] = max(last, found[-1].sequence if found else 0, self._read_up_to.get(name, 0))

    async def _resume(self, name: str) -> None:
        """Try at once what waits, with nothing held against the endpoint."""
        await self._deliveries.hurry(name)
        self._dispatch.forget_endpoint(name)
        self._read_up_to.pop(name, None)
        await self._health.resumed(name)

    async def _attempt(self, poster: Poster, delivery: Delivery, at: datetime) -> None:
        partner, _, slug = delivery.endpoint.partition("/")
        known = self._directory.find(partner)
        endpoint = None if known is None else known.endpoint(slug)
        if endpoint is None:
            self._dispatch.give_up(delivery)  # `_look` sees to its row
            self._deliveries.woken.set()
            return
        self._sent_at[delivery.endpoint] = at
        answer = await self._post(poster, endpoint, delivery.webhook_id, delivery.body)
        tried = Try.noted(at, answer.outcome, answer.took_seconds)
        if answer.taken:
            self._dispatch.taken(delivery)
            self._results.note(delivery, Result("done", delivery.attempts + 1, None, tried))
            self._deliveries.woken.set()
            self._runtime.metrics.delivered("taken")
            await self._health.took(delivery.endpoint, at)
        else:
            await self._failed(delivery, answer, tried)

    def _settled(self, delivery: Delivery, result: Result) -> None:
        if result.state != "due":
            self._dispatch.recorded(delivery)
            self._deliveries.woken.set()

    async def _failed(self, delivery: Delivery, answer: Answer, tried: Try) -> None:
        again = self._dispatch.failed(delivery, answer.outcome, answer.retry_after, self._now())
        log = self._runtime.log.bind(endpoint=delivery.endpoint, webhook_id=delivery.webhook_id, outcome=answer.outcome)
        if again is None:
            log.error("a delivery is given up after its last attempt")
            self._results.note(delivery, Result("dead", delivery.attempts + 1, None, tried))
        else:
            log.warning("a delivery failed", attempt=again.attempts, again_at=str(again.not_before))
            self._results.note(again, Result("due", again.attempts, again.not_before, tried))
        self._deliveries.woken.set()
        self._runtime.metrics.delivered("dead" if again is None else "failed")
        await self._health.failed(delivery.endpoint, answer.outcome, tried.at)
        if answer.outcome == GONE:
            await self._disable(delivery.endpoint, "gone")

    async def _post(self, poster: Poster, endpoint: Endpoint, webhook_id: str, body: bytes) -> Answer:
        """Post, signed with every secret in force, by the clock on the wall: receivers refuse what is minutes off."""
        now = system_now()
        return await poster.post(endpoint.url, [signing_key(secret) for secret in endpoint.secrets_at(now)], webhook_id, now, body)

    def _is_idle(self, name: str, now: datetime) -> bool:
        sent_at = self._sent_at.setdefault(name, now)
        idle = now - sent_at >= timedelta(seconds=self._runtime.settings.webhook_heartbeat_seconds)
        return idle and self._dispatch.health(name).room(now) > 0

    async def _heartbeat(self, poster: Poster, name: str, endpoint: Endpoint) -> None:
        """Tell that all is well. Not every receiver knows what a heartbeat is: only one that cannot be reached does not do well."""
        now = self._now()
        checkpoint = None if self._ledger is None else self._ledger.newest
        body = heartbeat_of(endpoint.slug, await self._deliveries.last_sequence(name), time_text(now), checkpoint)
        answer = await self._post(poster, endpoint, f"heartbeat-{uuid.uuid4().hex}", body)
        self._runtime.metrics.delivered("heartbeat")
        if answer.taken:
            self._dispatch.health(name).took()
            await self._health.took(name, now)
        elif answer.outcome == GONE:
            await self._disable(name, "gone")
        elif not isinstance(answer.outcome, int) or answer.outcome >= 500:
            self._dispatch.health(name).failed(answer.outcome, answer.retry_after, now)
            await self._health.failed(name, answer.outcome, now)

    async def _disable(self, name: str, why: Literal["gone", "failing"]) -> None:
        """Have the partner's stream say so: the alert and what its other endpoints are told follow from that."""
        partner, _, slug = name.partition("/")
        self._held.add(name)
        self._dispatch.hold(self._held)
        cause = Cause.carried(f"endpoint-{why}", f"{name}/{self._now().isoformat()}")
        actor = Actor(f"service:{self._runtime.definition.name}")

        def disable(partner: Partner, context: Context) -> list[EventData]:
            return disable_endpoint(partner, slug, why, context)

        try:
            await self._runtime.run(f"partner-{partner}", disable, cause, actor)
        except (NothingDecided, TooContended):
            pass  # it is disabled already, or seen to again
        except (StreamBroken, KeyMissing, Unreadable):
            self._runtime.log.exception("an endpoint cannot be disabled", endpoint=name)
        else:
            await self._health.disabled(name)
        await self._directory.refresh(self._runtime)

"""Send what is due to partners: signed, to public addresses only, again and again until it is taken or given up.

Everything here runs on system time.
"""

import asyncio
import random
import re
from collections import Counter
from datetime import timedelta
from typing import Final

from pymongo.errors import PyMongoError

from services.prescriber.domain.partners.keys import signing_key
from services.prescriber.domain.partners.state import Organisation
from services.prescriber.partners.deliveries import Deliveries, Delivery
from services.prescriber.partners.directory import Directory
from shared.log.errors import StoreUnavailable, StreamBroken
from shared.log.store import is_transient
from shared.service.runtime import Runtime
from shared.vault.port import KeyMissing
from shared.webhooks.posting import Poster

RETRY_SECONDS: Final = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Pauses after each failed attempt: ten attempts within 75.6 hours (the schedule that Standard Webhooks gives)."""
JITTER: Final = 0.2
AT_ONCE: Final = 64
AT_ONCE_PER_PARTNER: Final = 16
"""A partner that hangs holds up no other."""
LOOK_EVERY_SECONDS: Final = 0.5
ASK_AGAIN_SECONDS: Final = 1.0

_WHOLE_SECONDS: Final = re.compile(r"[0-9]{1,9}")


def pause_after(failures: int, retry_after: str | None = None) -> timedelta | None:
    """Return how long to wait after so many failed attempts in a row; None to give up.

    What the partner asks for in `Retry-After` (whole seconds) counts between once and twice the scheduled pause.
    """
    if failures > len(RETRY_SECONDS):
        return None
    scheduled = RETRY_SECONDS[failures - 1] * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreads load, no secret
    if retry_after is not None and _WHOLE_SECONDS.fullmatch(retry_after.strip()):
        return timedelta(seconds=min(max(scheduled, int(retry_after)), 2 * scheduled))
    return timedelta(seconds=scheduled)


class Sender:
    """Takes due deliveries and sends them, many at once, a bounded number to each partner."""

    def __init__(self, runtime: Runtime, directory: Directory, deliveries: Deliveries) -> None:
        self._runtime = runtime
        self._directory = directory
        self._deliveries = deliveries
        self._under_way: Counter[str] = Counter()
        self._stopping = False

    async def run(self) -> None:
        """Send until asked to stop; what is under way then is finished."""
        async with (
            Poster(at_once=AT_ONCE, allow_loopback=self._runtime.settings.allow_loopback_webhooks) as poster,
            asyncio.TaskGroup() as group,
        ):
            while not self._stopping:
                self._deliveries.woken.clear()
                for delivery in await self._claim():
                    self._under_way[delivery.partner] += 1
                    group.create_task(self._deliver(poster, delivery))
                await self._wait()

    async def stop(self) -> None:
        """End `run`."""
        self._stopping = True
        self._deliveries.woken.set()

    async def _wait(self) -> None:
        try:
            await asyncio.wait_for(self._deliveries.woken.wait(), LOOK_EVERY_SECONDS)
        except TimeoutError:
            return

    async def _claim(self) -> list[Delivery]:
        free = AT_ONCE - self._under_way.total()
        busy = {partner for partner, count in self._under_way.items() if count >= AT_ONCE_PER_PARTNER}
        if free <= 0:
            return []
        try:
            return await self._deliveries.claim(min(free, AT_ONCE_PER_PARTNER), busy)
        except PyMongoError as error:
            self._forgive(error)
            return []

    async def _deliver(self, poster: Poster, delivery: Delivery) -> None:
        try:
            await self._deliver_if_allowed(poster, delivery)
        except (PyMongoError, StoreUnavailable) as error:
            self._forgive(error)  # the claim runs out, and the row is due again
        finally:
            self._under_way[delivery.partner] -= 1
            self._deliveries.woken.set()

    def _forgive(self, error: Exception) -> None:
        if isinstance(error, PyMongoError) and not is_transient(error):
            raise error
        self._runtime.log.warning("deliveries wait for the store", because=type(error).__name__)

    async def _deliver_if_allowed(self, poster: Poster, delivery: Delivery) -> None:
        """Disclosure is judged at the moment of sending, not when the row was made."""
        partner = self._directory.find(delivery.partner)
        soon = self._runtime.system_clock() + timedelta(seconds=ASK_AGAIN_SECONDS)
        if partner is None or await self._runtime.parking.waits(delivery.stream):
            await self._deliveries.postpone(delivery, soon)
            return
        try:
            why = await self._why_stopped(delivery)
        except KeyMissing:
            await self._deliveries.dead(delivery, "erased")
            return
        except StreamBroken:
            await self._deliveries.postpone(delivery, soon + timedelta(minutes=1))
            return
        if why is None:
            await self._attempt(poster, delivery, partner)
            return
        await self._deliveries.withhold(delivery, why)
        if await self._why_stopped(delivery) is None:
            # The stop ended between the two: whoever noted that found no withheld row to free.
            await self._deliveries.release(delivery)

    async def _why_stopped(self, delivery: Delivery) -> str | None:
        loaded = await self._runtime.load(delivery.stream)
        why: str | None = loaded.state.stops.why_stopped("disclosure_to_prescriber")
        return why

    async def _attempt(self, poster: Poster, delivery: Delivery, partner: Organisation) -> None:
        endpoint = partner.endpoints[0]
        secret = signing_key(endpoint.secrets[0].text)
        now = self._runtime.system_clock()
        outcome, retry_after = await poster.post(endpoint.url, secret, delivery.webhook_id, now, delivery.body)
        log = self._runtime.log.bind(partner=delivery.partner, webhook_id=delivery.webhook_id, outcome=outcome)
        if isinstance(outcome, int) and 200 <= outcome < 300:
            await self._deliveries.done(delivery, outcome)
            return
        pause = pause_after(delivery.attempts + 1, retry_after)
        if pause is None:
            log.error("a partner was never reached; the delivery is given up")
            await self._deliveries.dead(delivery, outcome)
        else:
            log.warning("a delivery failed", attempt=delivery.attempts + 1, again_in_seconds=round(pause.total_seconds()))
            await self._deliveries.failed(delivery, outcome, self._runtime.system_clock() + pause)

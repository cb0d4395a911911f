"""The counters an operator needs, in Prometheus text at /metrics; labels carry no case and no patient."""

from math import inf
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """One registry per service process."""

    def __init__(self, service: str) -> None:
        self._registry = CollectorRegistry()
        label = {"service": service}
        self._lag = Gauge(
            "kapcare_consumer_lag_records", "Records not yet read", ["service", "topic", "partition"], registry=self._registry
        )
        self._view_age = Gauge(
            "kapcare_view_age_seconds", "Age of what is known here of a service", ["service", "of"], registry=self._registry
        )
        self._service = service
        self.parked = Gauge("kapcare_parked_events", "Events parked or held", ["service"], registry=self._registry).labels(**label)
        self.oldest_unpublished_seconds = Gauge(
            "kapcare_oldest_unpublished_commit_seconds", "Age of the oldest commit not yet published", ["service"], registry=self._registry
        ).labels(**label)
        self.oldest_unpublished_access_seconds = Gauge(
            "kapcare_oldest_unpublished_access_seconds",
            "Age of the oldest record of accesses not yet published",
            ["service"],
            registry=self._registry,
        ).labels(**label)
        self._refusals = Counter("kapcare_refusals", "Requests and steps refused", ["service", "slug"], registry=self._registry)
        self.published = Counter("kapcare_published_events", "Events acknowledged by Kafka", ["service"], registry=self._registry).labels(
            **label
        )
        self._consumed = Counter("kapcare_consumed_events", "Events by what became of them", ["service", "result"], registry=self._registry)
        self._attempts = Counter(
            "kapcare_webhook_attempts", "Attempts to tell partners, by what became of them", ["service", "result"], registry=self._registry
        )
        self._attempts_of: dict[str, Counter] = {}
        self._accesses = Counter(
            "kapcare_accesses", "Requests whose access was recorded, by what was recorded", ["service", "event"], registry=self._registry
        )
        self._rings = Counter(
            "kapcare_on_call_rings", "Rings for whoever is on call, by what became of them", ["service", "result"], registry=self._registry
        )

        self.ledger_signed_entries = Gauge(
            "kapcare_ledger_signed_entries", "Entries under the last checkpoint", ["service"], registry=self._registry
        ).labels(**label)
        self.ledger_unsigned_seconds = Gauge(
            "kapcare_ledger_unsigned_seconds", "Since when something waits to be signed", ["service"], registry=self._registry
        ).labels(**label)
        self.ledger_refused = Gauge(
            "kapcare_ledger_refused", "1 while the ledger is inconsistent and nothing is signed", ["service"], registry=self._registry
        ).labels(**label)
        self._witnesses = Counter(
            "kapcare_ledger_witness_answers", "What witnesses answered", ["service", "witness", "result"], registry=self._registry
        )

        self._checkpoints_heard = Counter(
            "kapcare_ledger_checkpoints_heard",
            "Checkpoints of the ledger fetched to tell partners of, by what became of them",
            ["service", "result"],
            registry=self._registry,
        )

        self._proven = Counter(
            "kapcare_proven_messages",
            "Messages of partners whose signature held, by the id of the key",
            ["service", "partner", "key"],
            registry=self._registry,
        )

    def lag(self, topic: str, partition: int, records: int) -> None:
        """Set how many records of a partition are unread."""
        self._lag.labels(self._service, topic, str(partition)).set(records)

    def view_age(self, of: str, seconds: float | None) -> None:
        """Set how old the view of a service is; None, never heard, is infinitely old."""
        self._view_age.labels(self._service, of).set(inf if seconds is None else seconds)

    def refused(self, slug: str) -> None:
        """Count a refusal by its slug."""
        self._refusals.labels(self._service, slug).inc()

    def proven(self, partner: str, key_id: str) -> None:
        """Count a message that a partner's key verified: a key that nothing comes with any more can be revoked."""
        self._proven.labels(self._service, partner, key_id).inc()

    def consumed(self, result: str, count: int = 1) -> None:
        """Count consumed events: reacted, passed, duplicate, held, parked."""
        if count:
            self._consumed.labels(self._service, result).inc(count)

    def delivered(self, result: str) -> None:
        """Count an attempt to tell a partner: taken, failed, dead (the last one failed) or heartbeat."""
        counted = self._attempts_of.get(result)
        if counted is None:
            counted = self._attempts_of[result] = self._attempts.labels(self._service, result)
        counted.inc()

    def accessed(self, event: str, times: int) -> None:
        """Count the requests that an access event stands for, by its name."""
        self._accesses.labels(self._service, event).inc(times)

    def rang(self, result: str) -> None:
        """Count a ring: rung, settled (no longer needed) or failed."""
        self._rings.labels(self._service, result).inc()

    def witnessed(self, witness: str, result: str) -> None:
        """Count an answer of a witness: cosigned, refused, ahead (it saw a larger ledger), or failed (none, or none that holds)."""
        self._witnesses.labels(self._service, witness, result).inc()

    def checkpoint_heard(self, result: str) -> None:
        """Count a fetch of the ledger's checkpoint: newer, same, backwards (smaller), forked (of another tree), or failed (none)."""
        self._checkpoints_heard.labels(self._service, result).inc()

    def text(self) -> bytes:
        """Return everything in Prometheus text format."""
        return generate_latest(self._registry)

"""The composition root of the ledger."""

from collections.abc import Sequence

from fastapi import FastAPI
from pydantic import SecretBytes

import services.audit
from services.audit.api import LedgerRoutes
from services.audit.checkpoints import Checkpoints
from services.audit.domain.note import COSIGNATURE, NoteRefused, read_key
from services.audit.ledger import ANOTHER_FORMAT, AnotherFormat, Ledger
from services.audit.log_routes import LogRoutes
from services.audit.reactions import KeepEveryEvent
from services.audit.signing import LogKey, Signer
from services.audit.tiles import KeptTiles
from services.audit.witnesses import Witness, Witnessing
from shared.service.app import build_app
from shared.service.definition import ServiceDefinition
from shared.service.runtime import Background, Extension, Runtime
from shared.settings import Settings, SettingWrong
from shared.transport.lease import Lease

DEFINITION = ServiceDefinition(
    name="audit",
    title="kapcare ledger",
    description=services.audit.__doc__ or "",
    publishes=(),
    kinds=(),
    commands=(),
    views=(),
)

REFUSES = "The ledger contradicts what was signed, so nothing more is signed; events are taken on. An operator must look."


def build(settings: Settings) -> FastAPI:
    """Return the ledger as an ASGI application; raises SettingWrong."""
    key = _log_key(settings)
    witnesses = _witnesses(settings)

    def extend(runtime: Runtime) -> Extension:
        database = runtime.database
        ledger = Ledger(database["entries"])
        tiles, checkpoints = KeptTiles(database["tiles"], ledger.entries), Checkpoints(database["checkpoints"])
        asking = [
            Witnessing(witness, tiles, checkpoints, runtime.metrics, runtime.log, allow_loopback=settings.allow_loopback_webhooks)
            for witness in witnesses
        ]
        signer = Signer(
            ledger.entries,
            tiles,
            checkpoints,
            Lease(database["leases"], "signer", settings.lease_seconds),
            key,
            runtime.system_clock,
            runtime.metrics,
            runtime.log,
            [one.run for one in asking],
        )

        async def prepare() -> None:
            try:
                await ledger.prepare()
            except AnotherFormat:
                runtime.log.exception(ANOTHER_FORMAT)
                raise

        return Extension(
            routes=(
                LedgerRoutes(runtime, ledger, tiles, checkpoints, key.public).router(),
                LogRoutes(runtime, tiles, checkpoints).router(),
            ),
            prepare=(prepare, checkpoints.prepare),
            tasks={"signer": Background(signer.run, signer.stop)},
            consumes=KeepEveryEvent(ledger),
            unready=lambda: None if signer.refusal is None else ("ledger-inconsistent", REFUSES),
        )

    return build_app(DEFINITION, settings, extend)


def _log_key(settings: Settings) -> LogKey:
    seed: SecretBytes | None = settings.ledger_signing_key
    if seed is None:
        raise SettingWrong("ledger_signing_key", "the ledger needs it: base64 of 32 bytes")
    return LogKey.of_seed(settings.ledger_origin, seed.get_secret_value())


def _witnesses(settings: Settings) -> Sequence[Witness]:
    found = []
    for url, vkey in settings.ledger_witnesses:
        try:
            key = read_key(vkey)
        except NoteRefused as refused:
            raise SettingWrong("ledger_witnesses", f"not the key of a witness ({refused.reason})") from None
        if key.kind != COSIGNATURE:
            raise SettingWrong("ledger_witnesses", "this is the key of a log, not of a witness")
        found.append(Witness(url, key))
    return found

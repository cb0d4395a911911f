"""The composition root of the ledger."""

from fastapi import FastAPI

import services.audit
from services.audit.api import LedgerRoutes
from services.audit.ledger import Ledger
from services.audit.reactions import KeepEveryEvent
from shared.service.app import build_app
from shared.service.definition import ServiceDefinition
from shared.service.runtime import Background, Extension, Runtime
from shared.settings import Settings

DEFINITION = ServiceDefinition(
    name="audit",
    title="kapcare ledger",
    description=services.audit.__doc__ or "",
    publishes=(),
    kinds=(),
    commands=(),
    views=(),
)


def build(settings: Settings) -> FastAPI:
    """Return the ledger as an ASGI application."""

    def extend(runtime: Runtime) -> Extension:
        ledger = Ledger(runtime.database["entries"], runtime.database["trees"])
        return Extension(
            routes=(LedgerRoutes(runtime, ledger).router(),),
            prepare=(ledger.prepare,),
            tasks={"tree": Background(ledger.keep_tree)},
            consumes=KeepEveryEvent(ledger),
        )

    return build_app(DEFINITION, settings, extend)

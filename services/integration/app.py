"""The composition root of integration."""

from fastapi import FastAPI

import services.integration
from services.integration.api import COMMANDS, VIEWS
from services.integration.domain.schedule import tick
from services.integration.domain.state import Case, evolve
from services.integration.reactions import REACTIONS
from shared.events.integration import EVENTS
from shared.service.app import build_app
from shared.service.definition import ServiceDefinition, StreamKind
from shared.settings import Settings

DEFINITION = ServiceDefinition(
    name="integration",
    title="Integration: what follows a dose",
    description=services.integration.__doc__ or "",
    publishes=EVENTS,
    kinds=(StreamKind("case", Case(), evolve, tick),),
    commands=COMMANDS,
    views=VIEWS,
    reactions=REACTIONS,
)


def build(settings: Settings) -> FastAPI:
    """Return the service as a process."""
    return build_app(DEFINITION, settings)

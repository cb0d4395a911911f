"""The composition root of the integration service."""

from fastapi import FastAPI

import services.integration
from services.integration.api import COMMANDS, VIEWS
from services.integration.domain.alerts import ALERT
from services.integration.domain.complete import say_overdue
from services.integration.domain.past import past_decisions
from services.integration.domain.state import Integration, evolve
from services.integration.outcome_report import OutcomeReport
from services.integration.reactions import REACTIONS
from shared.events.integration import EVENTS
from shared.service.app import build_app
from shared.service.definition import ServiceDefinition, StreamKind
from shared.service.policies import POLICY
from shared.service.runtime import Extension
from shared.settings import Settings

DEFINITION = ServiceDefinition(
    name="integration",
    title="Integration: sessions after a dose, goals, outcomes",
    description=services.integration.__doc__ or "",
    publishes=EVENTS,
    kinds=(StreamKind("case", Integration(), evolve, tick=ALERT.beside(say_overdue)), POLICY),
    commands=COMMANDS,
    views=VIEWS,
    reactions=REACTIONS,
    past=past_decisions,
)


def build(settings: Settings) -> FastAPI:
    """Return the service as an ASGI application."""
    return build_app(DEFINITION, settings, lambda runtime: Extension(routes=(OutcomeReport(runtime).router(),)))

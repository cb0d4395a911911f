"""The composition root of the session service."""

from fastapi import FastAPI

import services.session
from services.session.api import COMMANDS, VIEWS
from services.session.domain.alerts import ALERT
from services.session.domain.monitor import say_overdue
from services.session.domain.past import past_decisions
from services.session.domain.state import Course, evolve
from services.session.groups import Groups
from services.session.reactions import REACTIONS
from shared.events.session import EVENTS
from shared.service.app import build_app
from shared.service.definition import ServiceDefinition, StreamKind
from shared.service.policies import POLICY
from shared.service.recalls import LOT
from shared.service.runtime import Extension
from shared.settings import Settings

DEFINITION = ServiceDefinition(
    name="session",
    title="Session: preparation, dosing, monitoring, discharge",
    description=services.session.__doc__ or "",
    publishes=EVENTS,
    kinds=(StreamKind("case", Course(), evolve, tick=ALERT.beside(say_overdue)), POLICY, LOT),
    commands=COMMANDS,
    views=VIEWS,
    reactions=REACTIONS,
    past=past_decisions,
)


def build(settings: Settings) -> FastAPI:
    """Return the service as an ASGI application."""
    return build_app(DEFINITION, settings, lambda runtime: Extension(routes=(Groups(runtime).router(),)))

"""The composition root of intake."""

from fastapi import FastAPI

import services.intake
from services.intake.api import COMMANDS, FORMS, VIEWS
from services.intake.domain.alerts import ALERT
from services.intake.domain.emergency import say_emergency_access
from services.intake.domain.past import past_decisions
from services.intake.domain.state import Case, evolve
from services.intake.reactions import REACTIONS
from services.intake.sibling_holds import SiblingHolds
from shared.events.intake import EVENTS
from shared.service.app import build_app
from shared.service.definition import ServiceDefinition, StreamKind
from shared.service.policies import POLICY
from shared.service.runtime import Extension, Runtime
from shared.settings import Settings

DEFINITION = ServiceDefinition(
    name="intake",
    title="Intake: referral, consent, instruments, screening",
    description=services.intake.__doc__ or "",
    publishes=EVENTS,
    kinds=(StreamKind("case", Case(), evolve, tick=ALERT.beside(say_emergency_access)), POLICY),
    commands=COMMANDS,
    views=VIEWS,
    reactions=REACTIONS,
    past=past_decisions,
    forms=FORMS,
)


def build(settings: Settings) -> FastAPI:
    """Return the service as an ASGI application."""

    def extend(runtime: Runtime) -> Extension:
        siblings = SiblingHolds(runtime)
        return Extension(prepare=(siblings.create_index,), followers=(siblings.follow,))

    return build_app(DEFINITION, settings, extend)

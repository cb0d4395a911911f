"""The prescriber service, put together."""

from functools import partial

from fastapi import FastAPI

import services.prescriber
from services.prescriber.api import VIEWS, commands
from services.prescriber.domain.alerts import ALERT
from services.prescriber.domain.partners.state import Partner, Partners, evolve_partner
from services.prescriber.domain.past import past_decisions
from services.prescriber.domain.state import Case, evolve_case
from services.prescriber.domain.told import with_notices
from services.prescriber.lot_holds import LotHolds
from services.prescriber.partners.administration import Administration
from services.prescriber.partners.deliveries import Deliveries
from services.prescriber.partners.departures import Departures
from services.prescriber.partners.directory import Directory
from services.prescriber.partners.inbound import Inbound
from services.prescriber.partners.ledger_checkpoint import LedgerCheckpoint
from services.prescriber.partners.routes import PartnerRoutes
from services.prescriber.partners.sending import Sender
from services.prescriber.partners.token_requests import TokenRequests
from services.prescriber.partners.tokens import PartnerTokens
from services.prescriber.patient_supply import PatientSupply
from services.prescriber.reactions import falling_due, table
from shared.events.prescriber import EVENTS
from shared.service.app import build_app
from shared.service.definition import ServiceDefinition, StreamKind
from shared.service.policies import POLICY
from shared.service.recalls import LOT
from shared.service.runtime import Background, Extension, Runtime
from shared.settings import Settings


def define(partners: Partners, *, allow_loopback: bool) -> ServiceDefinition:
    """Return the service as data; reviews are assigned among `partners()`."""
    return ServiceDefinition(
        name="prescriber",
        title="Prescriber: medical eligibility",
        description=services.prescriber.__doc__ or "",
        publishes=EVENTS,
        kinds=(
            StreamKind(
                "case",
                Case(),
                evolve_case,
                tick=ALERT.beside(falling_due(partners)),
                knows_partner=lambda case: case.partner,
                complete=with_notices,
            ),
            StreamKind(
                "partner",
                Partner(),
                evolve_partner,
                tick=ALERT.tick,
                knows_partner=lambda partner: partner.entry.slug if partner.entry else None,
            ),
            POLICY,
            LOT,
        ),
        commands=commands(partners, allow_loopback=allow_loopback),
        views=VIEWS,
        reactions=table(partners),
        past=past_decisions,
    )


def build(settings: Settings) -> FastAPI:
    """Return the service as a process."""
    directory = Directory()

    def extend(runtime: Runtime) -> Extension:
        deliveries = Deliveries(runtime.database, directory)
        ledger = None if settings.audit_url is None else LedgerCheckpoint(runtime, settings.audit_url)
        sender = Sender(runtime, directory, deliveries, ledger=ledger)
        lot_holds = LotHolds(runtime)
        tokens = PartnerTokens(runtime.tokens, settings.receipt_key.get_secret_value(), directory.partners, runtime.system_clock)
        runtime.tokens = tokens
        departures = Departures(runtime, directory)
        runtime.decisions.watchers.append(directory.watch)
        return Extension(
            # A review must not go in-house because the partners were not read yet.
            prepare=(partial(directory.refresh, runtime), deliveries.create_indexes),
            routes=(
                Inbound(runtime, directory).router(),
                Administration(runtime, directory).router(),
                TokenRequests(runtime, tokens).router(),
                PartnerRoutes(runtime, directory, deliveries).router(),
                PatientSupply(runtime).router(),
                lot_holds.router(),
            ),
            tasks={
                "directory": Background(partial(directory.keep_fresh, runtime)),
                "sender": Background(sender.run, sender.stop),
                "lot-holds": Background(lot_holds.run),
                "departures": Background(departures.run),
                **({} if ledger is None else {"ledger-checkpoint": Background(ledger.run)}),
            },
            followers=(partial(directory.follow, runtime), partial(deliveries.follow, runtime), lot_holds.follow, departures.follow),
            pending={"deliveries": deliveries.pending, "lot_holds": lot_holds.pending, "departures": departures.pending},
        )

    return build_app(define(directory.partners, allow_loopback=settings.allow_loopback_webhooks), settings, extend)

"""Open a review when a screening is complete, and assign it."""

import hashlib
from datetime import timedelta
from functools import reduce

from services.prescriber.domain.partners.state import Organisation, Partners
from services.prescriber.domain.state import Case, evolve_case
from shared.events.base import EventData, Slug
from shared.events.clinical import ScreeningSummary
from shared.events.intake import ScreeningCompleted
from shared.events.prescriber import IN_HOUSE, ReviewAssigned, ReviewOpened, ReviewWithheld
from shared.pathway.context import Context
from shared.service.definition import Reaction


def opening(partners: Partners) -> Reaction:
    """Return the reaction to a completed screening: open and assign its review, or withhold it while disclosure is stopped."""

    def open_review(case: Case, event: ScreeningCompleted, context: Context) -> list[EventData]:
        why = case.stops.why_stopped("disclosure_to_prescriber")
        if why is not None:
            return [ReviewWithheld(why=why, summary=event.summary)]
        return opened(case, event.summary, choose(partners(), context.seed), context)

    return open_review


def release(case: Case, events: list[EventData], partners: Partners, context: Context) -> list[EventData]:
    """Return the events, and the review they set free: a withheld one opens, an answered clearance goes back.

    Who could not answer in time because a stop forbade it was not silent, and is asked again.
    """
    after = reduce(evolve_case, events, case)
    if after.stops.why_stopped("disclosure_to_prescriber") is not None:
        return events
    if after.status == "withheld" and after.summary is not None:
        return [*events, *opened(after, after.summary, choose(partners(), context.seed), context)]
    was_prevented = after.status == "in_review" and after.overdue and case.stops.why_stopped("disclosure_to_prescriber") is not None
    if after.status == "clearance_answered" or was_prevented:
        return [*events, assign(after, after.partner or IN_HOUSE, context)]
    return events


def choose(partners: tuple[Organisation, ...], key: str) -> Slug:
    """Return who reviews: the same partner for the same key, spread evenly (rendezvous hashing); in-house if there is none."""
    if not partners:
        return IN_HOUSE
    return max((hashlib.sha256(f"{key}|{partner.slug}".encode()).digest(), partner.slug) for partner in partners)[1]


def opened(case: Case, summary: ScreeningSummary, partner: Slug, context: Context) -> list[EventData]:
    """Return a new review of a screening, and that it goes to an organisation."""
    review = ReviewOpened(request=case.request + 1, summary=summary, opened_at=context.now)
    return [review, assign(case, partner, context)]


def assign(case: Case, partner: Slug, context: Context) -> ReviewAssigned:
    """Return the assignment of the review to an organisation, as a new request with the time that the policy gives."""
    due_at = context.now + timedelta(hours=context.policy.values.partner_answer_hours)
    return ReviewAssigned(request=case.request + 1, partner=partner, due_at=due_at)

"""Open a review when a screening is complete, assign it, and give it to another organisation."""

from functools import reduce

from services.prescriber.domain.partners.assign import choose, due_at, find, why_not_kept
from services.prescriber.domain.partners.state import Organisation, Partners
from services.prescriber.domain.state import Case, evolve_case
from services.prescriber.domain.substance_use import can_show_more
from shared.events.base import EventData, Slug
from shared.events.clinical import ScreeningSummary
from shared.events.intake import ScreeningCompleted
from shared.events.prescriber import IN_HOUSE, ReviewAssigned, ReviewOpened, ReviewReassigned, ReviewWithheld
from shared.pathway.context import Context
from shared.service.definition import Reaction


def opening(partners: Partners) -> Reaction:
    """Return the reaction to a completed screening: open and assign its review, or withhold it while disclosure is stopped."""

    def open_review(case: Case, event: ScreeningCompleted, context: Context) -> list[EventData]:
        why = case.stops.why_stopped("disclosure_to_prescriber")
        if why is not None:
            return [ReviewWithheld(why=why, summary=event.summary)]
        known = partners()
        return opened(case, event.summary, choose(known, context), known, context)

    return open_review


def release(case: Case, events: list[EventData], partners: Partners, context: Context) -> list[EventData]:
    """Return the events, and the review they set free: a withheld one opens, an answered clearance goes back.

    Who could not answer in time because a stop forbade it was not silent, and is asked again. An organisation that left or
    lost its licence meanwhile is not: nobody new could be asked for it during the stop, so another one is now. A partner that
    may have fetched the review without substance-use content is asked again once the consent covers that (R-33).
    """
    after = reduce(evolve_case, events, case)
    if after.stops.why_stopped("disclosure_to_prescriber") is not None:
        return events
    known = partners()
    if after.status == "withheld" and after.summary is not None:
        return [*events, *opened(after, after.summary, choose(known, context), known, context)]
    was_stopped = after.status == "in_review" and case.stops.why_stopped("disclosure_to_prescriber") is not None
    asks_again = was_stopped and (after.overdue or why_taken(after, known, context) is not None)
    shows_more = after.status == "in_review" and can_show_more(after, context)
    if after.status == "clearance_answered" or asks_again or shows_more:
        return [*events, *_asked_again(after, known, context)]
    return events


def opened(case: Case, summary: ScreeningSummary, to: Slug, partners: tuple[Organisation, ...], context: Context) -> list[EventData]:
    """Return a new review of a screening, and that it goes to an organisation."""
    review = ReviewOpened(request=case.request + 1, summary=summary, opened_at=context.now)
    return [review, assign(case, to, partners, context)]


def assign(case: Case, to: Slug, partners: tuple[Organisation, ...], context: Context) -> ReviewAssigned:
    """Return the assignment of the review to an organisation, as a new request with the time that it has to answer."""
    return ReviewAssigned(request=case.request + 1, partner=to, due_at=due_at(to, partners, context))


def why_taken(case: Case, partners: tuple[Organisation, ...], context: Context) -> Slug | None:
    """Return why the review may not stay where it is: that organisation left, or is not licensed for the clinic; None if it may."""
    holder = find(partners, case.partner)
    return None if holder is None else why_not_kept(holder, context)


def another(case: Case, partners: tuple[Organisation, ...], context: Context) -> Slug:
    """Choose among the partners that were not asked about this screening yet; in-house if there is none."""
    return choose(tuple(partner for partner in partners if partner.slug not in {case.partner, *case.lost}), context)


def given_to(case: Case, to: Slug, why: Slug, partners: tuple[Organisation, ...], context: Context) -> list[EventData]:
    """Return that the review goes from the organisation that has it to another one, and why."""
    assigned = assign(case, to, partners, context)
    loser = case.partner or IN_HOUSE
    return [ReviewReassigned(request=assigned.request, from_partner=loser, partner=to, why=why), assigned]


def _asked_again(case: Case, partners: tuple[Organisation, ...], context: Context) -> list[EventData]:
    """Whoever had the review has it again, also if it is full: it is no review more. Another one, if that may not keep it."""
    why = why_taken(case, partners, context)
    if why is None:
        return [assign(case, case.partner or IN_HOUSE, partners, context)]
    return given_to(case, another(case, partners, context), why, partners, context)

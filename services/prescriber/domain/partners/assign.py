"""Which organisation reviews: by licence, room and how soon it answers. Pure, and the same however often it is decided again."""

import hashlib
from datetime import datetime, timedelta
from typing import Final

from services.prescriber.domain.partners.names import ASSIGNED
from services.prescriber.domain.partners.state import Organisation
from shared.events.base import Slug
from shared.events.prescriber import IN_HOUSE
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal

LEFT: Final[Slug] = "left"
LICENCE_LOST: Final[Slug] = "licence-lost"


def choose(partners: tuple[Organisation, ...], context: Context) -> Slug:
    """Return who reviews a case of the context's clinic: of those that may, the one that undertakes to answer soonest.

    Among equals it is the same one for the same seed, spread evenly (rendezvous hashing), whatever the order they come in
    and whoever else is registered. How loaded each is does not count, as long as there is room: that would be another choice
    a moment later. In-house if nobody may.
    """
    able = [partner for partner in partners if may_take(partner, context)]
    if not able:
        return IN_HOUSE
    soonest = min(answer_hours(partner, context) for partner in able)
    equals = (partner.slug for partner in able if answer_hours(partner, context) == soonest)
    return max((hashlib.sha256(f"{context.seed}|{slug}".encode()).digest(), slug) for slug in equals)[1]


def may_take(partner: Organisation, context: Context) -> bool:
    """Return whether an organisation may be given one more review of the context's clinic."""
    return why_not_kept(partner, context) is None and is_told(partner) and has_room(partner)


def why_not_kept(partner: Organisation, context: Context) -> Slug | None:
    """Return why an organisation may not even keep a review of the context's clinic that it has; None if it may."""
    if partner.status != "active":
        return LEFT
    return None if is_licensed(partner, context.policy.state) else LICENCE_LOST


def is_licensed(partner: Organisation, state: str | None) -> bool:
    """Return whether its prescribers are licensed in a state; of a clinic whose state is not known it is not asked.

    An organisation that states no licence has none.
    """
    return state is None or state in partner.licensed_states


def is_told(partner: Organisation) -> bool:
    """Return whether a review that is assigned to it comes to its notice: some endpoint takes that, and is not disabled.

    A paused endpoint will do: someone means to resume it, what is due waits there in order, and the time to answer runs all
    the same. A disabled one has been gone or failing for days: the patient would wait for an organisation that never hears.
    """
    return any(endpoint.status != "disabled" and endpoint.takes(ASSIGNED) for endpoint in partner.endpoints)


def has_room(partner: Organisation) -> bool:
    """Return whether it has fewer reviews open than it undertakes to have."""
    return partner.capacity is None or partner.open_reviews < partner.capacity


def require_able(partner: Organisation, context: Context) -> None:
    """Raise Refusal unless an organisation that a person names may be given one more review; how it hears of it is theirs to know."""
    if partner.status != "active":
        raise Refusal("partner-not-active", "This organisation takes no reviews: it left the network, or is not activated yet.")
    if not is_licensed(partner, context.policy.state):
        raise Refusal("not-licensed", "This organisation states no licence in the state of the clinic.")
    if not has_room(partner):
        raise Refusal("partner-full", "This organisation has as many reviews open as it undertakes to have.")


def answer_hours(partner: Organisation | None, context: Context) -> int:
    """Return within how many hours it answers: what it undertakes, and at most what the policy allows. None: in-house."""
    most = context.policy.values.partner_answer_hours
    return most if partner is None or partner.answer_hours is None else min(partner.answer_hours, most)


def due_at(slug: Slug, partners: tuple[Organisation, ...], context: Context) -> datetime:
    """Return when an organisation must have answered a review that it is given now."""
    return context.now + timedelta(hours=answer_hours(find(partners, slug), context))


def find(partners: tuple[Organisation, ...], slug: Slug | None) -> Organisation | None:
    """Return the organisation of this slug; None for the network's own prescribers, and for one that is not known here."""
    return next((partner for partner in partners if partner.slug == slug), None)

"""What the course, its approval and the patient's consent mean for integration: it goes on, is over, or was cut short."""

from functools import reduce

from services.integration.domain.complete import concluded
from services.integration.domain.plan import discharge_session
from services.integration.domain.state import Integration, evolve
from shared.events.base import EventData, Slug
from shared.events.integration import CourseCompletionNoted, CourseOpeningNoted, IntegrationPlanned, PrescriberNoted
from shared.events.prescriber import EligibilityApproved
from shared.events.session import CourseClosed, CourseCompleted, CourseOpened
from shared.pathway.context import Context


def note_prescriber(_state: Integration, event: EligibilityApproved, _context: Context) -> list[EventData]:
    """React to an approval: outcomes are reported by the organisation that gave it (R-29)."""
    return [PrescriberNoted(request=event.request, partner=event.partner, decided_at=event.decided_at)]


def note_course_open(state: Integration, event: CourseOpened, _context: Context) -> list[EventData]:
    """React to an approval that opens the course again: integration waits for its end anew."""
    return [CourseOpeningNoted(request=event.request)] if state.course_over else []


def note_course_over(state: Integration, event: CourseCompleted, context: Context) -> list[EventData]:
    """React to the end of the course."""
    return concluded(state, [CourseCompletionNoted(sessions=event.sessions)], context)


def note_course_cut_short(state: Integration, event: CourseClosed, context: Context) -> list[EventData]:
    """React to the end of an approval with doses left: the course is over, and the patient is seen once more (R-28).

    A course that was complete, or never had a dose, is not cut short.
    """
    if state.course_over or not state.doses:
        return []
    noted = CourseCompletionNoted(sessions=len(state.doses_of_care), why=event.why)
    return concluded(state, [noted, *_last_session(state, "course-cut-short", context)], context)


def then_see_once_more(state: Integration, events: list[EventData], context: Context) -> list[EventData]:
    """Return what was said of consent and holds, and for who withdrew consent during the course a last session (R-28)."""
    stopped = reduce(evolve, events, state).consent_withdrawn and not state.consent_withdrawn
    if stopped and not state.course_over:
        events = [*events, *_last_session(state, "consent-withdrawn", context)]
    return concluded(state, events, context)


def _last_session(state: Integration, because: Slug, context: Context) -> list[EventData]:
    """Plan the session that is held even when the patient stops, once; it replaces no follow-up."""
    last = state.last_dose
    if last is None or state.ended or any(f"discharge-{last.session}" == each.id for each in state.planned):
        return []
    planned = discharge_session(last.session, context.now, context.policy.on(last.route))
    return [IntegrationPlanned(because=because, dosing_sessions=(last.session,), planned=(planned,))]

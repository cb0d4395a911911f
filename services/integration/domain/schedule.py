"""What a dose means for integration: which sessions and measurements follow it, and which of earlier doses it replaces."""

from services.integration.domain.complete import concluded
from services.integration.domain.plan import follow_ups, measurements, session_after_dose
from services.integration.domain.planned import Planned
from services.integration.domain.state import Integration
from shared.events.base import EventData
from shared.events.integration import IntegrationScheduled
from shared.events.session import SessionDosed
from shared.pathway.context import Context


def schedule_integration(state: Integration, event: SessionDosed, context: Context) -> list[EventData]:
    """React to the first dose of a session: plan a session within [72] hours (R-28), follow-ups and measurements at the policy's days.

    Several doses within few days share one session: the one that is still to be held within the window of an earlier dose
    integrates this one too, and keeps its time. Follow-ups and measurements are counted from the last dose, so those of
    earlier doses that were to come after this one are replaced. A booster plans nothing again. A dose given while a stop
    was in force is followed up all the same: support after a dose is care, like monitoring; the deviation is named.
    """
    if any(dose.session == event.session for dose in state.doses):
        return []
    policy, session, dosed_at = context.policy.on(event.route), event.session, event.given_at
    shared = _shared_session(state, event)
    # A dose that is recorded late lies before others: what these plan stays, and it plans only what comes before them.
    next_dose_at = min((dose.given_at for dose in state.doses if dose.given_at > dosed_at), default=None)
    planned = follow_ups(session, dosed_at, policy, maintenance=state.maintenance_since is not None and not state.ended)
    measured = measurements(session, dosed_at, policy)
    if next_dose_at is not None:
        planned = tuple(each for each in planned if each.due_by < next_dose_at)
        measured = tuple(each for each in measured if each.due_at < next_dose_at)
    scheduled = IntegrationScheduled(
        dosing_session=session,
        dosed_at=dosed_at,
        planned=planned if shared is not None else (session_after_dose(session, dosed_at, policy), *planned),
        deviations=("stopped",) if state.stops.why_stopped() is not None else (),
        route=event.route,
        intent=event.intent,
        measurements=measured,
        covered_by=None if shared is None else shared.id,
        superseded=_replaced(state, event),
    )
    return concluded(state, [scheduled], context)


def _shared_session(state: Integration, event: SessionDosed) -> Planned | None:
    """Return the session after an earlier dose whose window this dose falls into, if that is still to be held."""
    given_at = {dose.session: dose.given_at for dose in state.doses}
    return next(
        (
            each
            for each in state.open_sessions
            if each.purpose == "after_dose"
            and min(given_at[number] for number in each.dosing_sessions) <= event.given_at < min(each.due_by, each.window_ends)
        ),
        None,
    )


def _replaced(state: Integration, event: SessionDosed) -> tuple[str, ...]:
    """Return the ids of the sessions and measurements after earlier doses that were to come after this one."""
    earlier = {dose.session for dose in state.doses if dose.given_at <= event.given_at}
    sessions = (
        each.id
        for each in state.open_sessions
        if each.purpose != "after_dose" and earlier.issuperset(each.dosing_sessions) and each.due_by > event.given_at
    )
    measured = (each.id for each in state.open_measurements if each.dosing_session in earlier and each.due_at > event.given_at)
    return (*sessions, *measured)

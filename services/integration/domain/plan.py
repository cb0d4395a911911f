"""What follows a dose: when sessions are to be held and outcomes measured, by the policy."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from shared.events.integration_plan import PlannedIntegration, PlannedMeasurement, Purpose
from shared.pathway.policy import PolicyValues

MOST_MAINTENANCE_SESSIONS: Final = 24
"""After one dose: a policy that asks for no clearance anew must not plan for ever."""


def session_after_dose(session: int, dosed_at: datetime, policy: PolicyValues) -> PlannedIntegration:
    """R-28: the session that integrates a dose, within [72] hours of it; it is also the one before the next dose."""
    due_by = dosed_at + timedelta(hours=policy.integration_within_hours)
    return _session(f"after-dose-{session}", "after_dose", due_by, policy)


def follow_ups(session: int, dosed_at: datetime, policy: PolicyValues, *, maintenance: bool) -> tuple[PlannedIntegration, ...]:
    """R-28: the sessions of the weeks and months after a dose; under maintenance at its interval for as long as doses may go on.

    Doses go on until [12] weeks after the last one, from when on a prescriber must clear the patient anew (R-27).
    """
    return tuple(
        _session(f"{purpose.replace('_', '-')}-{session}-day-{day}", purpose, dosed_at + timedelta(days=day), policy)
        for day, purpose in sorted(_days(policy, maintenance=maintenance))
    )


def discharge_session(session: int, now: datetime, policy: PolicyValues) -> PlannedIntegration:
    """R-28: who stops is seen once more, within [30] days (Journey Clinical, JC4)."""
    return _session(f"discharge-{session}", "discharge", now + timedelta(days=policy.discharge_session_within_days), policy)


def measurements(session: int, dosed_at: datetime, policy: PolicyValues) -> tuple[PlannedMeasurement, ...]:
    """R-29: when the outcome is measured after a dose, each [7] days around its day."""
    window, grace = timedelta(days=policy.outcome_window_days), timedelta(days=policy.integration_grace_days)
    due = ((day, dosed_at + timedelta(days=day)) for day in sorted(set(policy.outcome_measurement_days)))
    return tuple(
        PlannedMeasurement(
            id=f"outcome-{session}-day-{day}",
            day=day,
            opens_at=max(dosed_at, at - window),
            due_at=at,
            closes_at=at + window,
            lost_after=at + window + grace,
        )
        for day, at in due
    )


def _days(policy: PolicyValues, *, maintenance: bool) -> Iterator[tuple[int, Purpose]]:
    horizon = policy.reclearance_after_weeks * 7 if maintenance else 0
    for day in range(policy.maintenance_session_days, horizon + 1, policy.maintenance_session_days)[:MOST_MAINTENANCE_SESSIONS]:
        yield day, "maintenance"
    for day in set(policy.integration_follow_up_days):
        if day > horizon:
            yield day, "follow_up"


def _session(name: str, purpose: Purpose, due_by: datetime, policy: PolicyValues) -> PlannedIntegration:
    missed_after = due_by + timedelta(days=policy.integration_grace_days)
    return PlannedIntegration(id=name, purpose=purpose, due_by=due_by, missed_after=missed_after)

"""Whatever was asked of the session room: each decision comes out the same again, and under another policy as it would have.

The second oracle is the decider itself, asked at the time: beside each request that was decided, the same request is decided under
another policy and nothing is kept of it. What was recorded must be enough to find that answer later.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.session.domain.past import RECORDED, _words
from services.session.domain.schedule import CancelSession, cancel_session
from shared.events import intake, integration
from shared.events.base import EventData
from shared.events.clinical import Route
from shared.events.session import DosingAuthorised, StepRefused, VitalOverdue
from shared.pathway.context import Context
from shared.pathway.past import Result
from shared.pathway.policy import Policy
from shared.pathway.refusal import Refusal
from tests.unit.session.recorded import RecordedRoom, other_policy
from tests.unit.session.room import POLICY, T0, approval, consent, decline, hold, lifting, plan, revocation, with_limits, withdrawal

STRICTER = other_policy(
    "stricter",
    weight_valid_days=3,
    escalate_systolic_above=150,
    escalate_diastolic_above=95,
    oxygen_saturation_below=95,
    respiratory_rate_below=12,
    intravenous_warn_below_mg_per_kg=0.5,
    intravenous_warn_above_mg_per_kg=0.6,
    parenteral_block_above_mg_per_kg=1.0,
    sublingual_warn_above_mg=150,
    esketamine_doses_mg=(56,),
    second_pressure_after_minutes=30,
    second_pressure_tolerance_minutes=5,
    second_pressure_escalate_minutes=5,
    minimum_stay_minutes=180,
    hold_systolic_above=130,
    hold_diastolic_above=85,
    reclearance_after_weeks=1,
)
STRICTER = STRICTER.model_copy(
    update={"by_route": {"intravenous": other_policy(escalate_systolic_above=130, minimum_stay_minutes=240).values}}
)
ADOPTED = {
    "weight_valid_days": 10,
    "escalate_systolic_above": 160,
    "second_pressure_tolerance_minutes": 20,
    "second_pressure_escalate_minutes": 20,
    "reclearance_after_weeks": 6,
    "minimum_stay_minutes": 90,
}
PLANS = (
    with_limits(140, 90),
    with_limits(130, 85, after=30, stay=60),
    plan(route="intravenous", dose_mg_low=Decimal(10), doses=6, expires_at=T0 + timedelta(weeks=30)),
    plan(route="intramuscular", dose_mg_low=Decimal(10), doses=6, expires_at=T0 + timedelta(weeks=30)),
    plan(route="intranasal_esketamine", dose_mg_low=Decimal(56), dose_mg_high=Decimal(84), doses=12),
)
MILLIGRAMS = st.sampled_from(["20", "56", "84", "100", "120", "200", "350"])
PRESSURES = st.sampled_from([(120, 80), (135, 88), (145, 80), (155, 97), (170, 90), (185, 121)])
ROUTES: Sequence[Route] = ("sublingual", "intravenous")
MINUTES = st.sampled_from([1, 20, 38, 45, 50, 60, 65, 120, 24 * 60, 8 * 24 * 60, 13 * 7 * 24 * 60])
BUT_RARELY = st.sampled_from([True, True, True, True, False])


class Forking(RecordedRoom):
    """Beside each request that is decided, notes what it would have come to under a stricter policy."""

    def __init__(self, policy: Policy = POLICY) -> None:
        super().__init__(policy)
        self.would_have: dict[str, Result] = {}
        self.requests = 0

    def do(self, decide: Callable[[Any, Any, Context], list[EventData]], command: Any, *roles: str) -> list[EventData]:
        course, context = self.course, self.context(*roles)
        events = super().do(decide, command, *roles)
        forked = replace(context, policy=STRICTER)
        overridden_for_nothing = bool(getattr(command, "override_reason", None)) and getattr(events[0], "override_reason", None) is None
        if not ("prescriber" in roles and overridden_for_nothing):
            self.would_have[f"commit{self.commits}"] = words(lambda: decide(course, command, forked))
        return events


def words(decide: Callable[[], list[EventData]]) -> Result:
    try:
        return _words(decide())
    except Refusal as refusal:
        return ("cannot be decided", refusal.slug)


def number_in(draw: st.DrawFn, room: RecordedRoom) -> int:
    """Mostly the newest session."""
    newest = max((session.number for session in room.course.sessions), default=1)
    return newest if draw(BUT_RARELY) else draw(st.integers(1, newest + 1))


def check(draw: st.DrawFn, room: RecordedRoom) -> None:
    room.check(
        number_in(draw, room),
        draw(PRESSURES),
        weighed_at=room.now - timedelta(days=draw(st.sampled_from([0, 2, 5, 11, 31]))),
        consent_reaffirmed=draw(BUT_RARELY),
        monitor="monitor-1" if draw(BUT_RARELY) else None,
        escort_named=draw(BUT_RARELY),
        fasting=draw(BUT_RARELY),
        weight_kg=Decimal(draw(st.sampled_from([55, 70, 110]))),
    )


def authorise(draw: st.DrawFn, room: RecordedRoom) -> None:
    room.authorise(draw(MILLIGRAMS), number_in(draw, room), booster=draw(st.booleans()))


def dose(draw: st.DrawFn, room: RecordedRoom) -> None:
    room.dose(
        draw(MILLIGRAMS),
        number_in(draw, room) if draw(BUT_RARELY) else None,
        booster=draw(st.booleans()),
        route=draw(st.sampled_from(ROUTES)),
        given_at=room.now - timedelta(minutes=draw(st.sampled_from([0, 0, 5, 60]))),
    )


def vitals(draw: st.DrawFn, room: RecordedRoom) -> None:
    room.vitals(
        number_in(draw, room),
        draw(PRESSURES) if draw(BUT_RARELY) else None,
        taken_at=room.now - timedelta(minutes=draw(st.sampled_from([0, 0, 10]))),
        oxygen_saturation=draw(st.sampled_from([None, 90, 94, 98])),
        respiratory_rate=draw(st.sampled_from([None, 9, 11, 14])),
        sedation=draw(st.sampled_from([None, 0, 4, 5])),
    )


def discharge(draw: st.DrawFn, room: RecordedRoom) -> None:
    room.discharge(
        number_in(draw, room),
        *draw(st.sampled_from([(), ("prescriber",)])),
        assessed_by="monitor-1" if draw(BUT_RARELY) else None,
        at_baseline=draw(BUT_RARELY),
        escort_present=draw(BUT_RARELY),
        no_driving_instruction=draw(BUT_RARELY),
        pressure_acceptable=draw(st.booleans()),
        left_against_advice=not draw(BUT_RARELY),
        override_reason=draw(st.sampled_from([None, "lives next door"])),
    )


def schedule(draw: st.DrawFn, room: RecordedRoom) -> None:
    room.schedule(room.now + timedelta(days=draw(st.sampled_from([0, 0, 0, 10, 50, 90]))))


def whole_session(draw: st.DrawFn, room: RecordedRoom) -> None:
    """What alone would seldom come together: a session up to its dose."""
    if room.course.plan is None:
        return
    room.schedule()
    number = room.course.next_number - 1
    room.check(number, weighed_at=room.now - timedelta(days=draw(st.sampled_from([0, 5]))))
    milligrams = str(room.course.plan.dose_mg_low)
    if isinstance(room.authorise(milligrams, number)[0], DosingAuthorised):
        room.dose(milligrams, number, route=room.course.plan.route)


def hear(draw: st.DrawFn, room: RecordedRoom) -> None:
    """Another service says something."""
    request = room.course.newest_request
    room.hear(
        draw(
            st.sampled_from(
                [
                    approval(draw(st.sampled_from(PLANS)), request=request + 1, decided_at=room.now),
                    decline(request=request + 1),
                    revocation(request=request),
                    hold("hold-1"),
                    lifting("hold-1"),
                    withdrawal(room.now),
                    consent(version="consent-1", given_at=room.now),
                    integration.IntegrationHeld(id="i", dosing_session=1, purpose="after_dose", held_at=room.now),
                    intake.CaseTransferred(from_clinic="riverside", to_clinic="hillside", reason="moved", transferred_at=room.now),
                ]
            )
        )
    )


def later(draw: st.DrawFn, room: RecordedRoom) -> None:
    """Time passes; the ticker comes at once, or late."""
    room.later(minutes=draw(MINUTES))
    if draw(BUT_RARELY):
        room.tick()


def cancel(draw: st.DrawFn, room: RecordedRoom) -> None:
    room.do(cancel_session, CancelSession(session=number_in(draw, room), reason="did-not-come"))


def adopt(_draw: st.DrawFn, room: RecordedRoom) -> None:
    room.adopt(f"adopted-{len(room.policies)}", **(ADOPTED if room.policy.version == POLICY.version else {}))


HAPPENS = (whole_session, whole_session, schedule, check, authorise, dose, vitals, vitals, discharge, discharge, later, later, later)
RARELY = (hear, adopt, cancel)


@st.composite
def histories(draw: st.DrawFn) -> Forking:
    room = Forking()
    room.hear(consent())
    if draw(BUT_RARELY):
        room.hear(approval(draw(st.sampled_from(PLANS))))
    if draw(BUT_RARELY):
        room.prepare()
    for happens in draw(st.lists(st.sampled_from((*HAPPENS, *RARELY)), min_size=5, max_size=25)):
        try:
            happens(draw, room)
        except Refusal:
            continue
    return room


def decisions_in(room: RecordedRoom) -> int:
    """Recounted from the events: facts and permissions, refused requests, and doses spoken of as missing a pressure."""
    found = 0
    for _, group in groupby(room.history, key=lambda recorded: recorded.envelope.id.partition(".")[0]):
        events = [recorded.data for recorded in group]
        found += any(isinstance(event, (StepRefused, *RECORDED)) for event in events)
        found += len({(event.session, event.due_at) for event in events if isinstance(event, VitalOverdue)})
    return found


@given(histories())
def test_every_decision_comes_out_the_same_again_and_under_another_policy_as_it_would_have(room: Forking) -> None:
    past = room.past()
    assert len(past) == decisions_in(room)
    for one in past:
        assert room.again(one) == one.result, one
        expected = room.would_have.get(one.envelope.id.partition(".")[0])
        if expected is not None:
            assert one.again(STRICTER) == expected, one

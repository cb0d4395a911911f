"""A session room that keeps its history as a service stores it: one commit for each decision, and the policies it was made under."""

from typing import Any

from services.session.domain.past import past_decisions
from shared.events import intake
from shared.events.base import Envelope, EventData
from shared.events.clinical import TreatmentPlan
from shared.events.codec import Recorded
from shared.pathway.past import Past, Result
from shared.pathway.policy import Policy
from shared.pathway.transfer import clinic_after
from tests.unit.session.room import PLAN, POLICY, T0, Room, approval, consent

HILLSIDE: dict[str, Any] = {
    "escalate_systolic_above": 140,
    "minimum_stay_minutes": 240,
    "weight_valid_days": 1,
    "second_pressure_tolerance_minutes": 0,
}
"""Stricter in every respect."""

MOVED = intake.CaseTransferred(from_clinic="riverside", to_clinic="hillside", reason="moved", transferred_at=T0)


class RecordedRoom(Room):
    """A course with its history."""

    def __init__(self, policy: Policy = POLICY) -> None:
        super().__init__(policy)
        self.history: list[Recorded] = []
        self.commits = 0
        self.clinic = "riverside"
        self.policies = {policy.version: policy}

    def take(self, events: list[EventData]) -> list[EventData]:
        if not events:
            return events
        self.commits += 1
        clinic = self.clinic
        self.clinic = next((to for event in reversed(events) if (to := clinic_after(event)) is not None), self.clinic)
        for index, event in enumerate(events):
            envelope = Envelope(
                id=f"commit{self.commits}.{index}",
                source="urn:kapcare:session",
                type=event.TYPE,
                subject="case-1",
                time=self.now,
                sequence=len(self.history) + 1,
                clinic=self.clinic,
                patient="patient-1",
                actor="actor-1",
                correlation=f"commit{self.commits}",
            )
            self.history.append(Recorded(envelope, type(event).model_validate_json(event.model_dump_json())))
        if self.clinic != clinic:
            self.policy = self.policy_of(self.policy.version, self.clinic)
        return super().take(events)

    def adopt(self, version: str, **changes: Any) -> None:
        """Decide by another document from now on."""
        self.policies[version] = other_policy(version, **changes)
        self.policy = self.policy_of(version, self.clinic)

    def policy_of(self, version: str, clinic: str) -> Policy:
        """What a document says in a clinic; every one has other values for hillside."""
        policy = self.policies[version]
        return policy if clinic != "hillside" else other_policy(version, **{**policy.values.model_dump(), **HILLSIDE})

    def past(self) -> list[Past]:
        return list(past_decisions(self.history))

    def last(self) -> Past:
        return self.past()[-1]

    def again(self, past: Past) -> Result:
        """Decide again under the policy that the decision says it was made under."""
        assert past.policy_version is not None
        return past.again(self.policy_of(past.policy_version, past.clinic))


def other_policy(version: str = "other", **changes: Any) -> Policy:
    return POLICY.model_copy(update={"version": version, "values": POLICY.values.model_copy(update=changes), "by_route": {}})


def approved(plan: TreatmentPlan = PLAN, policy: Policy = POLICY) -> RecordedRoom:
    """Consent is given, an approval opened the course, the patient is prepared."""
    room = RecordedRoom(policy)
    room.hear(consent())
    room.hear(approval(plan))
    room.prepare()
    return room


def checked(plan: TreatmentPlan = PLAN, policy: Policy = POLICY, **checks: Any) -> RecordedRoom:
    """Scheduled and checked."""
    room = approved(plan, policy)
    room.schedule()
    room.check(**checks)
    return room


def dosed(plan: TreatmentPlan = PLAN, policy: Policy = POLICY) -> RecordedRoom:
    """200 mg were authorised and given at T0."""
    room = checked(plan, policy)
    room.authorise()
    room.dose()
    return room


def steps(room: RecordedRoom) -> list[tuple[str, str]]:
    return [(past.step, past.result[0]) for past in room.past()]


def same(room: RecordedRoom) -> None:
    assert [(past.step, room.again(past)) for past in room.past()] == [(past.step, past.result) for past in room.past()]


def changed(room: RecordedRoom, **values: Any) -> list[tuple[str, tuple[str, ...]]]:
    """What another policy would have decided otherwise."""
    other = other_policy(**values)
    return [(past.step, past.again(other)) for past in room.past() if past.again(other) != past.result]

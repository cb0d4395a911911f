"""R-32: break-glass. Expectations: domain.md R-32 (a reason, expiry after 60 minutes, a review task) and reliability.md (a review within
72 hours by someone else, an open item until then), bad input B33."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from services.intake.api import show_case
from services.intake.app import DEFINITION
from services.intake.domain.emergency import (
    CloseEmergencyAccess,
    OpenEmergencyAccess,
    ReviewEmergencyAccess,
    close_emergency_access,
    open_emergency_access,
    review_emergency_access,
)
from services.intake.domain.state import Case, evolve
from shared.events import intake, prescriber
from shared.events.base import EventData
from shared.pathway.context import Actor, Context
from shared.pathway.emergency import Grants, fold, noting
from shared.pathway.policy import SHIPPED, Book, read_document
from shared.pathway.refusal import Refusal
from tests.toy import now as start

POLICY = Book(read_document(SHIPPED))
NOW = start()
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
SMALLEST = timedelta(milliseconds=1)


def at(moment: datetime, actor: str = "therapist-9", seed: str = "seed", clinic: str = "hillside") -> Context:
    policy = POLICY.policy(moment, "riverside")
    acting = Actor(actor, clinics=frozenset({clinic}))
    return Context(now=moment, actor=acting, policy=policy, seed=seed, envelope=None, clinic="riverside")


def after(case: Case, events: Sequence[EventData]) -> Case:
    for event in events:
        case = evolve(case, event)
    return case


def opened(case: Case | None = None, moment: datetime = NOW, actor: str = "therapist-9", seed: str = "seed") -> Case:
    before = Case() if case is None else case
    asked = OpenEmergencyAccess(reason="patient_in_danger", explanation="Found collapsed in our waiting room.")
    return after(before, open_emergency_access(before, asked, at(moment, actor, seed)))


def grant_of(case: Case) -> str:
    return case.emergency.given[-1].id


def tick(case: Case, deadline: str, moment: datetime) -> list[EventData]:
    (kind, *_) = DEFINITION.kinds
    assert kind.tick is not None
    return kind.tick(case, deadline, at(moment, "service:intake"))


@pytest.mark.parametrize(
    "body", [{}, {"reason": "patient_in_danger"}, {"reason": "patient_in_danger", "explanation": "  "}, {"reason": "x"}]
)
def test_r32_without_a_reason_nothing_opens(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        OpenEmergencyAccess.model_validate(body)


def test_r32_it_opens_to_one_person_until_its_time_is_over() -> None:
    case = opened()
    assert case.emergency.open_to(NOW) == {"therapist-9"}
    assert case.emergency.open_to(NOW + 60 * MINUTE - SMALLEST) == {"therapist-9"}
    assert case.emergency.open_to(NOW + 60 * MINUTE) == frozenset()


def test_r32_someone_who_watches_over_the_patient_is_called_at_once_as_for_an_emergency() -> None:
    (alert,) = opened().alerts.unacknowledged
    assert (alert.role, alert.why, alert.emergency) == ("medical_monitor", "emergency-access", True)
    assert alert.due_at - alert.raised_at == timedelta(minutes=2)


def test_r32_twice_at_once_is_refused_and_again_after_it_ended_is_not() -> None:
    case = opened()
    with pytest.raises(Refusal) as refused:
        opened(case, NOW + 60 * MINUTE - SMALLEST, seed="again")
    assert (refused.value.slug, refused.value.rule) == ("already-open", "R-32")
    again = opened(case, NOW + 60 * MINUTE, seed="again")
    assert again.emergency.open_to(NOW + 61 * MINUTE) == {"therapist-9"}
    beside = opened(case, NOW + MINUTE, "prescriber-2", seed="other")
    assert beside.emergency.open_to(NOW + 2 * MINUTE) == {"therapist-9", "prescriber-2"}


def test_r32_its_end_is_recorded_once_its_time_has_passed() -> None:
    case = opened()
    due = case.deadlines["emergency-access"]
    assert due == NOW + 60 * MINUTE
    (ended,) = tick(case, "emergency-access", due)
    assert isinstance(ended, intake.EmergencyAccessEnded)
    assert (ended.why, ended.ended_at, ended.opened_by) == ("expired", due, "therapist-9")
    assert "emergency-access" not in after(case, [ended]).deadlines
    assert tick(case, "emergency-access", due - SMALLEST) == []


def test_r32_who_opened_it_closes_it_and_nobody_else() -> None:
    case = opened()
    closing = CloseEmergencyAccess(grant=grant_of(case))
    with pytest.raises(Refusal, match="No emergency access of yours"):
        close_emergency_access(case, closing, at(NOW, "therapist-2"))
    closed = after(case, close_emergency_access(case, closing, at(NOW + MINUTE)))
    assert closed.emergency.open_to(NOW + MINUTE) == frozenset()
    assert "emergency-access" not in closed.deadlines
    with pytest.raises(Refusal, match="No emergency access of yours"):
        close_emergency_access(closed, closing, at(NOW + 2 * MINUTE))
    with pytest.raises(Refusal, match="No emergency access of yours"):
        close_emergency_access(case, closing, at(NOW + 60 * MINUTE))


def review(case: Case, *, justified: bool = True) -> ReviewEmergencyAccess:
    return ReviewEmergencyAccess(grant=grant_of(case), justified=justified, note="Called the ambulance; the plan was needed.")


def over(case: Case, moment: datetime = NOW + HOUR) -> Case:
    return after(case, tick(case, "emergency-access", moment))


def test_r32_in_one_s_own_clinic_nothing_is_opened() -> None:
    asked = OpenEmergencyAccess(reason="other", explanation="I may read it anyway.")
    with pytest.raises(Refusal) as refused:
        open_emergency_access(Case(), asked, at(NOW, clinic="riverside"))
    assert (refused.value.slug, refused.value.rule) == ("not-needed", "R-32")


def test_r32_it_is_open_until_someone_else_reviewed_it_also_after_its_end() -> None:
    case = over(opened())
    with pytest.raises(Refusal) as refused:
        review_emergency_access(case, review(case), at(NOW + HOUR))
    assert refused.value.slug == "own-emergency-access"
    reviewed = after(case, review_emergency_access(case, review(case), at(NOW + 70 * HOUR, "monitor-1")))
    assert reviewed.emergency_reviews.awaited == ()
    assert reviewed.alerts.unacknowledged == ()
    assert reviewed.deadlines == {}
    with pytest.raises(Refusal) as refused:
        review_emergency_access(reviewed, review(case), at(NOW + 71 * HOUR, "monitor-1"))
    assert refused.value.slug == "no-such-emergency-access"


def test_r32_what_runs_is_reviewed_after_its_end_unless_it_was_not_justified_and_that_ends_it() -> None:
    case = opened()
    with pytest.raises(Refusal) as refused:
        review_emergency_access(case, review(case), at(NOW + MINUTE, "monitor-1"))
    assert refused.value.slug == "still-running"
    stopped = after(case, review_emergency_access(case, review(case, justified=False), at(NOW + MINUTE, "monitor-1")))
    assert stopped.emergency.open_to(NOW + MINUTE) == frozenset()
    assert stopped.emergency_reviews.awaited == ()
    assert stopped.deadlines == {}


def test_r32_a_reviewer_reads_the_reason_and_everyone_after_the_verdict() -> None:
    case = over(opened())
    (shown,) = show_case(case)["emergency_accesses"]
    assert (shown["explanation"], shown["reason"]) == ("Found collapsed in our waiting room.", "patient_in_danger")
    assert (shown["until"], shown["ended"], shown["review"]) == ((NOW + HOUR).isoformat(), True, None)
    reviewed = after(case, review_emergency_access(case, review(case), at(NOW + 2 * HOUR, "monitor-1")))
    (shown,) = show_case(reviewed)["emergency_accesses"]
    assert (shown["review"]["justified"], shown["review"]["reviewed_by"]) == (True, "monitor-1")


def test_r32_a_review_that_is_late_is_called_for_once_and_stays_open() -> None:
    case = over(opened())
    assert case.deadlines["emergency-review"] == NOW + 72 * HOUR
    assert tick(case, "emergency-review", NOW + 72 * HOUR - SMALLEST) == []
    said = tick(case, "emergency-review", NOW + 72 * HOUR)
    assert [type(event) for event in said] == [intake.EmergencyAccessUnreviewed, intake.AlertRaised]
    late = after(case, said)
    assert "emergency-review" not in late.deadlines
    assert [awaited.late for awaited in late.emergency_reviews.awaited] == [True]


def test_r32_one_review_leaves_the_call_for_the_other() -> None:
    case = opened(opened(), NOW + MINUTE, "prescriber-2", seed="other")
    reviewed = after(case, review_emergency_access(case, review(case, justified=False), at(NOW + HOUR, "monitor-1")))
    assert [alert.about for alert in reviewed.alerts.unacknowledged] == [case.emergency.given[0].id]


def test_r32_the_other_services_let_the_same_person_in_and_an_end_is_never_taken_back() -> None:
    case = opened()
    (grant,) = case.emergency.given
    begun = intake.EmergencyAccessOpened(
        grant=grant.id,
        opened_by=grant.by,
        reason="other",
        explanation="x",
        opened_at=NOW,
        expires_at=grant.until,
        review_by=NOW + HOUR,
    )
    ended = intake.EmergencyAccessEnded(grant=grant.id, opened_by=grant.by, why="closed", ended_at=NOW + MINUTE)
    note = noting(prescriber.EmergencyAccessNoted)

    class Elsewhere:
        def __init__(self, emergency: Grants) -> None:
            self.emergency = emergency

    (noted,) = note(Elsewhere(Grants()), begun, at(NOW))
    there = fold(Grants(), noted)
    assert there == case.emergency
    assert note(Elsewhere(there), begun, at(NOW)) == []
    (over,) = note(Elsewhere(there), ended, at(NOW))
    closed = fold(there, over)
    assert closed.open_to(NOW + MINUTE) == frozenset()
    assert fold(closed, noted) == closed

"""What a service can have known: expectations worked out by hand on a drawn case.

Intake publishes i1 to i4 on the case, prescriber p1 to p4. Prescriber reacts to i2 with p1 and to i3 with p3; a person decides p2
between them, and p4 after all. i4 came to nothing, or came too late: the envelopes cannot say.
"""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit.domain.known import Clear, known_to

BEGAN = datetime(2026, 3, 2, 10, tzinfo=UTC)
INTAKE, PRESCRIBER = "urn:kapcare:intake", "urn:kapcare:prescriber"


def clear(index: int, event: str, sequence: int, minute: int, causation: str | None = None) -> Clear:
    source = INTAKE if event.startswith("i") else PRESCRIBER
    return Clear(index, event, source, sequence, "kapcare.x.Y.v1", BEGAN + timedelta(minutes=minute), causation)


CASE = (
    clear(0, "i1.0", 1, 0),
    clear(1, "i2.0", 2, 1),
    clear(3, "p1.0", 1, 2, causation="i2.0"),
    clear(4, "p2.0", 2, 3),
    clear(2, "i3.0", 3, 4),
    clear(6, "p3.0", 3, 5, causation="i3.0"),
    clear(7, "p3.1", 4, 5, causation="i3.0"),
    clear(5, "i4.0", 4, 6),
    clear(8, "p4.0", 5, 7),
)
BY_ID = {entry.event: entry for entry in CASE}


def known(event: str) -> dict[str, str]:
    return {entry.event: basis for entry, basis in known_to(BY_ID[event], CASE).known}


def unshown(event: str) -> list[str]:
    return [entry.event for entry in known_to(BY_ID[event], CASE).unshown]


def test_a_reaction_rests_on_its_cause_and_on_what_came_before_it_in_the_same_lane() -> None:
    assert known("p1.0") == {"i1.0": "delivered", "i2.0": "reacted"}
    assert unshown("p1.0") == []


def test_a_persons_decision_rests_on_what_stood_in_the_stream() -> None:
    """i3 stands earlier in the ledger than p2, and was recorded later: order in the ledger shows nothing."""
    assert known("p2.0") == {"i1.0": "delivered", "i2.0": "reacted", "p1.0": "own"}
    assert unshown("p2.0") == []


def test_events_of_one_commit_do_not_rest_on_each_other() -> None:
    expected = {"i1.0": "delivered", "i2.0": "reacted", "p1.0": "own", "p2.0": "own", "i3.0": "reacted"}
    assert known("p3.0") == known("p3.1") == expected
    assert [entry.event for entry in known_to(BY_ID["p3.1"], CASE).commit] == ["p3.0", "p3.1"]


def test_what_nothing_shows_as_known_is_listed_apart() -> None:
    assert "i4.0" not in known("p4.0")
    assert unshown("p4.0") == ["i4.0"]


def test_what_others_recorded_later_is_nowhere() -> None:
    assert known("i1.0") == {}
    assert unshown("i1.0") == []
    assert known("i3.0") == {"i1.0": "own", "i2.0": "own"}
    assert unshown("i3.0") == ["p1.0", "p2.0"]


@given(st.permutations(CASE), st.sampled_from(CASE))
def test_nothing_rests_on_the_order_they_are_given_in(entries: list[Clear], decision: Clear) -> None:
    assert known_to(decision, entries) == known_to(decision, CASE)


@pytest.mark.parametrize("earlier", CASE, ids=lambda entry: entry.event)
def test_a_later_decision_knows_no_less(earlier: Clear) -> None:
    for later in CASE:
        if later.source == earlier.source and later.sequence > earlier.sequence:
            assert set(known(earlier.event)) <= set(known(later.event))

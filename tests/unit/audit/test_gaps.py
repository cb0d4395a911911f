"""What counts as missing, by the definition of a contiguous sequence from 1."""

from services.audit.domain.gaps import Gap, SequenceCheck


def take(*sequences: int) -> SequenceCheck:
    check = SequenceCheck()
    for sequence in sequences:
        check.take(("urn:kapcare:intake", "case-1"), sequence)
    return check


def test_a_contiguous_sequence_has_no_hole() -> None:
    assert take(1, 2, 3).holes == []


def test_a_skipped_sequence_is_a_hole() -> None:
    assert take(1, 2, 5).holes == [Gap("hole", "urn:kapcare:intake", "case-1", 3, 4)]


def test_a_sequence_that_does_not_begin_at_one_is_a_hole() -> None:
    assert take(3).holes == [Gap("hole", "urn:kapcare:intake", "case-1", 1, 2)]


def test_a_tail_that_the_service_has_is_missing_here() -> None:
    check = take(1, 2)
    assert list(check.missing_tails("urn:kapcare:intake", {"case-1": 2})) == []
    assert list(check.missing_tails("urn:kapcare:intake", {"case-1": 4})) == [Gap("missing_tail", "urn:kapcare:intake", "case-1", 3, 4)]
    assert list(check.missing_tails("urn:kapcare:intake", {"case-2": 1})) == [Gap("missing_tail", "urn:kapcare:intake", "case-2", 1, 1)]


def test_lanes_do_not_mix() -> None:
    check = take(1, 2)
    check.take(("urn:kapcare:session", "case-1"), 1)
    assert check.holes == []

"""Where commits are made, those on a case are completed with what organisations are told of it, whatever led to them."""

import os
from typing import Any

import pytest

from services.prescriber.app import define
from services.prescriber.domain.stops import STOPS
from services.prescriber.domain.told import with_notices
from shared.events.base import EventData
from shared.events.partner import PartnerTold
from shared.log.commit import Cause
from shared.log.decisions import Decisions
from shared.log.streams import Loaded
from shared.pathway.stop import PlaceHold
from shared.vault.port import CaseKey
from tests.unit.prescriber.given import NOW, context, partners
from tests.unit.prescriber.test_told import REVIEW

KINDS = {kind.name: kind for kind in define(partners, allow_loopback=False).kinds}
NOTHING: Any = None


def test_a_commit_on_a_case_holds_what_is_told_too() -> None:
    assert KINDS["case"].complete is with_notices
    decisions = Decisions("prescriber", NOTHING, NOTHING, NOTHING, NOTHING, NOTHING)
    loaded = Loaded(f"case-{'0' * 32}", KINDS["case"], REVIEW, 3, 7, "riverside", "patient-1")
    placed = STOPS.place(REVIEW, PlaceHold(reason="other"), context())
    commit, recorded = decisions.make(loaded, placed, Cause.tick("any", NOW), context(), CaseKey(os.urandom(32)))
    expected: list[EventData] = [*placed, PartnerTold(partner="north", told="kapcare.review.stopped", request=1)]
    assert [one.data for one in recorded] == expected
    assert [event.type for event in commit.events] == [event.TYPE for event in expected]
    assert [one.envelope.sequence for one in recorded] == [8, 9]
    assert commit.last_sequence == 9


@pytest.mark.parametrize("name", sorted(KINDS.keys() - {"case"}))
def test_other_streams_tell_nobody(name: str) -> None:
    assert KINDS[name].complete is None

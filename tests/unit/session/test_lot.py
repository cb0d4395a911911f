"""The gate allows no dose from a recalled lot; one that was given is recorded with its deviation."""

from services.session.app import DEFINITION
from services.session.domain.authorise import AuthoriseDose, authorise_dose
from services.session.domain.dose import RecordDose, record_dose
from services.session.reactions import REACTIONS
from shared.events import prescriber
from shared.events.session import DosingAuthorised, Escalated, LotRecallEndNoted, LotRecallNoted, SessionDosed
from shared.pathway.lot import Lot, evolve
from tests.unit.session.room import T0, Room, checked_room, rules

RECALLED = prescriber.LotRecalled(lot="lot-7", recall="recall-1", reason="Particles.", source="Maker", recalled_at=T0, noted_at=T0)
WITHDRAWN = prescriber.LotRecallWithdrawn(lot="lot-7", recall="recall-1", reason="Another lot was meant.", withdrawn_at=T0)


def room_that_knows() -> Room:
    room = checked_room()
    room.recalled_lots = {"lot-7": "recall-1"}
    return room


def test_no_dose_from_a_recalled_lot_is_authorised() -> None:
    room = room_that_knows()
    command = AuthoriseDose.model_validate_json('{"session": 1, "dose_mg": "200", "intent": "psycholytic", "lot": "lot-7"}')
    assert rules(room.do(authorise_dose, command)) == {("recall", "recalled-lot")}
    other = AuthoriseDose.model_validate_json('{"session": 1, "dose_mg": "200", "intent": "psycholytic", "lot": "lot-8"}')
    authorised = room.do(authorise_dose, other)[0]
    assert isinstance(authorised, DosingAuthorised)
    assert authorised.asked is not None
    assert authorised.asked.lot == "lot-8"


def test_a_dose_that_names_no_lot_is_stopped_by_the_hold_of_its_case_alone() -> None:
    assert isinstance(room_that_knows().authorise()[0], DosingAuthorised)


def test_a_dose_from_a_recalled_lot_is_a_deviation_that_calls_a_clinician() -> None:
    room = room_that_knows()
    room.authorise()
    body = f'{{"session": 1, "dose_mg": "200", "route": "sublingual", "given_at": "{T0.isoformat()}", "lot": "lot-7"}}'
    dosed, escalated, *_ = room.do(record_dose, RecordDose.model_validate_json(body))
    assert isinstance(dosed, SessionDosed)
    assert isinstance(escalated, Escalated)
    assert (dosed.lot, dosed.deviations) == ("lot-7", ("recalled-lot",))
    assert escalated.because == ("recalled-lot",)


def test_a_recall_is_noted_on_the_lots_own_stream_and_its_end_too() -> None:
    context = Room().context()
    (noted,) = REACTIONS[prescriber.LotRecalled](Lot(), RECALLED, context)
    assert isinstance(noted, LotRecallNoted)
    lot = evolve(Lot(), noted)
    assert lot.recall is not None
    assert (lot.recall.lot, lot.recall.id, lot.status) == ("lot-7", "recall-1", "recalled")
    (ended,) = REACTIONS[prescriber.LotRecallWithdrawn](lot, WITHDRAWN, context)
    assert isinstance(ended, LotRecallEndNoted)
    assert evolve(lot, ended) == Lot()
    assert [kind.name for kind in DEFINITION.kinds] == ["case", "policy", "lot"]

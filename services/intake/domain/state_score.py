"""Stating the score of an instrument whose items are not recorded (R-12, R-13)."""

from pydantic import AwareDatetime

from services.intake.domain.since_screening import since_screening
from services.intake.domain.state import Case
from shared.events import intake
from shared.events.base import EventData
from shared.events.clinical import StatedInstrument, StatedScore, Trouble
from shared.pathway.context import Context
from shared.pathway.happened import require_happened
from shared.pathway.stated_instruments import STATED_FORMS, require_possible
from shared.pathway.stop import Request


class StateScore(Request):
    """The total in points; `same_time` and `trouble` belong to the MDQ; `answered_at` is when the patient answered or was rated."""

    instrument: StatedInstrument
    total: int
    same_time: bool | None = None
    trouble: Trouble | None = None
    answered_at: AwareDatetime
    simulated: bool = False


def state_score(case: Case, command: StateScore, context: Context, replaces: str | None = None) -> list[EventData]:
    """Record the score; raise Refusal for one that the instrument cannot have, or an impossible time."""
    case.require_referral()
    require_happened("answered_at", command.answered_at, context.now, rule=STATED_FORMS[command.instrument].rule)
    score = StatedScore(
        instrument=command.instrument,
        total=command.total,
        same_time=command.same_time,
        trouble=command.trouble,
        answered_at=command.answered_at,
    )
    require_possible(score)
    stated = intake.ScoreStated(
        score=score, simulated=command.simulated, entry=context.new_id("entry"), replaces=replaces, recorded_at=context.now
    )
    return [stated, *since_screening(case, stated, context)]

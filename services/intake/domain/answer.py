"""Answering an instrument item by item, and what follows at once for safety (R-07 to R-10)."""

from functools import reduce
from typing import Annotated

from pydantic import AwareDatetime, Field

from services.intake.domain.alerts import settled, with_alerts
from services.intake.domain.since_screening import since_screening
from services.intake.domain.state import Case, evolve
from shared.events import intake
from shared.events.base import EventData
from shared.events.clinical import Instrument
from shared.pathway.context import Context
from shared.pathway.happened import require_happened
from shared.pathway.instruments import ITEM9_POSITIVE, RULE, risk_of, score
from shared.pathway.stop import Request


class AnswerInstrument(Request):
    """The answers in item order, null for a missing one; `answered_at` is when the patient answered."""

    instrument: Instrument
    answers: Annotated[tuple[int | None, ...], Field(max_length=30)]
    answered_at: AwareDatetime
    simulated: bool = False


def answer_instrument(case: Case, command: AnswerInstrument, context: Context, replaces: str | None = None) -> list[EventData]:
    """Score and record the answers; demand the C-SSRS screener (R-08), and hold the case at high risk (R-10)."""
    referral = case.require_referral()
    require_happened("answered_at", command.answered_at, context.now, rule=RULE[command.instrument])
    scored = score(command.instrument, command.answers, context.policy.values, referral.sex)
    answered = intake.InstrumentAnswered(
        instrument=command.instrument,
        answers=command.answers,
        total=scored.total,
        band=scored.band,
        flags=scored.flags,
        answered_at=command.answered_at,
        simulated=command.simulated,
        policy_version=context.policy.version,
        entry=context.new_id("entry"),
        replaces=replaces,
        recorded_at=context.now,
    )
    events: list[EventData] = [answered]
    if ITEM9_POSITIVE in scored.flags and evolve(case, answered).screener_due:
        events.append(intake.SuicideRiskScreenRequired(because="phq-9 item 9"))
    if command.instrument == "c-ssrs" and risk_of(scored) == "high":
        events.append(hold_for_risk(context))
    after = reduce(evolve, events, case)
    settling = settled(after.alerts, after.calls_for, context)
    return [*with_alerts(events, context), *since_screening(case, answered, context), *settling]


def hold_for_risk(context: Context) -> intake.SafetyHoldPlaced:
    """Return the hold that a high risk places (R-10)."""
    return intake.SafetyHoldPlaced(
        hold=context.new_id("hold"),
        reason="suicide_risk",
        note="The C-SSRS screener shows a high risk (R-10).",
        placed_at=context.now,
    )

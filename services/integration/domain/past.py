"""Integration's decisions in the history of a case: what each outcome was found to be, and what it called for. Pure.

When sessions fall due (R-28) is not decided again: the plan shows those times.
"""

from collections.abc import Iterator, Sequence
from functools import partial, reduce
from typing import Final

from services.integration.domain.measure import MeasureOutcome, measure_outcome
from services.integration.domain.state import Integration, evolve
from shared.events.base import EventData
from shared.events.codec import Recorded
from shared.events.integration import OutcomeMeasured, SafetyHoldPlaced, SuicideRiskScreenRequired
from shared.pathway.context import Context
from shared.pathway.past import Asked, Past, Result, as_request, asked_by, commits_of

FOUND: Final = {True: "", False: "no ", None: "cannot say: "}
"""How a finding of R-29 is said."""


def past_decisions(history: Sequence[Recorded]) -> Iterator[Past]:
    """Yield the decisions of a case, oldest first."""
    state = Integration()
    for committed in commits_of(history):
        events = [recorded.data for recorded in committed]
        for recorded in committed:
            if isinstance(recorded.data, OutcomeMeasured):
                yield _outcome(state, recorded, recorded.data, events)
        state = reduce(evolve, events, state)


def _outcome(state: Integration, recorded: Recorded, event: OutcomeMeasured, events: Sequence[EventData]) -> Past:
    answers = ", ".join("missing" if answer is None else str(answer) for answer in event.answers)
    return Past(
        step=f"measure {event.instrument}",
        envelope=recorded.envelope,
        policy_version=event.policy_version,
        facts=(("answers", answers), ("total", str(event.total)), ("total before treatment", str(event.baseline))),
        result=_words(events),
        decide=partial(_again, state, asked_by(MeasureOutcome, event)),
    )


def _again(state: Integration, asked: Asked, context: Context) -> Result:
    return _words(measure_outcome(state, as_request(MeasureOutcome, asked), context))


def _words(events: Sequence[EventData]) -> Result:
    return tuple(word for event in events for word in _of_event(event))


def _of_event(event: EventData) -> Iterator[str]:
    match event:
        case OutcomeMeasured():
            yield "unscored" if event.total is None and event.instrument != "c-ssrs" else "measured"
            findings = {"response": event.response, "remission": event.remission, "deterioration": event.deterioration}
            yield from (f"R-29 {FOUND[found]}{name}" for name, found in findings.items())
        case SuicideRiskScreenRequired():
            yield "R-08 suicide risk screen required"
        case SafetyHoldPlaced(reason=reason):
            yield f"R-10 hold for {reason}"
        case _:
            pass

"""How a patient was evaluated before a controlled substance is approved, and on which days telemedicine alone may do (R-16)."""

from pydantic import ConfigDict

from shared.events.clinical import Evaluation, Route
from shared.events.prescriber import StepRefused
from shared.pathway.context import Context


class StatedEvaluation(Evaluation):
    """An evaluation as stated in a request."""

    model_config = ConfigDict(strict=True, extra="forbid")

    def to_event(self) -> Evaluation:
        """Return the value that events carry."""
        return Evaluation(mode=self.mode, in_person_on=self.in_person_on)


def not_evaluated(evaluation: Evaluation | None, route: Route, context: Context) -> list[StepRefused]:
    """R-16: outside the days on which telemedicine alone may do, an approval needs an evaluation in person.

    The days are policy values, by the calendar of the clinic: the fourth temporary extension runs from 1 January to
    31 December 2026 (90 FR 61301; 21 CFR 1307.41). An evaluation in person that is still to come is none, on any day.
    """
    values = context.policy.on(route)
    on_these_days = values.telemedicine_from <= context.today <= values.telemedicine_through
    mode, in_person_on = ("telemedicine", None) if evaluation is None else (evaluation.mode, evaluation.in_person_on)
    if in_person_on is not None and in_person_on > context.today:
        detail = "The evaluation in person lies in the future."
    elif on_these_days or mode == "in_person" or in_person_on is not None:
        return []
    else:
        detail = "On this day an approval needs an evaluation in person; telemedicine alone is not enough (21 CFR 1307.41)."
    facts = {
        "today": context.today.isoformat(),
        "telemedicine_from": values.telemedicine_from.isoformat(),
        "telemedicine_through": values.telemedicine_through.isoformat(),
        "mode": mode,
    }
    if in_person_on is not None:
        facts["in_person_on"] = in_person_on.isoformat()
    return [StepRefused(step="approve", rule="R-16", detail=detail, facts=facts, policy_version=context.policy.version)]

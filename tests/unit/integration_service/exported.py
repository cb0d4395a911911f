"""Integrations at every stage, and what is exported of them."""

import json
from typing import Any

from services.integration.domain.goals import RecordProgress, SetGoal, record_progress, set_goal
from services.integration.domain.state import Integration
from services.integration.fhir_export import export
from shared.fhir.record import bundle_of
from tests.unit.fhir.checks import check
from tests.unit.integration_service.story import Story, course_over, dosed, phq9, screening

CASE, PATIENT = "case-" + "3" * 32, "patient-" + "c" * 32


def exported(state: Integration, case: str = CASE) -> dict[str, Any]:
    bundle = bundle_of(export)(case, "riverside", PATIENT, state)
    check(bundle)
    return json.loads(json.dumps(bundle))  # type: ignore[no-any-return]


def dosed_story() -> Story:
    """A PHQ-9 of 20 at the screening, and a dose."""
    story = Story()
    story.hear(screening(phq_9=20, gad_7=12))
    story.hear(dosed())
    return story


def full() -> Integration:
    """A session held, a goal that was kept at for two weeks, and outcomes of three instruments."""
    story = dosed_story().on_day(2)
    story.hold()
    story.do(set_goal, SetGoal(behaviour="walk to the river", times_per_week=3))
    (goal,) = story.state.goals
    for week, times in ((9, 2), (16, 4)):
        story.on_day(week).do(record_progress, RecordProgress(goal=goal.set.goal, times=times, at=story.now))
    story.measure("phq-9", phq9(4))
    story.measure("gad-7", (1, 1, 1, None, 0, 0, 0))
    story.measure("c-ssrs", (1, 0, 0, 0, 0, 0))
    return story.state


def every_stage() -> list[Integration]:
    overdue = dosed_story().on_day(5)
    overdue.tick()
    worse = dosed_story().on_day(7)
    worse.measure("phq-9", phq9(25, 1))
    over = dosed_story().on_day(1)
    over.hold()
    over.hear(course_over())
    over.on_day(60).tick()
    return [Integration(), dosed_story().state, overdue.state, worse.state, over.state, full()]

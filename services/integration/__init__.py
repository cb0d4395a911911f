"""The integration service: what follows a dose, in sessions, in concrete goals and in measured outcomes.

Owns the integration plan of a case (stream kind `case`), from the baseline scores to the end of care after the course.
Nothing here doses, approves, starts a phase or discloses: support after a dose is care, so no stop refuses any of it.
A dose that was given while a stop was in force is followed up like any other, and the plan names that.

Commands: record an integration session, set a goal, record progress on it, measure an outcome, withdraw consent, place
and lift a hold, acknowledge an alert.
Publishes: what `shared.events.integration` lists; `IntegrationHeld` counts before the next dose (R-28).
Reacts to: `ScreeningCompleted` of intake (the baseline), `SessionDosed`, `CourseCompleted` and `EntryCorrected` (a dose that was
none) of session; consent, withdrawals and holds of every other service.
"""

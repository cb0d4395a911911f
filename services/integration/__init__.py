"""The integration service: what follows a dose, in sessions, in concrete goals and in measured outcomes.

Owns the integration plan of a case (stream kind `case`), from the baseline scores to the end of care after the course.
Nothing here doses, approves, starts a phase or discloses: support after a dose is care, so no stop refuses any of it.
A dose that was given while a stop was in force is followed up like any other, and the plan names that.

The plan: a session within the policy's window of each dose, one for doses whose windows overlap; follow-ups and
measurements counted from the last dose, or in maintenance at its interval. What does not take place is recorded with its
reason, moved or held late. The end: when nothing is waited for any more after a course that is complete, cut short or
given up; or a discharge by a person. Who stops is seen once more. A later dose opens care again.

Commands: record an integration session that was held, or missed and moved; note an insight; set a goal, record progress on
it, change it, keep it, let it go; measure an outcome, record why it is not measured; begin maintenance, discharge from
care; withdraw consent, place and lift a hold, acknowledge an alert.
Publishes: what `shared.events.integration` lists; `IntegrationHeld` counts before the next dose (R-28),
`OutcomeDeteriorated` calls the prescriber (R-29).
Reacts to: `ScreeningCompleted` of intake (the baseline); `EligibilityApproved` of the prescriber (by whom outcomes are
reported); `SessionDosed`, `EntryCorrected` (a dose that was none), `CourseOpened`, `CourseClosed` and `CourseCompleted` of
session; consent, withdrawals and holds of every other service.

domain/          the rules, pure: state.py and planned.py, plan.py (what follows a dose), one file per verb; follow_up.py
                 and report.py count the outcomes of many cases
reactions.py     which event leads to which reaction
api.py           which route leads to which command or view
outcome_report.py  GET /outcomes: what became of the patients of a clinic, or of the network
app.py           how the parts make a process
"""

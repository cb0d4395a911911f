"""The session service: preparation, dosing, monitoring and discharge under a prescriber's plan.

Owns the course of a case (stream kind `case`): from the approval that opens it to the discharge after its last dose.
What would happen (schedule, dose) can be refused; what did happen (checks, doses, vitals, adverse events, discharge) is
always recorded, as a deviation with an escalation where nothing covered it.

Commands: record the preparation, schedule and cancel a session, record the checks before a dose, authorise a dose,
record a dose, vitals, an adverse event and the discharge, withdraw consent, place and lift a hold, acknowledge an alert.
Publishes: what `shared.events.session` lists; `SessionDosed` lets integration plan, `CourseCompleted` ends the course.
Reacts to: `EligibilityApproved`, `EligibilityDeclined`, `EligibilityExpired` and `EligibilityRevoked` of prescriber,
`IntegrationHeld` of integration; consent, withdrawals and holds of every other service; `LotRecalled` and its withdrawal. A
stop heard after the dose that it should have stopped is a deviation. The gate asks how old its view of each service is.

Not yet here: chaperone checks of remote sessions (R-25), the REMS form (R-26), medications taken before a dose (R-34).
"""

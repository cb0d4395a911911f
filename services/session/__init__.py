"""The session service: preparation, dosing, monitoring and discharge under a prescriber's plan.

Owns the course of a case (stream kind `case`): from the approval that opens it to the discharge after its last dose.
What would happen (schedule, dose) can be refused; what did happen (checks, doses, vitals, adverse events, discharge) is
always recorded, as a deviation with an escalation where nothing covered it.

Commands: record the preparation and the enrolment that esketamine asks for, schedule and cancel a session, record what
surrounds the patient and the checks before a dose, decide on a pressure that holds one (prescribers only), authorise a dose,
record a dose and its end, vitals, an adverse event and the discharge, withdraw consent, place and lift a hold, acknowledge an alert.

The rules of the gate stand in `authorise`, `room`, `pressure`, `amount`, `enrol` and `prepare`. They refuse a dose that is asked
for, and name as deviations what did not cover one that was given. A group session is one session of each of its patients: every
case has its own gate, doses and record, and `GET /groups/{group}` shows where those stand that the caller may see.

Publishes: what `shared.events.session` lists; `SessionDosed` lets integration plan, `CourseCompleted` ends the course.
Reacts to: `EligibilityApproved`, `EligibilityDeclined`, `EligibilityExpired`, `EligibilityRevoked` and `MedicationDispensed` of
prescriber, `IntegrationHeld` of integration; consent, withdrawals and holds of every other service.

Not yet here: chaperone checks during remote sessions (R-25), the REMS form (R-26).
"""

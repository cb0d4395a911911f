"""The session service: preparation, dosing, monitoring and discharge under a prescriber's plan.

Owns the course of a case (stream kind `case`): from the approval that opens it to the discharge after its last dose.
What would happen (schedule, dose, discharge) can be refused; what did happen (checks, doses, vitals, a chaperone's checks,
emergencies, adverse events, who left) is always recorded, as a deviation with an escalation where nothing covered it.

The rules of the gate stand in `authorise`, `room`, `pressure`, `amount`, `enrol` and `prepare`. They refuse a dose that is asked
for, and name as deviations what did not cover one that was given. A group session is one session of each of its patients: every
case has its own gate, doses and record, and `GET /groups/{group}` shows where those stand that the caller may see.

From a dose on the service watches: the pressure after it (R-21), one above the limit that is to be taken again (R-22), the
chaperone of a remote session (R-25), the REMS form of an esketamine session (R-26), the weeks until a re-clearance (R-27) and
the end of the approval (R-15). What is missing is said when it is due and calls a person, until what was waited for comes.
An emergency stands open, calls, and keeps every dose of the case away until someone records how it ended. Entries are marked
and replaced (docs/decisions/0011), and what is entered late, after a downtime, raises no alarm that it disproves.

Commands: record the preparation, what surrounds a session, the enrolment for esketamine; schedule and cancel a session; record
the checks before a dose, decide on a pressure, authorise a dose; record a dose, the end of its administration, vitals, a
chaperone's check, an adverse event, what was done about an emergency, the discharge and the submission of the REMS form; correct
an entry; withdraw consent, place and lift a hold, acknowledge an alert.
Publishes: what `shared.events.session` lists; `SessionDosed` lets integration plan, `CourseCompleted` ends the course,
`EntryCorrected` takes back what a service made of an entry.
Reacts to: `EligibilityApproved`, `EligibilityDeclined`, `EligibilityExpired`, `EligibilityRevoked` and `MedicationDispensed` of
prescriber, `IntegrationHeld` of integration; consent, withdrawals and holds of every other service; `LotRecalled` and its
withdrawal. A stop heard after the dose that it should have stopped is a deviation. The gate asks how old its view of each
service is.

Every permission, every refusal and whatever the policy's numbers made of vitals, a discharge or a missing pressure can be explained
and decided again (`domain/past.py`): a refusal keeps the request that it refused.
"""

"""Integration: what follows a dose.

Owns: the integration sessions planned after each dose, goals as small concrete behaviours, outcome instruments over time.
Commands: hold an integration session, set a goal, record progress, measure an outcome, withdraw consent, place and lift holds.
Publishes: IntegrationScheduled, IntegrationHeld, IntegrationOverdue, GoalSet, GoalProgressed, OutcomeMeasured,
IntegrationCompleted, and stops.
Reacts to: ScreeningCompleted (the baseline), SessionDosed (plan what follows), CourseCompleted, and every stop.

Integration is care after the fact: a withdrawal or a hold does not close it, since it neither doses, approves nor discloses.
"""

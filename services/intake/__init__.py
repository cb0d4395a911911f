"""Intake: referral, consent, instruments, screening. It owns a case from the referral to the screening.

Commands: refer a patient (typed in, or as a FHIR R4 bundle), state facts, give and withdraw consent, answer an instrument,
state the score of one whose items are not recorded, correct an entry, place and lift a safety hold, acknowledge an alert,
complete the screening, screen again, give the case to another clinic. What is recorded while a screening stands and would have
changed it holds the case or calls a prescriber (`domain/since_screening.py`).

Publishes: what `shared.events.intake` lists; `ScreeningCompleted` asks for a medical review, `ScreeningReopened` takes it back.

Reacts to: ConsentWithdrawn, SafetyHoldPlaced and SafetyHoldLifted of prescriber, session and integration. What they, or a hold
here, mean for the other cases of the patient is carried to those (`sibling_holds.py`).
"""

"""The prescriber service: is this patient medically eligible, under which plan, and where did the medication go?

Owns the medical review of a case (stream kind `case`), its ledger of medication in milligrams, the register of outside
prescriber organisations (stream kind `partner`), and the lots that were ever recalled (stream kind `lot`). It records that a
prescriber decided and signed, and what moved; it is not an application for electronic prescriptions of controlled substances
(21 CFR 1311), and transmits none.

Commands: register a partner, manage its terms, endpoints, keys and credentials; decide a review (in-house over the API, partners
by signed webhook), answer what the prescriber wants cleared, give an open review to another organisation, take an approval back,
ask for another review, withdraw consent, place and lift a hold, acknowledge an alert; record a prescription, a fill, wastage, a
return, and correct them; adopt a policy document for the network; recall a lot for the network, withdraw the recall. A review
whose organisation stays silent goes to another one at its deadline, and an approval expires when its plan says.
Publishes: what `shared.events.prescriber` lists; `EligibilityApproved` opens the course of sessions.
Reacts to: `ScreeningCompleted`, `ScreeningReopened`, `ScreenedOut`, `ScreeningOutdated` and `ConsentGiven` of intake; withdrawals
and holds of every other service; `SessionDosed` takes the dose out of the supply, `EntryCorrected` of the session room marks it;
`OutcomeDeteriorated` of integration calls a prescriber.

domain/          the rules, pure: one file per verb
reactions.py     which event and which passed deadline lead to which reaction
api.py           which route leads to which command or view
fhir_export.py   the referral and the approved plan in FHIR R4
fhir_supply.py   prescriptions and fills in FHIR R4
partners/        the organisations: the directory of them, webhooks due and sent, decisions taken, tokens, what each may read
lot_holds.py     from the recall of a lot to a hold on every case that has it on hand
patient_supply.py  the medication of a patient across cases and clinics
app.py           how the parts make a process
"""

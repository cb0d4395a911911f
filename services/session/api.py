"""Routes: which request leads to which decision, and what of a course is shown. No rules."""

from services.session.domain.administration import RecordAdministrationEnd, record_administration_end
from services.session.domain.adverse_event import RecordAdverseEvent, record_adverse_event
from services.session.domain.alerts import ALERT
from services.session.domain.authorise import HEARD, AuthoriseDose, authorise_dose
from services.session.domain.chaperone import RecordChaperoneCheck, record_chaperone_check
from services.session.domain.check import RecordChecks, record_checks
from services.session.domain.correct import CorrectEntry, correct_entry
from services.session.domain.decide_on_pressure import DecideOnPressure, decide_on_pressure
from services.session.domain.discharge import DischargePatient, discharge_patient
from services.session.domain.dose import RecordDose, record_dose
from services.session.domain.emergency import RecordEmergencyResponse, record_emergency_response
from services.session.domain.enrol import RecordEnrolment, record_enrolment
from services.session.domain.monitor import RecordVitals, record_vitals
from services.session.domain.prepare import RecordPreparation, RecordSetAndSetting, record_preparation, record_set_and_setting
from services.session.domain.rems_form import SubmitRemsForm, submit_rems_form
from services.session.domain.schedule import CancelSession, ScheduleSession, cancel_session, schedule_session
from services.session.domain.stops import STOPS, lift_hold, withdraw_consent
from services.session.fhir_export import export
from services.session.show import show_course, show_rems_forms
from shared.access.decide import Permission
from shared.fhir.record import MEDIA_TYPE, bundle_of
from shared.pathway.alert import AcknowledgeAlert
from shared.pathway.stop import LiftHold, PlaceHold, WithdrawConsent
from shared.service.definition import Command, View

CASE = "/cases/{case}"

COMMANDS = (
    Command(f"{CASE}/preparation", RecordPreparation, record_preparation, Permission.PREPARE, "Record the preparation"),
    Command(f"{CASE}/enrolment", RecordEnrolment, record_enrolment, Permission.PREPARE, "Record the enrolment that esketamine asks for"),
    Command(f"{CASE}/sessions", ScheduleSession, schedule_session, Permission.PREPARE, "Schedule the next dosing session"),
    Command(f"{CASE}/sessions/cancel", CancelSession, cancel_session, Permission.PREPARE, "Cancel a scheduled session"),
    Command(f"{CASE}/checks", RecordChecks, record_checks, Permission.RECORD_CARE, "Record the checks before a dose"),
    Command(
        f"{CASE}/set-and-setting", RecordSetAndSetting, record_set_and_setting, Permission.RECORD_CARE, "Record what surrounds the patient"
    ),
    Command(
        f"{CASE}/pressure-decisions",
        DecideOnPressure,
        decide_on_pressure,
        Permission.DECIDE_ON_PRESSURE,
        "Decide, as a prescriber, on a pressure that holds a dose",
    ),
    Command(
        f"{CASE}/authorisation",
        AuthoriseDose,
        authorise_dose,
        Permission.AUTHORISE_DOSE,
        "Authorise a dose",
        waits_for_inbox=True,
        views_of=HEARD,
    ),
    Command(f"{CASE}/doses", RecordDose, record_dose, Permission.RECORD_CARE, "Record a dose that was given"),
    Command(
        f"{CASE}/doses/end",
        RecordAdministrationEnd,
        record_administration_end,
        Permission.RECORD_CARE,
        "Record the end of an infusion, or of a lozenge's time in the mouth",
    ),
    Command(f"{CASE}/vitals", RecordVitals, record_vitals, Permission.RECORD_CARE, "Record vitals"),
    Command(f"{CASE}/adverse-events", RecordAdverseEvent, record_adverse_event, Permission.RECORD_CARE, "Record an adverse event"),
    Command(f"{CASE}/discharge", DischargePatient, discharge_patient, Permission.RECORD_CARE, "Discharge the patient"),
    Command(
        f"{CASE}/chaperone-checks",
        RecordChaperoneCheck,
        record_chaperone_check,
        Permission.RECORD_CARE,
        "Record that the chaperone of a remote session looked at the patient",
    ),
    Command(
        f"{CASE}/emergency-responses",
        RecordEmergencyResponse,
        record_emergency_response,
        Permission.RECORD_CARE,
        "Record what was done about an emergency",
    ),
    Command(
        f"{CASE}/rems-forms",
        SubmitRemsForm,
        submit_rems_form,
        Permission.RECORD_CARE,
        "Record that the REMS form of a session was submitted",
    ),
    Command(f"{CASE}/corrections", CorrectEntry, correct_entry, Permission.RECORD_CARE, "Mark an entry as wrong, or amend it"),
    Command(f"{CASE}/consent-withdrawal", WithdrawConsent, withdraw_consent, Permission.STOP, "Record that the patient withdrew consent"),
    Command(f"{CASE}/holds", PlaceHold, STOPS.place, Permission.STOP, "Place a safety hold"),
    Command(f"{CASE}/holds/lift", LiftHold, lift_hold, Permission.LIFT_HOLD, "Lift a safety hold with a reason"),
    Command(f"{CASE}/alerts/acknowledge", AcknowledgeAlert, ALERT.acknowledge, Permission.ACKNOWLEDGE, "Take an alert on"),
)


VIEWS = (
    View(CASE, Permission.READ_CASE, show_course, "Show the course, with the timeline of each session"),
    View(f"{CASE}/rems-forms", Permission.READ_CASE, show_rems_forms, "Show the REMS form of each esketamine session, and what it lacks"),
    View(
        f"{CASE}/fhir",
        Permission.READ_CASE,
        bundle_of(export),
        "Show the course, its sessions, doses and vital signs as a FHIR R4 bundle",
        media_type=MEDIA_TYPE,
        whole=True,
    ),
)

"""Ringing whoever is on call: what the settings must say, what a ring says, and that nothing waits for it."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from services.audit.app import DEFINITION as AUDIT
from services.intake.app import DEFINITION as INTAKE
from services.integration.app import DEFINITION as INTEGRATION
from services.prescriber.app import define
from services.session.app import DEFINITION as SESSION
from shared.events import session
from shared.events.base import Envelope, EventData
from shared.events.codec import Recorded
from shared.service.on_call import MOST_WAITING, RING_TYPES, OnCall, body_of, raises_alerts
from shared.settings import Settings
from shared.webhooks.signing import SharedSecret
from tests import toy

T0 = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SECRET = "whsec_" + "b25jYWxsLW9uY2FsbC1vbmNhbGwtb25jYWxsLTMyYg=="
RAISED = session.AlertRaised(alert="alert-1-x", why="vital-overdue", role="medical_monitor", raised_at=T0, due_at=T0)


def settings(**changes: Any) -> Settings:
    return toy.settings_for("mongodb://127.0.0.1:1", "127.0.0.1:1", "t", **changes)


def test_without_a_url_nobody_is_rung_and_nothing_is_needed() -> None:
    assert settings().on_call_url is None


def test_a_url_and_its_secret_are_taken_and_the_secret_is_not_shown() -> None:
    taken = settings(on_call_url="https://on-call.example.org/rings", on_call_secret=SECRET)
    assert SECRET not in repr(taken)


@pytest.mark.parametrize(
    "changes",
    [
        {"on_call_url": "https://on-call.example.org/rings"},
        {"on_call_url": "http://on-call.example.org/rings", "on_call_secret": SECRET},
        {"on_call_url": "https://10.0.0.1/rings", "on_call_secret": SECRET},
        {"on_call_url": "http://127.0.0.1:9/rings", "on_call_secret": SECRET},
        {"on_call_url": "https://user@on-call.example.org/rings", "on_call_secret": SECRET},
        {"on_call_url": "https://on-call.example.org/rings", "on_call_secret": "whsec_c2hvcnQ="},
        {"on_call_url": "https://on-call.example.org/rings", "on_call_secret": "secret"},
    ],
    ids=["no secret", "plain", "an address", "loopback", "user", "short secret", "no secret of this kind"],
)
def test_half_a_setting_or_a_place_we_do_not_call_is_refused_at_the_start(changes: dict[str, str]) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(**changes)
    assert "c2hvcnQ" not in str(refused.value)


def test_loopback_is_for_the_local_stack() -> None:
    assert settings(on_call_url="http://127.0.0.1:9/rings", on_call_secret=SECRET, allow_loopback_webhooks=True).on_call_url


def test_every_service_but_the_ledger_rings() -> None:
    assert all(raises_alerts(definition) for definition in (INTAKE, define(tuple, allow_loopback=False), SESSION, INTEGRATION))
    assert not raises_alerts(AUDIT)
    assert {name.split(".")[2] for name in RING_TYPES} == {"AlertRaised", "AlertEscalated"}
    assert len(RING_TYPES) == 8


def recorded(event: Any, subject: str = "case-1") -> Recorded:
    envelope = Envelope(
        id="c1.1",
        source="urn:kapcare:session",
        type=event.TYPE,
        subject=subject,
        time=T0,
        sequence=1,
        clinic="riverside",
        patient="patient-1",
        actor="service:session",
        correlation="c1.1",
    )
    return Recorded(envelope, event)


def test_a_ring_says_whom_it_calls_and_neither_why_nor_who_the_patient_is() -> None:
    said = json.loads(body_of(recorded(RAISED), RAISED))
    assert said["type"] == "kapcare.alert.raised"
    assert set(said["data"]) == {"alert", "case", "clinic", "role", "level", "due_at"}
    assert "vital" not in json.dumps(said)
    assert "patient-1" not in json.dumps(said)
    on = session.AlertEscalated(alert="alert-1-x", level=2, role="admin", due_at=T0, escalated_at=T0)
    assert json.loads(body_of(recorded(on), on))["type"] == "kapcare.alert.escalated"


def test_a_ring_about_a_partner_names_the_partner() -> None:
    data = json.loads(body_of(recorded(RAISED, "partner-north"), RAISED))["data"]
    assert data["partner"] == "partner-north"
    assert "case" not in data


async def test_following_waits_for_nothing_and_drops_what_would_pile_up() -> None:
    results: list[str] = []
    runtime: Any = SimpleNamespace(metrics=SimpleNamespace(rang=results.append), log=SimpleNamespace(error=lambda *_args, **_fields: None))
    on_call = OnCall(runtime, "https://on-call.example.org", SharedSecret.parse(SECRET))

    def commit(number: int, event: type[EventData]) -> Any:
        return SimpleNamespace(id=f"c{number}", stream="case-1", events=(SimpleNamespace(type=event.TYPE),))

    whole = [commit(number, session.AlertRaised) for number in range(MOST_WAITING)]
    await on_call.follow([*whole, *whole, commit(-1, session.SessionDosed)])
    assert results == []
    await on_call.follow([commit(-2, session.AlertRaised), commit(-3, session.SessionDosed), commit(-4, session.AlertEscalated)])
    assert results == ["failed", "failed"]

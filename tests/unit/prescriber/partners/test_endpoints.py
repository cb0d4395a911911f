"""Where an organisation is told: B25 and B27 at every door, names and secrets that are nobody else's, pauses and ends."""

import base64
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from services.prescriber.app import define
from services.prescriber.domain.partners.endpoints import (
    MOST_ENDPOINTS,
    AddEndpoint,
    ChangeEndpoint,
    NameEndpoint,
    changing,
    disable,
    disable_endpoint,
    pause,
    remove,
    resume,
)
from services.prescriber.domain.partners.names import NAMES
from services.prescriber.domain.partners.standing import PartnerLeaves, leave
from services.prescriber.domain.partners.state import evolve_partner
from shared.events.base import AlertAcknowledged, AlertRaised
from shared.events.partner import EndpointAdded, EndpointChanged, EndpointDisabled, EndpointRemoved, EndpointResumed, PartnerReturned
from shared.pathway.refusal import Refusal
from shared.webhooks.signing import PrivateKey, SharedSecret
from tests.unit.prescriber.given import NOW, nobody
from tests.unit.prescriber.partners.office import SECRET, URL, Office, read, registered

CHANGE = changing(allow_loopback=False)
MAIN = NameEndpoint(endpoint="main")


def refused(office: Office, decide: Any, command: Any) -> str:
    with pytest.raises(Refusal) as reason:
        office.do(decide, command)
    return reason.value.slug


def test_an_endpoint_is_added_with_a_secret_made_from_the_fresh_bytes() -> None:
    office = registered()
    (event,) = office.add("second", events=["kapcare.review.assigned"])
    assert isinstance(event, EndpointAdded)
    (text,) = office.signing("second")
    assert len(SharedSecret.parse(text).key) == 32
    assert base64.b64decode(text.removeprefix("whsec_")) == SharedSecret.parse(text).key
    endpoint = office.endpoint("second")
    assert (endpoint.url, endpoint.events, endpoint.status) == (URL, ("kapcare.review.assigned",), "active")
    assert endpoint.takes("kapcare.review.assigned")
    assert not endpoint.takes("kapcare.review.recalled")


def test_a_given_secret_is_taken_as_it_is() -> None:
    office = registered()
    given = "whsec_" + base64.b64encode(b"n" * 24).decode()
    office.add("second", webhook_secret=given)
    assert office.signing("second") == (given,)


def test_a_v1a_endpoint_signs_with_a_private_key_made_here() -> None:
    office = registered()
    office.add("second", signing="v1a")
    (text,) = office.signing("second")
    assert len(PrivateKey.parse(text).seed) == 32
    assert text == PrivateKey.parse(text).reveal()


def test_no_secret_shows_in_what_an_event_or_state_says_of_itself() -> None:
    office = registered()
    (event,) = office.add("second", signing="v1a")
    (text,) = office.signing("second")
    for shown in (repr(event), repr(office.partner), repr(read(AddEndpoint, endpoint="a", webhook_url=URL, webhook_secret=SECRET))):
        assert text not in shown
        assert SECRET not in shown


@pytest.mark.parametrize(
    "changed",
    [
        # B27: 23 and 65 bytes, not base64, the prefix of a private key, of a public one, and none
        {"webhook_secret": "whsec_" + base64.b64encode(b"s" * 23).decode()},
        {"webhook_secret": "whsec_" + base64.b64encode(b"s" * 65).decode()},
        {"webhook_secret": "whsec_!!!!"},
        {"webhook_secret": "whsk_" + base64.b64encode(b"s" * 32).decode()},
        {"webhook_secret": "whpk_" + base64.b64encode(b"s" * 32).decode()},
        {"webhook_secret": base64.b64encode(b"s" * 32).decode()},
        {"webhook_secret": SECRET, "signing": "v1a"},
        {"signing": "v2"},
        # B25
        {"webhook_url": "http://north.example/hooks"},
        {"webhook_url": "ftp://north.example/hooks"},
        {"webhook_url": "file:///etc/passwd"},
        {"webhook_url": "https://user:pass@north.example/hooks"},
        {"webhook_url": "https://north.example:22/hooks"},
        {"webhook_url": "https://127.1/hooks"},
        {"webhook_url": "https://0x7f.1/hooks"},
        {"webhook_url": "https://2130706433/hooks"},
        {"webhook_url": "https://①②⑦.⓪.⓪.①/hooks"},
        {"webhook_url": "https://[::ffff:169.254.169.254]/hooks"},
        {"webhook_url": "https://north.example./hooks"},
        {"webhook_url": "https://north.example\\@evil.example/hooks"},
        {"webhook_url": "https://" + "n" * 2048 + ".example/hooks"},
        {"endpoint": "Main"},
        {"endpoint": "a/b"},
        {"endpoint": ""},
        {"events": ["kapcare.review.asigned"]},
        {"events": ["kapcare.heartbeat"]},
        {"events": "kapcare.test"},
        {"status": "active"},
    ],
    ids=lambda changed: "-".join(changed),
)
def test_b25_b27_what_is_not_an_endpoint(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as wrong:
        read(AddEndpoint, **{"endpoint": "second", "webhook_url": URL, **changed})
    assert SECRET not in str(wrong.value)


def test_loopback_is_for_the_local_stack_only() -> None:
    local = "http://127.0.0.1:9000/hooks"
    office = registered()
    assert refused(office, CHANGE, read(ChangeEndpoint, endpoint="main", webhook_url=local)) == "destination-not-allowed"
    assert office.do(changing(allow_loopback=True), read(ChangeEndpoint, endpoint="main", webhook_url=local))


def test_a_name_is_used_once_even_after_its_endpoint_is_gone() -> None:
    office = registered()
    with pytest.raises(Refusal, match="none comes back"):
        office.add("main")
    office.add("second")
    office.do(remove, NameEndpoint(endpoint="second"))
    with pytest.raises(Refusal) as reason:
        office.add("second")
    assert reason.value.slug == "name-used"


@pytest.mark.parametrize("how", ["same", "removed", "rotated", "another-partner", "unpadded"])
def test_b27_a_secret_is_used_once(how: str) -> None:
    padded = "whsec_" + base64.b64encode(b"m" * 25).decode()
    office = registered(webhook_secret=padded)
    if how == "removed":
        office.do(remove, MAIN)
    if how == "rotated":
        office.rotate(overlap_hours=0)
    if how == "another-partner":
        first, office = office.entry, registered()
        office.others = lambda: (first,)
    with pytest.raises(Refusal) as reason:
        office.add("second", webhook_secret=padded.rstrip("=") if how == "unpadded" else padded)
    assert reason.value.slug == "key-in-use"


def test_there_is_an_end_to_endpoints() -> None:
    office = registered()
    for number in range(1, MOST_ENDPOINTS):
        office.add(f"endpoint-{number}")
    with pytest.raises(Refusal) as reason:
        office.add("one-more")
    assert reason.value.slug == "too-many-endpoints"
    office.do(remove, MAIN)
    office.add("one-more")


def test_what_a_change_leaves_out_stays() -> None:
    office = registered()
    (event,) = office.do(CHANGE, read(ChangeEndpoint, endpoint="main", events=["kapcare.test", "kapcare.test"]))
    assert isinstance(event, EndpointChanged)
    assert (office.endpoint().url, office.endpoint().events) == (URL, ("kapcare.test",))
    office.do(CHANGE, read(ChangeEndpoint, endpoint="main", webhook_url="https://new.example/"))
    assert (office.endpoint().url, office.endpoint().events) == ("https://new.example/", ("kapcare.test",))
    assert office.do(CHANGE, read(ChangeEndpoint, endpoint="main", webhook_url="https://new.example/")) == []
    office.do(CHANGE, read(ChangeEndpoint, endpoint="main", events=[]))
    assert all(office.endpoint().takes(name) for name in NAMES)
    assert office.signing() == (SECRET,)


def test_each_step_between_active_paused_and_disabled() -> None:
    """The oracle is the table: from each status, what each verb leads to."""
    verbs = {"pause": pause, "disable": disable, "resume": resume}
    table = {
        ("active", "pause"): "paused",
        ("active", "disable"): "disabled",
        ("active", "resume"): "already-active",
        ("paused", "pause"): "endpoint-not-active",
        ("paused", "disable"): "disabled",
        ("paused", "resume"): "active",
        ("disabled", "pause"): "endpoint-not-active",
        ("disabled", "disable"): "already-disabled",
        ("disabled", "resume"): "active",
    }
    for (status, verb), expected in table.items():
        office = registered()
        if status != "active":
            office.do({"paused": pause, "disabled": disable}[status], MAIN)
        assert office.endpoint().status == status
        if expected in {"active", "paused", "disabled"}:
            office.do(verbs[verb], MAIN)
            assert (office.endpoint().status, office.endpoint().why) == (expected, "by-admin" if expected == "disabled" else None)
        else:
            assert refused(office, verbs[verb], MAIN) == expected


@pytest.mark.parametrize("decide", [CHANGE, pause, resume, disable, remove])
def test_an_endpoint_that_is_not_there(decide: Any) -> None:
    command = read(ChangeEndpoint if decide is CHANGE else NameEndpoint, endpoint="nowhere")
    assert refused(registered(), decide, command) == "no-such-endpoint"
    assert refused(Office(), decide, command) == "no-such-partner"


def test_an_endpoint_that_an_admin_disables_calls_nobody() -> None:
    office = registered()
    (event,) = office.do(disable, MAIN)
    assert isinstance(event, EndpointDisabled)
    assert (event.why, event.disabled_at) == ("by-admin", NOW)


@pytest.mark.parametrize("why", ["gone", "failing"])
def test_an_endpoint_that_the_service_disables_calls_an_admin_once(why: Any) -> None:
    office = registered()
    disabled, raised = disable_endpoint(office.partner, "main", why, office.context())
    assert isinstance(disabled, EndpointDisabled)
    assert isinstance(raised, AlertRaised)
    assert (disabled.why, disabled.partner, disabled.endpoint) == (why, "north", "main")
    assert (raised.role, raised.why, raised.about) == ("admin", "endpoint-disabled", "main")
    office.do(lambda _partner, events, _context: list(events), [disabled, raised])
    assert office.endpoint().why == why
    assert office.partner.deadlines == {"alert": raised.due_at}
    assert disable_endpoint(office.partner, "main", why, office.context()) == []
    assert disable_endpoint(office.partner, "nowhere", why, office.context()) == []
    assert disable_endpoint(Office().partner, "main", why, office.context()) == []


@pytest.mark.parametrize("end", [resume, remove, "leave"])
def test_the_alert_ends_when_the_endpoint_is_resumed_or_removed_or_the_organisation_leaves(end: Any) -> None:
    office = registered()
    office.add("second")
    for slug in ("main", "second"):
        office.do(lambda partner, slug, context: disable_endpoint(partner, slug, "gone", context), slug)
    assert [alert.about for alert in office.partner.alerts.unacknowledged] == ["main", "second"]
    events = office.do(leave, PartnerLeaves(reason="contract ended")) if end == "leave" else office.do(end, MAIN)
    ended = [event for event in events if isinstance(event, AlertAcknowledged)]
    assert all(event.resolved for event in ended)
    assert len(ended) == (2 if end == "leave" else 1)
    assert [alert.about for alert in office.partner.alerts.unacknowledged] == ([] if end == "leave" else ["second"])
    kinds = {resume: EndpointResumed, remove: EndpointRemoved}
    assert end == "leave" or isinstance(events[0], kinds[end])


def test_an_alert_that_nobody_takes_on_rings_the_admin_again_until_the_last_level() -> None:
    office = registered()
    office.do(lambda partner, slug, context: disable_endpoint(partner, slug, "failing", context), "main")
    (tick,) = (kind.tick for kind in define(nobody, allow_loopback=False).kinds if kind.name == "partner")
    assert tick is not None
    seen = []
    while office.partner.deadlines:
        (due,) = office.partner.deadlines.values()
        events = tick(office.partner, "alert", replace(office.context(), now=due))
        office.do(lambda _partner, events, _context: list(events), events)
        seen.append(office.partner.alerts.unacknowledged[0].role)
        assert len(seen) < 10
    assert seen == ["admin", "admin"]  # nobody else may look at it


def test_an_endpoint_is_told_what_happened_since_it_took_it() -> None:
    """Asked for each message and moment; a minute is what two clocks may differ by."""
    assigned, test, hour = "kapcare.review.assigned", "kapcare.test", timedelta(hours=1)
    added = EndpointAdded(
        partner="north", endpoint="new", webhook_url=URL, webhook_secret=SecretStr(SECRET), events=(assigned,), added_at=NOW
    )
    widened = EndpointChanged(partner="north", endpoint="new", webhook_url=URL, events=(), changed_at=NOW + 2 * hour)
    back = PartnerReturned(partner="north", returned_at=NOW + 4 * hour)
    moments = [NOW + hours * hour for hours in (-1, 0, 1, 2, 3, 4)]
    seen = []
    partner = registered().partner
    for event in (added, widened, back):
        partner = evolve_partner(partner, event)
        endpoint = partner.require_entry().require_endpoint("new")
        seen.append([[endpoint.took(name, at) for at in moments] for name in (assigned, test)])
    assert seen == [
        [[False, True, True, True, True, True], [False] * 6],
        [[False, True, True, True, True, True], [False, False, False, True, True, True]],
        [[False, False, False, False, False, True], [False, False, False, False, False, True]],
    ]
    main = partner.require_entry().require_endpoint("main")
    assert main.took(assigned, NOW + 4 * hour - timedelta(seconds=30))


def test_no_two_endpoints_have_the_same_webhook_ids() -> None:
    """A webhook id has no dot (Standard Webhooks 1.0.0), so `a.b` would read as `a-b` there."""
    registered().add("a-b")
    with pytest.raises(ValidationError):
        registered().add("a.b")

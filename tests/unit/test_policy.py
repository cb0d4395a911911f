"""Policy documents: which value counts where and when, and what is refused (design, section 2; issue text: thresholds as data)."""

import json
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from typer.testing import CliRunner

from deploy.cli.policy import app
from shared.events import intake, prescriber
from shared.events.clinical import Route
from shared.pathway.adoption import Adoptions, AdoptPolicy, adopt, evolve, noting
from shared.pathway.context import Actor, Context
from shared.pathway.policy import SHIPPED, Book, Document, PolicyValues, WholeDocument, read_document, read_policy
from shared.pathway.refusal import Refusal

SHIPPED_TEXT = SHIPPED.read_text()
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
ROUTES: tuple[Route, ...] = ("sublingual", "intravenous")


def document(version: str = "site-2", overrides: dict[str, list[dict[str, Any]]] | None = None, **changes: Any) -> WholeDocument:
    content = json.loads(SHIPPED_TEXT) | {"version": version} | changes
    for name, rows in (overrides or {}).items():
        content["values"][name]["overrides"] = rows
    return WholeDocument.model_validate_json(json.dumps(content))


def as_recorded(whole: WholeDocument) -> Document:
    return Document.model_validate_json(whole.model_dump_json())


def context(now: datetime = NOW) -> Context:
    return Context(now=now, actor=Actor("director-1"), policy=read_policy(), seed="http:test/1")


def test_every_value_of_the_shipped_document_has_mark_and_source_and_the_unverified_are_the_sites() -> None:
    for name, row in read_document().values.items():
        assert row.source, name
        assert row.mark != "U" or row.source.startswith("set by the site"), name


def test_a_clinics_route_counts_before_its_clinic_before_a_route_before_the_network() -> None:
    stay = [
        {"route": "sublingual", "value": 90},
        {"clinic": "riverside", "value": 150},
        {"clinic": "riverside", "route": "sublingual", "value": 100},
    ]
    written = document(overrides={"minimum_stay_minutes": stay})
    found = {
        (clinic, route): written.at(clinic).on(route).minimum_stay_minutes
        for clinic, route in product((None, "riverside", "hillside"), (None, *ROUTES))
    }
    assert found == {
        (None, None): 120,
        (None, "sublingual"): 90,
        (None, "intravenous"): 120,
        ("riverside", None): 150,
        ("riverside", "sublingual"): 100,
        ("riverside", "intravenous"): 150,
        ("hillside", None): 120,
        ("hillside", "sublingual"): 90,
        ("hillside", "intravenous"): 120,
    }


PLACES: list[tuple[str | None, Route | None]] = [
    (clinic, route) for clinic in (None, "a", "b") for route in (None, *ROUTES) if clinic is not None or route is not None
]


@given(
    st.dictionaries(st.sampled_from(PLACES), st.integers(1, 999)), st.sampled_from((None, "a", "b", "c")), st.sampled_from((None, *ROUTES))
)
def test_resolving_is_a_look_up_in_order_of_particularity(
    given_at: dict[tuple[str | None, Route | None], int], clinic: str | None, route: Route | None
) -> None:
    """The oracle is the rule read aloud: try the clinic's route, the clinic, the route, the network."""
    rows = [{"clinic": where, "route": how, "value": value} for (where, how), value in given_at.items()]
    written = document(overrides={"weight_valid_days": rows})
    order = [(clinic, route), (clinic, None), (None, route)]
    expected = next((given_at[place] for place in order if place in given_at), 30)
    assert written.at(clinic).on(route).weight_valid_days == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"overrides": {"minimum_age_years": [{"value": 16}]}},
        {"overrides": {"minimum_age_years": [{"clinic": "a", "value": 16}, {"clinic": "a", "value": 17}]}},
        {"overrides": {"minimum_age_years": [{"clinic": "a", "value": "many"}]}},
        {"overrides": {"pregnancy": [{"clinic": "a", "value": "welcome"}]}},
        {"overrides": {"remission_below": [{"clinic": "a", "route": "nasal", "value": 5}]}},
        {"valid_to": "2025-12-31T00:00:00Z"},
        {"valid_from": "2026-01-01T00:00:00"},
        {"time_zones": {"network": "Mars/Olympus"}},
        {"time_zones": {"riverside": "America/New_York"}},
        {"clinic_states": {"riverside": "ZZ"}},
        {"clinic_states": {"riverside": "or"}},
        {"clinic_states": {"riverside": "Oregon"}},
        {"clinic_states": {"network": "OR"}},
        {"part2_programs": ["network"]},
        {"part2_programs": ["Riverside Clinic"]},
        {"part2_programs": "riverside"},
        {"unknown": 1},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_is_no_document_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        document(**changes)


def test_a_missing_row_is_named() -> None:
    content = json.loads(SHIPPED.read_text())
    del content["values"]["gad7_positive"]
    with pytest.raises(ValidationError, match="gad7_positive"):
        WholeDocument.model_validate(content)


def test_a_document_adopted_under_an_older_release_goes_on_with_the_shipped_values_that_it_lacks() -> None:
    """A row that a release adds must not stop every service that once adopted a document without it."""
    content = json.loads(SHIPPED.read_text()) | {"version": "old-1"}
    del content["values"]["alert_levels"]
    content["values"]["gad7_positive"]["value"] = 8
    content["values"]["a_row_of_long_ago"] = {"value": 1, "mark": "U", "source": "set by the site"}
    text = json.dumps(content)
    event = prescriber.PolicyAdopted(document=text, sha256="0" * 64, adopted_by="Dr", adopted_at=NOW)
    policy = Book(read_document(), evolve(Adoptions(), event).documents).policy(NOW)
    assert policy.version == "old-1"
    assert policy.values.gad7_positive == 8
    assert policy.values.alert_levels == read_policy().values.alert_levels
    with pytest.raises(ValidationError):
        AdoptPolicy.model_validate_json(json.dumps({"document": content, "adopted_by": "Dr"}))


def test_a_row_that_nothing_reads_is_refused() -> None:
    content = json.loads(SHIPPED.read_text())
    content["values"]["misspelt"] = content["values"]["gad7_positive"]
    with pytest.raises(ValidationError, match="misspelt"):
        WholeDocument.model_validate(content)


def test_each_value_has_a_row_and_each_row_a_value() -> None:
    assert set(PolicyValues.model_fields) == set(json.loads(SHIPPED_TEXT)["values"])


@pytest.mark.parametrize(
    ("moment", "version"),
    [
        ("2026-03-31T23:59:59.999+00:00", "network-default-1"),
        ("2026-04-01T00:00:00+00:00", "spring"),
        ("2026-04-30T23:59:59.999+00:00", "spring"),
        ("2026-05-01T00:00:00+00:00", "network-default-1"),
        ("2026-06-01T00:00:00+00:00", "summer"),
    ],
)
def test_the_document_in_force_is_the_last_adopted_of_those_valid_then(moment: str, version: str) -> None:
    spring = document("spring", valid_from="2026-04-01T00:00:00Z", valid_to="2026-05-01T00:00:00Z")
    summer = document("summer", valid_from="2026-06-01T00:00:00Z")
    book = Book(read_document(), [spring, summer])
    at = datetime.fromisoformat(moment)
    assert book.document(at).version == version
    assert book.policy(at, "riverside").version == version


def test_a_later_adoption_replaces_an_earlier_one_that_is_still_valid() -> None:
    book = Book(read_document(), [document("two", valid_from="2026-01-01T00:00:00Z"), document("three", valid_from="2026-02-01T00:00:00Z")])
    assert book.document(datetime(2026, 1, 15, tzinfo=UTC)).version == "two"
    assert book.document(NOW).version == "three"
    assert book.find("two") is not None
    assert book.find("four") is None


def test_a_decision_that_names_no_version_was_made_under_what_was_in_force() -> None:
    """As releases recorded vitals and discharges that kept none; a version that nobody knows is not guessed."""
    book = Book(read_document(), [document("two", valid_from="2026-02-01T00:00:00Z"), document("three", valid_from="2026-03-01T00:00:00Z")])

    def version(named: str | None, day: datetime) -> str | None:
        made_under = book.made_under(named, day)
        return None if made_under is None else made_under.version

    assert version(None, datetime(2026, 1, 31, tzinfo=UTC)) == read_document().version
    assert version(None, datetime(2026, 2, 1, tzinfo=UTC)) == "two"
    assert version("three", datetime(2026, 2, 1, tzinfo=UTC)) == "three"
    assert version("four", datetime(2026, 2, 1, tzinfo=UTC)) is None


def test_the_clinics_day_is_that_of_its_own_time_zone() -> None:
    zones = {"network": "America/New_York", "coast": "America/Los_Angeles"}
    written = document(time_zones=zones)
    late = datetime(2026, 12, 31, 5, 30, tzinfo=UTC)  # 00:30 in New York, 21:30 the evening before in Los Angeles
    days = {
        clinic: Context(now=late, actor=Actor("a"), policy=written.at(clinic), seed="s").today.isoformat()
        for clinic in ("coast", "elsewhere")
    }
    assert days == {"coast": "2026-12-30", "elsewhere": "2026-12-31"}


def test_a_clinics_state_is_what_the_document_says_and_nothing_is_assumed_of_the_others() -> None:
    written = document(clinic_states={"riverside": "OR", "harbour": "PR"})
    assert [written.at(clinic).state for clinic in ("riverside", "harbour", "elsewhere", None)] == ["OR", "PR", None, None]
    with pytest.raises(ValidationError, match="the state of hillside is unknown"):
        document(clinic_states={"hillside": "XX"})


def test_a_document_that_says_of_no_clinic_where_it_lies_is_still_read() -> None:
    """As every document was before clinics had a state."""
    written = document().model_dump(mode="json")
    del written["clinic_states"]
    book = Book(read_document(), [Document.model_validate_json(json.dumps(written))])
    assert book.policy(NOW, "riverside").state is None


def test_r33_the_part2_programs_are_the_clinics_that_the_document_names_and_no_others() -> None:
    written = document(part2_programs=["riverside"])
    for clinic in ("riverside", "hillside", None):
        assert written.at(clinic).part2_programs == {"riverside"}
    assert read_policy().part2_programs == set()


def test_r33_a_document_that_names_no_part2_program_is_still_read() -> None:
    """As every document was before one could be named."""
    written = document().model_dump(mode="json")
    del written["part2_programs"]
    book = Book(read_document(), [Document.model_validate_json(json.dumps(written))])
    assert book.policy(NOW, "riverside").part2_programs == set()


def test_r33_the_check_notes_a_part2_program_that_may_be_misspelt(tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    zones = {"network": "America/New_York", "riverside": "America/Los_Angeles"}
    programs = ["riverside", "harbor", "riversde"]
    file.write_text(
        document(time_zones=zones, clinic_states={"riverside": "OR", "harbor": "ME"}, part2_programs=programs).model_dump_json()
    )
    done = CliRunner().invoke(app, ["check", str(file)])
    assert [line for line in done.output.splitlines() if "Part 2" in line] == [
        "note: riversde is a Part 2 program and has neither state nor time zone: is it spelt as in its tokens?"
    ]


def test_the_check_notes_a_clinic_of_which_the_state_or_the_time_zone_may_have_been_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    zones = {"network": "America/New_York", "riverside": "America/Los_Angeles", "hillside": "America/New_York"}
    file.write_text(document(time_zones=zones, clinic_states={"riverside": "OR", "harbor": "ME"}).model_dump_json())
    done = CliRunner().invoke(app, ["check", str(file)])
    assert done.exit_code == 0
    notes = [line.removeprefix("note: ") for line in done.output.splitlines() if line.startswith("note: ")]
    assert [note.partition(":")[0] for note in notes] == ["hillside has a time zone and no state", "harbor has a state and no time zone"]
    file.write_text(document(clinic_states={}).model_dump_json().replace('"clinic_states":{}', '"clinic_states":{"riverside":"XX"}'))
    done = CliRunner().invoke(app, ["check", str(file)])
    assert done.exit_code != 0
    assert "the state of riverside is unknown" in str(done.exception)


def test_adopting_records_the_text_its_digest_and_the_directors_name() -> None:
    (event,) = adopt(Adoptions(), AdoptPolicy(document=document(), adopted_by="Dr Ada Example"), context())
    assert isinstance(event, prescriber.PolicyAdopted)
    assert WholeDocument.model_validate_json(event.document) == document()
    assert (event.adopted_by, event.adopted_at) == ("Dr Ada Example", NOW)
    assert evolve(Adoptions(), event).documents == (as_recorded(document()),)


def test_a_version_is_adopted_once_and_a_document_that_is_over_never() -> None:
    (event,) = adopt(Adoptions(), AdoptPolicy(document=document(), adopted_by="Dr"), context())
    with pytest.raises(Refusal, match="known"):
        adopt(evolve(Adoptions(), event), AdoptPolicy(document=document(), adopted_by="Dr"), context())
    with pytest.raises(Refusal, match="known"):
        adopt(Adoptions(), AdoptPolicy(document=document("network-default-1"), adopted_by="Dr"), context())
    over = document(valid_to="2026-06-01T12:00:00Z")
    with pytest.raises(Refusal, match="past"):
        adopt(Adoptions(), AdoptPolicy(document=over, adopted_by="Dr"), context())


def test_another_service_notes_an_adoption_once_word_for_word() -> None:
    (event,) = adopt(Adoptions(), AdoptPolicy(document=document(), adopted_by="Dr"), context())
    assert isinstance(event, prescriber.PolicyAdopted)
    note = noting(intake.PolicyNoted)
    (noted,) = note(Adoptions(), event, context())
    assert isinstance(noted, intake.PolicyNoted)
    assert (noted.document, noted.sha256) == (event.document, event.sha256)
    held = evolve(Adoptions(), noted)
    assert held.documents == (as_recorded(document()),)
    assert note(held, event, context()) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("partner_answer_hours", 0),
        ("minimum_stay_minutes", -1),
        ("second_pressure_after_minutes", 10**13),
        ("alert_escalate_minutes", 100_001),
        ("integration_follow_up_days", [14, -1]),
        ("response_drop_fraction", -0.5),
        ("intravenous_plausible_mg", [1000, 2]),
    ],
)
def test_a_number_that_no_time_can_be_reckoned_from_is_refused(name: str, value: Any) -> None:
    """A deadline that is due at once, or beyond the calendar, would keep a fact out or stop a stream."""
    content = json.loads(SHIPPED.read_text())
    content["values"][name]["value"] = value
    with pytest.raises(ValidationError):
        WholeDocument.model_validate_json(json.dumps(content))


def test_a_document_may_not_take_the_version_of_the_shipped_one_when_another_is_in_force() -> None:
    first = adopt(Adoptions(), AdoptPolicy(document=document(), adopted_by="Dr Ada"), context())
    adoptions = evolve(Adoptions(), first[0])
    book = Book(read_document(), adoptions.documents)
    now = Context(now=NOW, actor=Actor("director-1"), policy=book.policy(NOW), seed="http:test/2")
    assert now.policy.version == "site-2"
    with pytest.raises(Refusal) as refusal:
        adopt(adoptions, AdoptPolicy(document=document(read_document().version), adopted_by="Dr Ada"), now)
    assert refusal.value.slug == "version-used"


def test_a_document_of_another_release_is_still_read_and_what_it_lacks_is_the_shipped_documents() -> None:
    """An adoption is a fact for ever; a release that reads another row may not stop the services that hold it."""
    written = document().model_dump(mode="json")
    rows = {name: row for name, row in written["values"].items() if name != "minimum_stay_minutes"}
    text = json.dumps(written | {"values": rows | {"read_by_an_older_release": rows["partner_answer_hours"]}})
    with pytest.raises(ValidationError, match="read_by_an_older_release"):
        WholeDocument.model_validate_json(text)
    in_force = Book(read_document(), [Document.model_validate_json(text)]).policy(NOW, "riverside")
    assert (in_force.version, in_force.values.minimum_stay_minutes) == ("site-2", read_policy().values.minimum_stay_minutes)

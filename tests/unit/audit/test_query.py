"""What may be asked: any query string gives a refusal in words, or a filter of equalities and ranges on named fields."""

from contextlib import suppress
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.audit.domain.query import (
    COUNTED,
    FIELDS,
    FILTERS,
    PAGE_LIMIT,
    Page,
    Query,
    QueryRefused,
    read_counts,
    read_decision,
    read_export,
    read_page,
)
from shared.events.registry import BY_TYPE, PUBLISHED

NAMES = st.sampled_from(sorted(FILTERS | {"cursor", "limit", "order", "format", "by", "decision", "$where", "type[$ne]", "_id"}))
SENSIBLE = ("riverside", "case-1", "kapcare.session.*", "refused", "auditor", "partner:oak/dr", "2026-03-01T00:00:00Z", "1", "day")
WILD = ('{"$ne": null}', "$where", "(a+)+$", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "kapcare.*.StepRefused.v1")
VALUES = st.one_of(st.text(max_size=30), st.sampled_from(SENSIBLE), st.sampled_from(WILD))


def answer(text: str) -> Query | None:
    """What a query string is read as by whichever question takes its parameters; None if it is refused."""
    asked = parse_qsl(text, keep_blank_values=True)
    for read in (read_page, read_export):
        with suppress(QueryRefused):
            return read(asked)[0]
    return None


def check_filter(wanted: dict[str, Any]) -> None:
    """Only fields of the list; a value is a string, a list of event types, or a range of moments."""
    assert set(wanted) <= FIELDS
    for field, value in wanted.items():
        match value:
            case str():
                assert field not in ("time", "happened")
            case {"$in": list(types), **rest}:
                assert (field, rest) == ("type", {})
                assert set(types) <= set(BY_TYPE)
            case dict():
                assert field in ("time", "happened")
                assert set(value) <= {"$gte", "$lt"}
                assert all(isinstance(moment, datetime) and moment.tzinfo is not None for moment in value.values())
            case _:
                pytest.fail(f"{field} is neither an equality nor a range")


@given(st.lists(st.tuples(NAMES, VALUES), max_size=5))
@example([("from", "2026-03-02T00:00:00Z"), ("to", "2026-03-03T00:00:00Z"), ("type", "kapcare.intake.*"), ("actor", "$gt")])
def test_parameters_give_a_refusal_or_a_filter_of_named_fields(asked: list[tuple[str, str]]) -> None:
    query = answer(urlencode(asked))
    if query is not None:
        check_filter(query.filter)


@given(st.text(max_size=200))
@example("actor[$ne]=x&case=a")
@example("type=kapcare.session.*&type=kapcare.intake.*")
def test_any_query_string_gives_a_refusal_or_a_filter_of_named_fields(text: str) -> None:
    query = answer(text)
    if query is not None:
        check_filter(query.filter)


REFUSED = [
    "happened_from=yesterday",
    "happened_to=2026-03-02T00:00:00",
    "happened_from=2026-03-02T00:00:00Z&happened_to=2026-03-01T00:00:00Z",
    "limit=0",
    "limit=501",
    "limit=1000000000",
    "limit=-1",
    "limit=1e2",
    "limit=٣",
    "cursor=-1",
    "cursor=01",
    "cursor=abc",
    "cursor=1000000000000",
    "cursor=eyJpZCI6MX0=",
    "from=2026-03-02T00:00:00Z&to=2026-03-01T00:00:00Z",
    "from=2027-05-05",
    "from=2027-05-05T00:00:00",
    "from=0001-01-01T00:00:00Z",
    "to=9999-12-31T23:59:59Z",
    "case[$ne]=x",
    "case=$gt",
    "case=a b",
    "clinic=",
    'patient={"$regex": "a"}',
    "partner=Oak",
    "partner=oak/dr",
    "actor=",
    "actor=%00",
    "actor=a%0Ab",
    "role=surgeon",
    "policy=../x",
    "source=urn:other:intake",
    "outcome=maybe",
    "type=kapcare.session.NoSuchThing.v1",
    "type=kapcare.session.StepRefused.v1,",
    "type=.*",
    "type=kapcare.(a+)+.*",
    "order=random",
    "case=a&case=b",
    "where=1",
    "_id=1",
]


@pytest.mark.parametrize("text", REFUSED)
def test_what_cannot_be_asked(text: str) -> None:
    with pytest.raises(QueryRefused) as refused:
        read_page(parse_qsl(text, keep_blank_values=True))
    assert refused.value.slug in ("parameter", "unknown-parameter")
    assert not [sent for _, sent in parse_qsl(text) if len(sent) > 8 and sent in refused.value.what], "nothing is echoed"


def test_everything_at_once() -> None:
    text = (
        "case=case-1&patient=patient-1&clinic=riverside&actor=partner:oak/dr-7&partner=oak&role=partner&policy=network-2026.1"
        "&source=prescriber&outcome=refused&type=kapcare.prescriber.DecisionRefused.v1&from=2026-03-01T01:00:00%2B01:00&to=2026-04-01T00:00:00Z"
        "&happened_from=2026-02-01T00:00:00Z&cursor=17&limit=500&order=newest"
    )
    query, page = read_page(parse_qsl(text))
    assert query.filter == {
        "stream": "case-1",
        "patient": "patient-1",
        "clinic": "riverside",
        "actor": "partner:oak/dr-7",
        "partners": "oak",
        "roles": "partner",
        "policy": "network-2026.1",
        "source": "urn:kapcare:prescriber",
        "type": "kapcare.prescriber.DecisionRefused.v1",
        "time": {"$gte": datetime.fromisoformat("2026-03-01T00:00:00Z"), "$lt": datetime.fromisoformat("2026-04-01T00:00:00Z")},
        "happened": {"$gte": datetime.fromisoformat("2026-02-01T00:00:00Z")},
    }
    assert page == Page(17, PAGE_LIMIT, "newest")


def test_an_export_of_one_whole_case_says_so() -> None:
    query, form = read_export([("case", "case-1"), ("format", "csv")])
    assert (query.whole_case, query.said, form) == ("case-1", (("case", "case-1"),), "csv")
    assert read_export([("case", "case-1"), ("outcome", "done")])[0].whole_case is None
    assert read_export([])[0].whole_case is None


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("kapcare.session.*", {event.TYPE for event in PUBLISHED["session"]}),
        ("kapcare.*.StepRefused.v1", {f"kapcare.{service}.StepRefused.v1" for service in PUBLISHED if service != "access"}),
        ("kapcare.intake.PatientReferred.*", {"kapcare.intake.PatientReferred.v1"}),
        (
            "kapcare.intake.StepRefused.v1,kapcare.session.SessionDosed.v1",
            {"kapcare.intake.StepRefused.v1", "kapcare.session.SessionDosed.v1"},
        ),
        ("kapcare.*", set(BY_TYPE)),
    ],
)
def test_types_are_a_list_of_names_and_families(asked: str, expected: set[str]) -> None:
    query, _ = read_page([("type", asked)])
    assert query.types is not None
    assert set(query.types) == expected


def test_types_and_an_outcome_are_the_types_of_that_outcome() -> None:
    def types(outcome: str, asked: str) -> Any:
        return read_page([("outcome", outcome), ("type", asked)])[0].filter

    assert types("refused", "kapcare.session.*") == {
        "type": {"$in": ["kapcare.session.CourseWithheld.v1", "kapcare.session.StepRefused.v1"]}
    }
    assert types("refused", "kapcare.intake.*") == {"type": "kapcare.intake.StepRefused.v1"}
    assert types("done", "kapcare.intake.StepRefused.v1") == {"type": {"$in": []}}


def test_counts_must_say_by_what() -> None:
    assert {read_counts([("by", by)])[1] for by in COUNTED} == set(COUNTED)
    for asked in ([], [("by", "data")], [("by", "$type")], [("by", "day"), ("limit", "1")]):
        with pytest.raises(QueryRefused):
            read_counts(asked)


def test_a_decision_is_one_event_id() -> None:
    assert read_decision([("decision", "0a1b.0")]) == "0a1b.0"
    for asked in ([], [("decision", "")], [("decision", "a b")], [("decision", "a.0"), ("case", "case-1")]):
        with pytest.raises(QueryRefused):
            read_decision(asked)

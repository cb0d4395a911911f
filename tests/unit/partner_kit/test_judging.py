"""What answers, and acts at the network's API, say about a partner."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from deploy.partner_kit import judging
from deploy.partner_kit.examination import Result
from deploy.partner_kit.journal import OBSERVATIONS, Asked, Decided, Fetched, Journal, Record
from deploy.partner_kit.judging import Answer, Finding, Judge
from deploy.partner_kit.line import what_is_wrong_with_address
from deploy.partner_kit.report import as_json, summary


def answered(*statuses: int | None, kept: bool = False) -> list[Answer]:
    return [Answer("a message", status, 0.1, "" if status else "no answer within 15 s", kept) for status in statuses]


@pytest.mark.parametrize(
    ("judge", "statuses", "outcome"),
    [
        (judging.taken, (200, 204), "pass"),
        (judging.taken, (204, 500), "fail"),
        (judging.taken, (302,), "fail"),
        (judging.taken, (429,), "fail"),
        (judging.taken, (None,), "fail"),
        (judging.refused, (400, 401), "pass"),
        (judging.refused, (401, 204), "fail"),
        (judging.refused, (401, 500), "fail"),
        (judging.refused, (302,), "fail"),
        (judging.refused, (None,), "fail"),
        (judging.refused, (401, 429), "unseen"),
        (judging.refused, (429, 204), "fail"),
        (judging.refused_or_noticed, (204, 409), "pass"),
        (judging.refused_or_noticed, (204, 204), "unseen"),
        (judging.refused_or_noticed, (204, 500), "fail"),
        (judging.refused_or_noticed, (500, 409), "fail"),
        (judging.in_time, (500,), "pass"),
        (judging.in_time, (None,), "fail"),
        (judging.taken_on_one_connection, (204, 204), "unseen"),
        (judging.taken_on_one_connection, (204, 500), "fail"),
    ],
)
def test_answers_are_judged(judge: Judge, statuses: Sequence[int | None], outcome: str) -> None:
    assert judge(answered(*statuses)).outcome == outcome


def test_a_kept_connection_is_seen() -> None:
    assert judging.taken_on_one_connection([*answered(204), *answered(204, kept=True)]).outcome == "pass"


def test_a_clock_that_is_off_is_named() -> None:
    (answer,) = answered(401)
    behind = Answer(answer.label, 401, 0.1, clock_ahead_seconds=-400.0)
    assert "400 s behind ours" in judging.taken([behind]).detail
    assert "clock" not in judging.taken([answer]).detail


CASE, OTHER = "case-a", "case-b"


def decided(
    webhook_id: str = "d1", body: bytes = b"{}", answered: int = 200, case: str = CASE, unverified: str = "", malformed: str = ""
) -> Decided:
    return Decided(case, webhook_id, body, unverified, malformed, answered)


def found(name: str, *records: Record, has_key: bool = True) -> str:
    (observation,) = (one for one in OBSERVATIONS if one.name == name)
    return observation.judge(Journal(records, CASE, OTHER, 9, has_key)).outcome


@pytest.mark.parametrize(
    ("name", "records", "outcome"),
    [
        ("fetches-review", [], "unseen"),
        ("fetches-review", [Fetched("case-x", True)], "unseen"),
        ("fetches-review", [Fetched(CASE, False)], "fail"),
        ("fetches-review", [Fetched(CASE, False), Fetched(CASE, True)], "pass"),
        ("decision-verifies", [], "unseen"),
        ("decision-verifies", [decided()], "pass"),
        ("decision-verifies", [decided(), decided(case="", unverified="signature-wrong", answered=401)], "fail"),
        ("decision-well-formed", [], "unseen"),
        ("decision-well-formed", [decided(case="", unverified="signature-wrong", answered=401)], "unseen"),
        ("decision-well-formed", [decided(case="", malformed="data.plan: missing", answered=422)], "fail"),
        ("decision-well-formed", [decided()], "pass"),
        ("decides-once", [decided(answered=503), decided()], "pass"),
        ("decides-once", [decided(), decided("d2", answered=409)], "fail"),
        ("sends-again", [], "unseen"),
        ("sends-again", [decided(answered=503)], "unseen"),
        ("sends-again", [decided(answered=503), decided()], "pass"),
        ("sends-again", [decided(answered=503), decided(body=b"[]")], "fail"),
        ("sends-again", [decided(answered=503), decided("d2")], "fail"),
        ("stops", [decided(case=OTHER, answered=409)], "pass"),
        ("stops", [decided(case=OTHER, answered=409), decided("d2", case=OTHER, answered=409)], "pass"),
        ("stops", [decided(case=OTHER, answered=409), decided(case=OTHER, answered=409)], "fail"),
        ("stops", [], "unseen"),
        ("asks-for-missing", [Asked(9, True)], "unseen"),
        ("asks-for-missing", [Asked(8, True)], "pass"),
        ("asks-for-missing", [Asked(8, False)], "fail"),
        ("asks-for-missing", [Asked(-1, True)], "unseen"),
    ],
)
def test_acts_are_judged(name: str, records: list[Record], outcome: str) -> None:
    assert found(name, *records) == outcome


def test_signatures_are_unseen_without_a_key() -> None:
    assert found("decision-verifies", decided(), has_key=False) == "unseen"


@pytest.mark.parametrize(
    ("url", "insecure", "allowed"),
    [
        ("https://partner.example/hooks", False, True),
        ("https://10.0.0.7:8443/hooks", False, True),
        ("http://127.0.0.1:8000/hooks", False, True),
        ("http://localhost/hooks", False, True),
        ("http://[::1]:8000/", False, True),
        ("http://partner.example/hooks", False, False),
        ("http://partner.example/hooks", True, True),
        ("http://127.0.0.1.example/", False, False),
        ("https://user@partner.example/", True, False),
        ("https://partner.example/#part", True, False),
        ("ftp://127.0.0.1/", True, False),
        ("https://", True, False),
        ("http://[::1", True, False),
        ("http://127.0.0.1:99999/", True, False),
    ],
)
def test_addresses(url: str, insecure: bool, allowed: bool) -> None:
    assert (what_is_wrong_with_address(url, insecure=insecure) is None) is allowed


def test_only_what_is_required_makes_a_failure() -> None:
    by_need: Callable[[bool], Any] = lambda required: next(one for one in OBSERVATIONS if one.required is required)  # noqa: E731
    advised = Result(by_need(False), Finding("fail", "asked without an access token"))
    required = Result(by_need(True), Finding("fail", "asked without an access token"))
    unseen = Result(by_need(True), Finding("unseen", ""))
    assert summary([advised, unseen]) == "ready: 0 pass, 1 advised fail, 1 could not be seen"
    assert summary([advised, required]) == "NOT READY: 0 pass, 1 required fail, 1 advised fail"
    assert as_json([advised], "https://partner.example/", "v1")["ok"]
    assert not as_json([required], "https://partner.example/", "v1")["ok"]

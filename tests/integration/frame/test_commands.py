"""Commands over HTTP: the same key has its effect once and gets the same bytes; versions are honoured.

Expectations: design sections 2 and 5; the Idempotency-Key draft (07); bad input B24."""

import asyncio
import uuid

from tests.faults.injected import commits_of
from tests.integration.frame.served import (
    Client,
    token,
)


async def test_a_command_without_a_good_key_is_refused(client: Client) -> None:
    case = await client.case()
    for key in (None, "", "x" * 129, "with space", "näh"):
        answer = await client.post(f"/cases/{case}/facts", {"code": "one"}, idempotency_key=key)
        assert (answer.status, answer.slug) == (400, "idempotency-key")
    assert (await client.get(f"/cases/{case}")).json()["version"] == 1


async def test_a_retry_gets_the_same_bytes_even_after_later_changes(client: Client) -> None:
    key = uuid.uuid4().hex
    first = await client.post("/cases", {"clinic": "riverside", "patient": "p"}, idempotency_key=key)
    case = first.json()["case"]
    fact = await client.post(f"/cases/{case}/facts", {"code": "one"}, idempotency_key="fact", if_match=first.headers["etag"])
    for code in ("two", "three"):
        assert (await client.post(f"/cases/{case}/facts", {"code": code})).status == 200
    begun = await client.post("/cases", {"clinic": "riverside", "patient": "p"}, idempotency_key=key)
    again = await client.post(f"/cases/{case}/facts", {"code": "one"}, idempotency_key="fact", if_match=first.headers["etag"])
    assert (first.status, fact.status) == (201, 200)
    assert (begun.status, begun.body, begun.headers["etag"]) == (201, first.body, '"1"')
    assert (again.status, again.body, again.headers["etag"]) == (200, fact.body, '"2"')
    assert (await client.get(f"/cases/{case}")).headers["etag"] == '"4"'


async def test_a_retry_of_a_refusal_by_rule_gets_the_same_refusal(client: Client) -> None:
    case = await client.case()
    answers = [await client.post(f"/cases/{case}/refusals", {"code": "one"}, idempotency_key="refused") for _ in range(2)]
    assert answers[0].slug == "refused-by-rule"
    assert answers[0].status == 409
    assert answers[0].json()["rule"] == "R-99"
    assert answers[0].body == answers[1].body
    assert answers[0].headers["etag"] == answers[1].headers["etag"] == '"2"'
    assert len(await commits_of(client.runtime, case)) == 2


async def test_retries_at_once_have_one_effect_and_one_answer(client: Client) -> None:
    key = uuid.uuid4().hex
    answers = await asyncio.gather(
        *(client.post("/cases", {"clinic": "riverside", "patient": "p"}, idempotency_key=key) for _ in range(10))
    )
    assert {answer.status for answer in answers} == {201}
    assert len({answer.body for answer in answers}) == 1


async def test_a_key_used_again_for_something_else_is_refused(client: Client) -> None:
    case, other = await client.case(), await client.case()
    assert (await client.post(f"/cases/{case}/facts", {"code": "one"}, idempotency_key="k")).status == 200
    for path, content in (
        (f"/cases/{case}/facts", {"code": "two"}),
        (f"/cases/{other}/facts", {"code": "one"}),
        (f"/cases/{case}/refusals", {"code": "one"}),
        ("/cases", {"clinic": "riverside", "patient": "p"}),
    ):
        answer = await client.post(path, content, idempotency_key="k")
        assert (answer.status, answer.slug) == (422, "key-reused")
    spaced = await client.send("POST", f"/cases/{case}/facts", b'{"code":  "one"}', idempotency_key="k")
    assert spaced.status == 422  # the bytes are another request
    somebody_else = f"Bearer {token(client.keys, sub='clinician-2')}"
    assert (await client.post(f"/cases/{case}/facts", {"code": "two"}, idempotency_key="k", authorization=somebody_else)).status == 200


async def test_if_match(client: Client) -> None:
    case = await client.case()
    stale = await client.post(f"/cases/{case}/facts", {"code": "one"}, if_match='"7"')
    assert (stale.status, stale.slug, stale.headers["etag"]) == (412, "stale-version", '"1"')
    for nonsense in ("1", 'W/"1"', '"x"', '"1", "2"', '"-1"'):
        answer = await client.post(f"/cases/{case}/facts", {"code": "one"}, if_match=nonsense)
        assert (answer.status, answer.slug) == (400, "if-match")
    assert (await client.post(f"/cases/{case}/facts", {"code": "one"}, if_match="*")).status == 200
    assert (await client.post(f"/cases/{case}/facts", {"code": "two"}, if_match='"2"')).status == 200


async def test_a_refusal_and_a_decision_of_nothing_leave_no_trace(client: Client) -> None:
    case = await client.case()
    assert (await client.post(f"/cases/{case}/facts", {"code": "one"})).status == 200
    known = await client.post(f"/cases/{case}/facts", {"code": "one"})
    empty = await client.post(f"/cases/{case}/nothing", {"code": "one"})
    assert (known.status, known.slug) == (409, "already-stated")
    assert (empty.status, empty.slug) == (409, "nothing-to-do")
    assert len(await commits_of(client.runtime, case)) == 2


async def test_reading_changes_no_etag(client: Client) -> None:
    case = await client.case()
    assert [(await client.get(f"/cases/{case}")).headers["etag"] for _ in range(3)] == ['"1"'] * 3


async def test_a_whole_document_is_what_the_view_renders_and_nothing_else(client: Client) -> None:
    case = await client.case()
    assert (await client.post(f"/cases/{case}/facts", {"code": "one"})).status == 200
    answer = await client.get(f"/cases/{case}/document")
    assert answer.json() == {"of": [case, "riverside", "patient"], "facts": ["one"]}
    assert (answer.headers["content-type"], answer.headers["etag"]) == ("application/fhir+json", '"2"')
    described = (await client.get("/openapi.json", authorization=None)).json()["paths"]["/cases/{case}/document"]["get"]
    assert list(described["responses"]["200"]["content"]) == ["application/fhir+json"]

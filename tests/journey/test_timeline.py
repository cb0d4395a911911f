"""A session of the demo as a picture, by the command line."""

import asyncio
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from deploy.cli.__main__ import app
from deploy.demo.summary import Report
from deploy.local.failure import StackError
from tests.journey.hands import Hands

pytestmark = pytest.mark.timeout(300)


async def test_a_session_is_drawn_and_one_that_never_was_is_not(journey: tuple[Report, Hands], tmp_path: Path) -> None:
    report, hands = journey
    case = await dosed_case(report, hands)
    drawn = tmp_path / "session.svg"
    assert (await kap_timeline(hands, case, "--output", str(drawn))) is None
    assert drawn.stat().st_mode & 0o077 == 0, "only its owner may read it"
    words = [element.text or "" for element in ElementTree.parse(drawn).getroot().iter("{http://www.w3.org/2000/svg}text")]
    assert {"systolic mmHg", "limit 140 mmHg"} <= set(words)
    assert any(word.startswith("Session 1: ") and " mg " in word for word in words)
    missing = tmp_path / "none.svg"
    assert "no session 99" in str(await kap_timeline(hands, case, "--session", "99", "--output", str(missing)))
    assert not missing.exists()


async def dosed_case(report: Report, hands: Hands) -> str:
    for clinic in ("riverside", "hillside", "lakeshore"):
        for case in report.case_ids:
            status, course = await hands.get("coordinator", "session", f"/cases/{case}", clinic)
            if status == 200 and any(session["phase"] == "completed" for session in course["sessions"]):
                return case
    raise AssertionError("nobody of the demo was dosed")


async def kap_timeline(hands: Hands, case: str, *more: str) -> StackError | None:
    arguments = ["timeline", case, "--data", str(hands.stack.data.root), *more]
    done = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert done.exception is None or isinstance(done.exception, StackError), done.exception
    return done.exception

"""Pictures hold every value that was recorded, mark what happened, and carry neither scripts nor addresses to load."""

import re
from typing import Any
from xml.etree import ElementTree

from deploy.pictures.session_timeline import session_timeline

SVG = "{http://www.w3.org/2000/svg}"
DOSE: dict[str, Any] = {"at": "2026-01-06T15:05:00+00:00", "event": "SessionDosed", "dose_mg": "200", "route": "sublingual"}


def vitals(at: str, **values: Any) -> dict[str, Any]:
    return {"at": f"2026-01-06T{at}:00+00:00", "event": "VitalsRecorded", **values}


def picture(*lines: dict[str, Any], hold_above: dict[str, int] | None = None) -> ElementTree.Element:
    return ElementTree.fromstring(session_timeline({"session": 2, "timeline": lines}, hold_above))


def words(drawn: ElementTree.Element) -> set[str]:
    return {(element.text or "").strip() for element in drawn.iter(f"{SVG}text")}


def dots(drawn: ElementTree.Element) -> int:
    return sum("dot" in (element.get("class") or "").split() for element in drawn.iter(f"{SVG}circle"))


def test_each_value_recorded_is_a_dot_and_each_series_is_named_with_its_unit() -> None:
    pressure = {"systolic": 131, "diastolic": 84}
    drawn = picture(DOSE, vitals("15:45", blood_pressure=pressure, heart_rate=80), vitals("16:10", heart_rate=76, oxygen_saturation=97))
    assert dots(drawn) == 5, "two numbers of the pressure, two pulses, one saturation"
    assert {"systolic mmHg", "diastolic mmHg", "heart rate per min", "oxygen saturation %"} <= words(drawn)
    assert "breaths per min" not in words(drawn)


def test_minutes_count_from_the_first_dose() -> None:
    booster = {**DOSE, "at": "2026-01-06T15:50:00+00:00", "dose_mg": "50", "booster": True}
    left = {"at": "2026-01-06T18:05:00+00:00", "event": "SessionCompleted"}
    drawn = words(picture(DOSE, booster, left))
    assert {"dose at 0, 45 min", "discharge at 180 min", "Session 2: 200 mg sublingual and 50 mg sublingual"} <= drawn


def test_what_was_corrected_is_left_out() -> None:
    wrong = vitals("15:45", heart_rate=180, corrected={"kind": "entered_in_error"})
    assert dots(picture(DOSE, wrong, vitals("15:46", heart_rate=80))) == 1


def test_the_patient_s_limits_are_drawn_where_they_are_known() -> None:
    limits = {"systolic": 150, "diastolic": 95}
    assert {"limit 150 mmHg", "limit 95 mmHg"} <= words(picture(DOSE, vitals("15:45", heart_rate=80), hold_above=limits))
    assert not [word for word in words(picture(DOSE)) if word.startswith("limit")]


def test_a_session_without_entries_is_a_picture_that_says_so() -> None:
    assert "nothing was recorded" in words(picture())


def test_a_picture_needs_no_script_and_no_network() -> None:
    text = session_timeline({"session": 1, "timeline": [DOSE]})
    assert "<script" not in text
    assert not re.findall(r'(?:href|src)="http', text)

"""FHIR data types as plain values, ready for JSON."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from html import escape
from typing import Any

from shared.fhir.codes import UCUM_SYSTEM, Code

Element = dict[str, Any]


def said(**elements: Any) -> Element:
    """Return the elements that say something: FHIR has neither null nor empty lists."""
    return {name: value for name, value in elements.items() if value is not None and value != []}


def coding(code: Code) -> Element:
    """Return a Coding."""
    return said(system=code.system, code=code.code, display=code.display)


def concept(code: Code, text: str) -> Element:
    """Return a CodeableConcept: the code, and the words for who does not know it."""
    return {"coding": [coding(code)], "text": text}


def quantity(value: Decimal | int, unit: str) -> Element:
    """Return a Quantity in a UCUM unit."""
    return {"value": number(value), "unit": unit, "system": UCUM_SYSTEM, "code": unit}


def number(value: Decimal | int) -> int | float:
    """Return a JSON number: FHIR's decimals are not strings."""
    return int(value) if value == int(value) else float(value)


def moment(at: datetime | None) -> str | None:
    """Return a dateTime with its offset."""
    return None if at is None else at.isoformat()


def period(start: datetime | None, end: datetime | None) -> Element | None:
    """Return a Period; None where neither end is known."""
    return said(start=moment(start), end=moment(end)) or None


def narrative(text: str) -> Element:
    """Return a Narrative that adds to what the elements say."""
    return {"status": "additional", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{escape(text)}</div>'}


def tagged(code: Code) -> Mapping[str, Any]:
    """Return the Meta of a resource with one tag."""
    return {"tag": [coding(code)]}

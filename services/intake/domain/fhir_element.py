"""An element of a FHIR bundle that knows its path, so that a refusal says where and never what. Pure."""

import calendar
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from hashlib import sha256

from services.intake.domain.codes import System
from shared.pathway.refusal import Refusal

SYSTEMS: Mapping[str, System] = {
    "http://snomed.info/sct": "snomed",
    "http://hl7.org/fhir/sid/icd-10-cm": "icd-10-cm",
    "http://www.nlm.nih.gov/research/umls/rxnorm": "rxnorm",
    "http://loinc.org": "loinc",
}
"""Code systems that are read, by their FHIR name."""
SYSTEM_NAMES: Mapping[System, str] = {short: name for name, short in SYSTEMS.items()}
Coding = tuple[System, str]
"""A code and the system it is of."""
LONGEST_TEXT = 512
LONGEST_CODE = 64
_DATE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2})(?:T.*)?)?)?", re.ASCII)


def unreadable(path: str) -> Refusal:
    """Return the refusal of what is missing or malformed at the path."""
    return Refusal("malformed", f"{path} is missing or not as FHIR R4 has it.")


@dataclass(frozen=True, slots=True)
class Element:
    """A JSON value and its path, such as `entry[3].resource.code`."""

    content: object
    path: str

    def names(self) -> tuple[str, ...]:
        """Return the names of the element's fields."""
        return tuple(self._fields())

    def get(self, name: str) -> "Element | None":
        """Return the field, or None."""
        content = self._fields().get(name)
        return None if content is None else Element(content, f"{self.path}.{name}" if self.path else name)

    def need(self, name: str) -> "Element":
        """Return the field; raise Refusal where it is missing."""
        found = self.get(name)
        if found is None:
            raise unreadable(f"{self.path}.{name}" if self.path else name)
        return found

    def value(self, name: str) -> object:
        """Return the bare content of the field, or None."""
        return self._fields().get(name)

    def list_of(self, name: str) -> "tuple[Element, ...]":
        """Return the elements of a repeating field; empty where it is missing."""
        found = self.get(name)
        if found is None:
            return ()
        if not isinstance(found.content, list):
            raise unreadable(found.path)
        return tuple(Element(each, f"{found.path}[{place}]") for place, each in enumerate(found.content))

    def text(self) -> str:
        """Return the content as text that is neither blank nor overlong."""
        if not isinstance(self.content, str) or not self.content.strip() or len(self.content) > LONGEST_TEXT:
            raise unreadable(self.path)
        return self.content

    def number(self) -> Decimal:
        """Return the content as a finite decimal number."""
        if isinstance(self.content, bool) or not isinstance(self.content, int | float) or not math.isfinite(self.content):
            raise unreadable(self.path)
        return Decimal(str(self.content))

    def whole_day(self) -> date:
        """Return a date that names its day; an age cannot be told from less."""
        if len(self.text()) != len("2000-01-31"):
            raise unreadable(self.path)
        return self.day(last=False)

    def day(self, *, last: bool) -> date:
        """Return the day of a FHIR date or dateTime; of a year or month alone, its first or last day."""
        match = _DATE.fullmatch(self.text())
        if match is None:
            raise unreadable(self.path)
        year, month, day = (None if part is None else int(part) for part in match.groups())
        try:
            first = date(year or 0, month or (12 if last else 1), day or 1)
        except ValueError:
            raise unreadable(self.path) from None
        return first.replace(day=calendar.monthrange(first.year, first.month)[1]) if last and day is None else first

    def display_of(self, system: str, code: str) -> str | None:
        """Return the display of a coding of this concept, at most 200 characters of it."""
        for coding in self.list_of("coding"):
            if coding.value("system") == system and coding.value("code") == code:
                display = coding.value("display")
                return display[:200] if isinstance(display, str) and display.strip() else None
        return None

    def words(self) -> str | None:
        """Return what this concept is called: its text, or else the first display of a coding; at most 200 characters."""
        return next(iter(self.all_words()), None)

    def all_words(self) -> tuple[str, ...]:
        """Return all that this concept is called, its text first; at most 200 characters of each."""
        said = (self.value("text"), *(coding.value("display") for coding in self.list_of("coding")))
        return tuple(words[:200] for words in said if isinstance(words, str) and words.strip())

    def _fields(self) -> Mapping[str, object]:
        if not isinstance(self.content, dict):
            raise unreadable(self.path)
        return self.content


def read_codings(concept: Element) -> tuple[Coding, ...]:
    """Return (system, code) of the concept's codings in a system that is read; refuse it without any coding at all."""
    if not concept.list_of("coding"):
        raise unreadable(f"{concept.path}.coding")
    return _codings(concept)


def read_codings_or_words(concept: Element, wanted: tuple[System, ...]) -> tuple[Coding, ...]:
    """Return (system, code) of the codings in a wanted system, or else ("text", what it is called); refuse it without either.

    A record that names a medication or a condition in another system, or in words alone, is still read by a person.
    """
    codings = tuple((system, code) for system, code in _codings(concept) if system in wanted)
    if codings:
        return codings
    words = concept.words()
    if words is None and not concept.list_of("coding"):
        raise unreadable(f"{concept.path}.coding")
    if words is None:
        raise Refusal("malformed", f"{concept.path}.coding: no code in {' or '.join(wanted)}, and no text.")
    return (("text", code_of_words(words)),)


def code_of_words(words: str) -> str:
    """Return a code of at most 64 letters, digits and hyphens for what has words alone, so that a clinician can state its end.

    Words that are longer, or in another script, bear a hash: two of them never become one.
    """
    spelt = re.sub("[^a-z0-9]+", "-", words.lower()).strip("-")
    if words.isascii() and 0 < len(spelt) <= LONGEST_CODE:
        return spelt
    return f"{spelt[:47]}-{sha256(words.encode()).hexdigest()[:16]}".strip("-")


def _codings(concept: Element) -> tuple[Coding, ...]:
    return tuple(
        (SYSTEMS[system], coding.need("code").text().strip())
        for coding in concept.list_of("coding")
        if isinstance(system := coding.value("system"), str) and system in SYSTEMS
    )


def read_day(resource: Element, names: Iterable[str], today: date, *, last: bool = False) -> date | None:
    """Return the day of the first of these fields that is there; refuse one that lies in the future."""
    found = next((field for name in names if (field := resource.get(name)) is not None), None)
    if found is None:
        return None
    if found.day(last=False) > today:
        raise Refusal("time-in-the-future", f"{found.path} lies in the future.")
    return min(found.day(last=last), today)

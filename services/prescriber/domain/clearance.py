"""Answer what the prescriber wants cleared; the review then goes back as a new request."""

from typing import Annotated

from pydantic import Field, field_validator

from services.prescriber.domain.partners.state import Partners
from services.prescriber.domain.review import release
from services.prescriber.domain.state import Case
from shared.events.base import EventData, Slug, Text
from shared.events.prescriber import Clearance, ClearanceAnswered
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request
from shared.service.definition import Decide


class Answer(Request):
    """The answer to one item."""

    item: Slug
    cleared: bool
    note: Text

    def to_event(self) -> Clearance:
        """Return the value that events carry."""
        return Clearance(item=self.item, cleared=self.cleared, note=self.note)


def each_item_once(answers: tuple[Answer, ...]) -> tuple[Answer, ...]:
    """Return the answers; raises ValueError where an item has two, which would contradict each other or say nothing."""
    if len({answer.item for answer in answers}) < len(answers):
        raise ValueError("each item is answered once")
    return answers


class AnswerClearances(Request):
    """The clinic's answers; exactly the items that were asked for."""

    answers: Annotated[tuple[Answer, ...], Field(min_length=1, max_length=40)]

    _once = field_validator("answers")(each_item_once)


def answering(partners: Partners) -> Decide:
    """Return the decision that records the answers: a fact, kept even while a stop keeps them from the prescriber (R-06)."""

    def answer(case: Case, command: AnswerClearances, context: Context) -> list[EventData]:
        if case.status != "awaiting_clearance":
            raise Refusal("no-clearance-asked", "The prescriber has not asked for any clearance that is still open.")
        if {answer.item for answer in command.answers} != set(case.to_clear):
            raise Refusal("clearance-incomplete", "Answer each item that was asked for, and only those.", rule="R-06")
        answered = ClearanceAnswered(answers=tuple(answer.to_event() for answer in command.answers), answered_at=context.now)
        return release(case, [answered], partners, context)

    return answer

"""Problem documents are for people (RFC 9457): they say what is wrong in words, and nothing of the program that says it."""

from typing import Self

import pytest
from pydantic import BaseModel, ValidationError, field_validator, model_validator

from shared.http.problems import invalid_body


class Asked(BaseModel):
    first: int
    last: int

    @field_validator("first")
    @classmethod
    def _begins_somewhere(cls, first: int) -> int:
        if first < 1:
            raise ValueError("counted from 1")
        return first

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.last < self.first:
            raise ValueError("from first up to last")
        return self


@pytest.mark.parametrize(
    ("body", "path", "what"),
    [('{"first": 0, "last": 1}', "first", "counted from 1"), ('{"first": 2, "last": 1}', "body", "from first up to last")],
)
def test_what_does_not_hold_is_said_in_the_words_of_the_rule_alone(body: str, path: str, what: str) -> None:
    with pytest.raises(ValidationError) as error:
        Asked.model_validate_json(body)
    assert invalid_body(error.value, Asked).extra["errors"] == [{"path": path, "what": what}]

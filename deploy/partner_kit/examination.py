"""Try one check after the other, and say what was found."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from deploy.partner_kit.checks import Check
from deploy.partner_kit.judging import Finding
from deploy.partner_kit.line import Line
from deploy.partner_kit.messages import Composer


class Described(Protocol):
    """What is checked, in words."""

    @property
    def name(self) -> str:
        """Its stable name."""
        ...

    @property
    def says(self) -> str:
        """What must hold."""
        ...

    @property
    def advice(self) -> str:
        """What to do where it does not."""
        ...

    @property
    def required(self) -> bool:
        """Whether kapcare relies on it."""
        ...


@dataclass(frozen=True, slots=True)
class Result:
    """A check and what was found."""

    check: Described
    finding: Finding

    @property
    def is_failure(self) -> bool:
        """Whether something required does not hold."""
        return self.check.required and self.finding.outcome == "fail"


NOT_TRIED = Finding("unseen", "not tried: first the one before must hold")


async def examine(checks: Sequence[Check], line: Line, compose: Composer, begin: Callable[[Check], None]) -> list[Result]:
    """Try the checks in order; once a decisive one does not pass, the rest is not tried."""
    results: list[Result] = []
    stopped = False
    for check in checks:
        if stopped:
            results.append(Result(check, NOT_TRIED))
            continue
        begin(check)
        finding = check.judge(await line.send(check.compose(compose), check.how))
        results.append(Result(check, finding))
        stopped = check.decisive and finding.outcome != "pass"
    return results

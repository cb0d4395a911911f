"""What a partner's answers to some messages say about it. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Outcome = Literal["pass", "fail", "unseen"]
"""`unseen`: neither was shown."""

RATE_LIMITED: Final = 429


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one message."""

    label: str
    """What was peculiar about the message, in words."""
    status: int | None
    """None if there was no answer."""
    seconds: float
    """From the first byte sent to the end of the answer."""
    failure: str = ""
    """Why there was no answer, in words."""
    on_kept_connection: bool = False
    """Whether the connection had served an earlier message."""
    clock_ahead_seconds: float | None = None
    """How far the server's clock, by its `Date` header, is ahead of ours."""

    @property
    def is_taken(self) -> bool:
        """Whether it is a success for the network."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_refused(self) -> bool:
        """Whether it says that the message is at fault."""
        return self.status is not None and 400 <= self.status < 500 and self.status != RATE_LIMITED

    def in_words(self) -> str:
        """Say what came back."""
        if self.status is None:
            return self.failure
        if 300 <= self.status < 400:
            return f"answered {self.status}, a redirect, which the network does not follow"
        return f"answered {self.status}"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was seen."""

    outcome: Outcome
    detail: str


Judge = Callable[[Sequence[Answer]], Finding]


def taken(answers: Sequence[Answer]) -> Finding:
    """All must be 2xx."""
    not_taken = [answer for answer in answers if not answer.is_taken]
    if not_taken:
        return Finding("fail", _first_of(not_taken, answers))
    return Finding("pass", _all_of(answers))


def refused(answers: Sequence[Answer]) -> Finding:
    """All must be 4xx: 2xx takes what anybody may have sent, and 5xx says that the fault is the server's."""
    wrong = [answer for answer in answers if not answer.is_refused and answer.status != RATE_LIMITED]
    if wrong:
        return Finding("fail", _first_of(wrong, answers))
    if any(answer.status == RATE_LIMITED for answer in answers):
        return Finding("unseen", "answered 429: too many requests, so it is not known what is refused")
    return Finding("pass", _all_of(answers))


def refused_or_noticed(answers: Sequence[Answer]) -> Finding:
    """The first must be taken; the last should be refused, and if it is taken, only its receiver knows whether it noticed."""
    first, last = answers[0], answers[-1]
    if first.is_taken and last.is_taken:
        return Finding("unseen", f"{last.in_words()}: whether it was noticed cannot be seen from here")
    return taken([first]) if not first.is_taken else refused([last])


def in_time(answers: Sequence[Answer]) -> Finding:
    """There must be an answer, whatever it says, before the network gives up."""
    without = [answer for answer in answers if answer.status is None]
    if without:
        return Finding("fail", _first_of(without, answers))
    return Finding("pass", f"answered in {max(answer.seconds for answer in answers):.2f} s")


def taken_on_one_connection(answers: Sequence[Answer]) -> Finding:
    """All must be 2xx; a server may close the connection after each answer, but then it was not seen to keep one."""
    finding = taken(answers)
    if finding.outcome == "pass" and not any(answer.on_kept_connection for answer in answers):
        return Finding("unseen", "the connection was closed after each answer, so every message costs a new one")
    return finding


def _first_of(wrong: Sequence[Answer], answers: Sequence[Answer]) -> str:
    first = wrong[0]
    count = f" ({len(wrong)} of {len(answers)})" if len(answers) > 1 else ""
    skew = first.clock_ahead_seconds
    clock = "" if skew is None or abs(skew) < 30 else f"; its clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} ours"
    return f"{first.in_words()}{f' to: {first.label}' if first.label else ''}{count}{clock}"


def _all_of(answers: Sequence[Answer]) -> str:
    statuses = sorted({str(answer.status) for answer in answers})
    return f"answered {', '.join(statuses)}" + (f" to all {len(answers)}" if len(answers) > 1 else "")

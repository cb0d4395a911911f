"""A service as data: its streams, commands, views and reactions. `shared.service.app` turns it into a process."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from pydantic import BaseModel

from shared.access.decide import Permission
from shared.events.base import EventData
from shared.events.codec import Recorded
from shared.pathway.context import Context
from shared.pathway.past import Past


class State(Protocol):
    """The folded state of one stream: a frozen dataclass that JSON can carry."""

    @property
    def status(self) -> str:
        """A clear word for work lists; no clinical value."""
        ...

    @property
    def deadlines(self) -> Mapping[str, datetime]:
        """What falls due in this stream, by name, in care time."""
        ...


Decide = Callable[[Any, Any, Context], list[EventData]]
"""(state, command, context) -> events; raises Refusal."""
Reaction = Callable[[Any, Any, Context], list[EventData]]
"""(state, event, context) -> events; an empty list takes note of nothing."""
Reactions = Mapping[type[EventData], Reaction]


@dataclass(frozen=True, slots=True)
class StreamKind:
    """One kind of stream; its ids begin with `<name>-`."""

    name: str
    initial: Any
    evolve: Callable[[Any, EventData], Any]
    tick: Callable[[Any, str, Context], list[EventData]] | None = None
    """(state, name of the deadline that is due, context) -> events; afterwards that deadline must lie after now."""
    knows_partner: Callable[[Any], str | None] | None = None
    """Which partner organisation the stream is assigned to, for access decisions."""
    complete: Callable[[Any, Sequence[EventData], Context], Sequence[EventData]] | None = None
    """(state, what was decided on it, context) -> the same, and what follows from it whatever the cause was: for every commit."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a stream that begins belongs: its clinic, and the network's pseudonym of the patient."""

    clinic: str
    patient: str


@dataclass(frozen=True, slots=True)
class Command:
    """One POST: a path with at most one parameter (the stream id), a body model, a pure decision, a permission."""

    path: str
    body: type[BaseModel]
    decide: Decide
    permission: Permission
    summary: str
    begins: Callable[[Any, Callable[[str], str]], Origin] | None = None
    """For commands that begin a stream: (body, pseudonymise) -> origin."""
    kind: str = "case"
    stream_id: Callable[[Any], str] | None = None
    """For streams named by the body (a partner); cases take their id from the cause."""
    named_by_path: bool = False
    """For streams that have a name of their own (a lot): the path says it, without its kind."""
    named_by_organisation: bool = False
    """For the stream of the caller's own organisation: the access token says it."""
    waits_for_inbox: bool = False
    """For steps that dose, approve or disclose: refused while an event of the case is held or parked here."""
    fresh: Callable[[Any], Any] | None = None
    """(command) -> the command with what no caller and no pure decision can make: a new secret. A retry gets the first one."""
    reveal: Callable[[Sequence[EventData]], Mapping[str, Any]] | None = None
    """(events) -> what the answer shows beside them, such as a new secret; nothing shows it again."""
    views_of: tuple[str, ...] = ()
    """For steps that dose or approve: the services whose word on the case the decision is told the age of (`Context.views`)."""


@dataclass(frozen=True, slots=True)
class View:
    """One GET of a stream: state in, JSON-ready mapping out. No rules, no I/O."""

    path: str
    permission: Permission
    render: Callable[..., Any]
    """(state) -> what the frame shows below the stream's id, clinic, patient and version."""
    summary: str
    kind: str = "case"
    waits_for_inbox: bool = False
    """For views that disclose: refused while an event of the case is held or parked here."""
    media_type: str = "application/json"
    by_policy: bool = False
    """For views that a policy decides on: `render` takes (state, clinic, policy), as in force at care time now."""
    whole: bool = False
    """For documents of a fixed form: `render` takes (stream, clinic, patient, state), and the frame adds nothing."""


@dataclass(frozen=True, slots=True)
class ServiceDefinition:
    """Everything that makes one service different from another."""

    name: str
    title: str
    description: str
    """For the OpenAPI document: usually the service package's docstring."""
    publishes: tuple[type[EventData], ...]
    kinds: tuple[StreamKind, ...]
    commands: tuple[Command, ...]
    views: tuple[View, ...]
    reactions: Reactions = field(default_factory=dict)
    past: Callable[[Sequence[Recorded]], Iterator[Past]] | None = None
    """Finds the decisions in a case's history, so that they can be explained and decided again under another policy."""
    forms: Mapping[str, Any] = field(default_factory=dict)
    """Path -> what is the same for every patient, such as a questionnaire's items; for anyone with a token."""

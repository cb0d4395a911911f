"""Which policy documents were adopted, as every service folds it: one stream for the whole network, so that all hold the same. Pure.

A medical director adopts a document at the prescriber service; the others take note of that event, word for word.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final

from shared.events import base, prescriber
from shared.events.base import EventData, Text
from shared.pathway.context import Context
from shared.pathway.policy import Document, WholeDocument
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request
from shared.service.definition import Reaction

STREAM: Final = "policy-network"
"""The stream in which each service keeps what was adopted."""


@dataclass(frozen=True, slots=True)
class Adoptions:
    """The adopted documents, oldest first."""

    documents: tuple[Document, ...] = ()
    versions: frozenset[str] = frozenset()
    """Every version that a document was known by, those of the adopted ones among them."""

    @property
    def status(self) -> str:
        """Whether anything was adopted."""
        return "adopted" if self.documents else "shipped"

    @property
    def deadlines(self) -> Mapping[str, datetime]:
        """Nothing falls due: a document begins and ends to be valid by its own dates."""
        return {}


def evolve(adoptions: Adoptions, event: EventData) -> Adoptions:
    """Fold one event."""
    match event:
        case prescriber.PolicyAdopted() | base.PolicyNoted():
            document = Document.model_validate_json(event.document)
            in_force = event.in_force if isinstance(event, prescriber.PolicyAdopted) else None
            known = {document.version, *((in_force,) if in_force is not None else ())}
            return Adoptions((*adoptions.documents, document), adoptions.versions | known)
        case _:
            return adoptions


class AdoptPolicy(Request):
    """Adopt a document for the network; `adopted_by` is the medical director's name, as it stands under the document."""

    document: WholeDocument
    adopted_by: Text


def adopt(adoptions: Adoptions, command: AdoptPolicy, context: Context) -> list[EventData]:
    """Adopt a document: whole, of a new version, and not over before it begins to count."""
    document = command.document
    if document.version in {context.policy.version, *adoptions.versions}:
        raise Refusal("version-used", "A document of this version is known; a changed document needs another version.")
    if document.valid_to is not None and document.valid_to <= context.now:
        raise Refusal("not-valid-any-more", "valid_to lies in the past.")
    text = document.model_dump_json()
    digest = sha256(text.encode()).hexdigest()
    return [
        prescriber.PolicyAdopted(
            document=text, sha256=digest, adopted_by=command.adopted_by, adopted_at=context.now, in_force=context.policy.version
        )
    ]


def noting(noted: type[base.PolicyNoted]) -> Reaction:
    """Return another service's reaction to an adoption: note the document, once, word for word."""

    def note(adoptions: Adoptions, event: prescriber.PolicyAdopted, _context: Context) -> list[EventData]:
        """Note the adopted policy document."""
        version = Document.model_validate_json(event.document).version
        if any(version == known.version for known in adoptions.documents):
            return []
        return [noted(document=event.document, sha256=event.sha256, adopted_by=event.adopted_by, adopted_at=event.adopted_at)]

    return note

"""The event contract as an AsyncAPI 3 document, made from the models themselves."""

from typing import Any

from shared.events.base import EventData
from shared.events.codec import CONTENT_TYPE
from shared.events.registry import PUBLISHED
from shared.events.topics import RECORDERS, access_topic_of, source_of, topic_of

ATTRIBUTES = {
    "ce_specversion": "Always 1.0.",
    "ce_id": "Unique within the source.",
    "ce_source": "The publishing service.",
    "ce_type": "The literal, versioned type name.",
    "ce_subject": "The stream: a case or a partner; also the record's key.",
    "ce_time": "When it was recorded, in care time, RFC 3339 UTC.",
    "ce_sequence": "Contiguous from 1 per source and subject, 20 digits.",
    "ce_clinic": "The clinic that the case belongs to; of an access of several cases, several with commas between.",
    "ce_patient": "The network's pseudonym of the patient; of an access of several cases, several with commas between.",
    "ce_actor": "Opaque id of who acted.",
    "ce_correlationid": "Shared by a whole chain of events.",
    "ce_causationid": "The id of the event reacted to.",
    "ce_traceparent": "W3C trace context of the decision.",
    "ce_roles": "The roles of the actor's access token, sorted, with commas between; absent for services and ticks.",
    "ce_policyversion": "The version of the policy that the decision was made under.",
    "ce_recipient": "Who is told of the case, or read it: an organisation, or in-house for the network's own prescribers (R-31).",
    "ce_happened": "When it happened, in care time, RFC 3339 UTC; absent where that is ce_time.",
    "ce_route": "Of an access: method and form of the path.",
    "ce_status": "Of an access: the HTTP status.",
    "ce_purpose": "Of an access: HL7 v3 PurposeOfUse, such as TREAT or ETREAT.",
    "ce_about": "Of an access: the streams that were shown or refused, with commas between.",
    "ce_address": "Of an access: the IP address it came from.",
    "ce_detail": "Of an access: the query of what was answered, or what an operation was done to.",
    "ce_times": "Of an access: how many requests this stands for; absent for one.",
    "content-type": CONTENT_TYPE,
}
OPTIONAL = frozenset(
    {
        *("ce_causationid", "ce_traceparent", "ce_roles", "ce_policyversion", "ce_recipient", "ce_happened"),
        *("ce_route", "ce_status", "ce_purpose", "ce_about", "ce_address", "ce_detail", "ce_times"),
    }
)


def asyncapi_document(readers: dict[str, tuple[type[EventData], ...]]) -> dict[str, Any]:
    """Return the document; `readers` says which service reacts to which events."""
    schemas: dict[str, Any] = {
        "Envelope": {
            "type": "object",
            "description": "CloudEvents 1.0 attributes in Kafka binary mode; no clinical value is among them.",
            "properties": {name: {"type": "string", "description": text} for name, text in ATTRIBUTES.items()},
            "required": [name for name in ATTRIBUTES if name not in OPTIONAL],
        }
    }
    messages: dict[str, Any] = {}
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for service, events in PUBLISHED.items():
        channels[service] = _channel(service)
        for event in events:
            name = _message_name(event)
            schema = event.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(schema.pop("$defs", {}))
            schemas[name] = schema
            messages[name] = {
                "name": event.TYPE,
                "title": event.__name__,
                "summary": summary_of(event),
                "description": "The payload shown is what is sealed: on the wire it is nonce, AES-256-GCM ciphertext and tag.",
                "contentType": CONTENT_TYPE,
                "headers": {"$ref": "#/components/schemas/Envelope"},
                "payload": {"$ref": f"#/components/schemas/{name}"},
            }
            channels[service]["messages"][name] = {"$ref": f"#/components/messages/{name}"}
        operations[f"{service}Publishes"] = {"action": "send", "channel": {"$ref": f"#/channels/{service}"}}
    for reader, events in readers.items():
        for service, published in PUBLISHED.items():
            read = [event for event in published if event in events]
            if read:
                operations[f"{reader}ReactsTo{service.capitalize()}"] = {
                    "action": "receive",
                    "channel": {"$ref": f"#/channels/{service}"},
                    "messages": [{"$ref": f"#/channels/{service}/messages/{_message_name(event)}"} for event in read],
                }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "kapcare events",
            "version": "1.0.0",
            "description": "What the services of kapcare tell each other.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": schemas},
    }


def described_topic(service: str) -> str:
    """Return the topic under which a service's events are described; `access` stands for that of each service."""
    return access_topic_of("{service}") if service == "access" else topic_of(service)


def _channel(service: str) -> dict[str, Any]:
    if service != "access":
        described = f"Everything that {source_of(service)} publishes of cases; only it may write here."
        return {"address": described_topic(service), "description": described, "messages": {}}
    return {
        "address": described_topic(service),
        "description": "Who accessed what at a service; only it may write here, and only the ledger reads it.",
        "parameters": {"service": {"enum": list(RECORDERS), "description": "The service that was asked."}},
        "messages": {},
    }


def summary_of(event: type[EventData]) -> str:
    """Return the first sentence of an event's docstring."""
    return (event.__doc__ or "").strip().splitlines()[0]


def _message_name(event: type[EventData]) -> str:
    _, service, name, version = event.TYPE.split(".")
    return f"{service}{name}{version.upper()}"

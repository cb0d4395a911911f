"""Pins the payload of every event type: `python -m tests.contract.make_golden` writes a file for each type that has none.

A file that exists is never written again: it is what readers of this version were promised. `minimal` has only what is
required, `full` has every field.
"""

import json
from pathlib import Path
from typing import Any

from shared.events.base import EventData
from shared.events.registry import BY_TYPE

GOLDEN = Path(__file__).with_name("golden")

NAMED: dict[str, Any] = {
    "sequence": 1,
    "dose_mg": "100",
    "dose_mg_low": "100",
    "dose_mg_high": "200",
    "mg_per_kg": "1.43",
    "mg_per_kg_high": "3.5",
    "weight_kg": "70",
    "systolic": 120,
    "diastolic": 80,
    "heart_rate": 72,
    "respiratory_rate": 14,
    "oxygen_saturation": 97,
    "minimum_stay_minutes": 120,
    "second_pressure_after_minutes": 40,
    "age": 40,
    "answers": None,
    "licensed_states": "OR",
    "events": "kapcare.review.assigned",
    "told": "kapcare.review.stopped",
}
"""Sensible values for fields that have one; None: made from the schema after all."""


def sample(schema: dict[str, Any], definitions: dict[str, Any], *, full: bool, name: str = "") -> Any:
    """Return a value that the JSON schema describes."""
    if "$ref" in schema:
        return sample(definitions[schema["$ref"].rpartition("/")[2]], definitions, full=full)
    if NAMED.get(name) is not None and schema.get("type") not in {"array", "object"}:
        return NAMED[name]
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return sample(next(option for option in schema["anyOf"] if option.get("type") != "null"), definitions, full=full, name=name)
    match schema.get("type"):
        case "object" if "properties" in schema:
            fields = schema["properties"] if full else {key: schema["properties"][key] for key in schema.get("required", [])}
            return {key: sample(value, definitions, full=full, name=key) for key, value in fields.items()}
        case "object":
            return {"fact": "value"} if full else {}
        case "array":
            wanted = max(schema.get("minItems", 0), 1 if full else 0)
            return [sample(schema["items"], definitions, full=full, name=name) for _ in range(wanted)]
        case "integer":
            return schema.get("minimum", 1)
        case "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case _:
            return _text(schema, name)


def _text(schema: dict[str, Any], name: str) -> str:
    match schema.get("format"):
        case "date-time":
            return "2026-03-02T10:00:00Z"
        case "date":
            return "1986-04-02"
        case _:
            return name.replace("_", "-") or "word"


def payload(event: type[EventData], *, full: bool) -> Any:
    """Return the payload of an event type as it goes on the wire before sealing."""
    schema = event.model_json_schema()
    made = sample(schema, schema.get("$defs", {}), full=full)
    written = json.loads(event.model_validate_json(json.dumps(made)).model_dump_json())
    return {name: value for name, value in written.items() if name in made}


def main() -> None:
    """Write what is missing."""
    GOLDEN.mkdir(exist_ok=True)
    for name, event in BY_TYPE.items():
        file = GOLDEN / f"{name}.json"
        if not file.exists():
            content = {"minimal": payload(event, full=False), "full": payload(event, full=True)}
            file.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()

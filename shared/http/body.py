"""Request bodies: capped before anything else, and JSON without double keys, NaN or infinities."""

import asyncio
import json
from typing import Any, Final, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from shared.http.problems import Problem, invalid_body

MAX_DEPTH: Final = 60
BODY_SECONDS: Final = 15.0
"""How long a body may take to arrive."""

Model = TypeVar("Model", bound=BaseModel)


async def read_json(request: Request, limit: int = 65_536) -> bytes:
    """Return the body's bytes once it is known to be one plain JSON object; raises Problem 400, 413 or 415."""
    body = await read_capped(request, limit)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in {"application/json", "application/fhir+json"}:
        raise Problem(415, "not-json", "Send the body as application/json.")
    check_json(body)
    return body


async def read_capped(request: Request, limit: int) -> bytes:
    """Return the body's bytes, never more than `limit`; raises Problem 408 or 413."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise Problem(413, "body-too-large", f"The body may hold {limit} bytes.")
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise Problem(413, "body-too-large", f"The body may hold {limit} bytes.")
                chunks.append(chunk)
    except TimeoutError:
        raise Problem(408, "body-too-slow", f"The body must arrive within {BODY_SECONDS:.0f} seconds.") from None
    except ClientDisconnect:
        raise Problem(400, "body-incomplete", "The body ended early.") from None
    return b"".join(chunks)


def check_json(body: bytes) -> None:
    """Raise Problem 400 unless the bytes are one JSON object without double keys, NaN, infinities or deep nesting."""
    try:
        parsed = json.loads(body.decode(), object_pairs_hook=_without_double_keys, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Problem(400, "not-plain-json", "The body is not plain JSON (well-formed, UTF-8, no NaN, not nested deeply).") from None
    if not isinstance(parsed, dict):
        raise Problem(400, "not-an-object", "The body must be a JSON object.")
    if _deeper_than(parsed, MAX_DEPTH):
        raise Problem(400, "not-plain-json", "The body is nested too deeply.")


def parse(model: type[Model], body: bytes) -> Model:
    """Return the body as the model, strictly; raises Problem 422 naming paths and never values."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise invalid_body(error, model) from None


def _without_double_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Problem(400, "double-key", "A JSON object names the same key twice; which one is meant cannot be known.")
    return found


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError("constant")


def _deeper_than(value: Any, levels: int) -> bool:
    layer = [value]
    for _ in range(levels):
        layer = [child for item in layer for child in (item.values() if isinstance(item, dict) else item) if isinstance(child, dict | list)]
        if not layer:
            return False
    return True

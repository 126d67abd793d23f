"""What the OpenAPI description tells beyond what FastAPI knows by itself.

Owns the shapes of bodies that FastAPI neither parses nor encodes, the problem that every error is, and where a credential stands.
Must not know routes.
"""

from typing import Any, Final

import msgspec
from fastapi import FastAPI
from msgspec import Struct

from anypod.core.errors import CODES
from anypod.core.problems import MEDIA_TYPE, Problem

_UNPROCESSED: Final = "422"  # FastAPI's word for what is `malformed` here
_BEARER: Final = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


def takes(*shapes: Any, is_required: bool = True) -> dict[str, Any]:
    """An `openapi_extra`: the body is one of these."""
    return {"requestBody": {"required": is_required, "content": {"application/json": {"schema": _schema(shapes)}}}}


def answers(status: int, *shapes: type[Struct], stream: bool = False, if_there: int | None = None) -> dict[str, Any]:
    """An `openapi_extra`: a success is one of these, where it has a body; `stream`: or events without end; `if_there`: the status of
    the same answer where nothing was made, since it was there already."""
    content = {"application/json": {"schema": _schema(shapes)}} if shapes else {}
    if stream:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    responses: dict[str, Any] = {str(status): {"content": content}}
    if if_there is not None:
        responses[str(if_there)] = {"description": "It was there already.", "content": content}
    return {"responses": responses}


def describe(app: FastAPI) -> None:
    """From now on the application's description is complete."""
    made = app.openapi

    def described() -> dict[str, Any]:
        text = made()
        text.setdefault("components", {})["securitySchemes"] = {"bearer": _BEARER}
        text["components"].pop("schemas", None)
        for operation in (operation for operations in text["paths"].values() for operation in operations.values()):
            operation["responses"].pop(_UNPROCESSED, None)
            operation["responses"]["default"] = _problem()
            operation["security"] = [{"bearer": []}]
        return text

    app.openapi = described  # type: ignore[method-assign]


def _problem() -> dict[str, Any]:
    schema = _schema((Problem,))
    schema["properties"]["code"] = {"enum": sorted(CODES)}
    return {"description": "A problem (RFC 9457) with a stable code.", "content": {MEDIA_TYPE: {"schema": schema}}}


def _schema(shapes: tuple[Any, ...]) -> dict[str, Any]:
    schemas, parts = msgspec.json.schema_components(shapes, ref_template="#/{name}")
    inlined = [_inlined(schema, parts) for schema in schemas]
    return inlined[0] if len(inlined) == 1 else {"anyOf": inlined}


def _inlined(schema: Any, parts: dict[str, Any]) -> Any:
    """Without references: each route shows all of its schema."""
    match schema:
        case {"$ref": str() as reference}:
            return _inlined(parts[reference.removeprefix("#/")], parts)
        case dict():
            return {name: _inlined(part, parts) for name, part in schema.items()}
        case list():
            return [_inlined(part, parts) for part in schema]
        case _:
            return schema

"""OpenAPI 3.1 document, made from the types that read the requests and write the answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from itertools import groupby
from typing import Any

import msgspec

from scoreboard import __version__
from scoreboard.domain.refusals import Reason
from scoreboard.net.http.refusals import FAULT, STATUS, RefusalBody
from scoreboard.web.api_spec import REFUSALS, Operation
from scoreboard.web.schemas import RefusalAnswer, Success, already_used


def document(operations: Sequence[Operation]) -> bytes:
    """The document of these operations, as JSON."""
    shapes = [
        _type_of(one)
        for operation in operations
        for one in (operation.body, operation.answer, operation.unready)
        if isinstance(one, msgspec.Struct)
    ]
    refs, components = msgspec.json.schema_components([*shapes, RefusalAnswer], ref_template="#/components/schemas/{name}")
    named: dict[Any, Any] = dict(zip([*shapes, RefusalAnswer], refs, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = _described(operation, named)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {"title": "Live scoreboard", "version": __version__, "description": "See docs/protocol.md."},
            "servers": [{"url": "/"}],
            "paths": paths,
            "components": {
                "schemas": _for_generators(components),
                "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            },
        }
    )


def _for_generators(piece: Any) -> Any:
    """The same schemas, spelt so that generators of clients understand them.

    They know no enum of booleans, and take an object of which nothing is said for an empty one.
    """
    if isinstance(piece, list):
        return [_for_generators(item) for item in piece]
    if not isinstance(piece, dict):
        return piece
    schema = {key: _for_generators(value) for key, value in piece.items()}
    match schema:
        case {"enum": [bool() as only]}:
            return {key: value for key, value in schema.items() if key != "enum"} | {"type": "boolean", "const": only}
        case {"type": "object"} if schema.keys().isdisjoint(("properties", "additionalProperties")):
            return schema | {"additionalProperties": True}
    return schema


def _described(operation: Operation, named: Mapping[Any, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "security": [{"bearer": []}] if operation.secured else [],
        "responses": {"200": _granted(operation, named), **_refusals(operation.refusals, named)},
    }
    if operation.unready is not None:
        described["responses"]["503"] = _refused(503, {operation.unready.error: operation.unready}, named)
    if operation.tagged:
        described["responses"]["304"] = {"description": "Unchanged: If-None-Match names the present ETag"}
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": _content(operation.body, named)}
    parameters = [
        {
            "name": name,
            "in": "query",
            "schema": {"type": "integer", "minimum": least, "maximum": most, "default": default},
            "example": default,
        }
        for name, least, most, default in operation.query
    ]
    parameters += [
        {"name": name, "in": where, "schema": {"type": "string"}, "example": example} for where, name, example in operation.texts
    ]
    if parameters:
        described["parameters"] = parameters
    return described


def _granted(operation: Operation, named: Mapping[Any, Any]) -> dict[str, Any]:
    answer = operation.answer
    if isinstance(answer, str):
        return {"description": "OK", "content": {operation.media: {"schema": {"type": "string"}, "example": answer}}}
    return {"description": "OK", "content": _content(answer, named)}


def _content(example: msgspec.Struct, named: Mapping[Any, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": named[_type_of(example)], "example": msgspec.to_builtins(example)}}


def _type_of(example: msgspec.Struct) -> Any:
    """The type of an example; for a Success also the type of its data."""
    return Success[type(example.data)] if type(example) is Success else type(example)  # type: ignore[misc]


def _refusals(reasons: Iterable[Reason], named: Mapping[Any, Any]) -> dict[str, dict[str, Any]]:
    """The refusals by status, with an example of each reason; and 500, which no client should see."""
    described = {}
    for status, together in groupby(sorted(reasons, key=lambda reason: (STATUS[reason], reason.value)), STATUS.__getitem__):
        shapes = {reason.name: already_used(REFUSALS[reason]) for reason in together}
        described[str(status)] = _refused(status, shapes, named)
    return described | {"500": _refused(500, {FAULT.error: RefusalAnswer(**msgspec.structs.asdict(FAULT))}, named)}


def _refused(status: int, shapes: Mapping[str, RefusalBody], named: Mapping[Any, Any]) -> dict[str, Any]:
    (schema,) = {type(shape) for shape in shapes.values()}
    examples = {name: {"value": msgspec.to_builtins(shape)} for name, shape in shapes.items()}
    return {
        "description": HTTPStatus(status).phrase,
        "content": {"application/json": {"schema": named[schema], "examples": examples}},
    }

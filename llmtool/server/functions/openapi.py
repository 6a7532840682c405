"""The functions as an OpenAPI 3.1 document, from which clients can be generated."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from llmtool._version import __version__
from llmtool.engine.types import sampling_limits
from llmtool.server.functions.catalogue import Function
from llmtool.server.functions.schemas import Schema

# The types of query parameters.
QUERY: dict[str, type] = {"model": str, "seed": int, "max_tokens": int, "temperature": float}
_JSON_TYPES = {str: "string", int: "integer", float: "number"}
_DESCRIPTIONS = {
    "model": "Model to use, of those of the server.",
    "seed": "Seed of the reply.",
    "max_tokens": "Maximum number of tokens of the reply.",
    "temperature": "Sampling temperature; 0 is greedy.",
}


def describe(functions: Mapping[str, Function]) -> dict[str, Any]:
    """Return the OpenAPI document of functions."""
    components: dict[str, Schema] = {"Error": _ERROR}
    paths = {}
    for function in functions.values():
        name = _type_name(function.name)
        components[f"{name}Arguments"] = function.parameters
        components[f"{name}Result"] = _result(function, components)
        paths[f"/v1/functions/{function.name}"] = {"post": _operation(function, name)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "llmtool", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"key": []}],
    }


def _operation(function: Function, name: str) -> dict[str, Any]:
    def content(schema: str) -> dict[str, Any]:
        return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}

    return {
        "operationId": function.name.replace("-", "_"),
        "summary": function.description,
        "parameters": [
            {
                "name": each,
                "in": "query",
                "required": False,
                "description": _DESCRIPTIONS[each],
                "schema": _query_schema(each),
            }
            for each in function.query
        ],
        "requestBody": {"required": True, "content": content(f"{name}Arguments")},
        "responses": {
            "200": {"description": "The result.", "content": content(f"{name}Result")},
            "default": {"description": "An error.", "content": content("Error")},
        },
    }


def _query_schema(name: str) -> Schema:
    schema: Schema = {"type": _JSON_TYPES[QUERY[name]]}
    if (limits := sampling_limits().get(name)) is not None:
        # Without `echo`, a reply has a token.
        schema |= {"minimum": 1 if name == "max_tokens" else limits.ge, "maximum": limits.le}
    return schema


def _type_name(name: str) -> str:
    """Return a name for the types of a function.

    Example:
        >>> _type_name("sum-bullets")
        'SumBullets'
    """
    return "".join(part.capitalize() for part in name.replace("_", "-").split("-"))


def _result(function: Function, components: dict[str, Schema]) -> Schema:
    """Return the schema of a result; those that it refers to become components."""
    schema = copy.deepcopy(function.result)
    for name, each in schema.pop("$defs", {}).items():
        components[name] = _with_references(each)
    return _with_references(schema)  # type: ignore[no-any-return]


def _with_references(value: Any) -> Any:
    """Return a schema whose references lead to the components of the document."""
    if isinstance(value, dict):
        return {
            key: each.replace("#/$defs/", "#/components/schemas/")
            if key == "$ref"
            else _with_references(each)
            for key, each in value.items()
        }
    return [_with_references(each) for each in value] if isinstance(value, list) else value


_ERROR: Schema = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
                "exit_code": {"type": "string"},
            },
            "required": ["message", "type", "exit_code"],
        }
    },
    "required": ["error"],
}

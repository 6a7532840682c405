"""Convert a JSON Schema to a Lark grammar in llguidance's dialect."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from llmtool.errors import UsageError, format_json_error
from llmtool.structured.references import Schema
from llmtool.structured.schema_converter import Remedy, convert

MAX_CHARACTERS = 1 << 20

_LEAD = 'LEAD: " " | /\\n{1,2}/'  # models often begin with white space, mostly after reasoning
# Errors of llguidance, and how to write the schema instead.
_REMEDIES: dict[str, Remedy] = {
    "oneOf constraints": "coerce_one_of",
    "are not disjoint": "merge_patterns",
    "circular references": "expand_references",
    "intersection stack level": "expand_references",
}
_DEFINITION = re.compile(r"#/\$defs/([\w.-]+)")
_LIMITS = (*_REMEDIES, "schema too large")
_MAX_ERRORS = 30  # definitions to replace


def decode(source: str) -> Schema:
    """Return a schema from its JSON text.

    Raises:
        UsageError: the text is too long, or not a JSON object.
    """
    if len(source) > MAX_CHARACTERS:
        raise UsageError(f"JSON Schema: longer than {MAX_CHARACTERS:,} characters")
    try:
        schema = msgspec.json.decode(source)
    except msgspec.DecodeError as exc:
        raise UsageError(f"JSON Schema: not valid JSON: {format_json_error(exc)}") from exc
    except RecursionError as exc:
        raise UsageError("JSON Schema: nested too deeply") from exc
    if schema is True:
        return {}
    if not isinstance(schema, dict):
        raise UsageError("JSON Schema: expected an object")
    return schema


def to_lark(schema: Schema, *, lead: bool = True) -> str:
    """Return the grammar of a converted schema.

    With `lead`, the JSON may follow white space: a space, or up to two line feeds.
    """
    text = msgspec.json.encode(schema).decode()
    return f"start: LEAD? body\n{_LEAD}\nbody: %json {text}\n" if lead else f"start: %json {text}\n"


def convert_supported(
    schema: Schema, find_error: Callable[[Schema], str]
) -> tuple[Schema, list[str]]:
    """Convert a schema as exactly as llguidance supports; also return what it does not enforce.

    A definition with an error is replaced: by `false` if no value satisfies it, else by its type.

    Args:
        find_error: returns llguidance's error for a converted schema, "" if there is none.

    Raises:
        UsageError: the schema is nested too deeply, or a pattern is too large.
    """
    remedies: frozenset[Remedy] = frozenset()
    converted, omitted = convert(schema, find_error)
    error = find_error(converted)
    while remedies != (more := remedies | {r for part, r in _REMEDIES.items() if part in error}):
        remedies = more
        converted, omitted = convert(schema, find_error, remedies)
        error = find_error(converted)
    reduced = converted
    for _ in range(_MAX_ERRORS):
        found = _DEFINITION.search(error)
        is_whole = found is not None and reduced.get("$ref") == found[0]
        if found is None or is_whole or found[1] not in reduced["$defs"]:
            break
        if "Unsatisfiable" in error:
            reduced = _replace_reference(reduced, found[0])
        else:
            name, definitions = found[1], reduced["$defs"]
            reduced = {**reduced, "$defs": {**definitions, name: _only_type(definitions[name])}}
            omitted.append(f"$ref {name}")
        error = find_error(reduced)
    if any(limit in error for limit in _LIMITS):
        reduced = {**_only_type(converted), "x-guidance": converted["x-guidance"]}
        omitted = ["all but the type"]
    return (converted if "Unsatisfiable" in error else reduced), omitted


def _replace_reference(node: Any, reference: str) -> Any:
    """Return a schema in which `false` replaces a reference."""
    if isinstance(node, list):
        return [_replace_reference(each, reference) for each in node]
    if not isinstance(node, dict):
        return node
    if node.get("$ref") == reference:
        return False
    return {key: _replace_reference(value, reference) for key, value in node.items()}


def _only_type(schema: Schema) -> Schema:
    return {key: schema[key] for key in ("type",) if key in schema}

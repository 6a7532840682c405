"""Describe a JSON Schema in one line for a small model: `{"name": string, "age"?: integer}`."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

from llmtool.structured.references import References

_MAX_PARTS = 400  # larger schemas are printed as JSON
_PLAIN = {"string", "integer", "number", "boolean", "null"}
# Notes after a type, from its keywords.
_NOTES = {
    "description": "{}",
    "format": "{}",
    "pattern": "matching {}",
    "minimum": "at least {}",
    "maximum": "at most {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} of them",
    "maxItems": "at most {} of them",
}


def describe(schema: dict[str, Any]) -> str:
    """Return a schema in one line; parts without a short notation are printed as JSON.

    Example:
        >>> describe({"type": "object", "properties": {"year": {"type": "integer"}}})
        '{"year"?: integer}'
    """
    try:
        text = _Describer(schema).describe(schema)
    except (_TooLarge, RecursionError):
        text = _as_json(schema)
    return " ".join(text.split())


class _TooLarge(Exception):
    """The schema has more than `_MAX_PARTS` parts."""


class _Describer:
    def __init__(self, root: dict[str, Any]) -> None:
        self._references = References(root)
        self._open: list[str] = []  # references on the path to the current part
        self._n_parts = 0

    def describe(self, schema: Any) -> str:
        self._n_parts += 1
        if self._n_parts > _MAX_PARTS:
            raise _TooLarge
        if not isinstance(schema, dict):
            return "any" if schema is True else _as_json(schema)
        if isinstance(schema.get("$ref"), str):
            return self._follow(schema["$ref"])
        for key in ("anyOf", "oneOf"):
            if isinstance(schema.get(key), list):
                return " | ".join(map(self.describe, schema[key]))
        if "const" in schema:
            return _as_json(schema["const"])
        if isinstance(schema.get("enum"), list):
            return _add_notes(" | ".join(map(_as_json, schema["enum"])), schema)
        kind = schema.get("type")
        if isinstance(kind, list) and _PLAIN.issuperset(kind):
            return _add_notes(" | ".join(kind), schema)
        if isinstance(kind, str) and kind in _PLAIN:
            return _add_notes(kind, schema)
        if kind == "array" and isinstance(schema.get("items"), dict):
            return _add_notes(f"[{self.describe(schema['items'])}, ...]", schema)
        if isinstance(schema.get("properties"), dict):
            required = schema.get("required") or ()
            fields = (
                f"{_as_json(name)}{'' if name in required else '?'}: {self.describe(each)}"
                for name, each in schema["properties"].items()
            )
            return "{" + ", ".join(fields) + "}"
        return _as_json(schema)

    def _follow(self, reference: str) -> str:
        """Describe the target of a reference; return only its name if it is recursive."""
        name = unquote(reference.rpartition("/")[2])
        found = self._references.resolve(reference, "")
        if reference in self._open or found is None:
            return name
        self._open.append(reference)
        try:
            return self.describe(found[0])
        finally:
            self._open.pop()


def _add_notes(text: str, schema: dict[str, Any]) -> str:
    notes = [note.format(schema[key]) for key, note in _NOTES.items() if key in schema]
    return f"{text} ({', '.join(notes)})" if notes else text


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)

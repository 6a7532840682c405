"""A JSON Schema in one line that a small model reads: `{"name": string, "age"?: integer}`."""

from __future__ import annotations

import json
from typing import Any

_MAX_PARTS = 400  # a larger one says itself best
_PLAIN = {"string", "integer", "number", "boolean", "null"}
# What a schema can say beyond its shape, in the words of a person.
_SAID = {
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
    """Return what a schema asks for, in one line; what has no short form stands as JSON Schema.

    Example:
        >>> describe({"type": "object", "properties": {"year": {"type": "integer"}}})
        '{"year"?: integer}'
    """
    try:
        text = _Shapes(schema).of(schema)
    except _TooLarge:
        text = _as_json(schema)
    return " ".join(text.split())


class _TooLarge(Exception):
    """There are more parts than anybody reads."""


class _Shapes:
    """The shapes of the parts of one schema."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._within: list[str] = []  # references that are being followed
        self._n_parts = 0

    def of(self, schema: Any) -> str:
        self._n_parts += 1
        if self._n_parts > _MAX_PARTS:
            raise _TooLarge
        if not isinstance(schema, dict):
            return "any" if schema is True else _as_json(schema)
        if "$ref" in schema:
            return self._follow(schema["$ref"])
        for key in ("anyOf", "oneOf"):
            if isinstance(schema.get(key), list):
                return " | ".join(map(self.of, schema[key]))
        if "const" in schema:
            return _as_json(schema["const"])
        if isinstance(schema.get("enum"), list):
            return _noted(" | ".join(map(_as_json, schema["enum"])), schema)
        kind = schema.get("type")
        if isinstance(kind, list) and _PLAIN.issuperset(kind):
            return _noted(" | ".join(kind), schema)
        if isinstance(kind, str) and kind in _PLAIN:
            return _noted(kind, schema)
        if kind == "array" and isinstance(schema.get("items"), dict):
            return _noted(f"[{self.of(schema['items'])}, ...]", schema)
        if isinstance(schema.get("properties"), dict):
            needed = schema.get("required") or ()
            fields = (
                f"{_as_json(name)}{'' if name in needed else '?'}: {self.of(each)}"
                for name, each in schema["properties"].items()
            )
            return "{" + ", ".join(fields) + "}"
        return _as_json(schema)

    def _follow(self, reference: str) -> str:
        """Return the shape of a part that is named; its name alone where it holds itself."""
        name = reference.rpartition("/")[2]
        if reference in self._within or not reference.startswith("#"):
            return name
        found: Any = self._root
        for part in filter(None, reference.removeprefix("#").split("/")):
            found = found.get(part) if isinstance(found, dict) else None
        if found is None:
            return name
        self._within.append(reference)
        try:
            return self.of(found)
        finally:
            self._within.pop()


def _noted(shape: str, schema: dict[str, Any]) -> str:
    notes = [text.format(schema[key]) for key, text in _SAID.items() if key in schema]
    return f"{shape} ({', '.join(notes)})" if notes else shape


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)

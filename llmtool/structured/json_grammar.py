"""Convert a JSON Schema to a Lark grammar in llguidance's dialect.

The grammar is stricter than the schema where that helps small models, like llama.cpp's converter:

- white space is one space, or one line feed and indentation;
- properties appear in the schema's order;
- objects have only the named properties, unless the schema sets `additionalProperties`.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec

from llmtool.errors import UsageError, format_json_error

MAX_CHARACTERS = 1 << 20

Schema = dict[str, Any]

_WHITE_SPACE = r" |\n {0,16}"
_LEAD = 'LEAD: " " | /\\n{1,2}/'  # models often begin with white space, mostly after reasoning
# JSON Schema: keywords whose subschemas describe the same value.
_IN_PLACE_APPLICATORS = (
    "allOf",
    "anyOf",
    "oneOf",
    "$ref",
    "not",
    "if",
    "then",
    "else",
    "dependentSchemas",
)
_OBJECT_KEYWORDS = frozenset(
    ("additionalProperties", "unevaluatedProperties", "patternProperties", "propertyNames")
    + ("minProperties", "dependentRequired", "dependencies", "$dynamicRef", *_IN_PLACE_APPLICATORS)
)
_DEFINITIONS = ("$defs", "definitions")
_SCHEMA_MAPS = ("properties", "patternProperties", "dependentSchemas")
_SUBSCHEMAS = (
    "items",
    "additionalProperties",
    "contains",
    "propertyNames",
    "unevaluatedProperties",
)
_SCHEMA_LISTS = ("prefixItems", "allOf", "anyOf", "oneOf")


def to_lark(source: str, *, lenient: bool = False, lead: bool = True) -> str:
    """Return a grammar for a schema.

    Args:
        source: the schema as JSON text.
        lenient: ignore keywords that a grammar cannot enforce.
        lead: allow leading white space: a space, or up to two line feeds.

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
        schema = {}
    if not isinstance(schema, dict):
        raise UsageError("JSON Schema: expected an object")
    options = {"whitespace_pattern": _WHITE_SPACE, "lenient": lenient}
    try:  # a schema that msgspec decodes may still exceed the recursion limit
        schema = close_objects(schema)
        _replace_single_number_ranges(schema)
        if lenient:
            _drop_property_counts(schema)
        text = msgspec.json.encode({**schema, "x-guidance": options}).decode()
    except RecursionError as exc:
        raise UsageError("JSON Schema: nested too deeply") from exc
    return f"start: LEAD? body\n{_LEAD}\nbody: %json {text}\n" if lead else f"start: %json {text}\n"


def _replace_single_number_ranges(node: object) -> None:
    """Replace ranges of one number by a const: llguidance 1.9 panics if the number is negative."""
    if isinstance(node, dict):
        low = node.get("minimum")
        if node.get("type") in ("number", "integer") and low is not None:
            if low == node.get("maximum") and "enum" not in node:
                node.setdefault("const", low)
                del node["minimum"], node["maximum"]
        for child in node.values():
            _replace_single_number_ranges(child)
    elif isinstance(node, list):
        for child in node:
            _replace_single_number_ranges(child)


def _drop_property_counts(node: object) -> None:
    """Remove minProperties and maxProperties next to properties: grammars cannot count them."""
    if isinstance(node, dict):
        if "properties" in node:
            node.pop("minProperties", None)
            node.pop("maxProperties", None)
        for child in node.values():
            _drop_property_counts(child)
    elif isinstance(node, list):
        for child in node:
            _drop_property_counts(child)


def close_objects(schema: Schema) -> Schema:
    """Return a schema whose objects allow only the properties in `properties`.

    Objects that several schemas describe together, as in `allOf`, stay open, because each schema
    would exclude the properties of the others.

    Example:
        >>> close_objects({"type": "object", "properties": {"a": {}}})["additionalProperties"]
        False
    """
    references = _References(schema)
    closed: Schema = msgspec.json.decode(msgspec.json.encode(schema))
    if not references.all_open:
        _close(closed, references.open)
    return closed


class _References:
    """Definitions that must stay open, because another schema describes the same object."""

    def __init__(self, schema: Schema) -> None:
        self.open: set[str] = set()
        self.all_open = False
        self._root = schema
        self._visit(schema, shared=False)
        for holder in _DEFINITIONS:
            definitions = schema.get(holder)
            for node in definitions.values() if isinstance(definitions, dict) else ():
                self._visit(node, shared=False)

    def _visit(self, node: object, *, shared: bool) -> None:
        for child, below in _children(node, shared):
            self._visit(child, shared=below)
        if not isinstance(node, dict) or "$ref" not in node:
            return
        reference = node["$ref"]
        name = _definition(reference)
        if name is None and reference != "#" or "$id" in node or "$anchor" in node:
            self.all_open = True
        elif shared or (_OBJECT_KEYWORDS | {"properties", "required"}) & node.keys() != {"$ref"}:
            if name is None:
                self.all_open = True
            elif reference not in self.open:
                self.open.add(reference)
                holder = self._root.get(reference.split("/")[1])
                target = holder.get(name) if isinstance(holder, dict) else None
                self._visit(target, shared=True)


def _close(node: Schema, open_references: set[str], *, shared: bool = False) -> None:
    for holder in _DEFINITIONS:
        definitions = node.get(holder)
        for name, child in definitions.items() if isinstance(definitions, dict) else ():
            if isinstance(child, dict):
                _close(child, open_references, shared=f"#/{holder}/{name}" in open_references)
    for child, below in _children(node, shared):
        if isinstance(child, dict):
            _close(child, open_references, shared=below)
    properties = node.get("properties")
    if shared or not isinstance(properties, dict) or _OBJECT_KEYWORDS & node.keys():
        return
    required = node.get("required", [])
    if isinstance(required, list) and all(name in properties for name in required):
        node["additionalProperties"] = False
        if not {"type", "enum", "const"} & node.keys():
            node["type"] = "object"


def _definition(reference: object) -> str | None:
    """Return the name in a reference to a top-level definition, or None for other references."""
    parts = reference.split("/") if isinstance(reference, str) else []
    return parts[2] if len(parts) == 3 and parts[0] == "#" and parts[1] in _DEFINITIONS else None


def _children(node: object, shared: bool) -> list[tuple[object, bool]]:
    """Return the subschemas of a schema, each with whether another one describes the same value."""
    if not isinstance(node, dict):
        return []
    node = cast(Schema, node)
    in_place = [key for key in _IN_PLACE_APPLICATORS if key in node]
    is_union = in_place in (["anyOf"], ["oneOf"]) and "properties" not in node
    is_union = is_union and "required" not in node and len(_OBJECT_KEYWORDS & node.keys()) == 1
    children: list[tuple[object, bool]] = []
    for key, value in node.items():
        below = shared or (key in _IN_PLACE_APPLICATORS and not is_union)
        below = below or (bool(in_place) and not is_union)
        if key in ("not", "if", "then", "else"):
            children.append((value, True))
        elif key in _SCHEMA_LISTS and isinstance(value, list):
            children += [(item, below) for item in value]
        elif key in _SCHEMA_MAPS and isinstance(value, dict):
            children += [(item, below) for item in value.values()]
        elif key in _SUBSCHEMAS:
            children.append((value, below))
    return children

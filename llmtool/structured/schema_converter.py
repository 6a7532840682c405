"""Convert a JSON Schema to one that llguidance supports.

The result is stricter than the schema where that helps small models, like llama.cpp's converter:

- the JSON is one line, with a space after each comma and colon;
- properties appear in the schema's order;
- objects have only the named properties, unless the schema sets `additionalProperties`.

What llguidance does not support is omitted from the grammar and listed, for a check of the reply.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from itertools import count
from typing import Any, Literal
from urllib.parse import unquote

import msgspec

from llmtool.errors import UsageError
from llmtool.structured import explain, patterns
from llmtool.structured.references import DEFINITIONS, References, Schema

Remedy = Literal["coerce_one_of", "merge_patterns", "expand_references"]

# As `json.dumps` writes it, which models know best: without the spaces, the starter model fills a
# third fewer fields correctly, and line feeds let it write rows of them. `compact_json` removes the
# spaces from the text of a reply.
_ONE_LINE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
_MAX_COUNT = 1_000_000  # no reply has as many characters, items or properties
# llguidance takes seconds for 1,000,003 as a multiple. Digits without trailing zeros, and value:
_MAX_MULTIPLE_DIGITS, _MAX_MULTIPLE = 4, 10_000
_MAX_PATTERNS = 100  # in patternProperties of the whole schema; 300 take llguidance 6 s
_MAX_INT64 = (1 << 63) - 1
_INT64_MAXIMA = (_MAX_INT64, 9223372036854776000)  # exact, and as JavaScript prints it

_COMBINATIONS = ("allOf", "anyOf", "oneOf")
# JSON Schema: keywords whose subschemas describe the same value.
_IN_PLACE_APPLICATORS = (*_COMBINATIONS, "$ref", "not", "if", "then", "else", "dependentSchemas")
_OBJECT_KEYWORDS = frozenset(
    ("additionalProperties", "unevaluatedProperties", "patternProperties", "propertyNames")
    + ("minProperties", "dependentRequired", "dependencies", "$dynamicRef", "$recursiveRef")
    + _IN_PLACE_APPLICATORS
)
_ANNOTATIONS = frozenset(
    ("title", "description", "default", "examples", "$comment", "readOnly", "writeOnly")
    + ("deprecated", "$id", "$schema", "$anchor", *DEFINITIONS)
)
_META_SCHEMAS = ("http://json-schema.org/", "https://json-schema.org/")
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_OTHER_KEYWORDS = frozenset(  # of schemas that also describe values that are not objects
    ("items", "prefixItems", "minItems", "maxItems", "minLength", "maxLength", "pattern", "format")
    + _NUMBERS
)
_COPIED = frozenset(
    ("type", "enum", "const", "required", "format", "pattern", "prefixItems")
    + (*_NUMBERS, *_COMBINATIONS)
)
# Keywords that llguidance does not support, with the value that has no effect.
_UNSUPPORTED: dict[str, Any] = {
    "uniqueItems": False,
    "contains": None,
    "not": False,
    "if": None,
    "propertyNames": True,
    "dependentRequired": {},
    "dependentSchemas": {},
    "dependencies": {},
    "unevaluatedItems": True,
    "unevaluatedProperties": True,
    "$dynamicRef": None,
    "$recursiveRef": None,
}
# llguidance's own patterns allow leap seconds and February 30, which the check rejects.
_FORMATS = {
    "date": patterns.DATE,
    "time": patterns.TIME,
    "date-time": f"{patterns.DATE}T{patterns.TIME}",
}


def convert(
    schema: Schema,
    find_error: Callable[[Schema], str],
    remedies: frozenset[Remedy] = frozenset(),
) -> tuple[Schema, list[str]]:
    """Convert a schema to one that llguidance supports; also return what it does not enforce.

    Objects allow only the properties in `properties`, except those that several schemas describe
    together, as in `allOf`, where each would exclude the properties of the others.

    Args:
        find_error: returns llguidance's error for a schema without subschemas, "" if there is none.

    Raises:
        UsageError: the schema is nested too deeply, or a pattern is too large.

    Example:
        >>> convert({"type": "string", "uniqueItems": True}, lambda schema: "")[1]
        ['uniqueItems']
    """
    converter = _Converter(schema, find_error, remedies)
    try:  # a schema that msgspec decodes may still exceed the recursion limit
        return converter.convert(), list(converter.unenforced)
    except RecursionError as exc:
        raise UsageError("JSON Schema: nested too deeply") from exc


class _Converter:
    def __init__(
        self, root: Schema, find_error: Callable[[Schema], str], remedies: frozenset[Remedy]
    ) -> None:
        self.unenforced: dict[str, None] = {}
        self._n_patterns = 0
        self._root = root
        self._remedies = remedies
        self._references = References(root)
        self._names: dict[tuple[int, bool], str] = {}
        self._taken: set[str] = set()
        self._pending: list[tuple[str, Any, str, bool]] = []
        self._expanding: list[int] = []
        self._find_error = cache(lambda text: find_error(msgspec.json.decode(text)))

    def convert(self) -> Schema:
        converted = self._schema(self._root, "", shared=False)
        definitions = {}
        while self._pending:
            name, node, base, shared = self._pending.pop()
            definitions[name] = self._convert(node, base, shared)
        options = {
            **_ONE_LINE,
            "coerce_one_of": "coerce_one_of" in self._remedies,
        }
        if not isinstance(converted, dict):
            converted = {"allOf": [converted]}
        return {**converted, "$defs": definitions, "x-guidance": options}

    def _schema(self, node: Any, base: str, shared: bool) -> Any:
        """Convert a subschema; `base` is the base URI of the schema around it.

        `shared` is whether another subschema describes the same value.
        """
        if not isinstance(node, dict):
            return node
        base = self._references.base_of(node, base)
        if self._is_expanded(node):
            return {"$ref": self._define(node, base, shared, "all")}
        return self._convert(node, base, shared)

    def _convert(self, node: Any, base: str, shared: bool) -> Any:
        """Convert a subschema with the base URI `base`."""
        if not isinstance(node, dict):
            return node
        if "$ref" in node and self._references.replace_siblings:
            node = {"$ref": node["$ref"]}
        in_place = [key for key in _IN_PLACE_APPLICATORS if key in node]
        is_union = in_place in (["anyOf"], ["oneOf"]) and not (
            {"properties", "required"} & node.keys() or len(_OBJECT_KEYWORDS & node.keys()) > 1
        )
        below = shared or (bool(in_place) and not is_union)
        result: Schema = {}
        for key, value in node.items():
            if key in ("properties", "patternProperties") and isinstance(value, dict):
                result[key] = {k: self._schema(each, base, below) for k, each in value.items()}
            elif key in _COMBINATIONS and self._is_expanded(node):
                result[key] = [self._part(each, base, below) for each in value]
            elif key in (*_COMBINATIONS, "prefixItems", "items") and isinstance(value, list):
                result[key] = [self._schema(each, base, below) for each in value]
            elif key in ("items", "additionalItems", "additionalProperties"):
                result[key] = self._schema(value, base, below)
            elif key in _COUNTS:
                self._count(result, key, value)
            elif key in _COPIED:
                result[key] = value
            elif key in _UNSUPPORTED and value != _UNSUPPORTED[key]:
                self._omit(result, key)
        if "oneOf" in result and "coerce_one_of" in self._remedies:
            self._omit({}, "oneOf")
        self._fix_numbers(result)
        self._fix_strings(result)
        self._fix_objects(result, node, shared)
        if isinstance(node.get("$ref"), str):
            return self._reference(node, base, result, shared)
        return result

    def _omit(self, result: Schema, key: str, value: object = None) -> None:
        """Remove a keyword, and list it as unenforced, with its value if it is short."""
        result.pop(key, None)
        self.unenforced[key if value is None else f"{key} {value}"] = None

    # References

    def _define(self, node: Any, base: str, shared: bool, name: str) -> str:
        """Return a reference to the definition of a subschema, which is converted later."""
        key = id(node), shared
        if key not in self._names:
            stem = re.sub("[^A-Za-z0-9_.-]", "_", unquote(name.rpartition("/")[2])) or "root"
            names = (f"{stem}{'' if n == 1 else n}" for n in count(1))
            self._names[key] = next(each for each in names if each not in self._taken)
            self._taken.add(self._names[key])
            self._pending.append((self._names[key], node, base, shared))
        return f"#/$defs/{self._names[key]}"

    def _reference(self, node: Schema, base: str, siblings: Schema, shared: bool) -> Schema:
        target = self._references.resolve(node["$ref"], base)
        if target is None and node["$ref"].startswith(_META_SCHEMAS):
            self._omit({}, "$ref", node["$ref"])
            return siblings
        if target is None:
            return {**siblings, "$ref": node["$ref"]}  # llguidance reports it
        keywords = siblings.keys() | node.keys() - {"$ref"}
        shared = shared or bool(keywords & (_OBJECT_KEYWORDS | {"properties", "required"}))
        if siblings and "expand_references" in self._remedies:
            return {"allOf": [self._part({"$ref": node["$ref"]}, base, shared), siblings]}
        return {**siblings, "$ref": self._define(*target, shared, node["$ref"])}

    def _part(self, node: Any, base: str, shared: bool) -> Any:
        """Convert a part of a combination; a reference is replaced by its target."""
        if isinstance(node, dict) and isinstance(node.get("$ref"), str):
            target = self._references.resolve(node["$ref"], base)
            is_whole = self._references.replace_siblings or node.keys() <= {"$ref", *_ANNOTATIONS}
            if target and is_whole and id(target[0]) not in self._expanding:
                self._expanding.append(id(target[0]))
                part = self._convert(*target, shared)
                self._expanding.pop()
                return part
        return self._schema(node, base, shared)

    def _is_expanded(self, node: Schema) -> bool:
        """Return whether references that other keywords accompany must be expanded in a schema."""
        if "expand_references" not in self._remedies:
            return False
        keywords = node.keys() - _ANNOTATIONS
        if "$ref" in node:
            return len(keywords) > 1 and not self._references.replace_siblings
        parts = [part for key in _COMBINATIONS for part in node.get(key, ())]
        has_references = any(isinstance(part, dict) and "$ref" in part for part in parts)
        return has_references and (len(keywords) > 1 or "allOf" in keywords)

    # Keywords

    def _count(self, result: Schema, key: str, value: Any) -> None:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int):
            raise UsageError(f"JSON Schema: {key}: must be an integer, not {json.dumps(value)}")
        if value <= _MAX_COUNT:
            result[key] = value
        elif key.startswith("min"):
            self._omit(result, key)

    def _fix_numbers(self, result: Schema) -> None:
        """Omit bounds that llguidance rounds or does not support."""
        if not _allows(result, "number", "integer"):
            return
        kind = result.get("type", "number")
        numbers = {key: result[key] for key in _NUMBERS if key in result}
        for key, value in numbers.items():
            is_int64 = (key, kind) == ("maximum", "integer") and value in _INT64_MAXIMA
            if not (is_int64 or _is_exact(key, value)) or self._error({"type": kind, key: value}):
                self._omit(result, key, value)
        numbers = {key: result[key] for key in _NUMBERS if key in result}
        if kind in ("number", "integer") and "minimum" in numbers and "enum" not in result:
            if numbers["minimum"] == numbers.get("maximum"):  # llguidance panics if it is negative
                result.setdefault("const", numbers["minimum"])
                del result["minimum"], result["maximum"]
                return
        if len(numbers) > 1 and self._error({"type": kind, **numbers}):
            for key in numbers:
                self._omit(result, key, numbers[key])

    def _fix_strings(self, result: Schema) -> None:
        """Replace formats by exact patterns, and omit formats and patterns that are unsupported."""
        pattern, name = result.get("pattern"), result.get("format")
        if not _allows(result, "string"):
            result.pop("format", None)
            return
        if isinstance(pattern, str):
            result["pattern"] = self._pattern(pattern)
            if result["pattern"] is None:
                self._omit(result, "pattern", explain.quote(pattern))
            else:
                self._fix_lengths(result)
        if isinstance(name, str) and name in _FORMATS:
            del result["format"]
            exact = f"^{_FORMATS[name]}$"
            if "pattern" in result:
                result["allOf"] = [*result.get("allOf", ()), {"pattern": exact}]
            else:
                result["pattern"] = exact
        elif isinstance(name, str) and self._error({"type": "string", "format": name}):
            self._omit(result, "format", name)

    def _fix_lengths(self, result: Schema) -> None:
        """Omit lengths that together with a pattern make the grammar too large."""
        names = [name for name in ("minLength", "maxLength") if name in result]
        parts = {name: result[name] for name in ("pattern", *names)}
        if names and self._error({"type": "string", **parts}):
            for name in names:
                self._omit(result, name)

    def _pattern(self, pattern: str) -> str | None:
        """Return a pattern in the syntax of llguidance, None if it is not supported."""
        patterns.check_expansion(f"JSON Schema: pattern {explain.quote(pattern)}", pattern)
        converted = patterns.with_ecma_spaces(patterns.from_ecma(pattern))
        error = self._error({"type": "string", "pattern": converted})
        return None if error else converted

    def _fix_objects(self, result: Schema, node: Schema, shared: bool) -> None:
        """Close objects, and omit patterns and numbers of properties that are unsupported."""
        properties, required = result.get("properties", {}), result.get("required", [])
        if "patternProperties" in result:
            self._fix_pattern_properties(result)
        if not isinstance(required, list):
            return  # llguidance reports it
        if not all(name in required for name in properties):
            self._fix_property_counts(result, len(properties), len(required))
        if shared or "properties" not in node or (_OBJECT_KEYWORDS | _OTHER_KEYWORDS) & node.keys():
            return
        names = list(properties)  # `required` may have values that cannot be hashed
        if all(name in names for name in required):
            result["additionalProperties"] = False
            if not {"type", "enum", "const"} & result.keys():
                result["type"] = "object"

    def _fix_property_counts(self, result: Schema, n_properties: int, n_required: int) -> None:
        """Omit numbers of properties if some are optional, except "at least one of these"."""
        is_closed = (
            result.get("additionalProperties") is False and "patternProperties" not in result
        )
        minimum, maximum = result.get("minProperties", 0), result.pop("maxProperties", None)
        if maximum is not None and not (is_closed and maximum >= n_properties):
            self._omit(result, "maxProperties")
        if minimum <= n_required:
            result.pop("minProperties", None)
        elif minimum > 1 or not is_closed:
            self._omit(result, "minProperties")

    def _fix_pattern_properties(self, result: Schema) -> None:
        self._n_patterns += len(result["patternProperties"])
        if self._n_patterns > _MAX_PATTERNS:
            self._omit(result, "patternProperties")
            result.pop("additionalProperties", None)
            return
        found: Schema = {}
        for pattern, schema in result["patternProperties"].items():
            converted = self._pattern(pattern)
            if converted is None:
                self._omit(result, "patternProperties", explain.quote(pattern))
                result.pop("additionalProperties", None)
            else:
                found[converted] = schema
        if len(found) > 1 and "merge_patterns" in self._remedies:
            schemas = list(found.values())
            different = [each for each in schemas if each != schemas[0]]
            if different:
                self._omit(result, "patternProperties")
            merged = "|".join(f"(?:{pattern})" for pattern in found)
            found = {merged: {"anyOf": schemas} if different else schemas[0]}
        result["patternProperties"] = found

    def _error(self, schema: Schema) -> bool:
        """Return whether llguidance does not support a schema without subschemas."""
        error = self._find_error(msgspec.json.encode(schema).decode())
        return bool(error) and "Unsatisfiable" not in error


def _allows(schema: Schema, *types: str) -> bool:
    """Return whether the value may have one of the types."""
    own = schema.get("type", types[0])
    return any(each in types for each in (own if isinstance(own, list) else [own]))


def _is_exact(key: str, value: Any) -> bool:
    """Return whether llguidance uses the value of a numeric keyword as it is."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return True
    if key == "multipleOf":
        digits = Decimal(str(value)).normalize().as_tuple().digits
        return len(digits) <= _MAX_MULTIPLE_DIGITS and value <= _MAX_MULTIPLE
    return abs(value) < _MAX_INT64 and float(value) == value

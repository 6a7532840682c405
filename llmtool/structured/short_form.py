r"""Read the short form of a schema: `name, age int, tags list`.

Fields stand between commas or on lines of their own; each is a name, a type (`str` if none is
given) and, after a colon, a description. A field whose name ends in `?` may be left out. The form
is that of the `llm` command's `--schema`, which this one reads, and adds lists, choices, dates,
optional fields and objects in objects:

    name: full name, age int, size small|medium|large, tags list, scores list[float],
    born date, note?, address {street, town}, friends list[{name, age int}]

The whole in square brackets is a list of such objects.
"""

from __future__ import annotations

from typing import Any, NoReturn

from llmtool.errors import UsageError

MAX_CHARACTERS = 1 << 16
MAX_DEPTH = 16

_TYPES: dict[str, dict[str, Any]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "time": {"type": "string", "format": "time"},
    "datetime": {"type": "string", "format": "date-time"},
}


def read_short_form(text: str) -> dict[str, Any]:
    """Return the JSON Schema of a short form.

    Raises:
        UsageError: "schema: reason", naming the field.

    Example:
        >>> read_short_form("age int: in years")["properties"]
        {'age': {'type': 'integer', 'description': 'in years'}}
    """
    text = text.strip()
    if len(text) > MAX_CHARACTERS:
        _fail(f"the short form is longer than {MAX_CHARACTERS} characters")
    if _enclosed(text, "[]"):
        return {"type": "array", "items": _object(_inside(text), 1)}
    return _object(_inside(text) if _enclosed(text, "{}") else text, 0)


def _object(text: str, depth: int) -> dict[str, Any]:
    if depth > MAX_DEPTH:
        _fail(f"nested deeper than {MAX_DEPTH}")
    properties: dict[str, Any] = {}
    required = []
    by_line = len(_split(text.strip(), "\n")) > 1
    for field in _split(text, "\n" if by_line else ","):
        field = field.strip()
        if by_line:
            field = field.removesuffix(",")
        if not field:
            continue
        name, optional, schema = _field(field, depth)
        if name in properties:
            _fail(f"field {name!r} is there twice")
        properties[name] = schema
        if not optional:
            required.append(name)
    if not properties:
        _fail("there is no field in it, such as: name, age int")
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _field(text: str, depth: int) -> tuple[str, bool, dict[str, Any]]:
    """Return (name, whether it may be left out, schema)."""
    head, *rest = _split(text, ":", most=1)
    name, _, kind = head.strip().partition(" ")
    optional = name.endswith("?")
    name = name.removesuffix("?")
    if not name or not name.isprintable() or set(name) & set('{}[]|"?'):
        _fail(f"a field needs a name first, in {text[:60]!r}")
    schema = _type(kind.strip(), name, depth)
    description = rest[0].strip() if rest else ""
    return name, optional, {**schema, "description": description} if description else schema


def _type(text: str, name: str, depth: int) -> dict[str, Any]:
    if not text:
        return {"type": "string"}
    if depth > MAX_DEPTH:
        _fail(f"nested deeper than {MAX_DEPTH}")
    if text in _TYPES:
        return dict(_TYPES[text])
    if text == "list":
        return {"type": "array", "items": {"type": "string"}}
    if text.startswith("list[") and _enclosed(text[4:], "[]"):
        return {"type": "array", "items": _type(_inside(text[4:]).strip(), name, depth + 1)}
    if _enclosed(text, "{}"):
        return _object(_inside(text), depth + 1)
    choices = [choice.strip() for choice in text.split("|")]
    if len(choices) > 1 and all(choices) and len(set(choices)) == len(choices):
        return {"enum": choices}
    known = ", ".join([*_TYPES, "list", "list[…]", "{…}", "a|b|c"])
    _fail(f"field {name!r} has the unknown type {text[:60]!r} (there are {known})")


def _enclosed(text: str, pair: str) -> bool:
    return len(text) > 1 and text[0] == pair[0] and text[-1] == pair[1]


def _inside(text: str) -> str:
    return text[1:-1]


def _split(text: str, separator: str, *, most: int = -1) -> list[str]:
    """Split where no bracket is open."""
    parts: list[str] = []
    depth = begin = 0
    for at, character in enumerate(text):
        if character in "{[":
            depth += 1
        elif character in "}]":
            depth -= 1
        elif character == separator and not depth and len(parts) != most:
            parts.append(text[begin:at])
            begin = at + 1
    if depth:
        _fail("brackets do not match")
    return [*parts, text[begin:]]


def _fail(reason: str) -> NoReturn:
    raise UsageError(f"schema: {reason}")

r"""Parse the short form of a schema: `name, age int, tags list`.

Fields are separated by commas or line feeds. A field has a name, a type (`str` by default) and,
after a colon, a description. A `?` after the name makes the field optional. Square brackets around
the whole form describe a list of such objects.

The syntax is that of the `llm` command's `--schema`, extended by lists, choices, dates, optional
fields and nested objects:

    name: full name, age int, size small|medium|large, tags list, scores list[float],
    born date, note?, address {street, town}, friends list[{name, age int}]
"""

from __future__ import annotations

from typing import Any, NoReturn

from llmtool.errors import UsageError

MAX_CHARACTERS = 1 << 16
MAX_DEPTH = 16

_SEPARATORS = str.maketrans("，、：｜？", ",,:|?")

_TYPES: dict[str, dict[str, Any]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "time": {"type": "string", "format": "time"},
    "datetime": {"type": "string", "format": "date-time"},
}
_JSON_SCHEMA_TYPES = ("string", "integer", "number", "boolean")


def read_short_form(text: str) -> dict[str, Any]:
    """Return the JSON Schema of a short form.

    Raises:
        UsageError: "schema: reason", with the name of the field.

    Example:
        >>> read_short_form("age int: in years")["properties"]
        {'age': {'type': 'integer', 'description': 'in years'}}
    """
    text = _with_ascii_separators(text.strip())
    if len(text) > MAX_CHARACTERS:
        _fail(f"longer than {MAX_CHARACTERS:,} characters")
    if _enclosed(text, "[]"):
        return {"type": "array", "items": _object(_inside(text), 1)}
    return _object(_inside(text) if _enclosed(text, "{}") else text, 0)


def _with_ascii_separators(text: str) -> str:
    """Replace full-width commas, colons and bars, except in descriptions.

    Example:
        >>> _with_ascii_separators("姓名，年龄 int：周岁，整数")
        '姓名,年龄 int:周岁，整数'
    """
    made, in_description = "", False
    for character in text:
        if not in_description:
            character = character.translate(_SEPARATORS)
        in_description = character == ":" or (in_description and character not in ",\n}")
        made += character
    return made


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
            _fail(f"duplicate field {name!r}")
        properties[name] = schema
        if not optional:
            required.append(name)
    if not properties:
        _fail("no fields; write them as in 'name, age int'")
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _field(text: str, depth: int) -> tuple[str, bool, dict[str, Any]]:
    """Return (name, whether it is optional, schema)."""
    head, *rest = _split(text, ":", max_splits=1)
    name, _, kind = head.strip().partition(" ")
    optional = name.endswith("?")
    name = name.removesuffix("?")
    if not name or not name.isprintable() or set(name) & set('{}[]|"?'):
        _fail(f"{text[:60]!r} does not begin with a field name")
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
    if text in _JSON_SCHEMA_TYPES:
        return {"type": text}
    if text == "list":
        return {"type": "array", "items": {"type": "string"}}
    if text.startswith("list[") and _enclosed(text[4:], "[]"):
        return {"type": "array", "items": _type(_inside(text[4:]).strip(), name, depth + 1)}
    if _enclosed(text, "{}"):
        return _object(_inside(text), depth + 1)
    choices = [choice.strip() for choice in text.split("|")]
    if len(choices) > 1 and all(choices) and len(set(choices)) == len(choices):
        return {"enum": choices}
    known = ", ".join([*_TYPES, "list", "list[…]", "{…}"])
    _fail(
        f"unknown type {text[:60]!r} of field {name!r}; use {known} or a|b|c, and put commas "
        "between fields"
    )


def _enclosed(text: str, pair: str) -> bool:
    return len(text) > 1 and text[0] == pair[0] and text[-1] == pair[1]


def _inside(text: str) -> str:
    return text[1:-1]


def _split(text: str, separator: str, *, max_splits: int = -1) -> list[str]:
    """Split at separators outside brackets."""
    parts: list[str] = []
    depth = begin = 0
    for at, character in enumerate(text):
        if character in "{[":
            depth += 1
        elif character in "}]":
            depth -= 1
        elif character == separator and not depth and len(parts) != max_splits:
            parts.append(text[begin:at])
            begin = at + 1
    if depth:
        _fail("unbalanced brackets")
    return [*parts, text[begin:]]


def _fail(reason: str) -> NoReturn:
    raise UsageError(f"schema: {reason}")

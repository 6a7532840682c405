r"""Parse the short form of a schema: `name, age int, tags list`.

Fields are separated by commas or line feeds. A field has a name, a type (`str` by default) and,
after a colon, a description. The type may also follow a colon, as in Python: `age: int`. A `?`
after the name makes the field optional. Square brackets around the whole form describe a list of
such objects.

The syntax is that of the `llm` command's `--schema`, extended by lists, choices, dates, optional
fields and nested objects:

    name: full name, age int, size small|medium|large, tags list, scores list[float],
    born date, note?, address {street, town}, friends list[{name, age int}]

As in Python and TypeScript: `name: str, age: int = 0, note?: string, tags: string[], size: "s" |
"m"`. A field with a default is optional. Semicolons may separate fields, too. Case is ignored
in names of types. `int|float` is a union of types; quote choices that are named like types.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn

from llmtool.errors import UsageError
from llmtool.suggest import suggest

MAX_CHARACTERS = 1 << 16
MAX_DEPTH = 16
_MAX_TYPE = 500  # characters before a separator that is not a comma

_SEPARATORS = str.maketrans(";，、；：｜？", ",,,,:|?")

_STRING: dict[str, Any] = {"type": "string"}
_INTEGER, _NUMBER, _BOOLEAN = {"type": "integer"}, {"type": "number"}, {"type": "boolean"}
_DATE_TIME = {"type": "string", "format": "date-time"}
_LIST = {"type": "array", "items": _STRING}
# The types that errors list, and their names in JSON Schema, Python, TypeScript and SQL.
_TYPES: dict[str, dict[str, Any]] = {
    "str": _STRING,
    "int": _INTEGER,
    "float": _NUMBER,
    "bool": _BOOLEAN,
    "date": {"type": "string", "format": "date"},
    "time": {"type": "string", "format": "time"},
    "datetime": _DATE_TIME,
    "list": _LIST,
    "object": {"type": "object", "additionalProperties": True},
    "any": {},
}
_BITS = ("", 8, 16, 32, 64, 128, "size")
_SYNONYMS: dict[str, dict[str, Any]] = {
    **_TYPES,
    **dict.fromkeys(("string", "text", "varchar"), _STRING),
    **dict.fromkeys(("integer", "long", "bigint", "smallint", "tinyint"), _INTEGER),
    **dict.fromkeys((f"{kind}int{bits}" for kind in ("", "u") for bits in _BITS), _INTEGER),
    **dict.fromkeys((f"{kind}{bits}" for kind in "iu" for bits in _BITS if bits), _INTEGER),
    **dict.fromkeys(("float16", "float32", "float64", "f32", "f64"), _NUMBER),
    **dict.fromkeys(("number", "double", "decimal", "numeric", "real"), _NUMBER),
    "boolean": _BOOLEAN,
    **dict.fromkeys(("date-time", "timestamp"), _DATE_TIME),
    "array": _LIST,
    **dict.fromkeys(("dict", "map"), _TYPES["object"]),
    **dict.fromkeys(("none", "null"), {"type": "null"}),
}
_GENERIC = re.compile(
    r"(list|array|set|sequence|vec|optional|option|dict|map|record|union|literal)\s*(\[.*\])",
    re.I | re.DOTALL,
)
# As in TypeScript, Java and Rust: Array<string>, Map<string, number>, Option<i32>.
_ANGLE = re.compile(
    r"\b(list|array|set|vec|optional|option|map|record)<([^<>]*)>(?=\s*(?:[\]>|,:;=}\n，、；：｜]|$))",
    re.I,
)
# A type and its default in Python, which makes the field optional: int | None = None.
_DEFAULT = re.compile(
    r"""(.*\S)\s*=\s*(?:None|null|True|False|-?[\d.]+|"[^"]*"|'[^']*'|\[\]|\{\})""",
    re.I | re.DOTALL,
)
# Names of types that are not words of a description, nor names of fields.
_ONLY_TYPES = "str|int|float|bool|datetime|integer|boolean|varchar|bigint|smallint|tinyint"
_ANY_TYPE = "|".join(map(re.escape, sorted(_SYNONYMS, key=len, reverse=True)))
_NEXT_FIELD = rf"\w+\??\s*:\s*(?:{_ANY_TYPE})(?![\w-])"
_FIELD_IN_DESCRIPTION = re.compile(
    rf"(?:{_ANY_TYPE})\s+{_NEXT_FIELD}|.*(?<!\S)\w+\??:(?:{_ANY_TYPE})(?![\w:/.-])",
    re.I | re.DOTALL,
)
_TYPE_IN_DESCRIPTION = re.compile(rf"({_ONLY_TYPES})\s+(\S.*)", re.I | re.DOTALL)
_MIN_SIMILARITY = 0.8  # of a misspelled type, also after a colon, to the name of a type


def read_short_form(text: str) -> dict[str, Any]:
    """Return the JSON Schema of a short form.

    Raises:
        UsageError: "schema: reason", with the name of the field.

    Example:
        >>> read_short_form("age int: in years")["properties"]
        {'age': {'type': 'integer', 'description': 'in years'}}
    """
    if len(text) > MAX_CHARACTERS:
        _fail(f"longer than {MAX_CHARACTERS:,} characters")
    text = _with_ascii_separators(_with_square_brackets(text.strip()))
    if _enclosed(text, "[]"):
        return {"type": "array", "items": _object(_inside(text), 1)}
    return _object(_inside(text) if _enclosed(text, "{}") else text, 0)


def _with_ascii_separators(text: str) -> str:
    """Replace semicolons, and full-width commas, colons and bars, except in descriptions.

    Example:
        >>> _with_ascii_separators("姓名，年龄 int：周岁，整数")
        '姓名,年龄 int:周岁，整数'
    """
    made, begin = "", 0  # begin: of a description, 0 outside
    for character in text:
        if ord(character) in _SEPARATORS:
            is_short = len(made) - begin <= _MAX_TYPE
            if not begin or (is_short and _is_written_as_type(made[begin:])):
                character = character.translate(_SEPARATORS)
        made += character
        if character in ",\n}":
            begin = 0
        elif character == ":":
            begin = len(made)
    return made


def _with_square_brackets(text: str) -> str:
    """Replace the angle brackets of generic types.

    Example:
        >>> _with_square_brackets("a: Map<string, Array<int>>, b: x < 3")
        'a: Map[string, Array[int]], b: x < 3'
    """
    for _ in range(MAX_DEPTH):  # from the inside out
        text = _ANGLE.sub(r"\1[\2]", text)
    return text


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
    _check_one_field(head.strip(), rest[0].strip() if rest else "")
    name, _, kind = head.strip().partition(" ")
    optional = name.endswith("?")
    name = name.removesuffix("?")
    if not name or not name.isprintable() or set(name) & set('{}[]|"?'):
        _fail(f"{text[:60]!r} does not begin with a field name")
    description = rest[0].strip() if rest else ""
    schema = _type(kind.strip(), name, depth) if kind.strip() else None
    if schema is None:
        first, *others = _split(description, ":", max_splits=1)
        default = _DEFAULT.fullmatch(first.strip())
        schema = _type_after_colon(default[1] if default else first.strip(), name, depth)
        if schema is None:
            schema = _STRING
        else:
            description = others[0].strip() if others else ""
            optional = optional or default is not None
    return name, optional, {**schema, **({"description": description} if description else {})}


def _check_one_field(head: str, description: str) -> None:
    """Check that a description does not contain another field, nor begin with the type."""
    if not description and re.fullmatch(_ONLY_TYPES, head, re.I):
        _fail(f"{head!r} is a type without a field; write 'value {head}', or pass a JSON Schema")
    if _FIELD_IN_DESCRIPTION.match(description):
        text = f"{head}: {description}"
        fixed = re.sub(rf"\s+(?={_NEXT_FIELD})", ", ", text, flags=re.I)
        _fail(f"{text[:60]!r} has no comma between its fields; write {fixed[:80]!r}")
    if match := _TYPE_IN_DESCRIPTION.fullmatch(description):
        kind, rest = match.groups()
        if not rest.startswith(("|", "=")) and " " not in head:
            is_word = len(rest.split()) == 1
            fixed = f"{head}: {kind}, {rest}" if is_word else f"{head} {kind}: {rest}"
            _fail(f"the description of field {head!r} begins with a type; write {fixed[:80]!r}")


def _type_after_colon(text: str, name: str, depth: int) -> dict[str, Any] | None:
    """Return the type in `name: type`, None if the text is a description."""
    if _is_written_as_type(text) or suggest(text, _SYNONYMS, cutoff=_MIN_SIMILARITY):
        return _type(text, name, depth)
    return None


def _is_written_as_type(text: str) -> bool:
    """Return whether a text after a colon is a type, perhaps with a default, by its syntax."""
    default = _DEFAULT.fullmatch(text.strip())
    text = default[1] if default else text.strip()
    words = [part.strip() for part in text.split("|")]
    return bool(
        text.lower() in _SYNONYMS
        or text.endswith("[]")
        or re.fullmatch(r"[\w.]+\[.*\]", text, re.DOTALL)
        or _enclosed(text, "{}")
        or (len(words) > 1 and all(_quoted(each) or each.split() == [each] for each in words))
    )


def _type(text: str, name: str, depth: int) -> dict[str, Any]:
    found = _find_type(text, name, depth)
    if found is not None:
        return found
    known = ", ".join([*_TYPES, "list[…]", "{…}"])
    _fail(
        f"unknown type {text[:60]!r} of field {name!r}; use {known} or a|b|c, and put commas "
        f"between fields{suggest(text, _SYNONYMS, cutoff=_MIN_SIMILARITY)}"
    )


def _find_type(text: str, name: str, depth: int) -> dict[str, Any] | None:
    """Return the schema of a type or of choices, None if the text is neither."""
    if depth > MAX_DEPTH:
        _fail(f"nested deeper than {MAX_DEPTH}")
    if text.lower() in _SYNONYMS:
        return dict(_SYNONYMS[text.lower()])
    if _enclosed(text, "{}"):
        return _object(_inside(text), depth + 1)
    parts = [part.strip() for part in _split(text, "|")]
    if len(parts) > 1:
        types = [None if _quoted(part) else _find_type(part, name, depth + 1) for part in parts]
        if all(each is not None for each in types):
            return {"anyOf": types}
        choices = [_inside(part) if _quoted(part) else part for part in parts]
        is_valid = all(choices) and len(set(choices)) == len(choices)
        return {"enum": choices} if is_valid else None
    if text.endswith("[]") and text[:-2].strip():
        return {"type": "array", "items": _type(text[:-2].strip(), name, depth + 1)}
    generic = _GENERIC.fullmatch(text)
    if generic is None or not _enclosed(generic[2], "[]"):
        return None
    kind, inside = generic[1].lower(), _inside(generic[2]).strip()
    arguments = [part.strip() for part in _split(inside, ",")]
    if kind == "literal":
        choices = [_inside(part) if _quoted(part) else part for part in arguments]
        return {"enum": list(dict.fromkeys(choices))} if all(choices) else None
    types = [_type(part, name, depth + 1) for part in arguments if part]
    if kind == "union" and types:
        return {"anyOf": types}
    if kind in ("dict", "map", "record") and len(types) == 2:
        return {"type": "object", "additionalProperties": types[1]}
    if len(types) != 1:
        return None
    if kind in ("optional", "option"):
        return {"anyOf": [*types, {"type": "null"}]}
    return {"type": "array", "items": types[0]}


def _quoted(text: str) -> bool:
    return _enclosed(text, '""') or _enclosed(text, "''")


def find_type(name: str) -> dict[str, Any] | None:
    """Return the JSON Schema of a type's name in any of the supported languages, or None."""
    return _SYNONYMS.get(name.lower())


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

"""The shapes of docs/json.md, to compare with real output."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "json.md"
Shapes = dict[str, dict[str, str]]
SCALARS: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def read_page() -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each heading of the page that has a table, and the keys of the table."""
    for part in re.split(r"^###? ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        keys = dict(re.findall(r"^\| `([^`]+)` \| (.+) \|$", part, flags=re.MULTILINE))
        if keys:
            yield part.partition("\n")[0], keys


SHAPES: Shapes = dict(read_page())


def mismatches(value: Any, of: str, where: str = "") -> Iterator[str]:
    """Yield the differences of a value from its documented type."""
    kinds = [_kind_mismatches(value, each, where) for each in of.split(" or ")]
    if not any(kind == [] for kind in kinds):
        yield from max(kinds, key=len)


def _kind_mismatches(value: Any, of: str, where: str) -> list[str]:
    wrong = [f"{where}: {value!r} is not {of}"]
    if of == "any":
        return []
    if of.startswith("`"):
        return [] if f'`"{value}"`' == of else wrong
    if match := re.match(r"\[(\w+)\]", of):
        return object_mismatches(value, match[1], where)
    if match := re.match(r"(array|object)s? of (.*)", of):
        if not isinstance(value, list if match[1] == "array" else dict):
            return wrong
        each = value if isinstance(value, list) else value.values()
        return [text for n, inner in enumerate(each) for text in
                mismatches(inner, singular(match[2]), f"{where}[{n}]")]  # fmt: skip
    is_bool = isinstance(value, bool)
    return [] if isinstance(value, SCALARS[of]) and is_bool == (of == "boolean") else wrong


def singular(of: str) -> str:
    return re.sub(r"^(\w+)s(?= of |$)", r"\1", of)


def object_mismatches(value: Any, heading: str, where: str = "") -> list[str]:
    shape = SHAPES[heading]
    if not isinstance(value, dict):
        return [f"{where}: {value!r} is not an object"]
    required = {key for key, of in shape.items() if not of.endswith(" or absent")}
    if not required <= value.keys() <= shape.keys():
        return [f"{where} {heading}: keys {list(value)}, documented {list(shape)}"]
    return [
        text
        for key, of in shape.items()
        if key in value
        for text in mismatches(value[key], of.removesuffix(" or absent"), f"{where}.{key}")
    ]

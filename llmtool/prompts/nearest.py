"""What a misspelt key may have been meant to be; loaded when there is an error to explain."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

import msgspec.inspect as mi

from llmtool.safe_yaml import Path


def nearest(word: str, known: Iterable[str]) -> str:
    """Return " (did you mean 'x'?)", or "" when nothing is near."""
    near = get_close_matches(word, list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def fields_at(kind: type[object], path: Path) -> list[str]:
    """Return the keys that a struct type knows at a path inside it."""
    structs = [found for found in _types_at(kind, path) if isinstance(found, mi.StructType)]
    return [field.encode_name for found in structs for field in found.fields]


def choices_at(kind: type[object], path: Path) -> list[str]:
    """Return the words that are allowed at a path inside a struct type."""
    literals = [found for found in _types_at(kind, path) if isinstance(found, mi.LiteralType)]
    return [str(value) for found in literals for value in found.values]


def _types_at(kind: type[object], path: Path) -> list[mi.Type]:
    kinds = [mi.type_info(kind)]
    for key in path:
        kinds = [inner for outer in kinds for inner in _inside(outer, key)]
    return _unfolded(kinds)


def _unfolded(kinds: Iterable[mi.Type]) -> list[mi.Type]:
    return [
        inner
        for kind in kinds
        for inner in (kind.types if isinstance(kind, mi.UnionType) else (kind,))
    ]


def _inside(kind: mi.Type, key: str | int) -> list[mi.Type]:
    found: list[mi.Type] = []
    for each in _unfolded([kind]):
        if isinstance(each, mi.StructType):
            found += [field.type for field in each.fields if field.encode_name == key]
        elif isinstance(each, mi.DictType):
            found.append(each.value_type)
        elif isinstance(each, (mi.ListType, mi.VarTupleType)):
            found.append(each.item_type)
    return found

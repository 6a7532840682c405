"""The fields and values that a msgspec type allows at a path inside it, for errors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec.inspect as mi

Path = Sequence[str | int]  # of keys and indexes


def fields_at(kind: type[object], path: Path) -> list[str]:
    """Return the keys that a struct type has at a path inside it."""
    structs = [found for found in _types_at(kind, path) if isinstance(found, mi.StructType)]
    return [field.encode_name for found in structs for field in found.fields]


def choices_at(kind: type[object], path: Path) -> list[str]:
    """Return the values that are allowed at a path inside a struct type, if they are enumerated."""
    literals = [found for found in _types_at(kind, path) if isinstance(found, mi.LiteralType)]
    return [str(value) for found in literals for value in found.values]


def list_values(values: Sequence[str]) -> str:
    """Return values for an error.

    Example:
        >>> list_values(["low", "high"]), list_values(["text"])
        ("'low' or 'high'", "'text'")
    """
    *others, last = map(repr, values)
    return f"{', '.join(others)} or {last}" if others else last


def _types_at(kind: type[object], path: Path) -> list[mi.Type]:
    types = [mi.type_info(kind)]
    for key in path:
        types = [inner for outer in types for inner in _types_inside(outer, key)]
    return _flatten_unions(types)


def _types_inside(outer: mi.Type, key: str | int) -> list[mi.Type]:
    found: list[mi.Type] = []
    for each in _flatten_unions([outer]):
        if isinstance(each, mi.StructType):
            found += [field.type for field in each.fields if field.encode_name == key]
        elif isinstance(each, mi.DictType):
            found.append(each.value_type)
        elif isinstance(each, (mi.ListType, mi.VarTupleType)):
            found.append(each.item_type)
    return found


def _flatten_unions(types: Iterable[mi.Type]) -> list[mi.Type]:
    return [
        inner
        for each in types
        for inner in (each.types if isinstance(each, mi.UnionType) else (each,))
    ]

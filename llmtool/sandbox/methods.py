"""The methods that templates may call on texts, lists, dicts and tuples; none changes its object.

Left out: `append`, `pop`, `update` and their like, as in Jinja's immutable sandbox, and `encode`,
`translate`, `maketrans` and `format_map`, which no chat template needs.
"""

from __future__ import annotations

from collections.abc import Callable

from llmtool.sandbox.budget import Budget, Fault, join, measure, width
from llmtool.sandbox.formatting import str_format
from llmtool.sandbox.values import SCALARS, kind, sequence_of

Method = Callable[..., object]


def _linear(method: Callable[..., object], growth: int = 0) -> Method:
    """Price a method of `str` that reads its text once and may return `growth` times its size."""

    def call(budget: Budget, text: str, *args: object) -> object:
        budget.scan(text)
        budget.room(growth * len(text) * width(text))
        result = method(text, *args)
        return budget.built(result) if isinstance(result, str) else result

    return call


def _backwards(method: Callable[..., object]) -> Method:
    """Price a search from the right, which takes length times length in the worst case."""

    def call(budget: Budget, text: str, wanted: str, *args: object) -> object:
        if isinstance(wanted, str):
            budget.step(1 + (len(text) * len(wanted) >> 8))
        result = method(text, wanted, *args)
        budget.spend(len(text) * width(text) if isinstance(result, tuple) else 0)
        return result

    return call


def _splitting(method: Callable[..., list[str]]) -> Method:
    def call(budget: Budget, text: str, sep: str | None = None, maxsplit: int = -1) -> object:
        if sep is None:
            pieces = len(text) // 2 + 1
        else:
            pieces = text.count(sep) + 1
        if maxsplit >= 0:
            pieces = min(pieces, maxsplit + 1)
        budget.room(80 * pieces + len(text) * width(text))
        if method is str.rsplit:
            budget.step(len(text) * len(sep or " ") >> 8)
        parts = method(text, sep, maxsplit)
        budget.spend(80 * len(parts) + len(text) * width(text))
        return parts

    return call


def strip(budget: Budget, text: str, chars: str | None = None) -> str:
    return budget.built(text.strip(_strip_set(budget, text, chars)))


def _left_strip(budget: Budget, text: str, chars: str | None = None) -> str:
    return budget.built(text.lstrip(_strip_set(budget, text, chars)))


def _right_strip(budget: Budget, text: str, chars: str | None = None) -> str:
    return budget.built(text.rstrip(_strip_set(budget, text, chars)))


def _strip_set(budget: Budget, text: str, chars: str | None) -> str | None:
    """Price a strip: each character of the text is looked up in `chars` from the start."""
    budget.step(1 + (len(text) * len(chars or " ") >> 6))
    return chars


_LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


def split_lines(budget: Budget, text: str, keepends: bool = False) -> list[str]:
    budget.scan(text)
    pieces = 1 + sum(text.count(end) for end in _LINE_ENDS)
    budget.room(80 * pieces + len(text) * width(text))
    lines = text.splitlines(keepends)
    budget.spend(80 * len(lines) + len(text) * width(text))
    return lines


def _partition(budget: Budget, text: str, sep: str) -> tuple[str, str, str]:
    budget.spend(200 + len(text) * width(text))
    return text.partition(sep)


def replace(budget: Budget, text: str, old: str, new: str, count: int = -1) -> str:
    budget.scan(text)
    found = text.count(old)
    times = found if count < 0 else min(found, count)
    budget.room((len(text) + times * len(new)) * width(text, new))
    return budget.built(text.replace(old, new, count))


def _join(budget: Budget, separator: str, items: object) -> str:
    parts = []
    for item in sequence_of(items, budget):
        budget.step()
        if not isinstance(item, str):
            raise Fault(f"join needs texts, not {kind(item)}")
        parts.append(item)
    return budget.built(join(parts, separator, budget))


def _padded(method: Callable[..., str]) -> Method:
    def call(budget: Budget, text: str, size: int, fill: str = " ") -> str:
        budget.room(size * width(text, fill))
        return budget.built(
            method(text, size, fill) if method is not str.zfill else text.zfill(size)
        )

    return call


def _expandtabs(budget: Budget, text: str, tabsize: int = 8) -> str:
    budget.room((len(text) + text.count("\t") * tabsize) * width(text))
    return budget.built(text.expandtabs(tabsize))


def _format(budget: Budget, template: str, *args: object, **kwargs: object) -> str:
    return str_format(budget, template, args, kwargs)


def _index(budget: Budget, items: list[object], wanted: object) -> int:
    measure(items, budget)
    return items.index(wanted)


def _count(budget: Budget, items: list[object], wanted: object) -> int:
    measure(items, budget)
    return items.count(wanted)


def _copy_list(budget: Budget, items: list[object]) -> list[object]:
    budget.spend(64 + 8 * len(items))
    return items.copy()


def _get(
    budget: Budget, table: dict[object, object], key: object, default: object = None
) -> object:
    if not isinstance(key, SCALARS):
        measure(key, budget)
    return table.get(key, default)


def items(budget: Budget, table: dict[object, object]) -> list[tuple[object, object]]:
    budget.spend(64 + 80 * len(table))
    return list(table.items())


def _keys(budget: Budget, table: dict[object, object]) -> list[object]:
    budget.spend(64 + 8 * len(table))
    return list(table)


def _values(budget: Budget, table: dict[object, object]) -> list[object]:
    budget.spend(64 + 8 * len(table))
    return list(table.values())


def _copy_dict(budget: Budget, table: dict[object, object]) -> dict[object, object]:
    budget.spend(64 + 200 * len(table))
    return table.copy()


# The case mappings of some characters are three characters long.
_CASE = ("capitalize", "casefold", "lower", "swapcase", "title", "upper")
_SAME = ("removeprefix", "removesuffix")
_ASKING = (
    *("count", "endswith", "find", "index", "isalnum", "isalpha", "isascii", "isdecimal"),
    *("isdigit", "isidentifier", "islower", "isnumeric", "isprintable", "isspace", "istitle"),
    *("isupper", "startswith"),
)
TEXT_METHODS: dict[str, Method] = {
    **{name: _linear(getattr(str, name), 3) for name in _CASE},
    **{name: _linear(getattr(str, name), 1) for name in _SAME},
    **{name: _linear(getattr(str, name)) for name in _ASKING},
    **{name: _backwards(getattr(str, name)) for name in ("rfind", "rindex", "rpartition")},
    **{name: _splitting(getattr(str, name)) for name in ("split", "rsplit")},
    **{name: _padded(getattr(str, name)) for name in ("center", "ljust", "rjust", "zfill")},
    "expandtabs": _expandtabs,
    "format": _format,
    "join": _join,
    "lstrip": _left_strip,
    "partition": _partition,
    "replace": replace,
    "rstrip": _right_strip,
    "splitlines": split_lines,
    "strip": strip,
}
_LIST: dict[str, Method] = {"copy": _copy_list, "count": _count, "index": _index}
_TUPLE: dict[str, Method] = {"count": _count, "index": _index}
_DICT: dict[str, Method] = {
    "copy": _copy_dict,
    "get": _get,
    "items": items,
    "keys": _keys,
    "values": _values,
}


def method_of(value: object, name: str) -> Method | None:
    """Return the method of that name, to be called with the budget and the value first."""
    if isinstance(value, str):
        return TEXT_METHODS.get(name)
    if isinstance(value, dict):
        return _DICT.get(name)
    if isinstance(value, list):
        return _LIST.get(name)
    if isinstance(value, tuple):
        return _TUPLE.get(name)
    return None

"""The filters on texts and numbers, `{{ value | name(arguments) }}`.

Left out of Jinja's: `random`, `pprint`, `urlize`, `xmlattr`, `filesizeformat`, `striptags`,
`urlencode`, `wordwrap` and `forceescape`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from llmtool.sandbox.budget import Fault, join, measure
from llmtool.sandbox.formatting import percent
from llmtool.sandbox.methods import TEXT_METHODS, replace, split_lines, strip
from llmtool.sandbox.methods import items as dict_items
from llmtool.sandbox.operators import capped
from llmtool.sandbox.values import State, Undefined, kind, text_of

Filter = Callable[..., object]


def _number(value: object) -> float:
    if isinstance(value, Undefined):
        value.fail()
    if isinstance(value, (int, float)):
        return value
    raise Fault(f"a number is needed, not {kind(value)}")


def _text_method(name: str) -> Filter:
    method = TEXT_METHODS[name]

    def apply(state: State, value: object, *args: object) -> object:
        return method(state.budget, text_of(value, state.budget), *args)

    return apply


def default(_: State, value: object, default_value: object = "", boolean: bool = False) -> object:
    if isinstance(value, Undefined) or (boolean and not value):
        return default_value
    return value


def string(state: State, value: object) -> str:
    return text_of(value, state.budget)


def trim(state: State, value: object, chars: str | None = None) -> str:
    return strip(state.budget, text_of(value, state.budget), chars)


_TITLE_WORDS = re.compile(r"[^-\s({\[<]+|[-\s({\[<]+")


def title(state: State, value: object) -> str:
    text = text_of(value, state.budget)
    words = []
    for word in _TITLE_WORDS.finditer(text):
        state.budget.step(2)
        words.append(state.budget.built(word[0][0].upper() + word[0][1:].lower()))
    return join(words, "", state.budget)


def center(state: State, value: object, width: int = 80) -> object:
    return _text_method("center")(state, value, width)


def replace_text(
    state: State, value: object, old: object, new: object, count: int | None = None
) -> str:
    budget = state.budget
    text = text_of(value, budget)
    times = -1 if count is None else count
    return replace(budget, text, text_of(old, budget), text_of(new, budget), times)


def indent(
    state: State, value: object, width: object = 4, first: bool = False, blank: bool = False
) -> str:
    budget = state.budget
    text = text_of(value, budget)
    if isinstance(width, int):
        budget.room(width)
        width = " " * width
    if not isinstance(width, str):
        raise Fault("indent needs a number or a text as width")
    parts = []
    for number, line in enumerate(split_lines(budget, text + "\n")):
        budget.step(2)
        if number:
            parts.append("\n")
        if first if not number else (line or blank):
            parts.append(width)
        parts.append(line)
    return budget.built(join(parts, "", budget))


def truncate(
    state: State,
    value: object,
    length: int = 255,
    killwords: bool = False,
    end: str = "...",
    leeway: int = 5,
) -> str:
    text = text_of(value, state.budget)
    if length < len(end) or leeway < 0:
        raise Fault("truncate needs a length that holds its end, and no negative leeway")
    if len(text) <= length + leeway:
        return text
    kept = text[: length - len(end)]
    state.budget.scan(kept)
    return state.budget.built((kept if killwords else kept.rsplit(" ", 1)[0]) + end)


def wordcount(state: State, value: object) -> int:
    text = text_of(value, state.budget)
    state.budget.step(len(text))
    return sum(1 for _ in re.finditer(r"\w+", text))


def escape(state: State, value: object) -> str:
    text = text_of(value, state.budget)
    for plain, entity in (("&", "&amp;"), (">", "&gt;"), ("<", "&lt;"), ("'", "&#39;")):
        text = replace(state.budget, text, plain, entity)
    return replace(state.budget, text, '"', "&#34;")


def format_text(state: State, value: object, *args: object, **kwargs: object) -> str:
    if args and kwargs:
        raise Fault("format takes values by position or by name, not both")
    return percent(text_of(value, state.budget), kwargs or args, state.budget)


def to_int(_: State, value: object, default: int = 0, base: int = 10) -> object:
    if isinstance(value, Undefined):
        value.fail()
    if isinstance(value, str) and len(value) > 1000:
        return default
    try:
        return capped(int(value, base) if isinstance(value, str) else int(value))  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        pass
    try:
        return capped(int(float(value)))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return default


def to_float(_: State, value: object, default: float = 0.0) -> float:
    if isinstance(value, Undefined):
        value.fail()
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return default


def absolute(_: State, value: object) -> object:
    return abs(_number(value))


def round_number(_: State, value: object, precision: int = 0, method: str = "common") -> object:
    if abs(precision) > 100:
        raise Fault("round takes at most 100 digits")
    number = _number(value)
    if method == "common":
        return round(number, precision)
    if method not in ("ceil", "floor"):
        raise Fault("round knows the methods common, ceil and floor")
    move = math.ceil if method == "ceil" else math.floor
    return move(number * 10**precision) / 10**precision


def tojson(
    state: State,
    value: object,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | list[str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Write JSON as transformers does: no HTML escaping, characters as they are."""
    import json

    budget = state.budget
    extent = measure(value, budget)
    step = 0 if indent is None else len(indent) if isinstance(indent, str) else indent
    longest = max((len(mark) for mark in separators), default=0) if separators else 2
    # A character of one byte can become six, and each of them four bytes wide.
    budget.room(24 * extent.size_bytes + 4 * extent.nodes * (extent.depth * step + longest))
    budget.step(extent.nodes)
    pair = None if separators is None else (separators[0], separators[1])
    return budget.built(
        json.dumps(
            value,
            ensure_ascii=ensure_ascii,
            indent=indent,
            separators=pair,
            sort_keys=sort_keys,
        )
    )


def length(_: State, value: object) -> int:
    if isinstance(value, (str, list, tuple, dict, range)):
        return len(value)
    if isinstance(value, Undefined):
        return len(tuple(value))
    raise Fault(f"{kind(value)} has no length")


def items(state: State, value: object) -> object:
    if isinstance(value, Undefined):
        return tuple(value)
    if not isinstance(value, dict):
        raise Fault(f"items needs a mapping, not {kind(value)}")
    return dict_items(state.budget, value)


TEXT_FILTERS: dict[str, Filter] = {
    "abs": absolute,
    "capitalize": _text_method("capitalize"),
    "center": center,
    "count": length,
    "d": default,
    "default": default,
    "e": escape,
    "escape": escape,
    "float": to_float,
    "format": format_text,
    "indent": indent,
    "int": to_int,
    "items": items,
    "length": length,
    "lower": _text_method("lower"),
    "replace": replace_text,
    "round": round_number,
    "safe": string,
    "string": string,
    "title": title,
    "tojson": tojson,
    "trim": trim,
    "truncate": truncate,
    "upper": _text_method("upper"),
    "wordcount": wordcount,
}

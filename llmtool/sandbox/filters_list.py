"""The filters on sequences, and the table of all filters.

Those that are lazy in Jinja (`map`, `select`, `unique` and the like) return lists here, as in
llama.cpp's own engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

from llmtool.sandbox.budget import Fault, join, measure
from llmtool.sandbox.filters_text import TEXT_FILTERS, Filter
from llmtool.sandbox.operators import add
from llmtool.sandbox.predicates import TESTS
from llmtool.sandbox.values import (
    Namespace,
    State,
    Undefined,
    item_of,
    kind,
    sequence_of,
    text_of,
)

Getter = Callable[[object], object]


def _getter(
    state: State, attribute: object, *, fold_case: bool = False, default: object = None
) -> Getter:
    """Return a function that follows `a.b.0` into a value; none given is the value itself."""
    path: list[object] = []
    if isinstance(attribute, str):
        parts = _split(attribute, ".")
        path = [int(part) if part.isdecimal() else part for part in parts]
    elif attribute is not None:
        path = [attribute]

    def get(value: object) -> object:
        state.budget.step(1 + len(path))
        for key in path:
            value = item_of(value, key, state)
            if isinstance(value, Undefined) and default is not None:
                return default
        if fold_case and isinstance(value, str):
            state.budget.scan(value)
            return state.budget.built(value.lower())
        return value

    return get


def _split(attribute: str, mark: str) -> list[str]:
    if len(attribute) > 200:
        raise Fault("the path of an attribute is longer than 200 characters")
    return attribute.split(mark)


def _sorting_key(state: State, attribute: object, case_sensitive: bool) -> Getter:
    """As `_getter`, for the paths of `'a,b'`; each key is priced for the comparisons ahead."""
    paths = _split(attribute, ",") if isinstance(attribute, str) else [attribute]
    getters = [_getter(state, path, fold_case=not case_sensitive) for path in paths]

    def key(value: object) -> object:
        found = [get(value) for get in getters]
        for part in found:
            state.budget.step(16 + (measure(part, state.budget).size_bytes >> 2))
        return found

    return key


def _items(state: State, value: object) -> Sequence[object]:
    """Return what the value goes through, paid for as if it were copied."""
    items = sequence_of(value, state.budget)
    state.budget.step(len(items))
    state.budget.spend(64 + (80 if isinstance(items, str) else 40) * len(items))
    return items


def first(state: State, value: object) -> object:
    for item in sequence_of(value, state.budget):
        return item
    return state.missing("there is no first item")


def last(state: State, value: object) -> object:
    items = sequence_of(value, state.budget)
    return items[-1] if items else state.missing("there is no last item")


def to_list(state: State, value: object) -> list[object]:
    return list(_items(state, value))


def join_items(state: State, value: object, d: object = "", attribute: object = None) -> str:
    budget = state.budget
    get = _getter(state, attribute)
    parts = [text_of(get(item), budget) for item in _items(state, value)]
    return budget.built(join(parts, text_of(d, budget), budget))


def reverse(state: State, value: object) -> object:
    if isinstance(value, str):
        state.budget.scan(value)
        return state.budget.built(value[::-1])
    return list(_items(state, value))[::-1]


def sort(
    state: State,
    value: object,
    reverse: bool = False,
    case_sensitive: bool = False,
    attribute: object = None,
) -> list[object]:
    key = _sorting_key(state, attribute, case_sensitive)
    return sorted(_items(state, value), key=key, reverse=reverse)  # type: ignore[arg-type]


def dictsort(
    state: State,
    value: object,
    case_sensitive: bool = False,
    by: str = "key",
    reverse: bool = False,
) -> object:
    if by not in ("key", "value"):
        raise Fault("dictsort sorts by key or by value")
    if not isinstance(value, dict):
        raise Fault(f"dictsort needs a mapping, not {kind(value)}")
    pairs = list(value.items())
    return sort(state, pairs, reverse, case_sensitive, 0 if by == "key" else 1)


def unique(
    state: State, value: object, case_sensitive: bool = False, attribute: object = None
) -> list[object]:
    key = _sorting_key(state, attribute, case_sensitive)
    seen: set[object] = set()
    kept = []
    for item in _items(state, value):
        marks = key(item)
        mark = tuple(marks) if isinstance(marks, list) else marks
        if mark not in seen:
            seen.add(mark)
            kept.append(item)
    return kept


def _extreme(choose: Callable[..., object]) -> Filter:
    def apply(
        state: State, value: object, case_sensitive: bool = False, attribute: object = None
    ) -> object:
        items = _items(state, value)
        if not items:
            return state.missing("there is no item to choose from")
        return choose(items, key=_sorting_key(state, attribute, case_sensitive))

    return apply


def group_by(
    state: State,
    value: object,
    attribute: object,
    default: object = None,
    case_sensitive: bool = False,
) -> list[tuple[object, list[object]]]:
    get = _getter(state, attribute, default=default)
    key = _getter(state, attribute, fold_case=not case_sensitive, default=default)
    priced = _sorting_key(state, None, True)
    ordered = sorted(_items(state, value), key=lambda item: priced(key(item)))  # type: ignore[arg-type,return-value]
    groups = [list(members) for _, members in groupby(ordered, key)]
    state.budget.spend(160 * len(groups) + 8 * len(ordered))
    return [(get(members[0]), members) for members in groups]


def total(state: State, value: object, attribute: object = None, start: object = 0) -> object:
    get = _getter(state, attribute)
    result = start
    for item in _items(state, value):
        result = add(result, get(item), state.budget)
    return result


def batch(
    state: State, value: object, linecount: int, fill_with: object = None
) -> list[list[object]]:
    items = _items(state, value)
    if linecount < 1:
        raise Fault("batch needs rows of at least one item")
    rows = [list(items[start : start + linecount]) for start in range(0, len(items), linecount)]
    state.budget.spend(80 * len(rows))
    if rows and fill_with is not None:
        missing = linecount - len(rows[-1])
        state.budget.spend(8 * missing)
        rows[-1] += [fill_with] * missing
    return rows


def slices(
    state: State, value: object, slices: int, fill_with: object = None
) -> list[list[object]]:
    items = _items(state, value)
    state.budget.spend(100 * max(slices, 0))
    size, extra = divmod(len(items), slices)
    columns = []
    start = 0
    for number in range(slices):
        end = start + size + (number < extra)
        column = list(items[start:end])
        if fill_with is not None and number >= extra:
            column.append(fill_with)
        columns.append(column)
        start = end
    return columns


def apply_to_each(state: State, value: object, *args: object, **kwargs: object) -> list[object]:
    """`map('name', …)` applies a filter, `map(attribute='path')` looks into each item."""
    if not args and "attribute" in kwargs:
        get = _getter(state, kwargs["attribute"], default=kwargs.get("default"))
        return [get(item) for item in _items(state, value or ())]
    if not args:
        raise Fault("map needs a filter or an attribute")
    chosen = filter_named(args[0])
    return [chosen(state, item, *args[1:], **kwargs) for item in _items(state, value or ())]


def _choosing(keep: bool, by_attribute: bool) -> Filter:
    def apply(state: State, value: object, *args: object, **kwargs: object) -> list[object]:
        get = _getter(state, args[0]) if by_attribute and args else _getter(state, None)
        if by_attribute and not args:
            raise Fault("the name of an attribute is needed")
        rest = args[1:] if by_attribute else args
        kept = []
        for item in _items(state, value or ()):
            found = get(item)
            if rest:
                answer = bool(test_named(rest[0])(state, found, *rest[1:], **kwargs))
            else:
                answer = bool(found)
            if answer is keep:
                kept.append(item)
        return kept

    return apply


def attribute_of(state: State, value: object, name: object) -> object:
    """`value|attr('name')`: attributes alone, never an item of a mapping."""
    if isinstance(value, Namespace):
        return item_of(value, name, state)
    return state.missing(f"{kind(value)} has no such attribute")


def filter_named(name: object) -> Filter:
    if isinstance(name, str) and name in FILTERS:
        return FILTERS[name]
    raise Fault(f"there is no filter {name[:60]!r}" if isinstance(name, str) else "not a filter")


def test_named(name: object) -> Callable[..., object]:
    if isinstance(name, str) and name in TESTS:
        return TESTS[name]
    raise Fault(f"there is no test {name[:60]!r}" if isinstance(name, str) else "not a test")


FILTERS: dict[str, Filter] = {
    **TEXT_FILTERS,
    "attr": attribute_of,
    "batch": batch,
    "dictsort": dictsort,
    "first": first,
    "groupby": group_by,
    "join": join_items,
    "last": last,
    "list": to_list,
    "map": apply_to_each,
    "max": _extreme(max),
    "min": _extreme(min),
    "reject": _choosing(keep=False, by_attribute=False),
    "rejectattr": _choosing(keep=False, by_attribute=True),
    "reverse": reverse,
    "select": _choosing(keep=True, by_attribute=False),
    "selectattr": _choosing(keep=True, by_attribute=True),
    "slice": slices,
    "sort": sort,
    "sum": total,
    "unique": unique,
}

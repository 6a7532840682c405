"""Filters, tests, methods and operators that check the size of a result before they build it."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from jinja2 import Environment
from jinja2.sandbox import SandboxedFormatter

from llmtool.templating.budget import MAX_DEPTH, Budget, RenderError, width

MAX_INTEGER_BITS = 1024
MAX_RANGE = 100_000
MAX_PATH = 1000  # characters of an attribute path, digits of a number, columns of a format

_LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_PERCENT = re.compile(r"%(?:\([^)]*\))?[#0\- +]*(\*|\d+)?(?:\.(\*|\d+))?")
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
    "in": lambda left, right: left in right,
    "notin": lambda left, right: left not in right,
}


class Meter:
    """The operators of a template's code, charged to a budget."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.step = budget.step
        self.track = budget.track

    def text(self, value: Any) -> Any:
        """Return what `{{ value }}` prints."""
        size = self.budget.measure(value)
        if type(value) is not str:
            self.budget.reserve(6 * size)
            value = str(value)
        self.budget.spend(size)
        return value

    def concat(self, parts: Iterable[str]) -> str:
        """Join the output of a block."""
        parts = list(parts)
        self.budget.reserve(sum(map(len, parts)) * width(*parts))
        return self.track("".join(parts))

    def join(self, values: Sequence[object]) -> str:
        """Return `a ~ b ~ c`."""
        for value in values:
            self.budget.reserve(self.budget.measure(value))
        return self.concat(map(str, values))

    def add(self, values: Sequence[Any]) -> Any:
        """Return `a + b + c`."""
        if all(type(value) is str for value in values):
            return self.concat(values)
        total, *others = values
        for value in others:
            if isinstance(total, (str, list, tuple)) and isinstance(value, (str, list, tuple)):
                self.budget.reserve((len(total) + len(value)) * 8)
            total = self.track(total + value)
        return total

    def multiply(self, left: Any, right: Any) -> Any:
        for a, b in ((left, right), (right, left)):
            if isinstance(a, (str, list, tuple)) and isinstance(b, int):
                self.budget.reserve(len(a) * max(b, 0) * (width(a) if isinstance(a, str) else 8))
                return self.track(left * right)
        if isinstance(left, int) and isinstance(right, int):
            _check_bits(left.bit_length() + right.bit_length())
        return left * right

    def power(self, left: Any, right: Any) -> Any:
        if isinstance(left, int) and isinstance(right, int):
            _check_bits(left.bit_length() * abs(right))
        return left**right

    def modulo(self, left: Any, right: Any) -> Any:
        """Return a remainder, or a text with `%` fields filled in."""
        if not isinstance(left, str):
            return left % right
        self.check_percent(left, right)
        return self.track(left % right)

    def check_percent(self, text: str, values: Any) -> None:
        n_fields = text.count("%")
        size = self.budget.measure(values) * (n_fields if isinstance(values, dict) else 1)
        self.budget.reserve((len(text) + 100 * n_fields + 6 * size) * width(text))
        for columns in (each for field in _PERCENT.finditer(text) for each in field.groups()):
            if columns == "*":
                numbers = values if isinstance(values, tuple) else (values,)
                _check_columns(*(abs(each) for each in numbers if isinstance(each, int)))
            elif columns:
                _check_columns(int(columns[:9]))

    def compare(self, name: str, left: Any, right: Any) -> Any:
        """Return `left == right` or another comparison, by its name in Jinja's syntax tree."""
        if isinstance(right, (str, list, tuple, dict)):
            if isinstance(left, (list, tuple, dict)):
                self.budget.measure(left)
                self.budget.measure(right)
            elif not isinstance(right, dict):
                self.step(len(right) >> 4)
        return _COMPARE[name](left, right)

    def operand(self, value: Any) -> Any:
        """Charge an operand of `a < b < c`, or a key, which is hashed."""
        if isinstance(value, (str, list, tuple, dict)):
            self.budget.measure(value)
        return value

    def call(self, method: Callable[..., Any], args: tuple[Any, ...], kwargs: Any) -> Any:
        """Call a method that `METHODS` allows."""
        text = method.__self__  # type: ignore[attr-defined]
        if isinstance(text, str):
            if method.__name__ == "join" and args:
                args = (items_of(self.budget, args[0]), *args[1:])
            check: Callable[..., None] = _METHOD_CHECKS.get(method.__name__, _check_linear)
            check(self.budget, text, *args, **kwargs)
        else:
            self.budget.measure(args)
        return self.track(method(*args, **kwargs))

    def format(self, environment: Environment, text: str, args: Any, kwargs: Any) -> str:
        """Return `text.format(*args, **kwargs)`; fields reach what templates reach, no more."""
        self.budget.reserve(100 * text.count("{"))
        formatter: Any = _Formatter(environment, self.budget)
        return self.track(str(formatter.vformat(text, args, kwargs)))


class _Formatter(SandboxedFormatter):
    def __init__(self, environment: Environment, budget: Budget) -> None:
        super().__init__(environment)
        self._budget = budget

    def convert_field(self, value: Any, conversion: Any) -> Any:
        self._budget.reserve(6 * self._budget.measure(value))
        return super().convert_field(value, conversion)

    def format_field(self, value: Any, format_spec: str) -> Any:
        _check_columns(*(int(digits[:9]) for digits in re.findall(r"\d+", format_spec)))
        self._budget.spend(self._budget.measure(value))
        return super().format_field(value, format_spec)


def items_of(budget: Budget, value: Any) -> Any:
    """Return a value that is safe to iterate over: generators and ranges charge each item."""
    if isinstance(value, str):
        budget.reserve(60 * len(value))
        budget.step(len(value))
    elif isinstance(value, (list, tuple, dict)):
        budget.step(len(value))
    elif hasattr(value, "__iter__"):
        return budget.count(value)
    return value


def _check_bits(n: int) -> None:
    if n > MAX_INTEGER_BITS:
        raise RenderError(f"a number has more than {MAX_INTEGER_BITS} bits")


def _check_columns(*counts: int) -> None:
    if any(count > MAX_PATH for count in counts):
        raise RenderError(f"a format has a field of more than {MAX_PATH} columns")


def _check_linear(budget: Budget, text: str, *args: Any, **kwargs: Any) -> None:
    """Check a method that reads a text once and returns at most three times as much."""
    budget.step(len(text) >> 6)
    budget.reserve(3 * len(text) * width(text))


def _check_search(budget: Budget, text: str, wanted: Any = "", *args: Any) -> None:
    """Check a search from the right, which takes length times length in the worst case."""
    _check_linear(budget, text)
    budget.step(len(text) * len(wanted) >> 8 if isinstance(wanted, str) else 0)


def _check_strip(budget: Budget, text: str, chars: Any = None) -> None:
    budget.step(len(text) * len(chars or " ") >> 6)


def _check_split(budget: Budget, text: str, sep: Any = None, maxsplit: int = -1) -> None:
    _check_search(budget, text, sep)
    pieces = (text.count(sep) if isinstance(sep, str) and sep else len(text) // 2) + 1
    if maxsplit >= 0:
        pieces = min(pieces, maxsplit + 1)
    budget.reserve(80 * pieces + len(text) * width(text))


def _check_lines(budget: Budget, text: str, *args: Any, **kwargs: Any) -> None:
    budget.reserve(80 * sum(map(text.count, _LINE_ENDS)) + len(text) * width(text))


def _check_replace(budget: Budget, text: str, old: str, new: str, count: int | None = None) -> None:
    budget.step(len(text) >> 6)
    n = text.count(old)
    n = n if count is None or count < 0 else min(n, count)
    budget.reserve((len(text) + n * len(new)) * width(text, new))


def _check_width(budget: Budget, text: str, columns: int = 80, *args: Any) -> None:
    budget.reserve((len(text) + columns) * 4)


def _check_tabs(budget: Budget, text: str, tabsize: int = 8) -> None:
    budget.reserve((len(text) + text.count("\t") * tabsize) * width(text))


def _check_join(budget: Budget, separator: str, items: Any) -> None:
    items = items if isinstance(items, (str, list, tuple)) else ()
    n = sum(len(item) for item in items if isinstance(item, str))
    texts = [separator, *(item for item in items if isinstance(item, str))]
    budget.reserve((n + len(separator) * len(items)) * width(*texts))


_METHOD_CHECKS: dict[str, Callable[..., None]] = {
    **dict.fromkeys(("rfind", "rindex", "rpartition", "partition", "count"), _check_search),
    **dict.fromkeys(("strip", "lstrip", "rstrip"), _check_strip),
    **dict.fromkeys(("split", "rsplit"), _check_split),
    **dict.fromkeys(("center", "ljust", "rjust", "zfill"), _check_width),
    "expandtabs": _check_tabs,
    "join": _check_join,
    "replace": _check_replace,
    "splitlines": _check_lines,
}
_TEXT = [name for name in dir(str) if not name.startswith("_")]
METHODS: dict[type, frozenset[str]] = {
    str: frozenset(_TEXT) - {"encode", "format", "format_map", "maketrans", "translate"},
    list: frozenset({"copy", "count", "index"}),
    tuple: frozenset({"count", "index"}),
    dict: frozenset({"copy", "get", "items", "keys", "values"}),
}


def _shallow(budget: Budget, value: Any, *args: Any, **kwargs: Any) -> None:
    """Check a filter that looks at its value, but not into it."""


def _deep(budget: Budget, value: Any, *args: Any, **kwargs: Any) -> None:
    """Check a filter that reads all of its value; a character becomes at most six."""
    budget.reserve(6 * budget.measure(value))


def _batch(budget: Budget, value: Any, linecount: int, *args: Any, **kwargs: Any) -> None:
    budget.reserve(100 * abs(linecount) + budget.measure(value))


def _center(budget: Budget, value: Any, width: int = 80) -> None:
    budget.reserve(4 * abs(width) + 6 * budget.measure(value))


def _format(budget: Budget, value: Any, *args: Any, **kwargs: Any) -> None:
    Meter(budget).check_percent(str(value), kwargs or args)


def _indent(budget: Budget, value: Any, width: Any = 4, *args: Any, **kwargs: Any) -> None:
    size = budget.measure(value)
    n_lines = 1 + sum(map(value.count, _LINE_ENDS)) if isinstance(value, str) else size
    columns = len(width) if isinstance(width, str) else abs(width)
    budget.reserve(n_lines * (80 + 4 * columns) + 6 * size)


def _join(budget: Budget, value: Any, d: Any = "", attribute: Any = None) -> None:
    n = len(value) if hasattr(value, "__len__") else MAX_RANGE
    budget.reserve(6 * budget.measure(value) + n * budget.measure(d))


def _number(budget: Budget, value: Any, *args: Any, **kwargs: Any) -> None:
    if isinstance(value, str) and len(value) > MAX_PATH:
        raise RenderError(f"a number has more than {MAX_PATH} digits")


def _replace(budget: Budget, value: Any, old: Any, new: Any, count: int | None = None) -> None:
    budget.reserve(6 * budget.measure(value))
    _check_replace(budget, str(value), str(old), str(new), count)


def _round(budget: Budget, value: Any, precision: int = 0, *args: Any) -> None:
    if abs(precision) > MAX_PATH:
        raise RenderError(f"round: more than {MAX_PATH} digits")


def _sum(budget: Budget, value: Any, attribute: Any = None, start: Any = 0) -> None:
    size = budget.measure(value)
    if not isinstance(start, (int, float)):  # lists are copied again for each item
        budget.reserve(size * (len(value) if hasattr(value, "__len__") else MAX_RANGE))


def _words(budget: Budget, value: Any) -> None:
    budget.reserve(60 * budget.measure(value))


def _tojson(budget: Budget, value: Any, **options: Any) -> None:
    indent, separators = options.get("indent"), options.get("separators") or ()
    columns = 0 if indent is None else len(indent) if isinstance(indent, str) else abs(indent)
    size = budget.measure(value)
    budget.reserve(24 * size + size // 16 * (MAX_DEPTH * columns + sum(map(len, separators))))


FILTERS: dict[str, Callable[..., None]] = {
    **dict.fromkeys(
        ("attr", "count", "d", "default", "first", "items", "last", "length"), _shallow
    ),
    **dict.fromkeys(("map", "reject", "rejectattr", "select", "selectattr"), _shallow),
    **dict.fromkeys(("abs", "capitalize", "e", "escape", "float", "list", "lower"), _deep),
    **dict.fromkeys(("dictsort", "groupby", "max", "min", "reverse", "safe", "sort"), _deep),
    **dict.fromkeys(("string", "trim", "truncate", "unique", "upper"), _deep),
    "batch": _batch,
    "center": _center,
    "format": _format,
    "indent": _indent,
    "int": _number,
    "join": _join,
    "replace": _replace,
    "round": _round,
    "slice": _batch,
    "sum": _sum,
    "title": _words,
    "tojson": _tojson,
    "wordcount": _words,
}
_BY_PATH = {"attr", "groupby", "join", "map", "max", "min", "rejectattr", "selectattr", "sort"}
_BY_PATH |= {"sum", "unique"}
_ITERATING = (_BY_PATH | {"batch", "list", "reject", "select", "slice"}) - {"attr"}


def check_filter(name: str, budget: Budget, value: Any, args: Any, kwargs: Any) -> Any:
    """Check that the result of a filter may be built; return the value to filter."""
    budget.step(10)
    budget.measure(args)
    budget.measure(kwargs)
    paths = (*args, *kwargs.values()) if name in _BY_PATH else ()
    if name != "join" and any(isinstance(each, str) and len(each) > MAX_PATH for each in paths):
        raise RenderError(f"a path is longer than {MAX_PATH} characters")
    FILTERS[name](budget, value, *args, **kwargs)
    return items_of(budget, value) if name in _ITERATING else value

"""The tests of templates, `{% if value is name(arguments) %}`."""

from __future__ import annotations

from collections.abc import Callable

from llmtool.sandbox.operators import COMPARISONS
from llmtool.sandbox.values import Callee, Loop, State, StrictUndefined, Undefined, text_of

Test = Callable[..., bool]


def _comparison(name: str) -> Test:
    compare = COMPARISONS[name]
    return lambda state, value, other: compare(value, other, state.budget)


def _remainder(value: object, divisor: object) -> object:
    if isinstance(value, Undefined):
        value.fail()
    if isinstance(value, (int, float)) and isinstance(divisor, (int, float)):
        return value % divisor
    raise TypeError("a number is needed")


def _iterable(_: State, value: object) -> bool:
    if isinstance(value, StrictUndefined):
        value.fail()
    return isinstance(value, (str, list, tuple, dict, range, Undefined, Loop))


def _sequence(_: State, value: object) -> bool:
    return isinstance(value, (str, list, tuple, dict, range)) or type(value) is Undefined


def _is_case(method: Callable[[str], bool]) -> Test:
    def test(state: State, value: object) -> bool:
        text = text_of(value, state.budget)
        state.budget.scan(text)
        return method(text)

    return test


_NAMES = {
    "eq": ("==", "eq", "equalto"),
    "ne": ("!=", "ne"),
    "lt": ("<", "lt", "lessthan"),
    "lteq": ("<=", "le"),
    "gt": (">", "gt", "greaterthan"),
    "gteq": (">=", "ge"),
    "in": ("in",),
}

TESTS: dict[str, Test] = {
    **{name: _comparison(key) for key, names in _NAMES.items() for name in names},
    "boolean": lambda _, value: isinstance(value, bool),
    "callable": lambda _, value: isinstance(value, Callee),
    "defined": lambda _, value: not isinstance(value, Undefined),
    "divisibleby": lambda _, value, num: _remainder(value, num) == 0,
    "even": lambda _, value: _remainder(value, 2) == 0,
    "false": lambda _, value: value is False,
    "float": lambda _, value: isinstance(value, float),
    "integer": lambda _, value: isinstance(value, int) and not isinstance(value, bool),
    "iterable": _iterable,
    "lower": _is_case(str.islower),
    "mapping": lambda _, value: isinstance(value, dict),
    "none": lambda _, value: value is None,
    "number": lambda _, value: isinstance(value, (int, float)),
    "odd": lambda _, value: _remainder(value, 2) == 1,
    "sameas": lambda _, value, other: value is other,
    "sequence": _sequence,
    "string": lambda _, value: isinstance(value, str),
    "true": lambda _, value: value is True,
    "undefined": lambda _, value: isinstance(value, Undefined),
    "upper": _is_case(str.isupper),
}

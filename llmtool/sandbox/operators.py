"""Arithmetic, comparison and membership, each priced before it runs."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sized

from llmtool.sandbox.budget import MAX_INTEGER_BITS, Budget, Fault, join, measure, width
from llmtool.sandbox.formatting import percent
from llmtool.sandbox.values import SCALARS, Undefined, kind, text_of

Binary = Callable[[object, object, Budget], object]


def capped(value: object) -> object:
    """Return a number unless it is an integer too large to go on with."""
    if isinstance(value, int) and value.bit_length() > MAX_INTEGER_BITS:
        raise Fault(f"an integer has more than {MAX_INTEGER_BITS} bits")
    return value


def _numbers(left: object, right: object, symbol: str) -> tuple[float, float]:
    for value in (left, right):
        if isinstance(value, Undefined):
            value.fail()
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        return left, right
    raise Fault(f"{kind(left)} {symbol} {kind(right)} is not possible")


def add(left: object, right: object, budget: Budget) -> object:
    if isinstance(left, str) and isinstance(right, str):
        budget.room((len(left) + len(right)) * width(left, right))
        return budget.built(left + right)
    if isinstance(left, list) and isinstance(right, list):
        budget.spend(64 + 8 * (len(left) + len(right)))
        return left + right
    if isinstance(left, tuple) and isinstance(right, tuple):
        budget.spend(64 + 8 * (len(left) + len(right)))
        return left + right
    x, y = _numbers(left, right, "+")
    return capped(x + y)


def _subtract(left: object, right: object, _: Budget) -> object:
    x, y = _numbers(left, right, "-")
    return capped(x - y)


def _multiply(left: object, right: object, budget: Budget) -> object:
    if isinstance(left, int) and isinstance(right, (str, list, tuple)):
        left, right = right, left
    if isinstance(right, int) and isinstance(left, (str, list, tuple)):
        if isinstance(left, str):
            budget.room(len(left) * width(left) * right)
            return budget.built(left * right)
        budget.spend(64 + 8 * len(left) * max(right, 0))
        return left * right
    x, y = _numbers(left, right, "*")
    if isinstance(x, int) and isinstance(y, int):
        capped(x)
        capped(y)
    return capped(x * y)


def _divide(left: object, right: object, _: Budget) -> object:
    x, y = _numbers(left, right, "/")
    return x / y


def _floor_divide(left: object, right: object, _: Budget) -> object:
    x, y = _numbers(left, right, "//")
    return x // y


def _modulo(left: object, right: object, budget: Budget) -> object:
    if isinstance(left, str):
        return percent(left, right, budget)
    x, y = _numbers(left, right, "%")
    return x % y


def _power(left: object, right: object, _: Budget) -> object:
    x, y = _numbers(left, right, "**")
    if isinstance(x, int) and isinstance(y, int) and x.bit_length() * y > MAX_INTEGER_BITS:
        raise Fault(f"an integer has more than {MAX_INTEGER_BITS} bits")
    return capped(x**y)


BINARY: dict[str, Binary] = {
    "Add": add,
    "Sub": _subtract,
    "Mul": _multiply,
    "Div": _divide,
    "FloorDiv": _floor_divide,
    "Mod": _modulo,
    "Pow": _power,
}


def negate(value: object, _: Budget) -> object:
    return -_numbers(value, 0, "-")[0]


def plus(value: object, _: Budget) -> object:
    return +_numbers(value, 0, "+")[0]


def concat(values: list[object], budget: Budget) -> str:
    """`a ~ b`: the texts of the values in a row."""
    return budget.built(join([text_of(value, budget) for value in values], "", budget))


def equal(left: object, right: object, budget: Budget) -> bool:
    if isinstance(left, str):
        budget.step(1 + (len(left) >> 8))
    elif not isinstance(left, SCALARS):
        measure(left, budget)
    return left == right


def _unequal(left: object, right: object, budget: Budget) -> bool:
    return not equal(left, right, budget)


def _ordering(symbol: str, compare: Callable[..., bool]) -> Callable[..., bool]:
    def ordered(left: object, right: object, budget: Budget) -> bool:
        for value in (left, right):
            if isinstance(value, Undefined):
                value.fail()
        if isinstance(left, str) and isinstance(right, str):
            budget.step(1 + (len(left) >> 8))
            return compare(left, right)
        if isinstance(left, (list, tuple)) and type(left) is type(right):
            measure(left, budget)
            return compare(left, right)
        return compare(*_numbers(left, right, symbol))

    return ordered


def contains(needle: object, haystack: object, budget: Budget) -> bool:
    """`needle in haystack`."""
    if isinstance(haystack, str):
        if isinstance(needle, Undefined):
            needle.fail()
        if not isinstance(needle, str):
            raise Fault(f"{kind(needle)} in str is not possible")
        budget.scan(haystack)
        return needle in haystack
    if isinstance(haystack, Undefined):
        return needle in tuple(haystack)
    if isinstance(haystack, dict):
        measure(needle, budget)
        try:
            return needle in haystack
        except TypeError:
            raise Fault(f"{kind(needle)} cannot be a key") from None
    if isinstance(haystack, (list, tuple, range)):
        _price_search(needle, haystack, budget)
        return needle in haystack
    raise Fault(f"in {kind(haystack)} is not possible")


def _price_search(needle: object, haystack: Sized, budget: Budget) -> None:
    if isinstance(needle, SCALARS):
        length = len(needle) if isinstance(needle, str) else 0
        budget.step(len(haystack) * (1 + (length >> 8)))
    else:
        measure(haystack, budget)


def _lacks(needle: object, haystack: object, budget: Budget) -> bool:
    return not contains(needle, haystack, budget)


COMPARISONS: dict[str, Callable[[object, object, Budget], bool]] = {
    "eq": equal,
    "ne": _unequal,
    "lt": _ordering("<", operator.lt),
    "lteq": _ordering("<=", operator.le),
    "gt": _ordering(">", operator.gt),
    "gteq": _ordering(">=", operator.ge),
    "in": contains,
    "notin": _lacks,
}

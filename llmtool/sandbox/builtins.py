"""The functions that every template can call, and the check of the variables handed to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NoReturn

from llmtool.sandbox.budget import MAX_DEPTH, Fault
from llmtool.sandbox.values import Callee, Namespace, State, text_of

MAX_RANGE = 100_000
_TIME_FORMAT = re.compile(r"(?:[^%]|%[-_0^#]?[A-Za-z%])*")


def _range(_: State, *ends: int) -> range:
    numbers = range(*ends)
    if numbers and abs(numbers[-1] - numbers[0]) // abs(numbers.step) >= MAX_RANGE:
        raise Fault(f"a range has more than {MAX_RANGE} numbers")
    return numbers


def _dict(state: State, *args: object, **kwargs: object) -> dict[str, object]:
    base = args[0] if args else {}
    if len(args) > 1 or not isinstance(base, dict):
        raise Fault("dict and namespace take names with values, or one mapping")
    state.budget.spend(300 + 200 * (len(base) + len(kwargs)))
    return {**base, **kwargs}


def _namespace(state: State, *args: object, **kwargs: object) -> Namespace:
    return Namespace(_dict(state, *args, **kwargs))


def _raise_exception(state: State, message: object) -> NoReturn:
    raise Fault(text_of(message, state.budget)[:300])


def _strftime_now(state: State, format: str) -> str:
    if len(format) > 200 or not _TIME_FORMAT.fullmatch(format):
        raise Fault("strftime_now does not know this format")
    return state.budget.built(state.clock().strftime(format))


PROMPT_GLOBALS: dict[str, object] = {
    "dict": Callee("dict", _dict),
    "namespace": Callee("namespace", _namespace),
    "range": Callee("range", _range),
}
CHAT_GLOBALS: dict[str, object] = {
    **PROMPT_GLOBALS,
    "raise_exception": Callee("raise_exception", _raise_exception),
    "strftime_now": Callee("strftime_now", _strftime_now),
}


def check_variables(variables: Mapping[str, object]) -> int:
    """Return the size of the variables in bytes; TypeError for a value that is not plain data."""
    size = 0
    level: list[object] = [variables[name] for name in variables]
    for _ in range(MAX_DEPTH):
        deeper: list[object] = []
        for value in level:
            if isinstance(value, str):
                size += value.__sizeof__()
            elif isinstance(value, dict):
                deeper.extend(value.values())
            elif isinstance(value, (list, tuple)):
                deeper.extend(value)
            elif value is not None and not isinstance(value, (bool, int, float)):
                raise TypeError(f"a template takes plain data, not {type(value).__name__}")
        size += 100 * len(level)
        if not deeper:
            return size
        level = deeper
    raise TypeError(f"a template takes data at most {MAX_DEPTH} levels deep")

"""Call functions: check the arguments, prepare each set of options once, return results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from itertools import groupby
from typing import Any

import msgspec

from llmtool.engine.types import Failed
from llmtool.errors import LlmtoolError
from llmtool.server.errors import RequestError
from llmtool.server.functions.catalogue import Function
from llmtool.suggest import suggest
from llmtool.tasks.pipeline.context import TaskContext
from llmtool.tasks.pipeline.prepare import Case
from llmtool.tasks.results import Result

Arguments = Mapping[str, Any]


def find(functions: Mapping[str, Function], name: str) -> Function:
    """Return the function of a name.

    Raises:
        RequestError: there is none; similar names are suggested.
    """
    if name not in functions:
        hint = suggest(name, functions) or "; GET /v1/functions lists them"
        raise RequestError(
            f"unknown function {name!r}{hint}",
            status=HTTPStatus.NOT_FOUND,
            code="function_not_found",
        )
    return functions[name]


def call(
    context: TaskContext, function: Function, arguments: Arguments, options: Arguments
) -> Result:
    """Return the result of one call.

    Args:
        arguments: the values of `function.arguments`.
        options: sampling options, such as `seed`.

    Raises:
        RequestError: an argument is missing or unknown; the error names it.
        LlmtoolError: the call failed.
    """
    (outcome,) = call_each(context, function, [arguments], options)
    if isinstance(outcome, LlmtoolError):
        raise outcome
    return outcome


def call_each(
    context: TaskContext, function: Function, batch: Sequence[Arguments], options: Arguments
) -> Iterator[Result | LlmtoolError]:
    """Yield the result of each call or its error, in order.

    Adjacent calls whose arguments differ only in `function.inputs` run together.
    """
    for _, group in groupby(batch, key=lambda arguments: _options_key(function, arguments)):
        yield from _run(context, function, list(group), options)


def _options_key(function: Function, arguments: Arguments) -> bytes:
    given = {name: value for name, value in arguments.items() if name not in function.inputs}
    return msgspec.json.encode(given, order="sorted")


def _run(
    context: TaskContext, function: Function, calls: Sequence[Arguments], options: Arguments
) -> Iterator[Result | LlmtoolError]:
    cases = [_case(function, id, arguments) for id, arguments in enumerate(calls)]
    errors = [case.error for case in cases if isinstance(case, Failed)]
    if len(errors) == len(cases):
        yield from errors
        return
    own = {
        name: value
        for name, value in calls[0].items()
        if name in function.arguments and name not in function.inputs
    }
    try:
        task = function.prepare(context, {**own, **options})
    except LlmtoolError as exc:
        yield from [exc] * len(calls)
        return
    for outcome in task.outcomes(context.engine, cases):
        if isinstance(outcome, Failed):
            yield outcome.error
        elif isinstance(outcome, Result):
            yield outcome


def _case(function: Function, id: int, arguments: Arguments) -> Case | Failed:
    known = function.arguments
    for name in arguments:
        if name not in known:
            message = f"{function.name} has no argument {name!r}{suggest(name, known)}"
            return Failed(id, RequestError(message, code="unknown_argument", param=name))
    for name in function.required:
        if arguments.get(name) is None:
            message = f"argument {name!r} of {function.name} is missing"
            return Failed(id, RequestError(message, code="missing_argument", param=name))
        is_empty = isinstance(arguments[name], str) and not arguments[name].strip()
        if function.template is None and is_empty:  # before the self-test of a summary
            message = f"argument {name!r} of {function.name} is empty; add some text"
            return Failed(id, RequestError(message, code="invalid_input", param=name))
    given = {name: arguments[name] for name in function.inputs if arguments.get(name) is not None}
    return Case(id=id, variables=given)

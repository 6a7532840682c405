"""Make commands of functions that take groups of options: each option becomes a parameter."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_type_hints

import msgspec
import typer

from llmtool.cli.options.tasks import OPTIONS
from llmtool.cli.terminal.console import Console

_CONTEXT = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)


def expand_groups(function: Callable[..., None]) -> Callable[..., None]:
    """Return a command that takes each option of a function's groups as a parameter of its own.

    The function gets them in their groups again, and the process's `Console` if it takes one. A
    group's defaults are those of the parameter's default. A parameter that is named like a field
    of a group takes the place of that option.
    """
    signature = inspect.signature(function, eval_str=True).parameters
    groups: dict[str, msgspec.Struct] = {}
    own: dict[str, inspect.Parameter] = {}
    for name, parameter in signature.items():
        kind = parameter.annotation
        if inspect.isclass(kind) and issubclass(kind, msgspec.Struct):
            groups[name] = kind() if parameter.default is parameter.empty else parameter.default
        elif kind is not Console:
            own[name] = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
    consoles = [name for name in signature if name not in groups and name not in own]
    parameters = {"ctx": _CONTEXT}
    for name in signature:
        found = _parameters(groups[name]) if name in groups else [own[name]] if name in own else []
        parameters |= {each.name: own.get(each.name, each) for each in found}

    def command(**values: Any) -> None:
        given: dict[str, Any] = dict.fromkeys(consoles, values["ctx"].obj)
        given |= {name: _collect(defaults, values, own) for name, defaults in groups.items()}
        given |= {name: _convert(each.annotation, values[name]) for name, each in own.items()}
        function(**given)

    command.__doc__, command.__name__ = function.__doc__, function.__name__
    command.__signature__ = inspect.Signature([*parameters.values()])  # type: ignore[attr-defined]
    command.__annotations__ = {name: each.annotation for name, each in parameters.items()}
    return command


def options_of(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the options of a group by the names of its fields; a group in it is its class."""
    found: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        found |= OPTIONS.get(base, {})
    return found or get_type_hints(kind, include_extras=True)


def _parameters(defaults: msgspec.Struct) -> Iterator[inspect.Parameter]:
    for name, declared in options_of(type(defaults)).items():
        default = getattr(defaults, name)
        if isinstance(default, msgspec.Struct):
            yield from _parameters(default)
            continue
        yield inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None if default in ([], {}) else default,
            annotation=declared,
        )


def _collect(
    defaults: msgspec.Struct, values: Mapping[str, Any], own: Mapping[str, object]
) -> msgspec.Struct:
    """Return a group with the values of its options and of the parameters named like its fields."""
    given = {name: values[name] for name in defaults.__struct_fields__ if name in own}
    for name, declared in options_of(type(defaults)).items():
        default = getattr(defaults, name)
        if isinstance(default, msgspec.Struct):
            given[name] = _collect(default, values, own)
        elif name not in own and values[name] is not None:
            given[name] = _convert(declared, values[name])
    return msgspec.structs.replace(defaults, **given)


def _convert(declared: Any, value: Any) -> Any:
    """Return the value that the functions beside an option's declaration make of its argument."""
    for convert in filter(callable, getattr(declared, "__metadata__", ())):
        value = value if value is None else convert(value)
    return value

"""Expand the option groups of a function into the parameters of a command."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, get_type_hints

import msgspec
import typer

from llmtool.cli.options.groups import FROM_CALLER
from llmtool.cli.options.tasks import OPTIONS
from llmtool.cli.terminal.console import Console

_CONTEXT = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)


def expand_groups(function: Callable[..., None]) -> Callable[..., None]:
    """Return a command with one parameter for each option in the function's groups.

    The command collects the options into groups and calls the function with them, and with the
    process's `Console` if it accepts one. The default of a group parameter supplies the defaults of
    its options. A parameter with the name of a group's field replaces that option. Fields marked
    with `FROM_CALLER` have no option.
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
        arguments: dict[str, Any] = dict.fromkeys(consoles, values["ctx"].obj)
        values = {**values["ctx"].meta, **values}
        arguments |= {name: _collect(defaults, values, own) for name, defaults in groups.items()}
        arguments |= {name: _convert(each.annotation, values[name]) for name, each in own.items()}
        function(**arguments)

    command.__doc__, command.__name__ = function.__doc__, function.__name__
    command.__signature__ = inspect.Signature([*parameters.values()])  # type: ignore[attr-defined]
    command.__annotations__ = {name: each.annotation for name, each in parameters.items()}
    return command


@cache
def options_of(kind: type[msgspec.Struct]) -> Mapping[str, Any]:
    """Return the declared option of each field of a group; for a nested group, its class."""
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
        if _is_from_caller(declared):
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
    """Return a group with the values of its options, or of parameters that replace them."""
    fields = {name: values[name] for name in defaults.__struct_fields__ if name in own}
    for name, declared in options_of(type(defaults)).items():
        default = getattr(defaults, name)
        if isinstance(default, msgspec.Struct):
            fields[name] = _collect(default, values, own)
        elif _is_from_caller(declared):
            fields[name] = values.get(name, default)
        elif name not in own and values[name] is not None:
            fields[name] = _convert(declared, values[name])
    return msgspec.structs.replace(defaults, **fields)


def _is_from_caller(declared: Any) -> bool:
    return FROM_CALLER in getattr(declared, "__metadata__", ())


def _convert(declared: Any, value: Any) -> Any:
    """Apply the converter functions in an option's annotation to its value."""
    for convert in filter(callable, getattr(declared, "__metadata__", ())):
        value = value if value is None else convert(value)
    return value

"""Read and check a chat template that replaces the model's, and values for its variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from llmtool.config import json_or_text
from llmtool.engine.types import ChatTemplateOptions
from llmtool.errors import TemplateError, UsageError, os_error_reason
from llmtool.option_names import option

_MAX_BYTES = 1 << 20  # more than any template that is rendered
_RESERVED = ("messages", "add_generation_prompt", "bos_token", "eos_token")


def read_options(
    path: str | os.PathLike[str] | None, arguments: Mapping[str, Any]
) -> ChatTemplateOptions:
    """Read a chat template and check its arguments.

    Raises:
        TemplateError: the file cannot be read.
        UsageError: an argument has a reserved name, or its value is not plain data.
    """
    from llmtool.templating import measure_variables

    for name in arguments:
        _check_name(name, f"template argument {name!r}")
    try:
        measure_variables(dict(arguments))
    except TypeError as exc:
        raise UsageError(f"template arguments: {exc}") from exc
    if path is None:
        return ChatTemplateOptions(arguments=arguments)
    try:
        with open(path, "rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise TemplateError(f"chat template {path}: larger than {_MAX_BYTES >> 20} MiB")
        source = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise TemplateError(f"chat template {path}: not UTF-8 at byte {exc.start}") from exc
    except (OSError, ValueError) as exc:
        reason = os_error_reason(exc) if isinstance(exc, OSError) else "not a valid path"
        raise TemplateError(f"cannot read chat template {str(path)!r}: {reason}") from exc
    return ChatTemplateOptions(source=source, name=str(path), arguments=arguments)


def parse_arguments(pairs: list[str]) -> dict[str, Any]:
    """Return the values of `--template-arg KEY=VALUE`: JSON, or else text.

    Example:
        >>> parse_arguments(["enable_thinking=false", "city=Rome"])
        {'enable_thinking': False, 'city': 'Rome'}
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or not name:
            raise UsageError(f"{option('template_args', pair)}: must have the form KEY=VALUE")
        _check_name(name, option("template_args", pair))
        values[name] = json_or_text(text)
    return values


def _check_name(name: str, label: str) -> None:
    if not name.isidentifier():
        raise UsageError(f"{label}: {name!r} is not a valid variable name")
    if name in _RESERVED:
        raise UsageError(f"{label}: llmtool sets {name!r}; choose another name")

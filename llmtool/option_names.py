"""Name options in messages: by their Python arguments, or in the command by their flags."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_NO_VALUE = object()
Format = Callable[[str, tuple[object, ...]], str]


def option(name: str, value: object = _NO_VALUE) -> str:
    """Return how the user writes an option: `max_tokens=`, or `--max-tokens` in the command.

    Example:
        >>> option("max_tokens"), option("n", 0)
        ('max_tokens=', 'n=0')
    """
    return _formats[-1](name, () if value is _NO_VALUE else (value,))


@contextmanager
def use_format(format: Format) -> Iterator[None]:
    """Name options by `format(name, value)` during the block; `value` is empty or a 1-tuple."""
    _formats.append(format)
    try:
        yield
    finally:
        _formats.remove(format)


def _format_argument(name: str, value: tuple[object, ...]) -> str:
    if name == "variables" and value and isinstance(value[0], dict):  # those of `run`
        pairs = ", ".join(f"{key}={text}" for key, text in value[0].items())
        return f"{pairs} (in `variables`, except for `run`)"
    return f"{name}={repr(*value)}" if value else f"{name}="


_formats: list[Format] = [_format_argument]

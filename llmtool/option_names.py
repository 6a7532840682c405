"""Name options in messages: by their Python arguments, or in the command by their flags."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

OTHER_NAMES = {  # of options in other programs, by their names here
    "context": "n_ctx",
    "context_length": "n_ctx",
    "ctx": "n_ctx",
    "format": "schema",
    "gpu": "n_gpu_layers",
    "gpu_layers": "n_gpu_layers",
    "instructions": "system",
    "json_schema": "schema",
    "lang": "language",
    "max_completion_tokens": "max_tokens",
    "max_length": "max_tokens",
    "max_new_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "max_words": "length",
    "n_predict": "max_tokens",
    "n_tokens": "max_tokens",
    "ngl": "n_gpu_layers",
    "num_ctx": "n_ctx",
    "num_predict": "max_tokens",
    "num_return_sequences": "n",
    "num_threads": "n_threads",
    "params": "variables",
    "predict": "max_tokens",
    "reasoning": "thinking",
    "reasoning_effort": "thinking",
    "repetition_penalty": "repeat_penalty",
    "response_format": "schema",
    "response_model": "schema",
    "source_lang": "source",
    "stop_sequences": "stop",
    "stop_strings": "stop",
    "system_prompt": "system",
    "temp": "temperature",
    "think": "thinking",
    "threads": "n_threads",
}
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
        return f"{pairs} to `run`, or variables={value[0]} to another function"
    return f"{name}={''.join(map(show_value, value))}"


def show_value(value: object) -> str:
    """Return the `repr` of a value in one short line.

    Example:
        >>> show_value(0.5), show_value("a\\nb"), show_value(iter([1]))
        ('0.5', "'a\\\\nb'", '<list_iterator>')
    """
    if type(value).__repr__ is object.__repr__ or isinstance(value, Iterator):
        return f"<{type(value).__name__}>"  # without the address
    return " ".join(_reprs.repr(value).split())


_reprs = reprlib.Repr()
_reprs.maxstring = _reprs.maxother = 60

_formats: list[Format] = [_format_argument]

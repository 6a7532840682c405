"""Short representations of records, for interactive use."""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from typing import Any

_MAX_LENGTH = 100
_MAX_TEXTS = 44  # characters of all long texts together
_MAX_SHORT = 24


def short_repr(*names: str) -> Callable[[Any], str]:
    """Return a `__repr__` that shows some attributes in one line.

    Attributes after the first are omitted if they are empty or None.

    Example:
        >>> class Word:
        ...     text, kind, lemma = "xylophone", "noun", None
        ...     __repr__ = short_repr("text", "kind", "lemma")
        >>> Word()
        Word(text='xylophone', kind='noun')
    """

    def represent(record: Any) -> str:
        values = {name: getattr(record, name) for name in names}
        texts = [value for value in values.values() if isinstance(value, str)]
        n_long = sum(len(text) > _MAX_SHORT for text in texts)
        length = max(_MAX_SHORT, _MAX_TEXTS // max(1, n_long)) - 2
        shown = [
            f"{name}={shorten(value, length)}"
            for name, value in values.items()
            if name == names[0] or value not in (None, "")
        ]
        text = f"{type(record).__name__}({', '.join(shown)})"
        return text if len(text) <= _MAX_LENGTH else text[: _MAX_LENGTH - 2] + "…)"

    return represent


def shorten(value: object, length: int) -> str:
    """Return the `repr` of a value, in about `length` characters if it is a long text."""
    if isinstance(value, str):
        return repr(value if len(value) <= length else value[: length - 1] + "…")
    if isinstance(value, float):
        return f"{value:.4g}"
    return " ".join(reprlib.repr(value).split())
